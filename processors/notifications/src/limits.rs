//! Every bound of this crate, in one place.

/// How long what was told of an aggregate is remembered after its end, unless told otherwise, in ms: as long as the businesses remember the aggregate.
pub const RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// How often a delivery is tried, unless told otherwise. With the waits below, the last try comes between 25 and 50 minutes after the first.
pub const TRIES_MAX: u32 = 14;
/// Longest wait before the second try, in ms; it doubles with each try.
pub const BACKOFF_MS: u64 = 1_000;
/// Longest wait between two tries, in ms; also the longest that a receiver can ask for.
pub const BACKOFF_MS_MAX: u64 = 600_000;
/// Deliveries of one task that may be under way or wait for another try; what comes on top is given up at once.
pub const DELIVERIES_OPEN_MAX: i64 = 10_000;
/// Longest reason for a failed delivery that is kept, in characters.
pub const REASON_CHARACTERS_MAX: usize = 200;
