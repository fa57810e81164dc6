//! Snapshots inside the journal, so that what a reader must replay is bounded by what is alive and not by history.
//!
//! Fluvio never compacts. So a task goes over its entries now and then (a *sweep*): each of its transactions takes along a few entries that did not change, in key order. Once the sweep has
//! come to the last key, everything that was alive where it began is in the records from there on, and whatever changed since is there anyway: a reader without a store may begin at that
//! record, the *restore point*. Every record names the newest one that its writer knows.
//!
//! A restore point is named only after the sweep is committed, so what is said of it is true for ever, even in a record that is void. It is named only once the effects of everything before
//! it are acknowledged: a successor that begins there misses none.
//!
//! A sweep goes on over takeovers: how far it is follows from the journal. A new one begins when the journal has grown by twice what is alive, so it costs as much writing again at most, and a
//! reader without a store reads 1.3 to 3.3 times what is alive. It begins after some time all the same, so that nothing alive is as old as the topic's retention.

use serde::{Deserialize, Serialize};

use super::run::Run;
use super::{Phase, Stop, Task};
use crate::journal::{Kept, RestorePoint, Transaction};
use crate::limits::{JOURNAL_RECORD_BYTES_MAX, KEPT_BYTES_MAX, KEPT_BYTES_MIN, KEPT_ENTRIES_PAGE_MAX, KEPT_ENTRY_BYTES, SNAPSHOT_BYTES_MIN, SNAPSHOT_EVERY_MS};
use crate::processor::Entry;
use crate::state::{StateError, keys};

/// Of the record's bytes, what is neither entries nor effects.
const HEADER_BYTES: usize = 16 * 1024;
/// A sweep begins when the journal has grown by so many times what is alive.
const GROWTH: u64 = 2;
/// A sweep writes so many times what runs write, so that it is soon over: until then, readers begin at the one before.
const PACE: usize = 3;

/// When a task begins to write its state again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// Not before its journal has grown by so many bytes since the last time.
    pub bytes_min: u64,
    /// After so many ms all the same, however little was written: well below the retention of the journal.
    pub every_ms: i64,
    /// Bytes that a transaction takes along at least while a snapshot is written, if the run itself is smaller.
    pub part_bytes: usize,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { bytes_min: SNAPSHOT_BYTES_MIN, every_ms: SNAPSHOT_EVERY_MS, part_bytes: KEPT_BYTES_MIN }
    }
}

/// What the journal says about snapshots up to a place: a fold over its valid transactions, and over what all records name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshots {
    running: Option<Sweep>,
    /// Where the newest sweep began that is complete.
    complete: Option<RestorePoint>,
    /// The newest restore point that a record names.
    named: Option<RestorePoint>,
    /// Bytes of the journal since `complete`, or since its beginning.
    journal_bytes: u64,
    /// Bytes that were alive then.
    live_bytes: u64,
    /// When the newest sweep began; before the first one, when the journal did.
    began_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sweep {
    begin: RestorePoint,
    /// The last key that was written.
    after: Vec<u8>,
    live_bytes: u64,
    journal_bytes: u64,
}

impl Snapshots {
    /// Takes a valid transaction that stands at `offset` and has so many bytes.
    pub(super) fn admit(&mut self, offset: i64, transaction: &Transaction, bytes: usize) {
        let bytes = bytes as u64;
        self.name(transaction.restore_point);
        self.journal_bytes += bytes;
        if self.began_ms == 0 {
            self.began_ms = transaction.time_ms;
        }
        if transaction.kept.as_ref().is_some_and(|kept| kept.begins) {
            let begin = RestorePoint { offset, sequence: transaction.sequence };
            self.running = Some(Sweep { begin, after: Vec::new(), live_bytes: 0, journal_bytes: 0 });
            self.began_ms = transaction.time_ms;
        }
        let Some(sweep) = &mut self.running else { return };
        sweep.journal_bytes += bytes;
        let Some(kept) = &transaction.kept else { return };
        sweep.live_bytes += kept.entries.iter().map(entry_bytes).sum::<usize>() as u64;
        if let Some((key, _)) = kept.entries.last() {
            sweep.after.clone_from(key);
        }
        if kept.ends {
            self.complete = Some(sweep.begin);
            self.live_bytes = sweep.live_bytes;
            self.journal_bytes = sweep.journal_bytes;
            self.running = None;
        }
    }

    /// Returns whether everything alive is in the records that were taken, whatever was before them.
    pub(super) fn has_complete(&self) -> bool {
        self.complete.is_some()
    }

    /// Returns, if taking records began with the sweep that is running, the last key that it has come to: what is put behind it comes again, with the sweep or with a later change.
    pub(super) fn restored_to(&self) -> Option<&[u8]> {
        let begun_with_it = self.running.as_ref().filter(|sweep| self.complete.is_none() && sweep.journal_bytes == self.journal_bytes);
        begun_with_it.map(|sweep| sweep.after.as_slice())
    }

    /// Hears of a restore point, in whatever record.
    pub(super) fn name(&mut self, point: Option<RestorePoint>) {
        if point.is_some_and(|point| self.named.is_none_or(|named| named.offset < point.offset)) {
            self.named = point;
        }
    }

    /// Returns the newest restore point, if the effects of transactions up to `sent` are acknowledged.
    pub(super) fn restore_point(&self, sent: u64) -> Option<RestorePoint> {
        let complete = self.complete.filter(|point| sent + 1 >= point.sequence);
        [complete, self.named].into_iter().flatten().max_by_key(|point| point.offset)
    }

    /// Returns the newest restore point that a record names.
    pub(super) fn named(&self) -> Option<RestorePoint> {
        self.named
    }

    /// Returns the bytes of journal that a reader without a store has to read, about.
    pub(super) fn replay_bytes(&self) -> u64 {
        self.journal_bytes
    }

    fn is_due(&self, policy: &SnapshotPolicy, now_ms: i64) -> bool {
        let has_grown = self.journal_bytes > policy.bytes_min + GROWTH * self.live_bytes;
        has_grown || self.is_old(policy, now_ms)
    }

    fn is_old(&self, policy: &SnapshotPolicy, now_ms: i64) -> bool {
        self.began_ms > 0 && now_ms - self.began_ms > policy.every_ms
    }
}

impl Task {
    /// Returns about how many bytes of journal a successor without a store would have to read.
    pub fn replay_bytes(&self) -> u64 {
        self.snapshots.replay_bytes()
    }

    /// Goes on with a snapshot, or begins one that is due, while there is no input: returns the journal record of a transaction that changes nothing. `None`: there is nothing to do.
    ///
    /// # Errors
    /// [`Stop::State`].
    ///
    /// # Panics
    /// If the task does not own, or a transaction is pending.
    pub fn tend(&mut self, now_ms: i64) -> Result<Option<Vec<u8>>, Stop> {
        let snapshots = &self.snapshots;
        let is_unnamed = snapshots.restore_point(self.outbox.sent()) != snapshots.named;
        if snapshots.running.is_none() && !is_unnamed && !snapshots.is_old(&self.policy, now_ms) {
            return Ok(None);
        }
        assert!(matches!(self.phase, Phase::Owner { .. }) && self.pending.is_none(), "one transaction at a time, by the owner");
        self.seal(Run::default(), now_ms.max(self.last_time_ms)).map(Some)
    }

    /// A transaction that was only made to go on with a snapshot begins none because of what snapshots have written: a task without inputs would never come to rest.
    fn may_begin(&self, run: &Run, now_ms: i64) -> bool {
        if run.bytes == 0 { self.snapshots.is_old(&self.policy, now_ms) } else { self.snapshots.is_due(&self.policy, now_ms) }
    }

    /// Returns what the next transaction takes along.
    pub(super) fn keep(&self, run: &Run, now_ms: i64) -> Result<Option<Kept>, StateError> {
        let (begins, mut from) = match &self.snapshots.running {
            Some(sweep) if sweep.after.is_empty() => (false, Vec::new()),
            Some(sweep) => (false, [sweep.after.as_slice(), &[0]].concat()),
            None if self.may_begin(run, now_ms) => (true, Vec::new()),
            None => return Ok(None),
        };
        let wanted = (PACE * run.bytes).max(self.policy.part_bytes).min(KEPT_BYTES_MAX);
        // Each look into the store costs as much as many entries.
        let page_entries = (wanted / KEPT_ENTRY_BYTES).clamp(1, KEPT_ENTRIES_PAGE_MAX);
        let room = (JOURNAL_RECORD_BYTES_MAX - HEADER_BYTES).saturating_sub(run.bytes);
        let mut kept = Kept { begins, ends: false, entries: Vec::new() };
        let mut bytes = 0;
        loop {
            let page = self.store.range(&from, &[u8::MAX], page_entries)?;
            let Some((last, _)) = page.last() else {
                kept.ends = true;
                return Ok(Some(kept));
            };
            from = [last.as_slice(), &[0]].concat();
            for entry in page {
                // What this run changes stands in its changes.
                if entry.0 == keys::PROGRESS || run.changes.contains_key(&entry.0) {
                    continue;
                }
                bytes += entry_bytes(&entry);
                // An entry that finds no room beside a large run waits for a smaller one; there is always one, since an idle task has none.
                if bytes > room && !(run.bytes == 0 && kept.entries.is_empty()) {
                    return Ok(Some(kept));
                }
                kept.entries.push(entry);
                if bytes >= wanted {
                    return Ok(Some(kept));
                }
            }
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    8 + entry.0.len() + entry.1.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(sequence: u64, kept: Option<Kept>) -> Transaction {
        Transaction {
            owner: "a".to_owned(),
            epoch: 1,
            sequence,
            time_ms: 1_000,
            sent: 0,
            causes: Vec::new(),
            changes: Vec::new(),
            effects: Vec::new(),
            restore_point: None,
            kept,
        }
    }

    #[test]
    fn a_restore_point_is_named_once_it_is_complete_and_all_before_it_is_sent() {
        let part = |begins, ends| Some(Kept { begins, ends, entries: vec![(b"k".to_vec(), b"v".to_vec())] });
        let mut snapshots = Snapshots::default();
        for (offset, kept) in [(1, None), (2, None), (3, part(true, false)), (4, part(false, false))] {
            snapshots.admit(offset, &transaction(offset as u64, kept), 100);
            assert_eq!(snapshots.restore_point(u64::MAX - 1), None, "nothing is complete after offset {offset}");
        }
        snapshots.admit(5, &transaction(5, part(false, true)), 100);
        assert_eq!(snapshots.restore_point(1), None, "an effect of transaction 2 may not have arrived");
        let point = RestorePoint { offset: 3, sequence: 3 };
        assert_eq!(snapshots.restore_point(2), Some(point));
        assert_eq!(snapshots.replay_bytes(), 300);
        // What is named stays named until there is a newer one.
        snapshots.name(Some(point));
        snapshots.admit(6, &transaction(6, part(true, true)), 100);
        assert_eq!(snapshots.restore_point(4), Some(point));
        assert_eq!(snapshots.restore_point(5), Some(RestorePoint { offset: 6, sequence: 6 }));
    }
}
