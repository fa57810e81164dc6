//! What marketing is told when it starts.

use crate::limits::GRACE_WINDOWS_MAX;

/// Settings of marketing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Length of a window, in ms. Default 1 h. Windows begin at its multiples since the Unix epoch.
    pub window_ms: i64,
    /// How long after its end a window takes sales that come late, in ms of event time. Default 60,000.
    pub grace_ms: i64,
    /// How long a partition must have had nothing to read before the clock ends its windows in place of its orders, in ms. Default 60,000.
    pub idle_ms: i64,
    /// How long changes are gathered before they are told, in ms. Default 1,000.
    pub publish_ms: i64,
    /// How long the items of an order are remembered that is neither placed nor ended, in ms. Default 7 days.
    pub basket_retention_ms: i64,
    /// How long what a customer ordered is remembered after their last order, in ms. Default 90 days.
    pub customer_retention_ms: i64,
    /// How old what others ordered may be before it is asked for again, when the customer orders, in ms. Default 1 h.
    pub refresh_ms: i64,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Default for Config {
    fn default() -> Self {
        Self {
            window_ms: 60 * 60 * 1_000,
            grace_ms: 60_000,
            idle_ms: 60_000,
            publish_ms: 1_000,
            basket_retention_ms: 7 * DAY_MS,
            customer_retention_ms: 90 * DAY_MS,
            refresh_ms: 60 * 60 * 1_000,
        }
    }
}

/// Why marketing cannot work with its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A time is not positive.
    #[error("setting `{setting}` is {value}: it must be at least 1")]
    NotPositive {
        /// Name of the setting.
        setting: &'static str,
        /// What was given.
        value: i64,
    },
    /// The grace is negative, or so long that too many windows are open at a time.
    #[error("setting `grace_ms` is {0}: it must be 0 to {GRACE_WINDOWS_MAX} times `window_ms`")]
    Grace(i64),
    /// The system is another.
    #[error("marketing follows the items of food-delivery: it does not know those of `{0}`")]
    System(&'static str),
}

impl Config {
    /// Checks the settings.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (setting, value) in [
            ("window_ms", self.window_ms),
            ("idle_ms", self.idle_ms),
            ("publish_ms", self.publish_ms),
            ("basket_retention_ms", self.basket_retention_ms),
            ("customer_retention_ms", self.customer_retention_ms),
            ("refresh_ms", self.refresh_ms),
        ] {
            if value < 1 {
                return Err(ConfigError::NotPositive { setting, value });
            }
        }
        if !(0..=self.window_ms.saturating_mul(GRACE_WINDOWS_MAX)).contains(&self.grace_ms) {
            return Err(ConfigError::Grace(self.grace_ms));
        }
        Ok(())
    }
}
