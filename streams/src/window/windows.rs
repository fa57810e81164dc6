//! Which windows there are, and to which of them a time belongs: arithmetic, without state.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{EVENT_TIME_MS_MAX, WINDOW_SPAN_MS_MAX, WINDOWS_PER_RECORD_MAX};
use crate::time::format_rfc3339;

/// A stretch of event time: from its start (inclusive) to its end (exclusive), ms since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// First ms of it.
    pub start_ms: i64,
    /// First ms after it.
    pub end_ms: i64,
}

impl Window {
    /// Returns the tumbling window of this size in which `time_ms` lies.
    ///
    /// # Panics
    /// If the size is 0.
    pub fn tumbling(time_ms: i64, size_ms: i64) -> Self {
        let start_ms = floor(time_ms, size_ms);
        Self { start_ms, end_ms: start_ms + size_ms }
    }

    /// Returns true if the two have a time in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start_ms < other.end_ms && other.start_ms < self.end_ms
    }
}

/// When it begins, in RFC 3339 without empty fractions, for example `2026-11-21T08:00:00Z`: as people call a window.
impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&format_rfc3339(self.start_ms).replace(".000Z", "Z"))
    }
}

/// Returns the last multiple of `step_ms` that is not after `time_ms`.
///
/// # Panics
/// If the step is 0.
pub fn floor(time_ms: i64, step_ms: i64) -> i64 {
    time_ms - time_ms.rem_euclid(step_ms)
}

/// How event time is cut into windows, and how long they wait for what comes late.
///
/// ```
/// use fluvio_streams::window::Windows;
///
/// Windows::tumbling(60_000).grace(5_000); // every minute, side by side
/// Windows::hopping(60_000, 10_000); // the last minute, every ten seconds
/// Windows::session(30_000); // as long as the records of a key are less than half a minute apart
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub(super) shape: Shape,
    pub(super) grace_ms: i64,
    pub(super) idle_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Of one size, one every `advance_ms`: the same for all keys, beginning at multiples of it since the Unix epoch.
    Fixed { size_ms: i64, advance_ms: i64 },
    /// Of each key its own, as its records make them.
    Session { gap_ms: i64 },
}

/// Why there are no such windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// A span of time is out of its range.
    #[error("`{setting}` of windows is {value}: it must be {min} to {max}")]
    OutOfRange {
        /// Name of the setting.
        setting: &'static str,
        /// What was given.
        value: i64,
        /// Least possible value.
        min: i64,
        /// Greatest possible value.
        max: i64,
    },
    /// A record would belong to too many windows.
    #[error("windows of {size_ms} ms every {advance_ms} ms overlap too much: a record may belong to {WINDOWS_PER_RECORD_MAX} of them at most")]
    TooManyPerRecord {
        /// Size of a window.
        size_ms: i64,
        /// From the start of one to the start of the next.
        advance_ms: i64,
    },
}

impl Windows {
    /// Returns windows of one size, side by side.
    pub const fn tumbling(size_ms: i64) -> Self {
        Self::hopping(size_ms, size_ms)
    }

    /// Returns windows of one size, one beginning every `advance_ms`: they overlap.
    pub const fn hopping(size_ms: i64, advance_ms: i64) -> Self {
        Self { shape: Shape::Fixed { size_ms, advance_ms }, grace_ms: 0, idle_ms: None }
    }

    /// Returns sessions: records of a key that are less than `gap_ms` apart, with whatever lies between them. A session ends `gap_ms` after its last record.
    pub const fn session(gap_ms: i64) -> Self {
        Self { shape: Shape::Session { gap_ms }, grace_ms: 0, idle_ms: None }
    }

    /// Lets windows take records for so long after their end, in ms of stream time. Without it, for no time at all.
    pub const fn grace(self, grace_ms: i64) -> Self {
        Self { grace_ms, ..self }
    }

    /// Lets the clock close windows if no record has done it, so long after it could have been, and only if nothing was observed meanwhile: for sources that may fall silent, and are
    /// not read far behind the present. See [`crate::window::StreamTime`].
    pub const fn idle(self, idle_ms: i64) -> Self {
        Self { idle_ms: Some(idle_ms), ..self }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`WindowsError`] naming the setting that is out of its range.
    pub fn check(&self) -> Result<(), WindowsError> {
        let spans: &[(&'static str, i64, i64, i64)] = match &self.shape {
            Shape::Fixed { size_ms, advance_ms } => &[("size_ms", *size_ms, 1, WINDOW_SPAN_MS_MAX), ("advance_ms", *advance_ms, 1, *size_ms)],
            Shape::Session { gap_ms } => &[("gap_ms", *gap_ms, 1, WINDOW_SPAN_MS_MAX)],
        };
        let waits = [("grace_ms", self.grace_ms, 0, WINDOW_SPAN_MS_MAX), ("idle_ms", self.idle_ms.unwrap_or(1), 1, WINDOW_SPAN_MS_MAX)];
        for (setting, value, min, max) in spans.iter().chain(&waits).copied() {
            if !(min..=max).contains(&value) {
                return Err(WindowsError::OutOfRange { setting, value, min, max });
            }
        }
        match self.shape {
            // Rounded up: a time may lie in so many.
            Shape::Fixed { size_ms, advance_ms } if (size_ms - 1) / advance_ms >= WINDOWS_PER_RECORD_MAX => {
                Err(WindowsError::TooManyPerRecord { size_ms, advance_ms })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the windows in which `time_ms` lies, the oldest first.
pub(super) fn fixed(size_ms: i64, advance_ms: i64, time_ms: i64) -> impl Iterator<Item = Window> {
    let last = floor(time_ms, advance_ms);
    let first = floor(time_ms - size_ms, advance_ms) + advance_ms;
    (0..=(last - first) / advance_ms).map(move |index| first + index * advance_ms).map(move |start_ms| Window { start_ms, end_ms: start_ms + size_ms })
}

/// Returns an event time with which can be reckoned.
pub(crate) fn bounded(time_ms: i64) -> i64 {
    time_ms.clamp(-EVENT_TIME_MS_MAX, EVENT_TIME_MS_MAX)
}
