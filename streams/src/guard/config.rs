//! What a guard is told.

use crate::breaker::{BreakerConfig, BreakerConfigError};

/// Settings of a guard. [`GuardConfig::new`] fills in the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardConfig {
    /// Prefix of its stores and timers, for example `payment`. Unique within the processor.
    pub name: &'static str,
    /// Topic for requests to the partner.
    pub request_topic: String,
    /// Event type of a request, for example `PaymentRequested`.
    pub request_kind: &'static str,
    /// Event type that asks the partner to drop an attempt, for example `PaymentVoidRequested`.
    pub void_kind: &'static str,
    /// How long the customer waits for an answer, in ms from the attempt's start. Default 610.
    pub deadline_ms: i64,
    /// How long an unanswered attempt stays open, in ms from its start. Default 30,000.
    pub give_up_ms: i64,
    /// How long a key is retried that found the partner unavailable, in ms from the first time that it did. Default 600,000.
    pub unavailable_give_up_ms: i64,
    /// Queued keys that are retried per second and task at most, 1 to 1,000; the pause between two is a whole number of ms. Turns
    /// that were missed by up to [`crate::limits::RETRY_CATCH_UP_MS`] are made up for. Default 50: thousands are through
    /// in a minute, and a partner that is just back is never asked for all of them at once.
    pub retries_per_second: u32,
    /// Wait before a key whose attempt failed is retried, in ms; doubles with each further failure. Default 1,000.
    pub backoff_ms: i64,
    /// Longest such wait, in ms. Default 30,000.
    pub backoff_ms_max: i64,
    /// Attempts that one key may have in all. Default 64.
    pub attempts_max: u32,
    /// Keys of one task that may wait in the queue; beyond it they are given up at once. Default 100,000.
    pub queue_max: u32,
    /// When to stop asking the partner.
    pub breaker: BreakerConfig,
    /// Topic for `BreakerTransitioned` events; `None` emits none. Default none.
    pub events_topic: Option<String>,
    /// Totals to keep, see [`GuardTotals`]. Default none.
    pub totals: Option<GuardTotals>,
}

/// Names of the totals (see [`crate::processor::Context::add_total`]) that a guard keeps for gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardTotals {
    /// Attempts that the partner may still accept.
    pub open_attempts: &'static str,
    /// Keys that wait for the partner to be available.
    pub queued_keys: &'static str,
    /// 1 while the breaker of the task is open or forced open.
    pub breaker_open: &'static str,
    /// 1 while the breaker of the task is half-open.
    pub breaker_half_open: &'static str,
}

/// Why a guard cannot work with its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardConfigError {
    /// A setting of the guard itself is out of its range.
    #[error("setting `{setting}` of guard `{guard}` is {value}: it must be {expected}")]
    Setting {
        /// Name of the guard.
        guard: &'static str,
        /// Name of the setting.
        setting: &'static str,
        /// What was given.
        value: i64,
        /// What is possible.
        expected: &'static str,
    },
    /// A setting of its breaker is out of its range.
    #[error("breaker of guard `{guard}` cannot work")]
    Breaker {
        /// Name of the guard.
        guard: &'static str,
        /// Which setting.
        #[source]
        source: BreakerConfigError,
    },
}

impl GuardConfig {
    /// Returns the default settings for a partner behind `request_topic`.
    pub fn new(name: &'static str, request_topic: &str, request_kind: &'static str, void_kind: &'static str) -> Self {
        Self {
            name,
            request_topic: request_topic.to_owned(),
            request_kind,
            void_kind,
            deadline_ms: 610,
            give_up_ms: 30_000,
            unavailable_give_up_ms: 600_000,
            retries_per_second: 50,
            backoff_ms: 1_000,
            backoff_ms_max: 30_000,
            attempts_max: 64,
            queue_max: 100_000,
            breaker: BreakerConfig::default(),
            events_topic: None,
            totals: None,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`GuardConfigError`] naming the first setting that is out of its range.
    pub fn check(&self) -> Result<(), GuardConfigError> {
        self.require("deadline_ms", self.deadline_ms, self.deadline_ms >= 1, "at least 1")?;
        self.require("give_up_ms", self.give_up_ms, self.give_up_ms > self.deadline_ms, "more than deadline_ms")?;
        self.require("unavailable_give_up_ms", self.unavailable_give_up_ms, self.unavailable_give_up_ms >= 1, "at least 1")?;
        let retries = i64::from(self.retries_per_second);
        self.require("retries_per_second", retries, (1..=1_000).contains(&retries), "1 to 1000")?;
        self.require("backoff_ms", self.backoff_ms, self.backoff_ms >= 1, "at least 1")?;
        self.require("backoff_ms_max", self.backoff_ms_max, self.backoff_ms_max >= self.backoff_ms, "at least backoff_ms")?;
        let attempts = i64::from(self.attempts_max);
        self.require("attempts_max", attempts, (1..=1_000).contains(&attempts), "1 to 1000")?;
        self.require("queue_max", i64::from(self.queue_max), self.queue_max >= 1, "at least 1")?;
        self.breaker.check().map_err(|source| GuardConfigError::Breaker { guard: self.name, source })
    }

    fn require(&self, setting: &'static str, value: i64, holds: bool, expected: &'static str) -> Result<(), GuardConfigError> {
        if holds { Ok(()) } else { Err(GuardConfigError::Setting { guard: self.name, setting, value, expected }) }
    }
}
