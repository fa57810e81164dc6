//! How long to wait before trying again.

use std::time::Duration;

use crate::limits::{RETRY_DELAY_MAX, RETRY_DELAY_MIN};

/// Doubles from [`RETRY_DELAY_MIN`] to [`RETRY_DELAY_MAX`]; starts anew after a success.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: RETRY_DELAY_MIN }
    }
}

impl Backoff {
    /// Returns how long to wait this time.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(RETRY_DELAY_MAX);
        delay
    }

    /// Forgets earlier failures.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
