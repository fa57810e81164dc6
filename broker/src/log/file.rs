//! The few operations that the log performs on a segment file; tests make them fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Opens segment files. In tests it also decides which of their operations fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<Faults>,
}

/// What goes wrong next.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The disk is full after so many more bytes.
    pub(super) free_bytes: std::sync::Mutex<Option<usize>>,
    pub(super) truncate_fails: std::sync::atomic::AtomicBool,
    pub(super) sync_fails: std::sync::atomic::AtomicBool,
    /// A sync waits for this lock.
    pub(super) sync_gate: std::sync::Mutex<()>,
}

impl Disk {
    /// Creates an empty file; one that an earlier attempt left behind is emptied.
    pub(super) fn create(&self, path: &Path) -> io::Result<SegmentFile> {
        self.wrap(OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?)
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<SegmentFile> {
        self.wrap(OpenOptions::new().read(true).write(true).open(path)?)
    }

    pub(super) fn open_read_only(&self, path: &Path) -> io::Result<SegmentFile> {
        self.wrap(File::open(path)?)
    }

    #[expect(clippy::unnecessary_wraps, reason = "reads better at the three places above")]
    fn wrap(&self, file: File) -> io::Result<SegmentFile> {
        Ok(SegmentFile { file, disk: self.clone() })
    }
}

/// One open segment file. Positions are explicit, so that readers and the writer share it.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: File,
    #[cfg_attr(not(test), expect(dead_code, reason = "carries the faults of a test"))]
    disk: Disk,
}

impl SegmentFile {
    pub(super) fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(super) fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    /// On failure a part of `bytes` may have been written.
    pub(super) fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(free_bytes) = self.disk.faults.free_bytes.lock().unwrap().as_mut() {
            let fitting = bytes.len().min(*free_bytes);
            *free_bytes -= fitting;
            self.file.write_all_at(&bytes[..fitting], position)?;
            if fitting < bytes.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            return Ok(());
        }
        self.file.write_all_at(bytes, position)
    }

    /// Makes contents and size durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        {
            let _open = self.disk.faults.sync_gate.lock().unwrap();
            if self.disk.faults.sync_fails.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(io::Error::other("injected sync failure"));
            }
        }
        self.file.sync_data()
    }

    pub(super) fn truncate(&self, size_bytes: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.disk.faults.truncate_fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(io::Error::other("injected truncate failure"));
        }
        self.file.set_len(size_bytes)
    }
}
