//! Keys of windows in a store, ordered by time.

use serde::de::DeserializeOwned;

use super::windows::Window;
use crate::state::StateError;

/// Digits of a time.
const DIGITS: usize = 16;

/// Returns a time as text that sorts as times do, also those before the epoch.
pub(crate) fn time(time_ms: i64) -> String {
    format!("{:0DIGITS$x}", (time_ms as u64) ^ (1 << 63))
}

/// Reads what [`time`] made.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    u64::from_str_radix(text, 16).ok().map(|time| (time ^ (1 << 63)) as i64)
}

/// Returns the place of a key's window.
pub(crate) fn place(window: Window, key: &str) -> String {
    format!("{}{}/{key}", time(window.end_ms), time(window.start_ms))
}

/// Returns what sorts before every place of a window that ends at `end_ms` or later, and after those of windows that end earlier.
pub(crate) fn before_end(end_ms: i64) -> String {
    time(end_ms)
}

/// Returns the window and the key of a place.
pub(crate) fn parse(place: &str) -> Result<(Window, &str), StateError> {
    let parts = || {
        let (end, rest) = place.split_at_checked(DIGITS)?;
        let (start, rest) = rest.split_at_checked(DIGITS)?;
        Some((Window { start_ms: parse_time(start)?, end_ms: parse_time(end)? }, rest.strip_prefix('/')?))
    };
    parts().ok_or_else(|| StateError::Entry { key: place.to_owned(), detail: "key is not a window and a key".to_owned() })
}

/// Decodes what stands at a place.
pub(crate) fn decode<T: DeserializeOwned>(place: &str, text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(|error| StateError::Entry { key: place.to_owned(), detail: error.to_string() })
}
