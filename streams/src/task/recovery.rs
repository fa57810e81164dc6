//! From a store and a journal back to a task.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};

use super::{Phase, Stop, Task};
use crate::journal::{Cursor, JournalError, JournalRecord, Meaning};
use crate::processor::StateReader;
use crate::state::{Change, StateError};

/// Entry key of the progress.
const KEY: &[u8] = b"p";
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
    /// Returns the journal offset at which to begin reading, given what the journal holds.
    ///
    /// # Errors
    /// [`Stop::Diverged`] if the store is ahead of the journal, [`Stop::Journal`] if the journal no longer holds what the store lacks.
    pub fn replay_from(&self, start: i64, end: i64) -> Result<i64, Stop> {
        if self.applied.offset > end {
            return Err(Stop::Diverged(format!("store is at offset {}, journal ends at {end}", self.applied.offset)));
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
        let before = self.replay.clone();
        self.replay.offset = offset + 1;
        let is_new = offset >= self.applied.offset;
        let record = match JournalRecord::decode(bytes) {
            Ok(record) => Some(record),
            Err(JournalError::Garbage(_)) => None,
            Err(error @ JournalError::Version(_)) => return Err(Stop::Journal(format!("record {offset}: {error}"))),
        };
        if let Some(record) = record
            && self.replay.fold.admit(&record) == Meaning::Valid
            && let JournalRecord::Transaction(mut transaction) = record
        {
            self.outbox.push(before, &transaction);
            if is_new {
                self.last_time_ms = self.last_time_ms.max(transaction.time_ms);
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
