//! A rate limit: so many calls per second, evenly spread. A pure value that is told the time.
//!
//! It gives out *slots* in the order of asking rather than permits to whoever asks at the right moment: how long a call will wait is known when it comes, and one that would wait too long
//! is refused at once. That is why it is written here: crates of token buckets have no queue, those with one wait first and refuse later.

use std::time::Duration;

/// Gives out slots, one each interval.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    interval: Duration,
    next: Duration,
}

impl Pace {
    /// Returns a limit of `per_second` calls; 0 is taken for 1.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), next: Duration::ZERO }
    }

    /// Returns how long to wait from `now` (time since any fixed point) for a slot, which is then taken; `None`, and nothing is taken, if that is longer than `wait_max`.
    pub(crate) fn reserve(&mut self, now: Duration, wait_max: Duration) -> Option<Duration> {
        let slot = self.next.max(now);
        let wait = slot - now;
        if wait > wait_max {
            return None;
        }
        self.next = slot + self.interval;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn calls_that_come_together_are_spread_evenly_and_time_that_passed_unused_is_not_saved() {
        let mut pace = Pace::new(10);
        let waits: Vec<_> = (0..4).map(|_| pace.reserve(1_000 * MS, 10_000 * MS)).collect();
        assert_eq!(waits, [0, 100, 200, 300].map(|wait| Some(wait * MS)));
        let waits: Vec<_> = (0..3).map(|_| pace.reserve(60_000 * MS, 10_000 * MS)).collect();
        assert_eq!(waits, [0, 100, 200].map(|wait| Some(wait * MS)), "no burst after a pause");
    }

    #[test]
    fn who_would_wait_too_long_is_refused_and_takes_no_slot() {
        let mut pace = Pace::new(10);
        let waits: Vec<_> = (0..5).map(|_| pace.reserve(Duration::ZERO, 200 * MS)).collect();
        assert_eq!(waits, [Some(Duration::ZERO), Some(100 * MS), Some(200 * MS), None, None]);
        assert_eq!(pace.reserve(100 * MS, 200 * MS), Some(200 * MS));
    }

    proptest! {
        /// However calls come, no second sees more of them than allowed, and none waits longer than it said.
        #[test]
        fn no_second_has_more_calls_than_allowed(per_second in 1_u32..200, gaps_ms in prop::collection::vec(0_u32..50, 1..300), wait_max_ms in 0_u32..3_000) {
            let mut pace = Pace::new(per_second);
            let (mut now, mut calls) = (Duration::ZERO, Vec::new());
            for gap_ms in gaps_ms {
                now += gap_ms * MS;
                if let Some(wait) = pace.reserve(now, wait_max_ms * MS) {
                    prop_assert!(wait <= wait_max_ms * MS);
                    calls.push(now + wait);
                }
            }
            for (index, first) in calls.iter().enumerate() {
                // An interval is rounded down to whole nanoseconds, a second's worth of them to less than a microsecond.
                let second = *first + Duration::from_secs(1) - MS / 1_000;
                let within = calls[index..].iter().take_while(|call| **call < second).count();
                prop_assert!(within <= per_second as usize, "{within} calls in a second");
            }
        }
    }
}
