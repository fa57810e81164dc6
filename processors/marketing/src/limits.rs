//! Every bound of this crate, in one place.

/// Bytes of an item's name that count; what is longer is cut.
pub const ITEM_BYTES_MAX: usize = 128;
/// Windows that the grace may be long: as many are open at a time.
pub const GRACE_WINDOWS_MAX: i64 = 24;
/// Different items of one window that one task gathers before it tells them.
pub const TALLY_ITEMS_MAX: usize = 100;
/// Different items of one window that are counted one by one; what comes beyond is counted together.
pub const WINDOW_ITEMS_MAX: u32 = 1_000;
/// Items of a window that are ranked.
pub const RANKED_MAX: usize = 50;
/// Different items that are remembered of one customer: the most ordered.
pub const CUSTOMER_ITEMS_MAX: usize = 30;
/// Items of a customer that are related with each other at one order: new ones, and the most ordered of the others.
pub const RELATED_AT_ONCE_MAX: usize = 10;
/// Items that are remembered as ordered by those who ordered one item: the most ordered.
pub const RELATED_ITEMS_MAX: usize = 50;
/// Items of a customer for which is asked what others also ordered.
pub const FAVOURITES_MAX: usize = 3;
/// Suggestions to a customer.
pub const SUGGESTIONS_MAX: usize = 5;
/// Windows that one step looks at.
pub const WINDOWS_OPEN_MAX: usize = 64;

// So many suggestions are left even if the customer has ordered the first ones already.
const _: () = assert!(RELATED_ITEMS_MAX >= CUSTOMER_ITEMS_MAX + SUGGESTIONS_MAX);
const _: () = assert!(WINDOWS_OPEN_MAX as i64 > 2 * GRACE_WINDOWS_MAX);
