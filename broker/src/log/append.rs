//! Writing: one lock, one write; then either the syncer or nobody has to be asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::batch::EncodedBatch;
use crate::limits::{APPEND_BUFFER_BYTES_KEPT, APPEND_BYTES_MAX, INDEX_INTERVAL_BYTES_ACTIVE, PROBE_BYTES};

use super::file::SegmentFile;
use super::view::Mark;
use super::{CloseReason, Durability, Error, Inner, PartitionLog, open};

impl PartitionLog {
    /// Gives the batches the next offsets, without gaps, and writes all of them or none. Returns the base offset of each.
    ///
    /// They are not durable yet and no reader sees them: see [`PartitionLog::wait_durable`]. All of them end up in the
    /// same segment.
    ///
    /// # Errors
    /// When a batch or the group is too large, when the disk refuses (then nothing was stored and a later append
    /// may succeed), or when the log has been closed (then it must be opened again).
    pub fn append(&self, batches: &[EncodedBatch]) -> Result<Vec<i64>, Error> {
        let log = &self.inner;
        let bytes = log.check_sizes(batches)?;
        let mut buffer = log.lock_append();
        if log.syncer.is_stopping() {
            log.close(CloseReason::Stopping);
        }
        log.check_open()?;
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        log.roll_if_full(bytes)?;
        let (file, written) = {
            let view = log.view();
            (view.active.file.clone(), view.written())
        };
        let base_offsets = log.encode(batches, written.offset, &mut buffer);
        log.write(&file, &buffer, written.position)?;
        buffer.clear();
        buffer.shrink_to(APPEND_BUFFER_BYTES_KEPT);
        log.note_written(batches, &base_offsets);
        drop(buffer);
        log.make_durable()?;
        Ok(base_offsets)
    }
}

impl PartitionLog {
    /// Finds out whether the disk takes appends, without appending: writes behind the last batch and cuts that away again.
    ///
    /// # Errors
    /// What an append would meet.
    pub fn probe(&self) -> Result<(), Error> {
        let log = &self.inner;
        let _no_append = log.lock_append();
        log.check_open()?;
        let (file, written) = {
            let view = log.view();
            (view.active.file.clone(), view.written())
        };
        // A crash in between leaves what recovery takes for the torn tail that it is.
        log.write(&file, &[0; PROBE_BYTES], written.position)?;
        log.cut(&file, written.position);
        log.check_open()
    }
}

impl Inner {
    /// Returns the size of the group.
    fn check_sizes(&self, batches: &[EncodedBatch]) -> Result<u64, Error> {
        let too_large = |bytes, bytes_max| Err(Error::TooLarge { dir: self.directory.path.clone(), bytes, bytes_max });
        let sizes = batches.iter().map(|batch| batch.as_bytes().len() as u64);
        let largest = sizes.clone().max().unwrap_or(0);
        if largest > self.options.segment_bytes_max {
            return too_large(largest, self.options.segment_bytes_max);
        }
        let group = sizes.sum();
        if group > APPEND_BYTES_MAX as u64 {
            return too_large(group, APPEND_BYTES_MAX as u64);
        }
        Ok(group)
    }

    /// Puts the group together as it will be stored.
    fn encode(&self, batches: &[EncodedBatch], first_offset: i64, buffer: &mut Vec<u8>) -> Vec<i64> {
        let mut next_offset = first_offset;
        buffer.clear();
        let mut base_offsets = Vec::with_capacity(batches.len());
        for batch in batches {
            let start = buffer.len();
            buffer.extend_from_slice(batch.as_bytes());
            let stored = &mut buffer[start..];
            stored[..8].copy_from_slice(&next_offset.to_be_bytes());
            self.stamp.apply(stored);
            base_offsets.push(next_offset);
            next_offset += i64::from(batch.record_count());
        }
        base_offsets
    }

    /// Writes the group, or cuts away what was written of it.
    fn write(&self, file: &SegmentFile, bytes: &[u8], position: u64) -> Result<(), Error> {
        let Err(source) = file.write_all_at(bytes, position) else {
            return Ok(());
        };
        self.cut(file, position);
        let path = self.directory.segment(self.view().active.base_offset);
        Err(Error::file("write", &path)(source))
    }

    /// Cuts away what was written from `position` on; closes the log if that fails.
    fn cut(&self, file: &SegmentFile, position: u64) {
        if let Err(error) = file.truncate(position) {
            self.close(CloseReason::WriteNotUndone { error: error.to_string() });
        }
    }

    fn note_written(&self, batches: &[EncodedBatch], base_offsets: &[i64]) {
        let mut view = self.view_mut();
        let active = &mut view.active;
        for (batch, base_offset) in batches.iter().zip(base_offsets) {
            active.index.note(*base_offset, active.size_bytes, INDEX_INTERVAL_BYTES_ACTIVE);
            active.size_bytes += batch.as_bytes().len() as u64;
            active.end_offset = base_offset + i64::from(batch.record_count());
            active.max_timestamp_ms = active.max_timestamp_ms.max(batch.max_timestamp_ms());
        }
    }

    /// Asks for a sync of what was written, or publishes it at once where the operating system is trusted.
    fn make_durable(self: &Arc<Self>) -> Result<(), Error> {
        match self.options.durability {
            Durability::Os => {
                let written = self.view().written();
                self.publish(written);
            }
            // Whoever syncs a queued log looks afterwards whether more has been written.
            Durability::Fsync if self.queued.swap(true, Ordering::SeqCst) => {}
            Durability::Fsync => {
                if !self.syncer.push(self.clone()) {
                    self.close(CloseReason::Stopping);
                    return self.check_open();
                }
            }
        }
        Ok(())
    }

    /// Makes what is written durable. Called by the syncer; returns whether the log has to be queued again.
    pub(super) fn sync_queued(&self) -> bool {
        // A failure closes the log, which is how those who wait for it hear of it.
        let synced = self.sync_written();
        // Queued up to here, so that the syncer's other threads keep to other logs. In this order: an append that still
        // saw the mark has already changed the view.
        self.queued.store(false, Ordering::SeqCst);
        let more = {
            let view = self.view();
            view.written().offset > view.visible.offset
        };
        synced.is_ok() && more && !self.queued.swap(true, Ordering::SeqCst)
    }

    /// Makes everything written so far durable and shows it to readers.
    ///
    /// # Errors
    /// When the disk fails or has failed before. The kernel reports a failure once and may drop the data then, so a
    /// later success would prove nothing; for the same reason two threads never sync one log at the same time.
    pub(super) fn sync_written(&self) -> Result<(), Error> {
        let _one_at_a_time = self.lock_sync();
        if matches!(self.close_reason(), Some(CloseReason::SyncFailed { .. } | CloseReason::Deleted)) {
            return self.check_open();
        }
        let (file, written) = {
            let view = self.view();
            (view.active.file.clone(), view.written())
        };
        if let Err(error) = file.sync() {
            tracing::error!(log = %self.directory.path.display(), %error, "sync failed, the log takes no more appends");
            self.close(CloseReason::SyncFailed { error: error.to_string() });
            return self.check_open();
        }
        self.publish(written);
        Ok(())
    }

    fn publish(&self, mark: Mark) {
        let mut view = self.view_mut();
        if view.publish(mark) {
            // Under the lock, so that two publishers cannot swap their order.
            self.high_watermark.send_replace(mark.offset);
        }
    }

    /// Closes the active segment if `bytes` more would make it too large. The caller holds the append lock.
    ///
    /// A closed segment is durable and whole before its successor exists, so recovery expects a torn tail in the last
    /// segment only.
    fn roll_if_full(&self, bytes: u64) -> Result<(), Error> {
        let (written, summary) = {
            let view = self.view();
            let full = view.active.size_bytes > 0 && view.active.size_bytes + bytes > self.options.segment_bytes_max;
            if !full {
                return Ok(());
            }
            (view.written(), view.active.summary())
        };
        self.sync_written()?;
        let path = self.directory.segment(written.offset);
        let next = self.disk.create(&path).map_err(Error::file("create", &path))?;
        if let Err(error) = self.directory.sync() {
            // The next start may or may not find the new segment; it must not find an older one that went on growing.
            self.close(CloseReason::SyncFailed { error: error.to_string() });
            return Err(error);
        }
        open::save_cache(&self.directory, written.segment, &summary);
        self.view_mut().roll(summary, next);
        if let Err(error) = self.remove_excess() {
            tracing::warn!(log = %self.directory.path.display(), %error, "cannot remove old segments");
        }
        Ok(())
    }
}
