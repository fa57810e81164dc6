//! What the system is told.

use fluvio_streams::breaker::BreakerConfig;
use fluvio_streams::guard::{GuardConfig, GuardConfigError};

use crate::orders;
use crate::topics;

/// Settings of the system; the default is what the contract says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How long a customer waits for the payment, in ms. Default 610.
    pub payment_deadline_ms: i64,
    /// How long an unanswered payment attempt stays open, in ms from its start. Default 30,000.
    pub payment_give_up_ms: i64,
    /// How long an order waits for a provider that is not available, in ms. Default 600,000.
    pub payment_unavailable_give_up_ms: i64,
    /// Deferred payments that a task tries again per second while the breaker lets calls through. Default 10.
    pub payment_retries_per_second: u32,
    /// When to stop asking the provider.
    pub payment_breaker: BreakerConfig,
    /// How long a command of the store waits for its order to arrive, in ms. Default 1,000.
    pub park_ms: i64,
    /// How long what has ended stays in the state, in ms. Default 7 days. Until then late replies and repeated commands are recognised.
    pub retention_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            payment_deadline_ms: 610,
            payment_give_up_ms: 30_000,
            payment_unavailable_give_up_ms: 600_000,
            payment_retries_per_second: 10,
            payment_breaker: BreakerConfig::default(),
            park_ms: 1_000,
            retention_ms: 7 * 24 * 60 * 60 * 1_000,
        }
    }
}

/// Why the system cannot work with its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting of the payment step is out of its range.
    #[error("settings of the payment step are wrong")]
    Payment(#[from] GuardConfigError),
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
    /// Returns the settings of the payment step.
    pub(crate) fn guard(&self) -> GuardConfig {
        GuardConfig {
            deadline_ms: self.payment_deadline_ms,
            give_up_ms: self.payment_give_up_ms,
            unavailable_give_up_ms: self.payment_unavailable_give_up_ms,
            retries_per_second: self.payment_retries_per_second,
            breaker: self.payment_breaker.clone(),
            events_topic: Some(topics::PAYMENTS_EVENTS.to_owned()),
            totals: Some(orders::GUARD_TOTALS),
            ..GuardConfig::new("payment", topics::PAYMENT_REQUESTS, "PaymentRequested", "PaymentVoidRequested")
        }
    }

    /// Checks what the payment step does not check itself.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (setting, value) in [("park_ms", self.park_ms), ("retention_ms", self.retention_ms)] {
            if value < 1 {
                return Err(ConfigError::NotPositive { setting, value });
            }
        }
        Ok(())
    }
}
