//! Every bound of this crate, in one place.

/// Most items that one order lists.
pub const ITEMS_MAX: usize = 100;
/// Most pieces of one item.
pub const QUANTITY_MAX: i64 = 1_000;
