//! From a store and a journal back to a task.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use super::snapshot::Snapshots;
use super::{Phase, Stop, Task};
use crate::journal::{Cursor, Fold, JournalError, JournalRecord, Meaning, RestorePoint};
use crate::limits::{REPLAY_RECORDS_CHEAP, RESTORE_POINT_RECORDS};
use crate::processor::StateReader;
use crate::state::{Change, StateError};

/// Entry key of the progress.
pub(super) const KEY: &[u8] = b"p";
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
        let Some(bytes) = store.get(KEY)? else { return Ok(Self::default()) };
        rmp_serde::from_slice(&bytes).map_err(|error| StateError::Entry { key: "progress".to_owned(), detail: error.to_string() })
    }

    pub(super) fn change(&self) -> Change {
        let bytes = rmp_serde::to_vec(self).unwrap_or_else(|error| panic!("progress serializes: {error}"));
        (KEY.to_vec(), Some(bytes))
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
        match JournalRecord::decode(bytes) {
            Ok(JournalRecord::Fence(fence)) => self.snapshots.name(fence.restore_point),
            Ok(JournalRecord::Transaction(transaction)) => self.snapshots.name(transaction.restore_point),
            Err(_) => {}
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
    pub fn replay(&mut self, offset: i64, bytes: &[u8]) -> Result<(), Stop> {
        let seen = fingerprint(bytes);
        if offset + 1 == self.applied.offset && self.fingerprint.is_some_and(|expected| expected != seen) {
            return Err(Stop::Diverged(format!("record {offset} is another one than the store saw")));
        }
        if offset < self.replay.offset {
            return Ok(());
        }
        let is_new = offset >= self.applied.offset;
        let record = match JournalRecord::decode(bytes) {
            Ok(record) => Some(record),
            Err(JournalError::Garbage(_)) => None,
            Err(error @ JournalError::Version(_)) => return Err(Stop::Journal(format!("record {offset}: {error}"))),
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
            self.outbox.push(before, &transaction);
            if is_new {
                self.last_time_ms = self.last_time_ms.max(transaction.time_ms);
                self.snapshots.admit(offset, &transaction, bytes.len());
                if let Some(kept) = transaction.kept.take() {
                    // As they were before the transaction, so its changes come after.
                    let kept: Vec<Change> = kept.entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
                    self.mirror(&kept);
                    self.replay_buffer.extend(kept);
                }
                self.mirror(&transaction.changes);
                self.replay_buffer.append(&mut transaction.changes);
            }
        }
        if is_new {
            self.applied = self.replay.clone();
            self.fingerprint = Some(seen);
        }
        if self.replay_buffer.len() >= REPLAY_CHANGES_MAX {
            self.write_replayed()?;
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
        self.write_replayed()
    }

    fn write_replayed(&mut self) -> Result<(), Stop> {
        let mut changes = std::mem::take(&mut self.replay_buffer);
        changes.push(self.progress().change());
        Ok(self.store.commit(changes)?)
    }
}
