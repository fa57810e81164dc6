//! The journal: changelog and transaction log of a task in one topic partition, and the rule by which every reader gives it the same meaning.
//!
//! A journal means: the transactions of the fence in force at their place whose sequence number directly follows the last valid one. Everything else is void, for every reader.

use serde::{Deserialize, Serialize};

use crate::processor::{Effect, Entry};
use crate::state::Change;
use crate::topology::is_versioned;

/// First byte of every record: the version of the layout. Version 1 had no snapshots, version 2 no values that say their version; both are still read. A record is written in the oldest version
/// that can say it, so that older programs read it as long as they can.
const VERSION: u8 = 3;
const VERSION_UNVERSIONED_VALUES: u8 = 2;
const VERSION_OLDEST: u8 = 1;

/// A takeover: from here on only `owner` may commit, until a fence of a later epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Incarnation that takes over; fresh at every attempt, so that a fence which lands late cannot be taken for a newer one.
    pub owner: String,
    /// Greater than the epoch that was in force when it was written: the time, or one more. The first fence of an epoch wins.
    pub epoch: u64,
    /// Where a reader without a store may begin, as far as the writer knew.
    #[serde(default)]
    pub restore_point: Option<RestorePoint>,
}

/// A place in a journal from where on its records hold everything: the state that was alive there is written again behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePoint {
    /// Offset of the transaction with which the snapshot begins.
    pub offset: i64,
    /// Its sequence number.
    pub sequence: u64,
}

/// A part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// It is the first part.
    pub begins: bool,
    /// It is the last part.
    pub ends: bool,
    /// Entries as they were before the transaction, in key order, after those of the part before.
    #[serde(with = "entries_as_bytes")]
    pub entries: Vec<Entry>,
}

/// One run of inputs: what it was caused by, what it changes, what it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Incarnation that wrote it.
    pub owner: String,
    /// Epoch of its fence.
    pub epoch: u64,
    /// Follows the last valid transaction without a hole, across epochs.
    pub sequence: u64,
    /// Time of the step, ms since the Unix epoch.
    pub time_ms: i64,
    /// All effects of transactions up to this sequence number have been acknowledged.
    pub sent: u64,
    /// What the inputs were: positions, `timer:<name>/<key>`, `call:<id>`.
    pub causes: Vec<String>,
    /// Entry changes, the progress of sources and senders among them.
    #[serde(with = "changes_as_bytes")]
    pub changes: Vec<Change>,
    /// Records for other topics, in order.
    pub effects: Vec<Effect>,
    /// Where a reader without a store may begin, as far as the writer knew.
    #[serde(default)]
    pub restore_point: Option<RestorePoint>,
    /// Entries that are written again.
    #[serde(default)]
    pub kept: Option<Kept>,
}

/// A record of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalRecord {
    /// A takeover.
    Fence(Fence),
    /// A transaction.
    Transaction(Transaction),
}

/// A journal record that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Written by a newer program.
    #[error("journal record has layout version {0}, this program reads versions up to {VERSION}: run a newer program")]
    Version(u8),
    /// Written in a layout that this program reads, and yet not readable: what it says is not known, so nobody may go on as if it said nothing.
    #[error("journal record of layout version {version} does not decode: {detail}")]
    Unreadable {
        /// Layout version.
        version: u8,
        /// What the decoder said.
        detail: String,
    },
    /// Not a journal record at all.
    #[error("journal record does not decode: {0}")]
    Garbage(String),
}

impl JournalRecord {
    /// Returns the stored form.
    ///
    /// # Panics
    /// Never: every journal record serializes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.version()];
        rmp_serde::encode::write(&mut bytes, self).unwrap_or_else(|error| panic!("journal record serializes: {error}"));
        bytes
    }

    /// Returns the oldest layout version that can say this: a program that knows no versions of values must not read one.
    fn version(&self) -> u8 {
        let Self::Transaction(transaction) = self else { return VERSION_UNVERSIONED_VALUES };
        let changed = transaction.changes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let kept = transaction.kept.iter().flat_map(|kept| &kept.entries).map(|(key, value)| (key, value));
        let is_newer = changed.chain(kept).any(|(key, value)| key.first() == Some(&b'u') && is_versioned(value));
        if is_newer { VERSION } else { VERSION_UNVERSIONED_VALUES }
    }

    /// Returns the restore point that it names, if any.
    pub fn restore_point(&self) -> Option<RestorePoint> {
        match self {
            Self::Fence(fence) => fence.restore_point,
            Self::Transaction(transaction) => transaction.restore_point,
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        match bytes.split_first() {
            Some((&version @ VERSION_OLDEST..=VERSION, body)) => {
                let mut record = rmp_serde::from_slice(body).map_err(|error| JournalError::Unreadable { version, detail: error.to_string() })?;
                if let Self::Transaction(transaction) = &mut record {
                    transaction.regain_traces();
                }
                Ok(record)
            }
            // Small numbers are versions; anything else was never written by a task.
            Some((&version, _)) if version < 32 => Err(JournalError::Version(version)),
            _ => Err(JournalError::Garbage("no layout version".to_owned())),
        }
    }
}

/// What a journal record means at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A fence that is in force from here on.
    Takeover,
    /// A transaction that counts.
    Valid,
    /// Nothing.
    Void,
}

/// The readers' rule as a fold over a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Owner of the fence in force; empty before the first.
    pub owner: String,
    /// Epoch of the fence in force; 0 before the first.
    pub epoch: u64,
    /// Sequence number of the last valid transaction; 0 before the first.
    pub sequence: u64,
}

impl Fold {
    /// Takes the next record of the journal.
    pub fn admit(&mut self, record: &JournalRecord) -> Meaning {
        match record {
            JournalRecord::Fence(fence) if fence.epoch > self.epoch => {
                self.owner.clone_from(&fence.owner);
                self.epoch = fence.epoch;
                Meaning::Takeover
            }
            JournalRecord::Transaction(transaction)
                if transaction.owner == self.owner && transaction.epoch == self.epoch && transaction.sequence == self.sequence + 1 =>
            {
                self.sequence = transaction.sequence;
                Meaning::Valid
            }
            _ => Meaning::Void,
        }
    }
}

/// A place in a journal, with the fold of everything before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Offset of the next record.
    pub offset: i64,
    /// Fold of all records before it.
    pub fold: Fold,
}

/// Entry changes as byte strings: as lists of numbers they would take twice the room.
mod changes_as_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    use crate::state::Change;

    pub(super) fn serialize<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
        let view: Vec<(&Bytes, Option<&Bytes>)> = changes.iter().map(|(key, value)| (Bytes::new(key), value.as_deref().map(Bytes::new))).collect();
        view.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Change>, D::Error> {
        let view: Vec<(ByteBuf, Option<ByteBuf>)> = Vec::deserialize(deserializer)?;
        Ok(view.into_iter().map(|(key, value)| (key.into_vec(), value.map(ByteBuf::into_vec))).collect())
    }
}

/// Entries as byte strings, as [`changes_as_bytes`].
mod entries_as_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    use crate::processor::Entry;

    pub(super) fn serialize<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
        let view: Vec<(&Bytes, &Bytes)> = entries.iter().map(|(key, value)| (Bytes::new(key), Bytes::new(value))).collect();
        view.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
        let view: Vec<(ByteBuf, ByteBuf)> = Vec::deserialize(deserializer)?;
        Ok(view.into_iter().map(|(key, value)| (key.into_vec(), value.into_vec())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(owner: &str, epoch: u64) -> JournalRecord {
        JournalRecord::Fence(Fence { owner: owner.to_owned(), epoch, restore_point: None })
    }

    fn transaction(owner: &str, epoch: u64, sequence: u64) -> JournalRecord {
        let changes = vec![(b"ua\0b".to_vec(), Some(vec![0, 255])), (b"x".to_vec(), None)];
        JournalRecord::Transaction(Transaction {
            owner: owner.to_owned(),
            epoch,
            sequence,
            time_ms: 7,
            sent: 0,
            causes: vec!["c/0/1".to_owned()],
            changes,
            effects: Vec::new(),
            restore_point: Some(RestorePoint { offset: 3, sequence: 2 }),
            kept: Some(Kept { begins: true, ends: false, entries: vec![(b"k".to_vec(), vec![0, 255])] }),
        })
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for record in [fence("a", 3), transaction("a", 3, 9)] {
            assert_eq!(JournalRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn values_that_say_their_version_need_a_newer_layout() {
        let JournalRecord::Transaction(plain) = transaction("a", 1, 1) else { panic!("it is a transaction") };
        let versioned = (b"us\0k".to_vec(), b"v2:{}".to_vec());
        let changed = Transaction { changes: vec![(versioned.0.clone(), Some(versioned.1.clone()))], ..plain.clone() };
        let kept = Transaction { kept: Some(Kept { begins: false, ends: true, entries: vec![versioned] }), ..plain.clone() };
        for (record, version) in
            [(fence("a", 1), 2), (JournalRecord::Transaction(plain), 2), (JournalRecord::Transaction(changed), 3), (JournalRecord::Transaction(kept), 3)]
        {
            let bytes = record.encode();
            assert_eq!((bytes[0], JournalRecord::decode(&bytes)), (version, Ok(record)));
        }
    }

    #[test]
    fn foreign_bytes_are_garbage_and_a_newer_layout_is_named() {
        assert!(matches!(JournalRecord::decode(b"{}"), Err(JournalError::Garbage(_))));
        assert!(matches!(JournalRecord::decode(b""), Err(JournalError::Garbage(_))));
        assert_eq!(JournalRecord::decode(&[4, 0]), Err(JournalError::Version(4)));
    }

    /// Records of version 1, as a program wrote them that knew no snapshots.
    #[test]
    fn the_oldest_layout_is_still_read() {
        let fence_of_old = [&[1][..], &rmp_serde::to_vec(&std::collections::BTreeMap::from([("Fence", ("a", 3))])).unwrap()].concat();
        assert_eq!(JournalRecord::decode(&fence_of_old), Ok(fence("a", 3)));
        let fields = ("a", 1, 1, 7, 0, ["c/0/1"], [(serde_bytes::ByteBuf::from(b"x".to_vec()), None::<()>)], [(); 0]);
        let old = [&[1][..], &rmp_serde::to_vec(&std::collections::BTreeMap::from([("Transaction", fields)])).unwrap()].concat();
        let Ok(JournalRecord::Transaction(read)) = JournalRecord::decode(&old) else { panic!("it reads") };
        assert_eq!((read.owner.as_str(), read.changes, read.kept, read.restore_point), ("a", vec![(b"x".to_vec(), None)], None, None));
    }

    #[test]
    fn the_first_fence_of_an_epoch_wins_and_only_its_owner_commits_in_sequence() {
        use Meaning::{Takeover, Valid, Void};
        let story = [
            (transaction("a", 1, 1), Void, "no fence yet"),
            (fence("a", 1), Takeover, "first fence"),
            (transaction("a", 1, 1), Valid, "first transaction"),
            (transaction("a", 1, 1), Void, "doubled"),
            (transaction("a", 1, 3), Void, "hole in the sequence"),
            (fence("b", 2), Takeover, "takeover"),
            (fence("c", 2), Void, "lost the epoch"),
            (transaction("a", 1, 2), Void, "zombie"),
            (transaction("c", 2, 2), Void, "loser"),
            (transaction("b", 2, 2), Valid, "sequence goes on across epochs"),
        ];
        let mut fold = Fold::default();
        for (record, meaning, why) in story {
            assert_eq!(fold.admit(&record), meaning, "{why}");
        }
    }
}
