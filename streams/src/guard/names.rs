//! Names of a guard's stores and timers, and the keys in them.

/// Made once from the guard's name: they are used with every input.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Store: key -> record.
    pub(super) records: String,
    /// Store, ordered by time: place in the queue -> key.
    pub(super) queue: String,
    /// Store with one entry: the partner as this task sees it.
    pub(super) partner: String,
    /// Timer of each open attempt: its deadline, then its give-up time.
    pub(super) attempt_timer: String,
    /// Timer of each key that found the partner unavailable: its give-up time.
    pub(super) unavailable_timer: String,
    /// The one timer that paces retries.
    pub(super) retry_timer: String,
    /// The one timer for what the breaker does by time alone.
    pub(super) breaker_timer: String,
}

impl Names {
    pub(super) fn new(guard: &str) -> Self {
        Self {
            records: format!("{guard}-guard"),
            queue: format!("{guard}-queue"),
            partner: format!("{guard}-partner"),
            attempt_timer: format!("{guard}-attempt"),
            unavailable_timer: format!("{guard}-unavailable"),
            retry_timer: format!("{guard}-retry"),
            breaker_timer: format!("{guard}-breaker"),
        }
    }
}

/// Key of what a task has only one of.
pub(super) const ONLY: &str = "";

/// Returns what identifies an attempt to the partner and in timers.
pub(super) fn attempt_id(key: &str, attempt: u32) -> String {
    format!("{key}/{attempt}")
}

/// Reads what [`attempt_id`] made. The key may contain slashes itself.
pub(super) fn parse_attempt_id(id: &str) -> Option<(&str, u32)> {
    let (key, attempt) = id.rsplit_once('/')?;
    Some((key, attempt.parse().ok()?))
}

/// Returns the place in the queue of a key that may be retried from `from_ms` on; places sort by that time.
pub(super) fn place(from_ms: i64, key: &str) -> String {
    format!("{:020}/{key}", from_ms.max(0))
}

/// Reads what [`place`] made.
pub(super) fn parse_place(place: &str) -> Option<(i64, &str)> {
    let (from_ms, key) = place.split_once('/')?;
    Some((from_ms.parse().ok()?, key))
}
