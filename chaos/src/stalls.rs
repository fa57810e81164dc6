//! How long tasks stood still, as it is seen from outside: the time from a record to what a task said because of it, both as they stand in the topics.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;

use crate::ledger::SYSTEM;

/// Records and what they led to.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// When a record was written, by its id.
    causes: HashMap<String, Cause>,
    /// When a task first said something because of a record.
    answers: HashMap<(String, String), i64>,
}

/// A record.
#[derive(Debug)]
struct Cause {
    time_ms: i64,
    /// The task that reads it; another one only forwards it. None: whoever reads it answers.
    partition: Option<u32>,
    /// A command that was sent more than once has several records, of which one is answered at once.
    is_one: bool,
}

/// For each task when records came and how long they waited, in ms.
pub(crate) struct Samples(BTreeMap<String, Vec<(i64, i64)>>);

impl Gaps {
    /// Takes a record.
    pub(crate) fn take(&mut self, topic: &str, partition: u32, time_ms: i64, value: &[u8]) {
        let Ok(record) = serde_json::from_slice::<Value>(value) else { return };
        let text = |name: &str| record[name].as_str();
        if topic == "commands" {
            // Of the other commands not all are obeyed at once.
            if let (Some("PlaceOrder"), Some(id)) = (text("type"), text("commandId")) {
                let cause = Cause { time_ms, partition: Some(partition), is_one: true };
                self.causes.entry(id.to_owned()).and_modify(|known| known.is_one = false).or_insert(cause);
            }
            return;
        }
        if let (Some(source), Some(cause)) = (text("source"), text("causationid"))
            && let Some(task) = source.strip_prefix(&format!("/{SYSTEM}/"))
        {
            let answered = self.answers.entry((task.to_owned(), cause.to_owned())).or_insert(time_ms);
            *answered = (*answered).min(time_ms);
        }
        if let Some(id) = text("id") {
            // What a sender that was killed has sent again was taken the first time.
            let cause = Cause { time_ms, partition: None, is_one: true };
            self.causes.entry(id.to_owned()).and_modify(|known| known.time_ms = known.time_ms.min(time_ms)).or_insert(cause);
        }
    }

    /// Returns how long what was taken had waited.
    pub(crate) fn samples(&self) -> Samples {
        let mut samples: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
        for ((task, cause), answered_ms) in &self.answers {
            let Some(Cause { time_ms, partition, is_one: true }) = self.causes.get(cause) else { continue };
            let is_readers = partition.is_none_or(|partition| task.ends_with(&format!("/{partition}")));
            if is_readers {
                samples.entry(task.clone()).or_default().push((*time_ms, (answered_ms - time_ms).max(0)));
            }
        }
        Samples(samples)
    }
}

impl Samples {
    /// Returns how long a task let somebody wait at most who came in this time; none if nobody came.
    pub(crate) fn longest(&self, task: &str, from_ms: i64, to_ms: i64) -> Option<Duration> {
        let waits = self.0.get(task)?.iter().filter(|(caused_ms, _)| (from_ms..to_ms).contains(caused_ms)).map(|(_, wait_ms)| *wait_ms);
        waits.max().map(|wait_ms| Duration::from_millis(wait_ms.unsigned_abs()))
    }
}

/// Some of many times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// Half of them are not longer.
    pub p50: Duration,
    /// 99 of 100 are not longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    /// Sorts times and picks some.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
        Self { count: times.len(), p50: at(50), p99: at(99), max: times.last().copied().unwrap_or_default() }
    }

    /// Returns it for machines, in ms.
    pub(crate) fn json(&self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        serde_json::json!({"count": self.count, "p50Ms": ms(self.p50), "p99Ms": ms(self.p99), "maxMs": ms(self.max)})
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_millis();
        write!(formatter, "{:>5} {:>6} {:>6} {:>6}", self.count, ms(self.p50), ms(self.p99), ms(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_wait_is_from_a_record_to_the_first_word_about_it() {
        let mut gaps = Gaps::default();
        let event = |id: &str, task: &str, cause: &str| json!({"id": id, "source": format!("/{SYSTEM}/{task}"), "causationid": cause}).to_string();
        // Topics are read one after the other: an answer may be read before what it is about.
        gaps.take("orders-events", 1, 1_700, event("e-1", "orders/1", "k-1").as_bytes());
        gaps.take("orders-events", 1, 1_900, event("e-2", "orders/1", "k-1").as_bytes());
        gaps.take("store-events", 1, 1_950, event("e-3", "store/1", "e-1").as_bytes());
        gaps.take("commands", 1, 1_000, json!({"type": "PlaceOrder", "commandId": "k-1"}).to_string().as_bytes());
        gaps.take("commands", 0, 1_000, json!({"type": "PlaceOrder", "commandId": "elsewhere"}).to_string().as_bytes());
        gaps.take("orders-events", 1, 9_100, event("e-5", "orders/1", "elsewhere").as_bytes());
        gaps.take("commands", 1, 1_000, json!({"type": "PlaceOrder", "commandId": "sent-again"}).to_string().as_bytes());
        gaps.take("commands", 1, 9_000, json!({"type": "PlaceOrder", "commandId": "sent-again"}).to_string().as_bytes());
        gaps.take("orders-events", 1, 9_100, event("e-4", "orders/1", "sent-again").as_bytes());
        let samples = gaps.samples();
        assert_eq!(samples.longest("orders/1", 0, 10_000), Some(Duration::from_millis(700)));
        assert_eq!(samples.longest("store/1", 0, 10_000), Some(Duration::from_millis(250)));
        assert_eq!(samples.longest("store/1", 0, 1_700), None);
    }

    #[test]
    fn a_spread_names_the_longest() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((spread.count, spread.p50.as_millis(), spread.p99.as_millis(), spread.max.as_millis()), (200, 100, 198, 200));
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
