//! Whether the disk takes records: what is wrong with it, said once, and when it is over.
//!
//! A log that refuses an append is remembered and tried again until it takes one. And before the disk is full, records
//! are refused: a write that fails half-way is harmless to the logs, but not to everything else that lives on the disk.
//!
//! Start reading at [`DiskWatch::look`].

use std::{
    collections::BTreeMap,
    error::Error as _,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use crate::{catalogue::Partition, log};

const MIB: u64 = 1024 * 1024;

/// Why records are refused at the moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskProblem {
    /// There is too little room left.
    #[error(
        "disk of data directory `{}` is almost full: {} MiB are left, records are taken again from {} MiB on",
        dir.display(), free_bytes / MIB, needed_bytes / MIB
    )]
    AlmostFull {
        /// The directory.
        dir: PathBuf,
        /// Bytes that are left.
        free_bytes: u64,
        /// Bytes from which on records are taken again.
        needed_bytes: u64,
    },
    /// The operating system refuses to write.
    #[error("disk of data directory `{}` takes no records for {logs} partitions: {refusal}", dir.display())]
    Refuses {
        /// The directory.
        dir: PathBuf,
        /// How many partitions have refused records and not taken any since.
        logs: usize,
        /// What one of them met.
        refusal: String,
    },
}

/// Partitions that refused records, and why, by topic and index.
type Refusing = BTreeMap<(String, u32), (Arc<Partition>, String)>;

/// Looks after the disk of one broker.
pub(crate) struct DiskWatch {
    dir: PathBuf,
    free_bytes_min: u64,
    is_almost_full: AtomicBool,
    refusing: Mutex<Refusing>,
    problem: watch::Sender<Option<DiskProblem>>,
}

impl DiskWatch {
    /// Looks at the disk for the first time.
    pub(crate) fn new(dir: PathBuf, free_bytes_min: u64) -> Self {
        let watch = Self { dir, free_bytes_min, is_almost_full: AtomicBool::new(false), refusing: Mutex::default(), problem: watch::Sender::new(None) };
        watch.look();
        watch
    }

    /// Tells what is wrong with the disk; nothing while it takes records.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<DiskProblem>> {
        self.problem.subscribe()
    }

    /// Whether records have to be refused before the disk does so.
    pub(crate) fn is_almost_full(&self) -> bool {
        self.is_almost_full.load(Ordering::Relaxed)
    }

    /// Takes note of a partition that refused records.
    pub(crate) fn refused(&self, partition: &Arc<Partition>, error: &log::Error) {
        tracing::debug!(topic = partition.topic, partition = partition.index, error = error as &dyn std::error::Error, "cannot append");
        self.refusing().insert((partition.topic.clone(), partition.index), (Arc::clone(partition), described(error)));
        self.tell(free_bytes(&self.dir));
    }

    /// Looks how much room there is, and whether what refused records takes some again. Blocks.
    pub(crate) fn look(&self) {
        let refusing: Vec<_> = self.refusing().iter().map(|(name, (partition, _))| (name.clone(), Arc::clone(partition))).collect();
        for (name, partition) in refusing {
            let refusal = if partition.deleted.is_cancelled() { None } else { partition.log.probe().err() };
            match refusal {
                None => drop(self.refusing().remove(&name)),
                Some(error) => drop(self.refusing().insert(name, (partition, described(&error)))),
            }
        }
        self.tell(free_bytes(&self.dir));
    }

    /// Says what is wrong, to the log only if that is news.
    fn tell(&self, free_bytes: io::Result<Option<u64>>) {
        let found = self.find_problem(free_bytes);
        self.is_almost_full.store(matches!(found, Some(DiskProblem::AlmostFull { .. })), Ordering::Relaxed);
        self.problem.send_if_modified(|known| {
            if *known == found {
                return false;
            }
            match (&*known, &found) {
                // As loud as the problem: who was told of the one has to hear of the other.
                (Some(_), None) => tracing::warn!(dir = %self.dir.display(), "the disk takes records again"),
                (None, Some(problem)) => tracing::error!(%problem, "records are refused"),
                // The figures have changed, or the one followed from the other.
                (Some(_), Some(problem)) => tracing::debug!(%problem, "records are still refused"),
                (None, None) => {}
            }
            *known = found;
            true
        });
    }

    fn find_problem(&self, free_bytes: io::Result<Option<u64>>) -> Option<DiskProblem> {
        // Some file systems do not know how much room they have; and one that cannot be asked says so when it is written.
        let free_bytes = free_bytes.ok().flatten().unwrap_or(u64::MAX);
        let needed_bytes = if self.is_almost_full() { enough_again(self.free_bytes_min) } else { self.free_bytes_min };
        if free_bytes < needed_bytes {
            return Some(DiskProblem::AlmostFull { dir: self.dir.clone(), free_bytes, needed_bytes: enough_again(self.free_bytes_min) });
        }
        let refusing = self.refusing();
        let (_, refusal) = refusing.values().next()?;
        Some(DiskProblem::Refuses { dir: self.dir.clone(), logs: refusing.len(), refusal: refusal.clone() })
    }

    fn refusing(&self) -> MutexGuard<'_, Refusing> {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A little more than the minimum, so that a disk at the edge does not change its mind every second.
fn enough_again(free_bytes_min: u64) -> u64 {
    free_bytes_min.saturating_add(free_bytes_min / 4)
}

/// Returns the room that is left for an ordinary user; `None` if the file system does not say.
fn free_bytes(dir: &Path) -> io::Result<Option<u64>> {
    let found = rustix::fs::statvfs(dir)?;
    Ok((found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize)))
}

fn described(error: &log::Error) -> String {
    let text = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    match error {
        // Trying again is in vain: what the disk holds is found out when the log is opened.
        log::Error::Closed { .. } => format!("{text}; it takes records again after a restart"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_refused_before_the_disk_is_full_and_taken_again_when_there_is_clearly_room() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskWatch::new(dir.path().to_owned(), 0);
        let disk = DiskWatch { free_bytes_min: 1000, ..disk };
        let watch = disk.watch();
        for (free_bytes, is_almost_full) in [(1000, false), (999, true), (1000, true), (1249, true), (1250, false), (1000, false), (0, true)] {
            disk.tell(Ok(Some(free_bytes)));
            assert_eq!(disk.is_almost_full(), is_almost_full, "{free_bytes} bytes are free");
            assert_eq!(matches!(*watch.borrow(), Some(DiskProblem::AlmostFull { .. })), is_almost_full);
        }
        // What is not known is left to the write to find out.
        disk.tell(Ok(None));
        assert!(!disk.is_almost_full());
        disk.tell(Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(*watch.borrow(), None);
    }

    #[test]
    fn there_is_room_on_the_disk_of_this_test() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap().is_none_or(|bytes| bytes > 0));
        assert!(free_bytes(&dir.path().join("missing")).is_err());
    }
}
