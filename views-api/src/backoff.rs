//! How long to wait before trying again.

use std::time::{Duration, Instant};

use crate::limits::{RETRY_DELAY_MAX, RETRY_DELAY_MIN};

/// Doubles from [`RETRY_DELAY_MIN`] to [`RETRY_DELAY_MAX`]; starts anew after a success, or when things have gone well for longer than the longest wait.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    waited_until: Instant,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: RETRY_DELAY_MIN, waited_until: Instant::now() }
    }
}

impl Backoff {
    /// Returns how long to wait this time.
    pub(crate) fn delay(&mut self) -> Duration {
        let now = Instant::now();
        if now.saturating_duration_since(self.waited_until) > RETRY_DELAY_MAX {
            self.reset();
        }
        let delay = self.next;
        self.waited_until = now + delay;
        self.next = (delay * 2).min(RETRY_DELAY_MAX);
        delay
    }

    /// Forgets earlier failures.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let delays: Vec<Duration> = (0..20).map(|_| backoff.delay()).collect();
        assert_eq!(delays[..2], [RETRY_DELAY_MIN, RETRY_DELAY_MIN * 2]);
        assert_eq!(delays[19], RETRY_DELAY_MAX);
        backoff.reset();
        assert_eq!(backoff.delay(), RETRY_DELAY_MIN);
    }

    #[test]
    fn a_long_time_without_failures_is_a_success() {
        let mut backoff = Backoff { next: RETRY_DELAY_MAX, waited_until: Instant::now() };
        assert_eq!(backoff.delay(), RETRY_DELAY_MAX, "it failed again soon");
        backoff.waited_until = Instant::now().checked_sub(RETRY_DELAY_MAX * 2).expect("the machine runs for longer than that");
        assert_eq!(backoff.delay(), RETRY_DELAY_MIN);
    }
}
