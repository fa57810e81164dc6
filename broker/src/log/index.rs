//! A sparse map from offset to file position.
//!
//! For the segment that is written it lives in memory only. A closed segment keeps a thinner one, also on disk, so that
//! opening a large partition need not read it: that file is a cache which a scan of the segment rebuilds.

use std::fs;
use std::io;
use std::path::Path;

use crate::limits::INDEX_INTERVAL_BYTES_CLOSED;

const MAGIC: &[u8; 8] = b"OFLOGIX1";
const FIXED_BYTES: usize = 8 + 8 + 8 + 8 + 4;

/// Where to start looking for an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    base_offset: i64,
    position: u64,
}

/// Entries in ascending order, at least an interval of bytes apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseIndex {
    entries: Vec<Entry>,
}

impl SparseIndex {
    /// Notes a batch unless the last noted one is nearer than `interval_bytes`.
    pub(super) fn note(&mut self, base_offset: i64, position: u64, interval_bytes: u64) {
        let due = self.entries.last().is_none_or(|last| position >= last.position + interval_bytes);
        if due {
            self.entries.push(Entry { base_offset, position });
        }
    }

    /// Returns the position of a batch at or before `offset`.
    pub(super) fn position_before(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.base_offset <= offset);
        after.checked_sub(1).map_or(0, |last| self.entries[last].position)
    }

    /// Returns the index of the same segment once it is closed.
    pub(super) fn thinned(&self) -> Self {
        let mut thin = Self::default();
        for entry in &self.entries {
            thin.note(entry.base_offset, entry.position, INDEX_INTERVAL_BYTES_CLOSED);
        }
        thin.entries.shrink_to_fit();
        thin
    }
}

/// What is known of a closed segment without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) size_bytes: u64,
    pub(super) end_offset: i64,
    pub(super) max_timestamp_ms: i64,
    pub(super) index: SparseIndex,
}

impl Summary {
    /// Writes the cache file. It carries a checksum, so it need be neither synced nor replaced atomically.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + 16 * self.index.entries.len() + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.size_bytes.to_be_bytes());
        bytes.extend_from_slice(&self.end_offset.to_be_bytes());
        bytes.extend_from_slice(&self.max_timestamp_ms.to_be_bytes());
        bytes.extend_from_slice(&(self.index.entries.len() as u32).to_be_bytes());
        for entry in &self.index.entries {
            bytes.extend_from_slice(&entry.base_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.position.to_be_bytes());
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        fs::write(path, bytes)
    }

    /// Reads the cache file back; `None` when it is missing or not whole.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut next = || -> Option<u64> {
            let (number, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(u64::from_be_bytes(*number))
        };
        let size_bytes = next()?;
        let end_offset = next()?.cast_signed();
        let max_timestamp_ms = next()?.cast_signed();
        let (count, entries) = rest.split_first_chunk::<4>()?;
        let (entries, leftover) = entries.as_chunks::<16>();
        if !leftover.is_empty() || entries.len() != u32::from_be_bytes(*count) as usize {
            return None;
        }
        let entries = entries
            .iter()
            .map(|entry| {
                let number = u128::from_be_bytes(*entry);
                Entry { base_offset: ((number >> 64) as u64).cast_signed(), position: number as u64 }
            })
            .collect();
        Some(Self { size_bytes, end_offset, max_timestamp_ms, index: SparseIndex { entries } })
    }
}
