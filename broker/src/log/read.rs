//! Reading: look up, then one read of whole batches.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{BatchError, BatchHeader, BatchLimits, EncodedBatch, HEADER_BYTES};
use crate::limits::{INDEX_INTERVAL_BYTES_ACTIVE, READ_BYTES_MAX};

use super::file::SegmentFile;
use super::view::ClosedSegment;
use super::{CloseReason, Error, Inner, PartitionLog};

/// Whole batches as they are stored, to be sent as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSlice {
    /// The batches back to back; empty when there is nothing to read yet.
    pub bytes: Bytes,
    /// Offset of the first record in `bytes`; at or before the offset that was asked for.
    pub base_offset: i64,
    /// Where to go on: the offset after the last record in `bytes`.
    pub next_offset: i64,
    /// First offset of the log at the time of reading.
    pub start_offset: i64,
    /// High watermark of the log at the time of reading.
    pub high_watermark: i64,
}

impl ReadSlice {
    /// Splits the slice into its batches, for those who want to look inside.
    ///
    /// # Errors
    /// When `limits` are tighter than those under which the batches were stored.
    pub fn batches(&self, limits: &BatchLimits) -> Result<Vec<EncodedBatch>, BatchError> {
        EncodedBatch::split(self.bytes.clone(), limits)
    }
}

/// Where the batch with the offset in question is.
enum Place {
    Active { file: Arc<SegmentFile>, path: PathBuf, search_from: u64, limit: u64 },
    Closed { segment: Arc<ClosedSegment> },
    Nowhere,
}

impl PartitionLog {
    /// Returns whole batches, the first of which contains `from`: as many as fit into `bytes_max` and lie in one
    /// segment, at least one however large it is, none beyond the high watermark.
    ///
    /// Nothing is returned when `from` is not durable yet, up to the end of what was written.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when `from` was removed or never written; otherwise when the segment cannot be
    /// read or is damaged.
    pub fn read(&self, from: i64, bytes_max: usize) -> Result<ReadSlice, Error> {
        let log = &self.inner;
        if log.close_reason() == Some(CloseReason::Deleted) {
            log.check_open()?;
        }
        let (place, empty) = log.locate(from)?;
        match place {
            Place::Nowhere => Ok(empty),
            Place::Active { file, path, search_from, limit } => {
                let span = Span { file: &file, path: &path, limit, log };
                span.read(search_from, from, bytes_max, empty, false)
            }
            Place::Closed { segment } => log.read_closed(&segment, from, bytes_max, empty),
        }
    }
}

impl Inner {
    fn locate(&self, from: i64) -> Result<(Place, ReadSlice), Error> {
        let view = self.view();
        let (start_offset, high_watermark) = (view.start_offset(), view.visible.offset);
        if from < start_offset || from > view.active.end_offset {
            return Err(Error::OffsetOutOfRange { offset: from, start: start_offset, end: high_watermark });
        }
        let empty = ReadSlice { bytes: Bytes::new(), base_offset: from, next_offset: from, start_offset, high_watermark };
        let place = if from >= high_watermark {
            Place::Nowhere
        } else if from >= view.active.base_offset {
            Place::Active {
                file: view.active.file.clone(),
                path: self.directory.segment(view.active.base_offset),
                search_from: view.active.index.position_before(from),
                limit: view.visible.position,
            }
        } else {
            let after = view.closed.partition_point(|segment| segment.base_offset <= from);
            Place::Closed { segment: view.closed[after - 1].clone() }
        };
        Ok((place, empty))
    }

    /// Opens the segment for this one read: an idle partition holds one file open, however many segments it has.
    fn read_closed(&self, segment: &ClosedSegment, from: i64, bytes_max: usize, empty: ReadSlice) -> Result<ReadSlice, Error> {
        let path = self.directory.segment(segment.base_offset);
        let file = match self.disk.open_read_only(&path) {
            Ok(file) => file,
            // Retention was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (start, end) = (segment.summary.end_offset, empty.high_watermark);
                return Err(Error::OffsetOutOfRange { offset: from, start, end });
            }
            Err(error) => return Err(Error::file("open", &path)(error)),
        };
        let search_from = segment.summary.index.position_before(from);
        let span = Span { file: &file, path: &path, limit: segment.summary.size_bytes, log: self };
        // Only the last segment is checked when a log is opened, the others when they are read.
        span.read(search_from, from, bytes_max, empty, true)
    }
}

/// The part of a segment that may be read.
struct Span<'a> {
    file: &'a SegmentFile,
    path: &'a Path,
    limit: u64,
    log: &'a Inner,
}

impl Span<'_> {
    fn read(&self, search_from: u64, from: i64, bytes_max: usize, empty: ReadSlice, check_crc: bool) -> Result<ReadSlice, Error> {
        let (position, first) = self.find(search_from, from)?;
        let left_bytes = self.limit - position;
        let wanted_bytes = bytes_max.min(READ_BYTES_MAX).max(first.total_bytes) as u64;
        let mut bytes = self.bytes_at(position, wanted_bytes.min(left_bytes) as usize)?;

        let mut end = 0;
        let mut next_offset = first.base_offset;
        while bytes.len() - end >= HEADER_BYTES {
            let header = self.header(&bytes[end..], position + end as u64)?;
            let Some(batch) = bytes[end..].get(..header.total_bytes) else { break };
            if check_crc && !header.crc_matches(batch) {
                return Err(self.damaged(position + end as u64, "its batch does not match its checksum"));
            }
            end += header.total_bytes;
            next_offset = header.next_offset();
        }
        bytes.truncate(end);
        Ok(ReadSlice { bytes: bytes.into(), base_offset: first.base_offset, next_offset, ..empty })
    }

    /// Finds the batch that contains `offset`, from the start of an earlier one.
    fn find(&self, search_from: u64, offset: i64) -> Result<(u64, BatchHeader), Error> {
        let mut position = search_from;
        while position < self.limit {
            let window_bytes = (self.limit - position).min(INDEX_INTERVAL_BYTES_ACTIVE) as usize;
            let window = self.bytes_at(position, window_bytes)?;
            let mut start = 0;
            // The first header of a window is always looked at, so that one that is cut short is found out.
            while start == 0 || start + HEADER_BYTES <= window.len() {
                let header = self.header(&window[start..], position + start as u64)?;
                if header.next_offset() > offset {
                    return Ok((position + start as u64, header));
                }
                start += header.total_bytes;
            }
            position += start as u64;
        }
        Err(self.damaged(position.min(self.limit), format!("offset {offset} is missing")))
    }

    /// Decodes the header of a stored batch and checks that it is one, and that it ends where it may.
    fn header(&self, bytes: &[u8], position: u64) -> Result<BatchHeader, Error> {
        let header = BatchHeader::parse(bytes).ok().filter(|_| self.log.stamp.matches(bytes));
        header
            .filter(|header| header.total_bytes as u64 <= self.limit - position)
            .ok_or_else(|| self.damaged(position, "its batch header is not one that this log wrote"))
    }

    fn bytes_at(&self, position: u64, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, position).map_err(Error::file("read", self.path))?;
        Ok(bytes)
    }

    fn damaged(&self, position: u64, problem: impl Into<String>) -> Error {
        Error::damaged(self.path, position, problem)
    }
}
