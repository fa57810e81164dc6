//! The stamp that marks a batch as stored by this log.
//!
//! A producer's CRC32C does not cover a batch's base offset and length, and a record may well contain bytes that look
//! like a whole batch. Recovery has to know both: where a batch ends, and whether what follows a bad one was ever
//! written as a batch. So the log fills the four bytes of the leader epoch, which a single node has no use for, no
//! checksum covers and no client reads, with a keyed hash over the rest of the header. The key is random per log:
//! a producer cannot forge a stamp.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip::SipHasher13;

use crate::batch::{HEADER_BYTES, LEADER_EPOCH};

/// Stamps and recognises the batches of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) key: [u8; 16],
}

impl Stamp {
    pub(super) fn random() -> Self {
        // The standard library seeds a `RandomState` from the operating system's randomness.
        let state = RandomState::new();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&state.hash_one(0_u8).to_be_bytes());
        key[8..].copy_from_slice(&state.hash_one(1_u8).to_be_bytes());
        Self { key }
    }

    /// Writes the stamp into the header at the start of `batch`, whose base offset must be final.
    pub(super) fn apply(&self, batch: &mut [u8]) {
        let stamp = self.of(batch);
        batch[LEADER_EPOCH].copy_from_slice(&stamp);
    }

    /// Whether `bytes` starts with a header that this log wrote.
    pub(super) fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() >= HEADER_BYTES && bytes[LEADER_EPOCH] == self.of(bytes)
    }

    fn of(&self, batch: &[u8]) -> [u8; 4] {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&batch[..LEADER_EPOCH.start]);
        hasher.write(&batch[LEADER_EPOCH.end..HEADER_BYTES]);
        (hasher.finish() as u32).to_be_bytes()
    }
}
