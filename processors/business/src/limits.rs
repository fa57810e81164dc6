//! Every bound of this crate, in one place.

/// Highest amount of money that one command moves, in won. Sums of many stay far from the end of `i64`.
pub const AMOUNT_WON_MAX: i64 = 1_000_000_000_000;
/// Longest free text (address, reason, item), in bytes.
pub const TEXT_BYTES_MAX: usize = 512;
/// Ids of past commands that an aggregate remembers to know a repeated one.
pub const COMMAND_IDS_MAX: usize = 16;
/// Commands of one follower's task that may wait for their aggregate to arrive.
pub const PARKED_COMMANDS_MAX: i64 = 1_000;
/// Commands to a follower about one aggregate that may wait for it.
pub const PARKED_COMMANDS_PER_AGGREGATE_MAX: usize = 16;
/// Undoings for aggregates that are not known any more, of one task, that may wait for their answers.
pub const STRAYS_MAX: i64 = 10_000;
/// First wait before a failed undoing (a refund) is tried again, in ms; it doubles with each failure.
pub const UNDO_BACKOFF_MS: i64 = 1_000;
/// Longest such wait, in ms.
pub const UNDO_BACKOFF_MS_MAX: i64 = 300_000;
/// Most copies of one reply that the simulated provider can ask for.
pub const REPLY_COPIES_MAX: u8 = 3;
