//! What a host calls and is called with: the functions that a module exports, and the one that it imports.
//!
//! A host calls `alloc` (`fluvio-smartmodule` exports it), writes its input there, and calls `init` or the
//! transformation with the place and length of the input. What they return is a status or a number of records. Before
//! that, they tell the host where the output lies; it is read after they have returned.

use std::cell::{Cell, OnceCell};

use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInitErrorStatus;

use crate::{Params, SmartModule, transform::transform};

/// Where a module keeps itself between two calls.
pub type State<M> = OnceCell<M>;

thread_local! {
    /// The last output. The host reads it when the call is over, so it stays until the next one.
    static OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Makes the crate a SmartModule: `guest::export!(map, ThinMap)` exports `init` and `map`, which are those of the
/// [`SmartModule`] `ThinMap`. The transformation is `map` or `filter`.
#[macro_export]
macro_rules! export {
    ($transformation:ident, $module:ident) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            thread_local! {
                static STATE: $crate::State<super::$module> = const { $crate::State::new() };
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn init(input: *mut u8, length: usize, _version: i32) -> i32 {
                // SAFETY: the host passes what it has written to a buffer that it got from `alloc`.
                let input = unsafe { $crate::take_input(input, length) };
                STATE.with(|state| $crate::initialise(state, &input))
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn $transformation(input: *mut u8, length: usize, _version: i32) -> i32 {
                // SAFETY: the host passes what it has written to a buffer that it got from `alloc`.
                let input = unsafe { $crate::take_input(input, length) };
                STATE.with(|state| $crate::run(state, &input))
            }
        }
    };
}

/// Starts a module with an encoded input and returns a status: 0, or why not.
pub fn initialise<M: SmartModule>(state: &State<M>, input: &[u8]) -> i32 {
    let Some(params) = Params::read(input) else {
        return SmartModuleInitErrorStatus::DecodingInput as i32;
    };
    let started = M::from_params(&params).map_err(|error| format!("{}: {error}", M::NAME));
    let error = match started.map(|module| state.set(module)) {
        Ok(Ok(())) => return 0,
        Ok(Err(_)) => format!("{}: initialised twice", M::NAME),
        Err(error) => error,
    };
    // A text behind the number of its bytes.
    let Ok(size) = i16::try_from(error.len()) else {
        return SmartModuleInitErrorStatus::EncodingOutput as i32;
    };
    let mut output = size.to_be_bytes().to_vec();
    output.extend_from_slice(error.as_bytes());
    give_output(output);
    SmartModuleInitErrorStatus::InitError as i32
}

/// Takes an encoded batch through a module and returns the number of records that came out, or a negative status.
pub fn run<M: SmartModule>(state: &State<M>, input: &[u8]) -> i32 {
    // The host has read the last output long ago: its memory serves this one.
    OUTPUT.take();
    match transform(state.get(), input) {
        Ok((output, count)) => {
            give_output(output);
            count
        }
        Err(status) => status as i32,
    }
}

fn give_output(output: Vec<u8>) {
    host::copy_records(&output);
    OUTPUT.set(output);
}

/// Takes over the input of a call, which is freed with what this returns.
///
/// # Safety
/// `input` is what `alloc` returned for `length`, and the host has written all of it.
#[cfg(target_arch = "wasm32")]
pub unsafe fn take_input(input: *mut u8, length: usize) -> Vec<u8> {
    // SAFETY: `alloc` makes a vector of this capacity and forgets it.
    unsafe { Vec::from_raw_parts(input, length, length) }
}

#[cfg(target_arch = "wasm32")]
mod host {
    /// Tells the host where the output lies.
    pub(super) fn copy_records(output: &[u8]) {
        unsafe extern "C" {
            #[link_name = "copy_records"]
            fn imported(address: i32, length: i32);
        }
        // SAFETY: the host does not read now, it only remembers the place.
        unsafe { imported(output.as_ptr() as i32, output.len() as i32) };
    }
}

/// Outside of WASM there is no host; the tests look at what the functions above make.
#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(super) fn copy_records(_output: &[u8]) {}
}
