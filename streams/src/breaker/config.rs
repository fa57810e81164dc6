//! What a breaker is told: meaning, defaults and lower limits are those of Resilience4j's `CircuitBreakerConfig`; the upper limits are ours.

use serde::{Deserialize, Serialize};

/// Largest sliding window, in calls or seconds: the window is part of the state that every run writes.
pub const WINDOW_SIZE_MAX: u32 = 1_000;

/// What the sliding window slides over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowKind {
    /// The last `window_size` calls.
    CountBased,
    /// The calls of the current second and the `window_size - 1` seconds before it.
    TimeBased,
}

/// Where a breaker goes that has waited long enough in half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterHalfOpenWait {
    /// Back to open.
    Open,
    /// To closed.
    Closed,
}

/// Thresholds and waits of a breaker. The defaults are those of Resilience4j.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Opens when at least this part of the calls in the window failed, percent in (0, 100]. Default 50.
    pub failure_rate_threshold: f32,
    /// Opens when at least this part of the calls in the window was slow, percent in (0, 100]. Default 100.
    pub slow_call_rate_threshold: f32,
    /// A call that takes longer than this is slow, in ms. Default 60,000.
    pub slow_call_duration_threshold_ms: i64,
    /// Rates count only once the window holds this many calls. Default 100. With a count-based window, and in half-open, the size of the window is enough.
    pub minimum_number_of_calls: u32,
    /// Calls that half-open lets through to find out whether to close. Default 10.
    pub permitted_calls_in_half_open: u32,
    /// What the window slides over. Default count-based.
    pub window_kind: WindowKind,
    /// Size of the window: calls or seconds, at most [`WINDOW_SIZE_MAX`]. Default 100.
    pub window_size: u32,
    /// How long open lasts at least, in ms: a call is let through once *more* than this has passed. Default 60,000.
    pub wait_duration_in_open_ms: i64,
    /// How long half-open lasts at most, in ms; 0 is until its calls are answered. Default 0.
    pub max_wait_duration_in_half_open_ms: i64,
    /// Where half-open goes when it has lasted that long. Default open.
    pub after_half_open_wait: AfterHalfOpenWait,
    /// Leaves open by time alone, without waiting for a call. Default false.
    pub automatic_half_open: bool,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_rate_threshold: 50.0,
            slow_call_rate_threshold: 100.0,
            slow_call_duration_threshold_ms: 60_000,
            minimum_number_of_calls: 100,
            permitted_calls_in_half_open: 10,
            window_kind: WindowKind::CountBased,
            window_size: 100,
            wait_duration_in_open_ms: 60_000,
            max_wait_duration_in_half_open_ms: 0,
            after_half_open_wait: AfterHalfOpenWait::Open,
            automatic_half_open: false,
        }
    }
}

/// A setting that a breaker cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("breaker setting `{setting}` is {value}: it must be {expected}")]
pub struct BreakerConfigError {
    /// Name of the setting, as in the configuration.
    pub setting: &'static str,
    /// What was given.
    pub value: String,
    /// What is possible.
    pub expected: &'static str,
}

impl BreakerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`BreakerConfigError`] naming the first setting that is out of its range.
    pub fn check(&self) -> Result<(), BreakerConfigError> {
        let percent = |rate: f32| rate > 0.0 && rate <= 100.0;
        require("failureRateThreshold", &self.failure_rate_threshold, percent(self.failure_rate_threshold), "above 0 and at most 100")?;
        require("slowCallRateThreshold", &self.slow_call_rate_threshold, percent(self.slow_call_rate_threshold), "above 0 and at most 100")?;
        require("slowCallDurationThresholdMs", &self.slow_call_duration_threshold_ms, self.slow_call_duration_threshold_ms >= 1, "at least 1")?;
        require("minimumNumberOfCalls", &self.minimum_number_of_calls, self.minimum_number_of_calls >= 1, "at least 1")?;
        let permitted = (1..=WINDOW_SIZE_MAX).contains(&self.permitted_calls_in_half_open);
        require("permittedCallsInHalfOpen", &self.permitted_calls_in_half_open, permitted, "1 to 1000")?;
        require("windowSize", &self.window_size, (1..=WINDOW_SIZE_MAX).contains(&self.window_size), "1 to 1000")?;
        require("waitDurationInOpenMs", &self.wait_duration_in_open_ms, self.wait_duration_in_open_ms >= 1, "at least 1")?;
        let half_open_wait_ms = self.max_wait_duration_in_half_open_ms;
        require("maxWaitDurationInHalfOpenMs", &half_open_wait_ms, half_open_wait_ms >= 0, "at least 0")
    }
}

fn require(setting: &'static str, value: &dyn std::fmt::Display, holds: bool, expected: &'static str) -> Result<(), BreakerConfigError> {
    if holds { Ok(()) } else { Err(BreakerConfigError { setting, value: value.to_string(), expected }) }
}
