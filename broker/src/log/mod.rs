//! The segment log: one partition's records on disk, and the promise that what was acknowledged stays.
//!
//! A [`PartitionLog`] is a directory of segment files that hold batches back to back, exactly as they travel. Appends
//! go to the last segment; the [`Syncer`] of the broker makes the appends of all its logs durable, many at a time; readers see nothing beyond the high watermark, which is how far the log is durable. So no offset that anybody has
//! seen is ever given to another record, whenever the process is killed.
//!
//! It knows neither topics nor the network, it does not look into records, and it keeps one owner per directory by
//! trust: whoever opens logs locks the directory above them.
//!
//! Start reading at `append.rs` and `read.rs`; `recovery.rs` says what a crash may leave behind, `directory.rs` names
//! the files.

mod append;
mod directory;
mod error;
mod file;
mod index;
mod open;
mod read;
mod recovery;
mod retention;
mod stamp;
mod syncer;
#[cfg(test)]
mod tests;
mod view;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::limits;

use self::directory::Directory;
use self::file::Disk;
use self::stamp::Stamp;
use self::syncer::Queue;
use self::view::View;

pub use self::error::{CloseReason, Error};
pub use self::read::ReadSlice;
pub use self::retention::Retired;
pub use self::syncer::{SyncRound, Syncer};

/// When an append counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// When the disk has it: it survives a power failure.
    #[default]
    Fsync,
    /// When the operating system has it: it survives a killed process, not a power failure.
    Os,
}

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment is closed before it would outgrow this many bytes. Moved into the range that
    /// [`limits::SEGMENT_BYTES_FLOOR`] and [`limits::SEGMENT_BYTES_CEILING`] allow.
    pub segment_bytes_max: u64,
    /// Closed segments are removed, oldest first, while the log is larger than this many bytes.
    pub partition_bytes_max: u64,
    /// Closed segments are removed once their newest record is older than this.
    pub retention: Duration,
    /// When an append counts as durable.
    pub durability: Durability,
}

impl Default for LogOptions {
    /// Fluvio's own defaults: segments of 1 GiB, partitions of 100 GiB, seven days.
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self { segment_bytes_max: GIB, partition_bytes_max: 100 * GIB, retention: Duration::from_secs(7 * 24 * 60 * 60), durability: Durability::Fsync }
    }
}

/// What opening a log involved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of the last segment that were read and checked.
    pub scanned_bytes: u64,
    /// Bytes of an unfinished write that were cut away; 0 after an orderly stop.
    pub torn_bytes: u64,
}

/// One partition's log. Clones share it; dropping the last one makes the rest durable and closes it.
#[derive(Debug, Clone)]
pub struct PartitionLog {
    inner: Arc<Inner>,
    _closer: Arc<Closer>,
}

/// Shared by the clones of a log, but not by the syncer: closing must not wait until the syncer has let go.
#[derive(Debug)]
struct Closer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    stamp: Stamp,
    options: LogOptions,
    disk: Disk,
    recovery: Recovery,
    opened_end_offset: i64,
    /// Serialises appends; holds the buffer in which they are put together. Held across writes, so never by readers.
    append_buffer: Mutex<Vec<u8>>,
    /// Serialises removals. May be taken while `append_buffer` is held, not the other way round.
    retention: Mutex<()>,
    /// Held while the disk syncs this log.
    sync: Mutex<()>,
    view: RwLock<View>,
    syncer: Arc<Queue>,
    /// Whether this log waits in the syncer's queue.
    queued: AtomicBool,
    high_watermark: watch::Sender<i64>,
    closed: watch::Sender<Option<CloseReason>>,
}

impl PartitionLog {
    /// Opens the log in `dir`, or creates it. Checks the last segment and cuts an unfinished write away; everything
    /// that is left is durable and readable.
    ///
    /// # Errors
    /// When the directory holds another format, is damaged, or cannot be used; when `options` ask for
    /// [`Durability::Fsync`] and `syncer` was started without.
    pub fn open(dir: &Path, options: LogOptions, syncer: &Syncer) -> Result<Self, Error> {
        Self::open_on(Disk::default(), dir, options, syncer)
    }

    fn open_on(disk: Disk, dir: &Path, options: LogOptions, syncer: &Syncer) -> Result<Self, Error> {
        if options.durability == Durability::Fsync && !syncer.syncs() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the syncer was started for another durability");
            return Err(Error::file("open", dir)(source));
        }
        let segment_bytes_max = options.segment_bytes_max.clamp(limits::SEGMENT_BYTES_FLOOR, limits::SEGMENT_BYTES_CEILING);
        let opened = open::open(dir, &disk)?;
        let end_offset = opened.view.visible.offset;
        let inner = Arc::new(Inner {
            directory: opened.directory,
            stamp: opened.stamp,
            options: LogOptions { segment_bytes_max, ..options },
            disk,
            recovery: opened.recovery,
            opened_end_offset: end_offset,
            append_buffer: Mutex::default(),
            retention: Mutex::default(),
            sync: Mutex::default(),
            view: RwLock::new(opened.view),
            syncer: syncer.queue(),
            queued: AtomicBool::new(false),
            high_watermark: watch::Sender::new(end_offset),
            closed: watch::Sender::new(None),
        });
        Ok(Self { _closer: Arc::new(Closer(inner.clone())), inner })
    }

    /// Returns what opening the log involved.
    pub fn recovery(&self) -> Recovery {
        self.inner.recovery
    }

    /// Returns the first offset that is still stored.
    pub fn start_offset(&self) -> i64 {
        self.inner.view().start_offset()
    }

    /// Returns the offset that the next record will get.
    pub fn end_offset(&self) -> i64 {
        self.inner.view().active.end_offset
    }

    /// Returns the offset after the last durable record. No reader may see further.
    pub fn high_watermark(&self) -> i64 {
        self.inner.view().visible.offset
    }

    /// Returns a receiver that follows the high watermark. See [`PartitionLog::closed`] for when it stops moving.
    pub fn watch_high_watermark(&self) -> watch::Receiver<i64> {
        self.inner.high_watermark.subscribe()
    }

    /// Waits until everything before `offset` is durable. Under [`Durability::Os`] that is when it is written.
    ///
    /// # Errors
    /// When the log stops taking appends first: the records before `offset` may or may not be stored.
    pub async fn wait_durable(&self, offset: i64) -> Result<(), Error> {
        let mut high_watermark = self.inner.high_watermark.subscribe();
        let mut closed = self.inner.closed.subscribe();
        // Both senders live in `self`, so neither wait ends because its sender is gone.
        tokio::select! {
            biased;
            _ = high_watermark.wait_for(|reached| *reached >= offset) => Ok(()),
            _ = closed.wait_for(Option::is_some) => self.inner.check_open(),
        }
    }

    /// Waits until the log stops taking appends and says why; a reader that waits for records should wait for this too.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.inner.closed.subscribe();
        match closed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Stopping),
            // The sender lives in `self`.
            Err(_) => CloseReason::Stopping,
        }
    }

    /// Returns the size of all segments in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.inner.view().size_bytes()
    }

    /// Removes the log and its files. Other clones can neither append nor read any more.
    ///
    /// The directory is first renamed to end in `.deleted`, so that a half removed log is never opened; one that a
    /// crash left behind may be removed at any time.
    ///
    /// # Errors
    /// When the operating system refuses; the log is closed nevertheless.
    pub fn delete(self) -> io::Result<()> {
        let _no_append = self.inner.lock_append();
        let _no_removal = self.inner.lock_retention();
        self.inner.close(CloseReason::Deleted);
        let path = &self.inner.directory.path;
        let mut doomed = path.clone().into_os_string();
        doomed.push(".deleted");
        let doomed = PathBuf::from(doomed);
        if doomed.exists() {
            fs::remove_dir_all(&doomed)?;
        }
        fs::rename(path, &doomed)?;
        fs::remove_dir_all(&doomed)
    }
}

impl Inner {
    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_append(&self) -> MutexGuard<'_, Vec<u8>> {
        self.append_buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_retention(&self) -> MutexGuard<'_, ()> {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_sync(&self) -> MutexGuard<'_, ()> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more appends. A deletion overrules whatever closed the log before; nothing else does.
    fn close(&self, reason: CloseReason) {
        self.closed.send_if_modified(|closed| {
            let news = closed.is_none() || reason == CloseReason::Deleted;
            if news {
                *closed = Some(reason);
            }
            news
        });
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.closed.borrow().clone()
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.close_reason() {
            None => Ok(()),
            Some(reason) => Err(Error::Closed { dir: self.directory.path.clone(), reason }),
        }
    }
}

impl Drop for Closer {
    /// Makes the rest durable and notes how far the log reached, so that the next start can tell if anything is missing.
    fn drop(&mut self) {
        let log = &self.0;
        if log.view().active.end_offset == log.opened_end_offset || log.sync_written().is_err() {
            return;
        }
        if let Err(error) = log.directory.save_checkpoint(log.view().visible.offset) {
            tracing::warn!(log = %log.directory.path.display(), %error, "cannot note how far the log reached");
        }
    }
}
