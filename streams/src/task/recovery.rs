//! From a store and a journal back to a task.

use std::hash::Hasher;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use super::snapshot::Snapshots;
use super::{Phase, Stop, Task};
use crate::journal::{Cursor, Fold, JournalError, JournalRecord, Meaning, RestorePoint};
use crate::limits::{REPLAY_RECORDS_CHEAP, RESTORE_POINT_RECORDS};
use crate::processor::StateReader;
use crate::state::{Change, StateError, keys};

/// Changes that a replay gathers before it writes them.
const REPLAY_CHANGES_MAX: usize = 4_096;

/// How far a store has come: committed with every change, so that store and journal position never disagree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) applied: Cursor,
    pub(super) fingerprint: Option<u64>,
    pub(super) outbox: Cursor,
    pub(super) sent: u64,
    pub(super) time_ms: i64,
    #[serde(default)]
    pub(super) snapshots: Snapshots,
}

impl Progress {
    pub(super) fn load(store: &dyn StateReader) -> Result<Self, StateError> {
        let Some(bytes) = store.get(keys::PROGRESS)? else { return Ok(Self::default()) };
        rmp_serde::from_slice(&bytes).map_err(|error| StateError::Entry { key: "progress".to_owned(), detail: error.to_string() })
    }

    pub(super) fn change(&self) -> Change {
        let bytes = rmp_serde::to_vec(self).unwrap_or_else(|error| panic!("progress serializes: {error}"));
        (keys::PROGRESS.to_vec(), Some(bytes))
    }
}

/// Returns a number by which a store recognises the journal that it belongs to.
pub(super) fn fingerprint(record: &[u8]) -> u64 {
    let mut hasher = siphasher::sip::SipHasher::new();
    hasher.write(record);
    hasher.finish()
}

impl Task {
    /// Returns where in the journal to look for a restore point, given what it holds: from there to its end. `None`: the store is not far behind.
    pub fn restore_point_from(&self, start: i64, end: i64) -> Option<i64> {
        let is_needed = self.applied.offset == 0 || self.replay.offset < start || end - self.replay.offset > REPLAY_RECORDS_CHEAP;
        (is_needed && end > start).then(|| start.max(end - RESTORE_POINT_RECORDS))
    }

    /// Looks for a restore point in a record of the journal, whatever it means at its place.
    pub fn hear_of_restore_point(&mut self, bytes: &[u8]) {
        if let Ok(record) = JournalRecord::decode(bytes) {
            self.snapshots.name(record.restore_point());
        }
    }

    /// Returns the journal offset at which to begin reading, given what the journal holds. If that is a restore point, the store is cleared.
    ///
    /// # Errors
    /// [`Stop::Diverged`] if the store is ahead of the journal, [`Stop::Journal`] if the journal no longer holds what the store lacks, [`Stop::State`].
    pub fn replay_from(&mut self, start: i64, end: i64) -> Result<i64, Stop> {
        if self.applied.offset > end {
            return Err(Stop::Diverged(format!("store is at offset {}, journal ends at {end}", self.applied.offset)));
        }
        if let Some(point) = self.snapshots.named().filter(|point| self.is_better(*point, start, end)) {
            self.begin_at(point)?;
            return Ok(point.offset);
        }
        // One record back, to see that the store and the journal have the same past.
        let from = self.replay.offset.min(self.applied.offset - 1).max(0);
        if from >= start {
            return Ok(from);
        }
        if self.replay.offset >= start {
            return Ok(start);
        }
        Err(Stop::Journal(format!("it begins at offset {start}, needed is {}", self.replay.offset)))
    }

    /// Returns true if beginning at the restore point, without what the store has, is possible and less to read, or the only way.
    fn is_better(&self, point: RestorePoint, start: i64, end: i64) -> bool {
        let has_nothing = self.applied.offset == 0;
        let skipped = point.offset - self.replay.offset;
        point.offset >= start && skipped > 0 && (has_nothing || self.replay.offset < start || skipped > (end - point.offset).max(REPLAY_RECORDS_CHEAP))
    }

    fn begin_at(&mut self, point: RestorePoint) -> Result<(), Stop> {
        self.store.clear()?;
        self.timers.clear();
        self.calls.clear();
        self.schema.recorded = None;
        self.totals.clear();
        self.source_offsets.fill(0);
        self.fingerprint = None;
        self.applied = Cursor { offset: point.offset, fold: Fold::default() };
        self.replay = self.applied.clone();
        // Nobody names a restore point before everything ahead of it has been sent.
        self.outbox = Outbox::new(self.applied.clone(), point.sequence - 1);
        self.snapshots = Snapshots::default();
        self.adopt = Some(point.sequence);
        Ok(())
    }

    /// Takes the record at a restore point at its word: it was valid when it was named.
    fn adopt(&mut self, record: Option<&JournalRecord>, offset: i64) -> Result<(), Stop> {
        let Some(sequence) = self.adopt.take() else { return Ok(()) };
        match record {
            Some(JournalRecord::Transaction(transaction)) if transaction.sequence == sequence && self.replay.offset == offset => {
                self.replay.fold = Fold { owner: transaction.owner.clone(), epoch: transaction.epoch, sequence: sequence - 1 };
                Ok(())
            }
            _ => Err(Stop::Journal(format!("record {offset} should be a restore point with sequence number {sequence} and is not"))),
        }
    }

    /// Takes the next journal record of the replay.
    ///
    /// # Errors
    /// [`Stop::Diverged`], [`Stop::Journal`] or [`Stop::State`].
    pub fn replay(&mut self, offset: i64, bytes: &Bytes) -> Result<(), Stop> {
        if offset + 1 == self.applied.offset && self.fingerprint.is_some_and(|expected| expected != fingerprint(bytes)) {
            return Err(Stop::Diverged(format!("record {offset} is another one than the store saw")));
        }
        if offset < self.replay.offset {
            return Ok(());
        }
        let is_new = offset >= self.applied.offset;
        let record = match JournalRecord::decode(bytes) {
            Ok(record) => Some(record),
            Err(JournalError::Garbage(_)) => None,
            Err(error @ (JournalError::Version(_) | JournalError::Unreadable { .. })) => return Err(Stop::Journal(format!("record {offset}: {error}"))),
        };
        self.adopt(record.as_ref(), offset)?;
        let before = self.replay.clone();
        self.replay.offset = offset + 1;
        if is_new && let Some(JournalRecord::Fence(fence)) = &record {
            self.snapshots.name(fence.restore_point);
        }
        if let Some(record) = record
            && self.replay.fold.admit(&record) == Meaning::Valid
            && let JournalRecord::Transaction(mut transaction) = record
        {
            self.outbox.push(before, &mut transaction);
            if is_new {
                self.last_time_ms = self.last_time_ms.max(transaction.time_ms);
                let is_incomplete = !self.snapshots.has_complete();
                self.snapshots.admit(offset, &transaction, bytes.len());
                if let Some(kept) = transaction.kept.take().filter(|_| is_incomplete) {
                    // As they were before the transaction, so its changes come after. Once a snapshot is complete, the store has them.
                    let kept: Vec<Change> = kept.entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
                    self.mirror(&kept);
                    self.replay_buffer.extend(kept);
                }
                if let Some(reached) = self.snapshots.restored_to() {
                    transaction.changes.retain(|(key, value)| value.is_none() || key.as_slice() <= reached);
                }
                self.mirror(&transaction.changes);
                self.replay_buffer.append(&mut transaction.changes);
            }
        }
        if is_new {
            self.applied = self.replay.clone();
            self.fingerprint = None;
            self.replayed_last = Some(bytes.clone());
        }
        if self.replay_buffer.len() >= REPLAY_CHANGES_MAX {
            let changes = self.take_replayed();
            self.store.load(changes)?;
        }
        Ok(())
    }

    /// Returns true if the fence of this incarnation has been appended but not yet read back.
    pub fn is_fencing(&self) -> bool {
        matches!(self.phase, Phase::Fencing)
    }

    /// Clears the store: the next incarnation replays the journal from its beginning.
    ///
    /// # Errors
    /// [`Stop::State`].
    pub fn clear_store(mut self) -> Result<(), Stop> {
        Ok(self.store.clear()?)
    }

    pub(super) fn finish_replay(&mut self) -> Result<(), Stop> {
        let changes = self.take_replayed();
        Ok(self.store.commit(changes)?)
    }

    /// Writes what a replay has gathered, so that it can be read.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        if self.replay_buffer.is_empty() { Ok(()) } else { self.finish_replay() }
    }

    /// Returns what a replay has gathered, and how far it has come.
    fn take_replayed(&mut self) -> Vec<Change> {
        if let Some(last) = self.replayed_last.take() {
            self.fingerprint = Some(fingerprint(&last));
        }
        let mut changes = std::mem::take(&mut self.replay_buffer);
        changes.push(self.progress().change());
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Fence, Kept, Transaction};
    use crate::processor::{Context, Entry, Failure, Input, Processor};
    use crate::state::store::MemoryStore;
    use crate::topology::{ProcessorSpec, Source};

    struct Idle;

    impl Processor for Idle {
        fn process(&self, _input: Input<'_>, _context: &mut Context<'_>) -> Result<(), Failure> {
            Ok(())
        }
    }

    /// The fence of an owner, and so many transactions of that owner.
    fn journal(owner: &str, transactions: u64, changes: usize) -> Vec<Bytes> {
        let fence = JournalRecord::Fence(Fence { owner: owner.to_owned(), epoch: 1, restore_point: None });
        let transaction = |sequence| {
            JournalRecord::Transaction(Transaction {
                owner: owner.to_owned(),
                epoch: 1,
                sequence,
                time_ms: 7,
                sent: 0,
                causes: Vec::new(),
                changes: (0..changes).map(|number| (format!("u{sequence}/{number}").into_bytes(), Some(vec![1]))).collect(),
                effects: Vec::new(),
                restore_point: None,
                kept: None,
            })
        };
        std::iter::once(fence).chain((1..=transactions).map(transaction)).map(|record| record.encode().into()).collect()
    }

    /// Returns the transaction of a record, altered.
    fn altered(record: &Bytes, alter: impl FnOnce(&mut Transaction)) -> Bytes {
        let Ok(JournalRecord::Transaction(mut transaction)) = JournalRecord::decode(record) else { panic!("it is a transaction") };
        alter(&mut transaction);
        JournalRecord::Transaction(transaction).encode().into()
    }

    fn entry(key: &str, value: u8) -> Entry {
        (key.as_bytes().to_vec(), vec![value])
    }

    /// Comes back on a store, with all of the journal that it asks for.
    fn come_back(store: &MemoryStore, journal: &[Bytes]) -> Result<Task, Stop> {
        let spec = ProcessorSpec {
            name: "till".to_owned(),
            sources: vec![Source::events("events", &["Sold"])],
            sinks: Vec::new(),
            journal: "till-journal".to_owned(),
            stores: Vec::new(),
            calls: Vec::new(),
            rejections: "rejections".to_owned(),
            dead_letters: "dead-letters".to_owned(),
            logic: Arc::new(Idle),
        };
        let mut task = Task::open("shop", spec, 0, 1, "next".to_owned(), Box::new(store.clone()))?;
        journal.iter().for_each(|record| task.hear_of_restore_point(record));
        let from = task.replay_from(0, journal.len() as i64)?;
        for (offset, record) in (0..).zip(journal).skip(from as usize) {
            task.replay(offset, record)?;
        }
        Ok(task)
    }

    #[test]
    fn a_store_knows_its_journal_by_the_last_record_that_it_took() {
        let (mine, other) = (journal("mine", 9, 3), journal("other", 9, 3));
        let store = MemoryStore::default();
        come_back(&store, &mine[..6]).and_then(|mut task| task.finish_replay()).expect("it comes back");
        assert!(matches!(come_back(&store, &other), Err(Stop::Diverged(_))), "the same journal but for who wrote it");
        // It goes on from there, and what it knows its journal by goes along, also where a replay brings nothing new.
        for length in [6, 9, 10, 10] {
            come_back(&store, &mine[..length]).and_then(|mut task| task.finish_replay()).expect("it is its own journal");
            let forged = [&mine[..length - 1], &other[length - 1..length]].concat();
            assert!(matches!(come_back(&store, &forged), Err(Stop::Diverged(_))), "record {} is another one", length - 1);
        }
        assert!(matches!(come_back(&store, &mine[..9]), Err(Stop::Diverged(_))), "the journal is shorter than what the store saw");
    }

    #[test]
    fn a_replay_that_is_cut_short_goes_on_from_what_it_wrote() {
        let (mine, other) = (journal("mine", 5, REPLAY_CHANGES_MAX / 2), journal("other", 5, 1));
        let store = MemoryStore::default();
        // Killed before the end: four transactions were written, in two goes, the fifth was not.
        drop(come_back(&store, &mine).expect("it replays"));
        let progress = Progress::load(&store).expect("it was written");
        assert_eq!((progress.applied.offset, progress.applied.fold.sequence), (5, 4));
        assert!(matches!(come_back(&store, &[&mine[..4], &other[4..]].concat()), Err(Stop::Diverged(_))));
        assert!(come_back(&store, &mine).is_ok());
    }

    /// Goal: a task that follows another one, or comes back to its own disk, does not write all of its state again with every snapshot.
    #[test]
    fn what_snapshots_take_along_is_written_until_one_is_complete() {
        let mut journal = journal("mine", 5, 1);
        let all = |value| Some(Kept { begins: true, ends: true, entries: vec![entry("u1/0", value)] });
        journal[2] = altered(&journal[2], |transaction| transaction.kept = all(2));
        journal[4] = altered(&journal[4], |transaction| transaction.kept = all(3));
        let store = MemoryStore::default();
        come_back(&store, &journal[..3]).and_then(|mut task| task.finish_replay()).expect("it comes back");
        assert_eq!(store.get(b"u1/0").expect("it can be read"), Some(vec![2]), "it may be all there is of the entry");
        come_back(&store, &journal).and_then(|mut task| task.finish_replay()).expect("it comes back");
        assert_eq!(store.get(b"u1/0").expect("it can be read"), Some(vec![2]), "the store had it");
        assert_eq!(store.get(b"u5/0").expect("it can be read"), Some(vec![1]));
    }

    /// Goal: whoever begins at a restore point writes what is alive once, and not also whatever it was before the snapshot came to it.
    #[test]
    fn what_a_snapshot_will_bring_is_not_written_before() {
        let mut journal = journal("mine", 4, 1);
        journal[2] =
            altered(&journal[2], |transaction| transaction.kept = Some(Kept { begins: true, ends: false, entries: vec![entry("u1/0", 1), entry("u1/1", 1)] }));
        journal[3] = altered(&journal[3], |transaction| {
            transaction.changes = vec![(b"u1/0".to_vec(), None), (b"u1/1".to_vec(), Some(vec![2])), (b"u8/0".to_vec(), Some(vec![2]))];
        });
        journal[4] = altered(&journal[4], |transaction| transaction.kept = Some(Kept { begins: false, ends: true, entries: vec![entry("u2/0", 1)] }));
        let point = RestorePoint { offset: 2, sequence: 2 };
        journal.push(JournalRecord::Fence(Fence { owner: "next".to_owned(), epoch: 2, restore_point: Some(point) }).encode().into());
        let store = MemoryStore::default();
        come_back(&store, &journal).and_then(|mut task| task.finish_replay()).expect("it comes back");
        let get = |key: &str| store.get(key.as_bytes()).expect("it can be read");
        assert_eq!([get("u1/0"), get("u1/1"), get("u2/0"), get("u4/0")], [None, Some(vec![2]), Some(vec![1]), Some(vec![1])]);
        assert_eq!(get("u8/0"), None, "it was left to the snapshot, which did not bring it only because this journal is made up");
    }
}
