//! Which records a subscriber handles, and what it may see of them: the logic of the SmartModules, without Fluvio, so that it is tested natively.
//!
//! A record is a JSON object: a command `{"type":"PlaceOrder", ...}` or a CloudEvent
//! `{"specversion":"1.0","type":"OrderPlaced",...}`. Its type is the top-level string member `type`.
//!
//! It is not a decoder: it says where a record goes, and the processor that gets it says whether the rest makes sense.
//! A record whose type cannot be read (not JSON, cut short, nested too deeply, `type` missing, twice or no string) has
//! no type, which is an answer like any other and never an error.
//!
//! Start reading at [`Selection`] (what `thin-map` asks), [`Redaction`] (what `redact-map` does) and [`Filter`] (what
//! `event-filter` asks); [`scan`] reads the record.

#![forbid(unsafe_code)]

pub mod limits;
pub mod params;
pub mod scan;

mod redact;
mod select;

pub use crate::{
    params::ParamError,
    redact::{Redacted, Redaction},
    select::{Filter, Selection},
};

/// What is left of a record that a subscriber does not handle: eight bytes that no JSON text can begin with.
pub const STUB: &[u8; 8] = b"\0thinned";
