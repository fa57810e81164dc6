//! When a task took its inputs, and in which order, as its journal tells: with the same order and times, the same code makes the same of them.
//!
//! Inputs that had no effect are not in the journal, nor those from before its beginning: they are taken by their timestamps.

use std::collections::{BTreeMap, HashMap};

use anyhow::ensure;
use fluvio_streams::journal::{Fold, JournalRecord, Meaning};
use fluvio_streams::log::Log;
use fluvio_streams::topology::ProcessorSpec;

use super::super::scan::scan;
use crate::limits::RESET_INPUTS_MAX;

/// When an input comes: at a time, and among those of one time by rank.
pub(super) type Turn = (i64, u64);

/// The inputs of a task.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Records by topic and offset.
    records: HashMap<String, BTreeMap<i64, Turn>>,
    /// Timers by their cause.
    timers: HashMap<String, Turn>,
    inputs: u64,
}

impl Schedule {
    /// Reads the whole journal of a task.
    ///
    /// # Errors
    /// If it cannot be read, or tells of too many inputs.
    pub(super) async fn read(log: &dyn Log, spec: &ProcessorSpec, partition: u32) -> anyhow::Result<Self> {
        let mut schedule = Self::default();
        let mut fold = Fold::default();
        scan(log, &spec.journal, partition, 0, None, |record| {
            let Ok(record) = JournalRecord::decode(&record.value) else { return Ok(()) };
            if let (JournalRecord::Transaction(transaction), true) = (&record, fold == Fold::default()) {
                // The journal begins in the middle: its first transaction is taken at its word.
                fold = Fold { owner: transaction.owner.clone(), epoch: transaction.epoch, sequence: transaction.sequence - 1 };
            }
            if let (Meaning::Valid, JournalRecord::Transaction(transaction)) = (fold.admit(&record), record) {
                transaction.causes.iter().for_each(|cause| schedule.take(cause, partition, transaction.time_ms));
            }
            ensure!(schedule.inputs <= RESET_INPUTS_MAX, "{} tells of more than {RESET_INPUTS_MAX} inputs, too many to make again at once", spec.journal);
            Ok(())
        })
        .await?;
        Ok(schedule)
    }

    fn take(&mut self, cause: &str, partition: u32, time_ms: i64) {
        self.inputs += 1;
        let turn = (time_ms, self.inputs);
        if cause.starts_with("timer:") {
            self.timers.insert(cause.to_owned(), turn);
            return;
        }
        let mut parts = cause.rsplitn(3, '/');
        let offset = parts.next().and_then(|offset| offset.parse::<i64>().ok());
        let of = parts.next().and_then(|partition| partition.parse::<u32>().ok());
        if let (Some(offset), Some(topic)) = (offset, parts.next())
            && of == Some(partition)
        {
            self.records.entry(topic.to_owned()).or_default().insert(offset, turn);
        }
    }

    /// Returns when a record comes. One that is not known comes by its timestamp, before the next one of its topic that is.
    pub(super) fn of_record(&self, topic: &str, offset: i64, timestamp_ms: i64) -> Turn {
        match self.records.get(topic).and_then(|turns| turns.range(offset..).next()) {
            Some((known, turn)) if *known == offset => *turn,
            Some((_, (time_ms, rank))) if *time_ms <= timestamp_ms => (*time_ms, rank - 1),
            _ => (timestamp_ms, 0),
        }
    }

    /// Returns when a timer comes that is due then.
    pub(super) fn of_timer(&self, name: &str, key: &str, due_ms: i64) -> Turn {
        self.timers.get(&format!("timer:{name}/{key}/{due_ms}")).copied().unwrap_or((due_ms, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_comes_in_its_order_and_the_rest_by_its_time() {
        let mut schedule = Schedule::default();
        for (cause, time_ms) in [("a-b/0/3", 10), ("c/0/0", 10), ("timer:wait/x/y/8", 11), ("call:z", 12), ("a-b/0/5", 20), ("a-b/1/4", 21)] {
            schedule.take(cause, 0, time_ms);
        }
        assert_eq!((schedule.of_record("a-b", 3, 9), schedule.of_record("c", 0, 99)), ((10, 1), (10, 2)));
        assert_eq!((schedule.of_timer("wait", "x/y", 8), schedule.of_timer("wait", "x/y", 9)), ((11, 3), (9, 0)));
        assert_eq!(schedule.of_record("a-b", 4, 15), (15, 0), "it had no effect");
        assert_eq!(schedule.of_record("a-b", 4, 99), (20, 4), "its sender's clock was ahead");
        assert_eq!(schedule.of_record("a-b", 6, 30), (30, 0));
    }
}
