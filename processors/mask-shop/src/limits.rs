//! Every bound of this crate, in one place.

/// Most pieces that one command orders or brings in. Sums of many stay far from the end of `i64`.
pub const QTY_MAX: i64 = 1_000_000;
/// Ids of past restocks that a product remembers to know a repeated one.
pub const RESTOCK_IDS_MAX: usize = 64;
