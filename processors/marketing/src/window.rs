//! Tumbling windows: stretches of event time of one length, side by side.

use fluvio_streams::time::format_rfc3339;
use serde::{Deserialize, Serialize};

/// From its start (inclusive) to its end (exclusive), ms since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// First ms of it.
    pub start_ms: i64,
    /// First ms after it.
    pub end_ms: i64,
}

impl Window {
    /// Returns the window of this length in which `time_ms` lies.
    pub fn of(time_ms: i64, length_ms: i64) -> Self {
        let start_ms = floor(time_ms, length_ms);
        Self { start_ms, end_ms: start_ms + length_ms }
    }

    /// Returns its key in a store: windows sort by time.
    pub fn key(&self) -> String {
        format!("{:020}", self.start_ms)
    }

    /// Returns the id by which people know it: when it begins, for example `2026-11-21T08:00:00Z`.
    pub fn id(&self) -> String {
        format_rfc3339(self.start_ms).replace(".000Z", "Z")
    }
}

/// Returns the last multiple of `length_ms` that is not after `time_ms`; the epoch for times before it.
pub fn floor(time_ms: i64, length_ms: i64) -> i64 {
    let time_ms = time_ms.max(0);
    time_ms - time_ms % length_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_side_by_side() {
        assert_eq!(Window::of(0, 60_000), Window { start_ms: 0, end_ms: 60_000 });
        assert_eq!(Window::of(59_999, 60_000), Window { start_ms: 0, end_ms: 60_000 });
        assert_eq!(Window::of(60_000, 60_000), Window { start_ms: 60_000, end_ms: 120_000 });
        assert_eq!(Window::of(-5, 60_000).start_ms, 0, "before the epoch there is no window");
    }

    #[test]
    fn a_window_goes_by_the_time_at_which_it_begins() {
        assert_eq!(Window::of(1_795_254_000_123, 3_600_000).id(), "2026-11-21T09:00:00Z");
        assert_eq!(Window::of(1_500, 500).id(), "1970-01-01T00:00:01.500Z");
        assert!(Window::of(999, 10).key() < Window::of(1_000, 10).key());
    }
}
