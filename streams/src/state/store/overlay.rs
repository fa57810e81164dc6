//! Changes that lie over a store until it has them.

use std::collections::BTreeMap;

use crate::state::Change;

/// What an entry takes in memory besides its key and value, in bytes, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// The last change of each entry.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Overlay {
    pub(super) fn take(&mut self, changes: Vec<Change>) {
        for (key, value) in changes {
            self.bytes += ENTRY_OVERHEAD_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
            let key_bytes = key.len();
            if let Some(old) = self.changes.insert(key, value) {
                self.bytes -= ENTRY_OVERHEAD_BYTES + key_bytes + old.map_or(0, |old| old.len());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns what it takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.changes.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Puts its entries of `[from, to)` over those in `entries`.
    pub(super) fn cover(&self, from: &[u8], to: &[u8], entries: &mut BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        entries.extend(self.changes.range(from.to_vec()..to.to_vec()).map(|(key, value)| (key.clone(), value.clone())));
    }
}
