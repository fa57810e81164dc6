//! Forgetting: whole closed segments, oldest first.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::view::ClosedSegment;
use super::{CloseReason, Error, Inner, PartitionLog};

/// What retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retired {
    /// Number of segments.
    pub segments: usize,
    /// Their size.
    pub bytes: u64,
}

impl PartitionLog {
    /// Removes closed segments that are too old at the time `now`, or too much for the size of the partition. The
    /// segment that is written always stays. A reader keeps what it has been given.
    ///
    /// Call it now and then; the size is also enforced whenever a segment is closed.
    ///
    /// # Errors
    /// When a file cannot be removed; it and all younger ones stay.
    pub fn enforce_retention(&self, now: SystemTime) -> Result<Retired, Error> {
        self.inner.remove_while(|log, segment, size_bytes| Ok(log.exceeds(size_bytes) || log.is_expired(segment, now)?))
    }
}

impl Inner {
    /// Removes what is too much, however young it is.
    pub(super) fn remove_excess(&self) -> Result<Retired, Error> {
        self.remove_while(|log, _segment, size_bytes| Ok(log.exceeds(size_bytes)))
    }

    fn remove_while(&self, is_due: impl Fn(&Self, &ClosedSegment, u64) -> Result<bool, Error>) -> Result<Retired, Error> {
        let _one_at_a_time = self.lock_retention();
        let mut retired = Retired::default();
        if self.close_reason() == Some(CloseReason::Deleted) {
            return Ok(retired);
        }
        loop {
            let (oldest, size_bytes) = {
                let view = self.view();
                (view.closed.first().cloned(), view.size_bytes())
            };
            let Some(oldest) = oldest else { break };
            if !is_due(self, &oldest, size_bytes)? {
                break;
            }
            self.remove_oldest(oldest.base_offset)?;
            retired.segments += 1;
            retired.bytes += oldest.summary.size_bytes;
        }
        Ok(retired)
    }

    /// The removal is made durable one by one: a crash must not bring an old segment back before a missing one.
    fn remove_oldest(&self, base_offset: i64) -> Result<(), Error> {
        let path = self.directory.segment(base_offset);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::file("remove", &path)(error)),
            _ => {}
        }
        self.view_mut().closed.remove(0);
        // Only a cache; a leftover is never looked at again.
        let _ = fs::remove_file(self.directory.index(base_offset));
        self.directory.sync()
    }

    fn exceeds(&self, size_bytes: u64) -> bool {
        size_bytes > self.options.partition_bytes_max
    }

    fn is_expired(&self, segment: &ClosedSegment, now: SystemTime) -> Result<bool, Error> {
        let path = self.directory.segment(segment.base_offset);
        let modified = modified(&path).map_err(Error::file("read", &path))?;
        // A producer's clock may be ahead; the segment was complete when it was last written.
        let newest = match u64::try_from(segment.summary.max_timestamp_ms) {
            Ok(timestamp_ms) if timestamp_ms > 0 => modified.min(UNIX_EPOCH + Duration::from_millis(timestamp_ms)),
            _ => modified,
        };
        Ok(now.duration_since(newest).is_ok_and(|age| age > self.options.retention))
    }
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}
