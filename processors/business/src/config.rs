//! What a business is told when it starts.

use fluvio_streams::breaker::BreakerConfig;
use fluvio_streams::guard::{GuardConfig, GuardConfigError, GuardTotals};
use serde::Deserialize;

use crate::names::Names;
use crate::topics;

/// Settings of a business; the default is what the contract says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// How long a customer waits for the partner, in ms. Default 610.
    pub deadline_ms: i64,
    /// How long an unanswered attempt stays open, in ms from its start. Default 30,000.
    pub give_up_ms: i64,
    /// How long an aggregate waits for a partner that is not available, in ms. Default 600,000.
    pub unavailable_give_up_ms: i64,
    /// Deferred aggregates for which a task asks again per second while the breaker lets calls through. Default 50: with four tasks, what an outage of 20 s at 190 orders/s has left is asked for
    /// within 20 s, and the partner sees about twice its usual load meanwhile, not everything at once.
    pub retries_per_second: u32,
    /// When to stop asking the partner.
    pub breaker: BreakerConfig,
    /// How long a command to a follower waits for its aggregate to arrive, in ms. Default 1,000.
    pub park_ms: i64,
    /// How long what has ended stays in the state, in ms. Default 7 days. Until then late replies and repeated commands are recognised.
    pub retention_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline_ms: 610,
            give_up_ms: 30_000,
            unavailable_give_up_ms: 600_000,
            retries_per_second: 50,
            breaker: BreakerConfig::default(),
            park_ms: 1_000,
            retention_ms: 7 * 24 * 60 * 60 * 1_000,
        }
    }
}

/// Why a business cannot work with its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting of the guarded step is out of its range.
    #[error("settings of the guarded step are wrong")]
    Guard(#[from] GuardConfigError),
    /// A time is not positive.
    #[error("setting `{setting}` is {value}: it must be at least 1")]
    NotPositive {
        /// Name of the setting.
        setting: &'static str,
        /// What was given.
        value: i64,
    },
}

impl Config {
    /// Returns the settings of the guarded step.
    pub(crate) fn guard(&self, names: &Names) -> GuardConfig {
        let partner = &names.partner;
        let [_, _, _, _, _, open_attempts, queued_keys, breaker_open, breaker_half_open] = *names.totals;
        GuardConfig {
            deadline_ms: self.deadline_ms,
            give_up_ms: self.give_up_ms,
            unavailable_give_up_ms: self.unavailable_give_up_ms,
            retries_per_second: self.retries_per_second,
            breaker: self.breaker.clone(),
            // The guard announces its breaker among the events of the partner.
            events_topic: Some(topics::events(names.system, partner.processor)),
            totals: Some(GuardTotals { open_attempts, queued_keys, breaker_open, breaker_half_open }),
            ..GuardConfig::new(partner.pair, &topics::requests(names.system, partner.pair), partner.request, partner.void_request)
        }
    }

    /// Checks what the guarded step does not check itself.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (setting, value) in [("park_ms", self.park_ms), ("retention_ms", self.retention_ms)] {
            if value < 1 {
                return Err(ConfigError::NotPositive { setting, value });
            }
        }
        Ok(())
    }
}
