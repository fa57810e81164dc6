//! What happens again and again, as the log tells it: the first time at once, then at most a line each interval, and one when it is over. A pure value that is told the time.
//!
//! What it is not: a metric. Whatever the log leaves out, metrics count.

use std::time::Duration;

use crate::limits::LOG_REPEATED_INTERVAL;

/// Something that is told now and then, however often it happens.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    /// When it was told last that it happens, as time since any fixed point.
    told_at: Option<Duration>,
    /// Times since the last line.
    untold: u64,
    /// True if it was told that it happens, and not yet that it is over.
    goes_on: bool,
}

impl Repeated {
    /// It happened so many times; 0: it lasts. Returns how often it has happened since the last line if there is to be one.
    pub(crate) fn happened(&mut self, times: u64, now: Duration) -> Option<u64> {
        self.untold += times;
        if self.told_at.is_some_and(|told_at| now.saturating_sub(told_at) < LOG_REPEATED_INTERVAL) {
            return None;
        }
        (self.told_at, self.goes_on) = (Some(now), true);
        Some(std::mem::take(&mut self.untold))
    }

    /// It is over. Returns how often it has happened since the last line if there is to be one: only if somebody was told that it happens. What begins and ends between two lines is told
    /// by neither; the next one counts it.
    pub(crate) fn over(&mut self) -> Option<u64> {
        std::mem::take(&mut self.goes_on).then(|| std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_is_told_at_once_the_others_together_and_the_end_once() {
        let mut repeated = Repeated::default();
        assert_eq!(repeated.over(), None, "nothing has happened");
        assert_eq!(repeated.happened(1, SECOND), Some(1));
        let told: Vec<u64> = (1_001..=11_000).filter_map(|ms| repeated.happened(2, Duration::from_millis(ms))).collect();
        assert_eq!(told, [20_000], "one line for all of ten seconds");
        assert_eq!(repeated.happened(3, 12 * SECOND), None);
        assert_eq!((repeated.over(), repeated.over()), (Some(3), None));
    }

    #[test]
    fn what_lasts_is_told_though_nothing_new_happens() {
        let mut repeated = Repeated::default();
        repeated.happened(1, SECOND);
        assert_eq!([10, 11, 12, 20, 21].map(|seconds| repeated.happened(0, seconds * SECOND)), [None, Some(0), None, None, Some(0)]);
    }

    #[test]
    fn what_comes_and_goes_is_no_line_each_time() {
        let mut repeated = Repeated::default();
        assert_eq!((repeated.happened(1, SECOND), repeated.over()), (Some(1), Some(0)));
        for seconds in 2..11 {
            assert_eq!((repeated.happened(1, seconds * SECOND), repeated.over()), (None, None));
        }
        assert_eq!((repeated.happened(1, 11 * SECOND), repeated.over()), (Some(10), Some(0)));
    }

    proptest! {
        /// Whatever happens, nothing is counted twice or lost, and no interval has more than one line about it and one about its end.
        #[test]
        fn everything_is_counted_once_in_few_lines(steps in prop::collection::vec((0_u64..8, 0_u64..4_000, any::<bool>()), 1..300)) {
            let (mut repeated, mut now, mut happened, mut told) = (Repeated::default(), Duration::ZERO, 0, 0);
            let (mut told_at, mut ends): (Vec<Duration>, usize) = (Vec::new(), 0);
            for (times, ms, is_over) in steps {
                now += Duration::from_millis(ms);
                if is_over {
                    let end = repeated.over();
                    ends += usize::from(end.is_some());
                    told += end.unwrap_or_default();
                } else {
                    happened += times;
                    if let Some(times) = repeated.happened(times, now) {
                        told += times;
                        prop_assert!(told_at.last().is_none_or(|last| now - *last >= LOG_REPEATED_INTERVAL));
                        told_at.push(now);
                    }
                }
                prop_assert_eq!(told + repeated.untold, happened);
                prop_assert!(ends <= told_at.len());
            }
        }
    }
}
