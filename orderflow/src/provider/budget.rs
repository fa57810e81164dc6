//! A budget of retries: a share of the calls, and a little more. A pure value that is told the time.
//!
//! A provider that is in trouble must not get a multiple of the calls because each is tried again. Money in doubt is asked about all the same, but at the pace of the budget: who may not
//! give up takes a token that is not there yet, and waits until it is.

use std::time::Duration;

/// Tokens, one for each retry. Counted in millionths.
#[derive(Debug, Clone)]
pub(crate) struct RetryBudget {
    /// Negative if tokens were taken before they were there.
    tokens: i64,
    tokens_max: i64,
    per_call: i64,
    per_second: i64,
    counted_at: Duration,
}

const TOKEN: i64 = 1_000_000;

impl RetryBudget {
    /// Returns a full budget: `percent` tokens per 100 calls and `per_second` tokens whatever happens; at most as many are saved as come by themselves in ten seconds.
    pub(crate) fn new(percent: u32, per_second: u32) -> Self {
        let per_second = i64::from(per_second.max(1)) * TOKEN;
        Self { tokens: per_second * 10, tokens_max: per_second * 10, per_call: i64::from(percent) * TOKEN / 100, per_second, counted_at: Duration::ZERO }
    }

    /// A call is made for the first time.
    pub(crate) fn call(&mut self) {
        self.add(self.per_call);
    }

    /// Returns true, and takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        self.count(now);
        let is_there = self.tokens >= TOKEN;
        if is_there {
            self.tokens -= TOKEN;
        }
        is_there
    }

    /// Takes a token and returns how long to wait until it is there.
    pub(crate) fn reserve(&mut self, now: Duration) -> Duration {
        self.count(now);
        self.tokens -= TOKEN;
        Duration::from_micros(u64::try_from(-self.tokens).map_or(0, |missing| missing * 1_000_000 / self.per_second.unsigned_abs()))
    }

    fn count(&mut self, now: Duration) {
        let passed_us = i64::try_from(now.saturating_sub(self.counted_at).as_micros()).unwrap_or(i64::MAX);
        self.counted_at = self.counted_at.max(now);
        self.add(passed_us.saturating_mul(self.per_second / TOKEN));
    }

    fn add(&mut self, tokens: i64) {
        self.tokens = self.tokens.saturating_add(tokens).min(self.tokens_max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn take_all(budget: &mut RetryBudget, now: Duration) -> usize {
        std::iter::repeat_with(|| budget.take(now)).take_while(|taken| *taken).count()
    }

    #[test]
    fn a_tenth_of_the_calls_and_the_floor_may_be_repeated() {
        let mut budget = RetryBudget::new(10, 2);
        assert_eq!(take_all(&mut budget, Duration::ZERO), 20, "it begins full");
        (0..100).for_each(|_| budget.call());
        assert_eq!(take_all(&mut budget, Duration::ZERO), 10);
        assert_eq!(take_all(&mut budget, 3 * SECOND), 6);
        (0..10_000).for_each(|_| budget.call());
        assert_eq!(take_all(&mut budget, 3 * SECOND), 20, "what is saved is bounded");
    }

    #[test]
    fn who_may_not_give_up_waits_in_turn() {
        let mut budget = RetryBudget::new(10, 2);
        take_all(&mut budget, Duration::ZERO);
        let waits: Vec<_> = (0..3).map(|_| budget.reserve(Duration::ZERO)).collect();
        assert_eq!(waits, [SECOND / 2, SECOND, 3 * SECOND / 2]);
        assert!(!budget.take(SECOND), "what others wait for is not there for those who may give up");
        assert!(budget.take(2 * SECOND));
    }

    proptest! {
        /// However calls and retries come: never more retries than the share of the calls, the floor and what was saved.
        #[test]
        fn retries_stay_within_the_budget(percent in 0_u32..100, per_second in 1_u32..20, steps in prop::collection::vec((any::<bool>(), 0_u32..200), 1..500)) {
            let mut budget = RetryBudget::new(percent, per_second);
            let (mut now, mut calls, mut retries) = (Duration::ZERO, 0_u32, 0_u32);
            for (is_call, gap_ms) in steps {
                now += Duration::from_millis(1) * gap_ms;
                if is_call {
                    budget.call();
                    calls += 1;
                } else if budget.take(now) {
                    retries += 1;
                }
                let allowed = f64::from(calls) * f64::from(percent) / 100.0 + f64::from(per_second) * (10.0 + now.as_secs_f64());
                prop_assert!(f64::from(retries) <= allowed + 1e-6, "{retries} retries, {allowed} allowed");
            }
        }
    }
}
