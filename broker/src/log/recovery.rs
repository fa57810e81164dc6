//! Finds out what a segment file really holds.
//!
//! A crash leaves a *torn tail*: the last write is there in part, and nothing follows it. That may be cut away, since
//! nobody was told that it is stored. Anything else that is not a batch is *damage* and is not touched. What tells the
//! two apart is whether a batch of this log stands behind the first bad byte.
//!
//! A power failure (not a killed process) may on some file systems lose an early one of several writes that were not
//! synced yet and keep a later one. That looks like damage and is reported as such: refusing to start loses nothing.

use std::path::Path;

use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::limits::{INDEX_INTERVAL_BYTES_ACTIVE, SCAN_WINDOW_BYTES};

use super::Error;
use super::file::SegmentFile;
use super::index::SparseIndex;
use super::stamp::Stamp;

/// The good part of a segment.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) index: SparseIndex,
    /// Size of the good part.
    pub(super) size_bytes: u64,
    pub(super) end_offset: i64,
    pub(super) max_timestamp_ms: i64,
    /// Size of the torn tail behind it, 0 when there is none.
    pub(super) torn_bytes: u64,
}

/// Reads the whole segment and checks every batch.
///
/// # Errors
/// When the segment is damaged in a way that no crash explains, or cannot be read.
pub(super) fn scan(file: &SegmentFile, path: &Path, base_offset: i64, stamp: Stamp) -> Result<Contents, Error> {
    let mut window = Window::new(file, path)?;
    let mut contents = Contents { index: SparseIndex::default(), size_bytes: 0, end_offset: base_offset, max_timestamp_ms: -1, torn_bytes: 0 };
    while contents.size_bytes < window.file_bytes {
        let position = contents.size_bytes;
        match check_batch(&mut window, position, contents.end_offset, stamp)? {
            Ok(header) => {
                contents.index.note(header.base_offset, position, INDEX_INTERVAL_BYTES_ACTIVE);
                contents.size_bytes += header.total_bytes as u64;
                contents.end_offset = header.next_offset();
                contents.max_timestamp_ms = contents.max_timestamp_ms.max(header.max_timestamp_ms);
            }
            Err(defect) => {
                if let Some(good) = find_batch(&mut window, defect.search_from, contents.end_offset, stamp)? {
                    let problem = format!("{}, but a batch that was written later follows at byte {good}", defect.problem);
                    return Err(Error::damaged(path, position, problem));
                }
                contents.torn_bytes = window.file_bytes - position;
                break;
            }
        }
    }
    Ok(contents)
}

/// What keeps the bytes at a position from being the next batch.
struct Defect {
    problem: &'static str,
    /// Where the next batch could start at the earliest.
    search_from: u64,
}

fn check_batch(window: &mut Window<'_>, position: u64, base_offset: i64, stamp: Stamp) -> Result<Result<BatchHeader, Defect>, Error> {
    let left_bytes = window.file_bytes - position;
    let unknown = |problem| Ok(Err(Defect { problem, search_from: position + 1 }));
    if left_bytes < HEADER_BYTES as u64 {
        return unknown("its batch header is cut short");
    }
    let bytes = window.at(position, HEADER_BYTES)?;
    let Ok(header) = BatchHeader::parse(bytes) else {
        return unknown("its batch header is malformed");
    };
    if !stamp.matches(bytes) {
        return unknown("its batch header was not written by this log");
    }
    // The stamp vouches for offset and length, so the search can skip the batch and never looks into its records.
    let search_from = (position + header.total_bytes as u64).min(window.file_bytes);
    if header.base_offset != base_offset {
        return Ok(Err(Defect { problem: "its batch does not follow the one before it", search_from: position }));
    }
    if header.total_bytes as u64 > left_bytes {
        return Ok(Err(Defect { problem: "its batch is cut short", search_from }));
    }
    if !header.crc_matches(window.at(position, header.total_bytes)?) {
        return Ok(Err(Defect { problem: "its batch does not match its checksum", search_from }));
    }
    Ok(Ok(header))
}

/// Looks for the header of a later batch that this log wrote, from `position` on. Earlier ones do not count: after a
/// power failure a file may end in stale blocks of a segment that was deleted.
fn find_batch(window: &mut Window<'_>, position: u64, end_offset: i64, stamp: Stamp) -> Result<Option<u64>, Error> {
    let mut position = position;
    while position + HEADER_BYTES as u64 <= window.file_bytes {
        let left_bytes = window.file_bytes - position;
        let bytes = window.at(position, left_bytes.min(SCAN_WINDOW_BYTES as u64) as usize)?;
        for (start, header) in bytes.windows(HEADER_BYTES).enumerate() {
            let is_batch = BatchHeader::parse(header).is_ok_and(|header| header.base_offset >= end_offset);
            if is_batch && stamp.matches(header) {
                return Ok(Some(position + start as u64));
            }
        }
        position += (bytes.len() - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}

/// A part of the file in memory, which moves forward.
struct Window<'a> {
    file: &'a SegmentFile,
    path: &'a Path,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a SegmentFile, path: &'a Path) -> Result<Self, Error> {
        let file_bytes = file.size_bytes().map_err(Error::file("read", path))?;
        Ok(Self { file, path, file_bytes, start: 0, bytes: Vec::new() })
    }

    /// Returns `length` bytes at `position`, all of which must be in the file.
    fn at(&mut self, position: u64, length: usize) -> Result<&[u8], Error> {
        let end = position + length as u64;
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let ahead = (self.file_bytes - position).min(SCAN_WINDOW_BYTES as u64) as usize;
            self.bytes.resize(ahead.max(length), 0);
            self.start = position;
            self.file.read_exact_at(&mut self.bytes, position).map_err(Error::file("read", self.path))?;
        }
        let start = (position - self.start) as usize;
        Ok(&self.bytes[start..start + length])
    }
}
