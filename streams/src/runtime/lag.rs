//! How far a task is behind a source, in records and in time.
//!
//! A broker may lose the timestamps of records, so time is also told without them: whoever remembers when it first saw which end knows how long the oldest record it has not taken has been
//! there, or at least how long it has been known.

use std::collections::VecDeque;

use crate::limits::LAG_ENDS_MAX;

/// Ends of a source as they were seen.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// (time in ms, one past the last record), both ascending; all beyond what is taken.
    ends: VecDeque<(i64, i64)>,
}

impl Lag {
    /// Returns the records that are not taken and the age of the oldest of them in ms, given what is taken, what there is, and the timestamp of the oldest if it is known.
    pub(super) fn measure(&mut self, now_ms: i64, taken: i64, end: i64, oldest_ms: Option<i64>) -> (i64, i64) {
        while self.ends.front().is_some_and(|(_, end)| *end <= taken) {
            self.ends.pop_front();
        }
        if end <= taken {
            return (0, 0);
        }
        if self.ends.back().is_none_or(|(_, seen)| *seen < end) {
            // Without room, what is new is taken for as old as what was seen last: it tells too much rather than too little.
            let seen_ms = if self.ends.len() < LAG_ENDS_MAX { now_ms } else { self.ends.pop_back().map_or(now_ms, |(seen_ms, _)| seen_ms) };
            self.ends.push_back((seen_ms, end));
        }
        let since_ms = oldest_ms.filter(|oldest_ms| *oldest_ms >= 0).or_else(|| self.ends.front().map(|(seen_ms, _)| *seen_ms));
        (end - taken, since_ms.map_or(0, |since_ms| (now_ms - since_ms).max(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_timestamps_the_oldest_record_is_as_old_as_the_end_by_which_it_was_first_seen() {
        let mut lag = Lag::default();
        assert_eq!(lag.measure(1_000, 5, 5, None), (0, 0));
        assert_eq!(lag.measure(2_000, 5, 8, None), (3, 0));
        assert_eq!(lag.measure(3_000, 5, 20, Some(-1)), (15, 1_000), "a broker that loses timestamps");
        assert_eq!(lag.measure(4_000, 9, 20, None), (11, 1_000), "the first eight are taken, and the next were seen at 3 s");
        assert_eq!(lag.measure(5_000, 20, 20, None), (0, 0));
        assert_eq!(lag.measure(9_000, 20, 21, None), (1, 0), "what was is forgotten");
    }

    #[test]
    fn a_timestamp_tells_more_than_what_was_seen() {
        let mut lag = Lag::default();
        assert_eq!(lag.measure(60_000, 0, 100, Some(10_000)), (100, 50_000), "a backlog from before the start");
        assert_eq!(lag.measure(60_500, 50, 100, Some(90_000)), (50, 0), "the clock of a sender that is ahead makes nobody wait");
    }

    #[test]
    fn a_task_that_is_behind_for_long_remembers_a_bounded_number_of_ends() {
        let mut lag = Lag::default();
        for second in 0..10 * LAG_ENDS_MAX as i64 {
            assert_eq!(lag.measure(second * 1_000, 0, 1 + second, None), (1 + second, second * 1_000));
        }
        assert!(lag.ends.len() <= LAG_ENDS_MAX);
        assert_eq!(lag.measure(1_000_000_000, 1_000_000, 1_000_000, None), (0, 0));
        assert!(lag.ends.is_empty());
    }
}
