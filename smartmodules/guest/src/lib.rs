//! The SmartModules' side of the interface with their host: what `fluvio-smartmodule`'s macros would generate, smaller.
//!
//! The interface, its status codes and its allocator are Fluvio's, and the tests hold this crate to Fluvio's types. Its
//! macros are not used, for two reasons. They never free the batches that a module returns, so that a stream ends when
//! its output has filled the memory that a module may have. And they bring decoders, error reports and backtraces,
//! three quarters of a module, which a host compiles anew for every stream.
//!
//! So a batch is read where it lies and copied once. Modules that make new records, or several of one, are better off
//! with the macros.
//!
//! Start reading at [`SmartModule`], which a module implements, and [`export!`], which makes it one.

mod exports;
mod params;
mod reader;
mod records;
mod transform;

#[cfg(target_arch = "wasm32")]
pub use crate::exports::take_input;
pub use crate::{
    exports::{State, initialise, run},
    params::Params,
};

use std::fmt::Display;

/// A SmartModule that lets records through as they are, or with another value, or not.
pub trait SmartModule: Sized {
    /// The name that its error messages begin with.
    const NAME: &'static str;
    /// What becomes of the records that it does not let through.
    const OTHERS: Others;
    /// Why parameters were refused; its text is all that the person at the CLI sees.
    type Error: Display;

    /// Starts it for one stream.
    ///
    /// # Errors
    /// The parameters are refused, and the stream with them.
    fn from_params(params: &Params<'_>) -> Result<Self, Self::Error>;

    /// Says what becomes of a record with this value.
    fn verdict(&self, value: &[u8]) -> Verdict;
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes as it is.
    Whole,
    /// It passes with its key, place and time, and this value.
    Rewritten(Vec<u8>),
    /// It does not pass: see [`Others`].
    Other,
}

impl Verdict {
    /// The verdict of a module that rewrites nothing.
    pub fn whole_if(passes: bool) -> Self {
        if passes { Self::Whole } else { Self::Other }
    }
}

/// What becomes of the records that a SmartModule does not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are left out: the module is a filter.
    Dropped,
    /// They keep their place and time, lose their key, and get this value: the module is a map.
    Replaced(&'static [u8]),
}
