//! The task as its journal says, and putting another state in its place: by one transaction under a fence of our own, so that it counts wholly or not at all.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use fluvio_streams::journal::{Fold, JournalRecord, Meaning};
use fluvio_streams::limits::JOURNAL_RECORD_BYTES_MAX;
use fluvio_streams::log::{Log, Writer};
use fluvio_streams::record::NewRecord;
use fluvio_streams::state::Change;
use fluvio_streams::state::store::MemoryStore;
use fluvio_streams::task::{SnapshotPolicy, Task};
use fluvio_streams::time::{Clock as _, SystemClock};
use fluvio_streams::topology::ProcessorSpec;

use super::super::scan::scan;
use super::rebuild::{Entries, entries};

/// A task as its journal says.
pub(super) struct Current {
    pub(super) task: Task,
    pub(super) store: MemoryStore,
    spec: ProcessorSpec,
    partition: u32,
    /// Where its journal has been read to.
    next: i64,
    /// Where our fence stands, and by whom we wrote it.
    held: Option<(i64, Arc<dyn Writer>)>,
}

impl Current {
    /// Reads a task's journal up to now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn read(log: &dyn Log, application: &str, spec: &ProcessorSpec, partition: u32, partitions: u32, owner: &str) -> anyhow::Result<Self> {
        let store = MemoryStore::default();
        let task = Task::open(application, spec.clone(), partition, partitions, owner.to_owned(), Box::new(store.clone()))?;
        // Whatever is sealed next is as if a snapshot were due: so there is a transaction to be had without an input.
        let mut task = task.with_snapshots(SnapshotPolicy { every_ms: -1, ..SnapshotPolicy::default() });
        let offsets = log.offsets(&spec.journal, partition).await?;
        if let Some(from) = task.restore_point_from(offsets.start, offsets.end) {
            scan(log, &spec.journal, partition, from, None, |record| {
                task.hear_of_restore_point(&record.value);
                Ok(())
            })
            .await?;
        }
        let next = task.replay_from(offsets.start, offsets.end)?;
        let mut current = Self { task, store, spec: spec.clone(), partition, next, held: None };
        current.read_on(log).await?;
        Ok(current)
    }

    async fn read_on(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        let (task, journal) = (&mut self.task, &self.spec.journal);
        let scanned = scan(log, journal, self.partition, self.next, None, |record| Ok(task.replay(record.offset, &record.value)?)).await?;
        self.next = self.next.max(scanned.next);
        // What was read is gathered before it is written.
        self.task.peek("", "")?;
        Ok(())
    }

    /// Returns what it holds, the progress of sources and senders left out: what was taken stays taken.
    ///
    /// # Errors
    /// If there is too much.
    pub(super) fn state(&self) -> anyhow::Result<Entries> {
        Ok(of_state(entries(&self.store)?))
    }

    /// Takes the task over, as an instance does: whoever has it stops.
    ///
    /// # Errors
    /// If somebody else does at the same time, or the log fails.
    pub(super) async fn hold(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        // Whoever is refused changes nothing.
        self.task.check_compatible()?;
        let writer = log.writer(&self.spec.journal, self.partition).await?;
        let fence = writer.append(vec![NewRecord { key: None, value: self.task.fence(SystemClock.now_ms()).into() }]).await?;
        self.read_on(log).await?;
        self.task.own().map_err(|stop| anyhow::anyhow!("somebody else takes it over at this moment ({stop}): stop the instances that run it"))?;
        ensure!(self.next == fence + 1, "somebody goes on writing its journal: stop the instances that run it");
        self.held = Some((fence, writer));
        Ok(())
    }

    /// Puts another state in place of the one that it holds; returns how many entries change.
    ///
    /// # Errors
    /// If it does not fit into one record, if somebody else has taken the task over, or if the log fails.
    pub(super) async fn replace(mut self, log: &dyn Log, state: &Entries) -> anyhow::Result<usize> {
        let Some((fence, writer)) = self.held.take() else { bail!("the task is not held") };
        let changes = difference(&self.state()?, state);
        let changed = changes.len();
        if changed == 0 {
            return Ok(0);
        }
        let sealed = self.task.tend(SystemClock.now_ms())?.context("its journal holds no transaction yet")?;
        let JournalRecord::Transaction(mut transaction) = JournalRecord::decode(&sealed)? else { bail!("the runtime sealed no transaction") };
        transaction.causes = vec![format!("reset:{}", transaction.owner)];
        transaction.changes.extend(changes);
        transaction.kept = None;
        let (owner, epoch, sequence) = (transaction.owner.clone(), transaction.epoch, transaction.sequence);
        let record = JournalRecord::Transaction(transaction).encode();
        ensure!(
            record.len() <= JOURNAL_RECORD_BYTES_MAX,
            "{changed} entries change, which are {} bytes; one transaction holds {JOURNAL_RECORD_BYTES_MAX}, and a reset is one: nothing was changed",
            record.len()
        );
        let unknown = "it is not known whether the reset counts; the same with --dry-run tells whether anything is left to change";
        let landed = writer.append(vec![NewRecord { key: None, value: record.into() }]).await.context(unknown)?;
        let mut fold = Fold { owner, epoch, sequence: sequence - 1 };
        let mut meaning = Meaning::Void;
        scan(log, &self.spec.journal, self.partition, fence + 1, None, |record| {
            if record.offset <= landed {
                meaning = JournalRecord::decode(&record.value).map_or(Meaning::Void, |record| fold.admit(&record));
            }
            Ok(())
        })
        .await
        .context(unknown)?;
        ensure!(meaning == Meaning::Valid, "somebody took the task over meanwhile, so nothing was changed: stop the instances that run it");
        Ok(changed)
    }
}

/// Leaves out what is no state but progress, of the task itself, of sources, of senders; who wrote it; and to which traces the last effects belonged.
pub(super) fn of_state(mut entries: Entries) -> Entries {
    entries.retain(|key, _| !matches!(key.first(), Some(b'p' | b'o' | b's' | b'v' | b'w')));
    entries
}

/// Returns the changes that make one state of another.
pub(super) fn difference(from: &Entries, to: &Entries) -> Vec<Change> {
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), None));
    let new = to.iter().filter(|(key, value)| from.get(*key) != Some(*value)).map(|(key, value)| (key.clone(), Some(value.clone())));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests;
