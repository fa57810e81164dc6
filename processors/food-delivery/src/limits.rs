//! Every bound of this crate, in one place.

/// Most items that one order lists.
pub const ITEMS_MAX: usize = 100;
/// Most pieces of one item.
pub const QUANTITY_MAX: i64 = 1_000;
/// Highest price, of one piece and of a whole order, in won. Sums of orders stay far from the end of `i64`.
pub const PRICE_WON_MAX: i64 = 1_000_000_000_000;
/// Longest free text (address, reason, item), in bytes.
pub const TEXT_BYTES_MAX: usize = 512;
/// Ids of past commands that an order remembers to know a repeated one.
pub const COMMAND_IDS_MAX: usize = 16;
/// Store commands of one task that may wait for their order to arrive.
pub const PARKED_COMMANDS_MAX: i64 = 1_000;
/// Store commands of one order that may wait for it.
pub const PARKED_COMMANDS_PER_ORDER_MAX: usize = 16;
/// Refunds for orders that are not known any more, of one task, that may wait for their answers.
pub const STRAY_PAYMENTS_MAX: i64 = 10_000;
/// First wait before a failed refund is tried again, in ms; it doubles with each failure.
pub const REFUND_BACKOFF_MS: i64 = 1_000;
/// Longest such wait, in ms.
pub const REFUND_BACKOFF_MS_MAX: i64 = 300_000;
/// Most copies of one reply that the simulated provider can ask for.
pub const REPLY_COPIES_MAX: u8 = 3;
