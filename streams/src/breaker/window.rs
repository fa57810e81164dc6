//! Sliding windows over the outcomes of calls, small in JSON: bits for a window of calls, three counters a second for a window of time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::config::{BreakerConfig, WindowKind};

/// What a window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls with a known outcome.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow, failed or not.
    pub slow: u32,
}

impl Counts {
    /// Returns the part that failed, percent; 0 if there was no call.
    pub fn failure_rate(&self) -> f32 {
        percent(self.failed, self.calls)
    }

    /// Returns the part that was slow, percent; 0 if there was no call.
    pub fn slow_call_rate(&self) -> f32 {
        percent(self.slow, self.calls)
    }
}

// Resilience4j computes rates in this order and precision; another one would differ from it at a threshold.
fn percent(part: u32, whole: u32) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 * 100.0 / whole as f32 }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    /// Returns the window by which closed decides.
    pub(super) fn closed(config: &BreakerConfig) -> Self {
        match config.window_kind {
            WindowKind::CountBased => Self::of_calls(config.window_size),
            WindowKind::TimeBased => Self::Time(TimeWindow { seconds: config.window_size, newest_second: 0, buckets: VecDeque::new() }),
        }
    }

    /// Returns a window of the last `size` calls.
    pub(super) fn of_calls(size: u32) -> Self {
        Self::Count(CountWindow { size, recorded: 0, next: 0, failed: Bits::default(), slow: Bits::default() })
    }

    /// Returns true if it is of the kind and size that closed decides by.
    pub(super) fn fits(&self, config: &BreakerConfig) -> bool {
        match self {
            Self::Count(window) => config.window_kind == WindowKind::CountBased && window.size == config.window_size,
            Self::Time(window) => config.window_kind == WindowKind::TimeBased && window.seconds == config.window_size,
        }
    }

    /// Returns how many calls it must hold for its rates to count.
    pub(super) fn minimum_number_of_calls(&self, config: &BreakerConfig) -> u32 {
        match self {
            Self::Count(window) => config.minimum_number_of_calls.min(window.size),
            Self::Time(_) => config.minimum_number_of_calls,
        }
    }

    pub(super) fn record(&mut self, now_ms: i64, failed: bool, slow: bool) {
        match self {
            Self::Count(window) => window.record(failed, slow),
            Self::Time(window) => window.record(now_ms.div_euclid(1_000), failed, slow),
        }
    }

    pub(super) fn counts(&self, now_ms: i64) -> Counts {
        match self {
            Self::Count(window) => Counts { calls: window.recorded, failed: window.failed.count(), slow: window.slow.count() },
            Self::Time(window) => window.counts(now_ms.div_euclid(1_000)),
        }
    }
}

/// A ring of the last `size` outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CountWindow {
    size: u32,
    /// Outcomes held, up to `size`.
    recorded: u32,
    /// Place of the next outcome, and of the oldest once the ring is full.
    next: u32,
    #[serde(default, skip_serializing_if = "Bits::is_empty")]
    failed: Bits,
    #[serde(default, skip_serializing_if = "Bits::is_empty")]
    slow: Bits,
}

impl CountWindow {
    fn record(&mut self, failed: bool, slow: bool) {
        self.failed.set(self.next, failed);
        self.slow.set(self.next, slow);
        self.next = (self.next + 1) % self.size;
        self.recorded = (self.recorded + 1).min(self.size);
    }
}

/// A set of small numbers, one bit each. Words that are not there are zero, so an undisturbed window takes no room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Bits(Vec<u64>);

impl Bits {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn set(&mut self, index: u32, value: bool) {
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        if value {
            self.0.resize(self.0.len().max(word + 1), 0);
            self.0[word] |= bit;
        } else if let Some(word) = self.0.get_mut(word) {
            *word &= !bit;
            while self.0.last() == Some(&0) {
                self.0.pop();
            }
        }
    }
}

/// A bucket for each of the last seconds in which there may have been a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TimeWindow {
    seconds: u32,
    /// Second since the Unix epoch of the last bucket.
    newest_second: i64,
    /// (calls, failed, slow) of consecutive seconds, oldest first, at most `seconds` of them.
    buckets: VecDeque<(u32, u32, u32)>,
}

impl TimeWindow {
    fn record(&mut self, second: i64, failed: bool, slow: bool) {
        self.move_to(second);
        if let Some((calls, failures, slows)) = self.buckets.back_mut() {
            *calls = calls.saturating_add(1);
            *failures = failures.saturating_add(u32::from(failed));
            *slows = slows.saturating_add(u32::from(slow));
        }
    }

    /// Makes `second` the newest bucket. Time that runs backwards counts into the newest there is.
    fn move_to(&mut self, second: i64) {
        let seconds = self.seconds as usize;
        let gap = if self.buckets.is_empty() { 1 } else { second.saturating_sub(self.newest_second).max(0) };
        if gap == 0 {
            return;
        }
        self.newest_second = second;
        let added = usize::try_from(gap).unwrap_or(seconds).min(seconds);
        self.buckets.extend(std::iter::repeat_n((0, 0, 0), added));
        let expired = self.buckets.len().saturating_sub(seconds);
        self.buckets.drain(..expired);
        let idle = self.buckets.iter().take_while(|(calls, ..)| *calls == 0).count();
        // The newest stays although it is empty: the call that it is for comes now.
        self.buckets.drain(..idle.min(self.buckets.len() - 1));
    }

    fn counts(&self, second: i64) -> Counts {
        let age = usize::try_from(second.saturating_sub(self.newest_second)).unwrap_or(0);
        let alive = (self.seconds as usize).saturating_sub(age);
        self.buckets.iter().rev().take(alive).fold(Counts::default(), |sum, (calls, failed, slow)| Counts {
            calls: sum.calls.saturating_add(*calls),
            failed: sum.failed.saturating_add(*failed),
            slow: sum.slow.saturating_add(*slow),
        })
    }
}
