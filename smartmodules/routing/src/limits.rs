//! Every bound of this crate.

/// Containers that may be open at once in a record, the record's own object included. It is `serde_json`'s bound, so
/// that what the processors can read and what routing can read do not part ways.
pub const DEPTH_MAX: u32 = 127;

/// Types that one parameter may list.
pub const NAMES_MAX: usize = 256;

/// Bytes of one type name or subject in a parameter.
pub const NAME_BYTES_MAX: usize = 256;

// The scanner keeps one bit per open container below the record's own object.
const _: () = assert!(DEPTH_MAX >= 1 && DEPTH_MAX <= u128::BITS);
