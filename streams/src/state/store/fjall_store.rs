//! The store on disk: one fjall database per instance, one keyspace per task, one thread that writes to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use fjall::{Database, KeyspaceCreateOptions};

use super::behind::{Disk, WriteBehind, Writer};
use super::overlay::Overlay;
use super::{SealingKeyspace, Store, Stores};
use crate::limits::{STORE_CLEAR_ENTRIES, STORE_INGEST_BYTES};
use crate::processor::StateReader;
use crate::state::{StateError, keys};

/// Memory that the database may use.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Block cache for all tasks, in bytes.
    pub cache_bytes: u64,
    /// Memtable of one task, in bytes, before it is written out: of a small one. A large one's has a sixteenth of what the task has on disk, up to 16 MB. Up to four more may wait to be written.
    pub memtable_bytes: u64,
    /// Write-ahead log of all tasks, in bytes, before memtables are written out.
    pub journal_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, memtable_bytes: 1 << 20, journal_bytes: 64 << 20 }
    }
}

/// A key that no entry has: it is written to see whether the store can be.
const PROBE_KEY: &[u8] = &[0];

/// The database of an instance.
///
/// One write that fails (a full disk) spoils a database for good, for all its tasks. It is closed then: every store of it fails at its next use, and the first that is opened anew opens the
/// database anew, as it is on disk.
pub struct FjallStores {
    shared: Arc<Shared>,
    // After the database: whoever drops the last of it waits here until the directory is free.
    writer: Arc<Writer>,
}

struct Shared {
    directory: PathBuf,
    options: StoreOptions,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    /// None while nobody has opened it again.
    database: Option<Database>,
    /// What tasks have of it.
    shares: Vec<Weak<Share>>,
}

/// What a task has of the database, until that is closed.
type Share = RwLock<Option<(Database, SealingKeyspace)>>;

impl FjallStores {
    /// Opens or creates the database in `directory`.
    ///
    /// # Errors
    /// [`StateError::Store`] naming the directory.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self, StateError> {
        let shared = Shared { directory: directory.to_owned(), options, opened: Mutex::default() };
        let name = directory.display().to_string();
        shared.lock().database = Some(shared.open_database().map_err(|error| failed(&name, &error))?);
        let writer = Writer::start().map_err(|error| failed(&name, &error))?;
        Ok(Self { shared: Arc::new(shared), writer })
    }

    /// Returns the directory of the database.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }
}

impl Stores for FjallStores {
    /// Opens the store and writes to it once: a disk that cannot be written shows here, and not after the task has begun.
    fn open(&self, task: &str) -> Result<Box<dyn Store>, StateError> {
        let share = self.shared.share(task).map_err(|error| {
            self.shared.close();
            failed(task, &error)
        })?;
        let disk = FjallDisk { share, shared: self.shared.clone(), task: task.to_owned() };
        Ok(Box::new(WriteBehind::new(task, Box::new(disk), self.writer.clone())))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_database(&self) -> fjall::Result<Database> {
        Database::builder(&self.directory).cache_size(self.options.cache_bytes).max_journaling_size(self.options.journal_bytes).worker_threads(1).open()
    }

    fn share(&self, task: &str) -> fjall::Result<Arc<Share>> {
        let mut opened = self.lock();
        let database = match opened.database.take() {
            Some(database) => database,
            None => self.open_database()?,
        };
        opened.database = Some(database.clone());
        let keyspace = SealingKeyspace::open(&database, task, KeyspaceCreateOptions::default(), self.options.memtable_bytes)?;
        keyspace.keyspace().remove(PROBE_KEY)?;
        let share = Arc::new(RwLock::new(Some((database, keyspace))));
        opened.shares.retain(|share| share.strong_count() > 0);
        opened.shares.push(Arc::downgrade(&share));
        Ok(share)
    }

    /// Closes the database: nobody has anything of it any more.
    fn close(&self) {
        let mut opened = self.lock();
        opened.database = None;
        for share in opened.shares.drain(..).filter_map(|share| share.upgrade()) {
            *share.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

struct FjallDisk {
    share: Arc<Share>,
    shared: Arc<Shared>,
    task: String,
}

impl FjallDisk {
    fn with<T>(&self, act: impl FnOnce(&Database, &SealingKeyspace) -> fjall::Result<T>) -> Result<T, StateError> {
        match &*self.share.read().unwrap_or_else(PoisonError::into_inner) {
            Some((database, keyspace)) => act(database, keyspace).map_err(|error| failed(&self.task, &error)),
            None => Err(failed(&self.task, &"the database was closed, because it could not be written")),
        }
    }
}

impl StateReader for FjallDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.with(|_, keyspace| Ok(keyspace.keyspace().get(key)?.map(|value| value.to_vec())))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.with(|_, keyspace| {
            let entries = keyspace.keyspace().range(from.to_vec()..to.to_vec()).take(limit);
            entries.map(|guard| guard.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })
    }
}

impl Disk for FjallDisk {
    fn write(&self, changes: &Overlay) -> Result<(), StateError> {
        let written = self.with(|database, keyspace| {
            if changes.bytes() >= STORE_INGEST_BYTES {
                return keyspace.ingest(changes.iter());
            }
            keyspace.seal_if_full()?;
            let mut batch = database.batch();
            for (key, value) in changes.iter() {
                match value {
                    Some(value) => keyspace.insert(&mut batch, key, value),
                    None => keyspace.remove(&mut batch, key),
                }
            }
            batch.commit()
        });
        // What this task had may have been closed before: the database that is open now is another one then.
        if written.is_err() && self.share.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            self.shared.close();
        }
        written
    }

    /// Removes the entries lot by lot, the progress first: what a crash in between leaves counts as empty.
    ///
    /// Not by fjall's own `clear`. Its mark in the write-ahead log is carried out again, whenever the log is read at a start, on what is in tables by then; what came in through the log after the mark
    /// is put back from there, but what was ingested is not in the log and would be gone.
    fn clear(&self) -> Result<(), StateError> {
        self.with(|database, keyspace| {
            let mut lot = vec![keys::PROGRESS.to_vec()];
            let mut from = Vec::new();
            while !lot.is_empty() {
                keyspace.seal_if_full()?;
                let mut batch = database.batch();
                lot.iter().for_each(|key| keyspace.remove(&mut batch, key));
                batch.commit()?;
                let entries = keyspace.keyspace().range(from.clone()..).take(STORE_CLEAR_ENTRIES);
                lot = entries.map(|entry| entry.key().map(|key| key.to_vec())).collect::<fjall::Result<_>>()?;
                if let Some(last) = lot.last() {
                    from = [last.as_slice(), &[0]].concat();
                }
            }
            Ok(())
        })
    }
}

fn failed(name: &str, error: &dyn std::fmt::Display) -> StateError {
    StateError::Store { task: name.to_owned(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: after a write that failed, the instance goes on without a restart once the disk takes writes again, also the tasks that noticed nothing.
    #[test]
    fn a_database_that_could_not_be_written_is_opened_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = FjallStores::open(directory.path(), StoreOptions::default()).expect("the database opens");
        let entry = |value: u8| vec![(b"key".to_vec(), Some(vec![value]))];
        // A store that is dropped has written what was committed.
        for (task, value) in [("busy", 1), ("idle", 2)] {
            stores.open(task).expect("it opens").commit(entry(value)).expect("it is committed");
        }
        let mut idle = stores.open("idle").expect("it opens");
        // As if a write of some task had failed.
        stores.shared.close();
        drop(idle.commit(entry(3)));
        assert!(idle.range(&[0], &[255], 9).is_err(), "it fails at its next use");
        let busy = stores.open("busy").expect("the first that is opened anew opens the database anew");
        assert_eq!(busy.get(b"key").expect("it can be read"), Some(vec![1]));
        // What was committed to a database that is closed must not close the one that is open now.
        drop(idle);
        assert_eq!(busy.get(b"key").expect("it is still open"), Some(vec![1]));
        let mut idle = stores.open("idle").expect("it opens");
        assert_eq!(idle.get(b"key").expect("it can be read"), Some(vec![2]), "what could not be written is lost, and is in the journal");
        idle.commit(entry(4)).expect("it is committed");
    }

    /// Goal: what a replay brings in large pieces and what is committed before, between and after it is read in the order in which it came, now and after the next start.
    #[test]
    fn large_pieces_and_small_ones_keep_their_order() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = |number: usize| format!("key-{number:06}").into_bytes();
        let piece = |step: usize, value: u8| (0..30_000).step_by(step).map(|number| (key(number), Some(vec![value; 100]))).collect::<Vec<_>>();
        let check = |store: &dyn Store, when: &str| {
            let expected = |number: usize| match number {
                number if number % 9 == 0 => None,
                number if number % 5 == 0 => Some(vec![4; 100]),
                number if number % 3 == 0 => Some(vec![3; 100]),
                _ => Some(vec![2; 100]),
            };
            for number in 0..30_000 {
                assert_eq!(store.get(&key(number)).expect("it can be read"), expected(number), "entry {number} {when}");
            }
            assert_eq!(store.range(&key(0), &[u8::MAX], usize::MAX).expect("it can be read").len(), (0..30_000).filter(|number| number % 9 > 0).count());
        };
        {
            let stores = FjallStores::open(directory.path(), StoreOptions::default()).expect("the database opens");
            let mut store = stores.open("task").expect("the store opens");
            store.commit(piece(7, 1)).expect("it is committed");
            store.load(piece(1, 2)).expect("it is loaded");
            store.load(piece(3, 3)).expect("it is loaded");
            store.commit(piece(5, 4)).expect("it is committed");
            let removed = (0..30_000).step_by(9).map(|number| (key(number), None));
            store.load(removed.collect()).expect("it is loaded");
            check(&*store, "at once");
        }
        let stores = FjallStores::open(directory.path(), StoreOptions::default()).expect("the database opens");
        let store = stores.open("task").expect("the store opens");
        check(&*store, "after the next start");
    }

    /// Copies a directory as it is: what a crash leaves, since nothing is held back in the process.
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a directory");
        for entry in std::fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).expect("a file");
            }
        }
    }

    /// Goal: what a replay has written after the store was cleared is there after a crash, with all that was committed later. A store that had lost some of it would say that it is complete.
    #[test]
    fn what_was_loaded_after_a_clearing_survives_a_crash() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = FjallStores::open(&directory.path().join("before"), StoreOptions::default()).expect("the database opens");
        let mut store = stores.open("task").expect("the store opens");
        let entries = |value: u8, count: usize| (0..count).map(|number| (format!("key-{number:06}").into_bytes(), Some(vec![value; 100]))).collect::<Vec<_>>();
        store.commit(entries(1, 100)).expect("it is committed");
        store.clear().expect("it is cleared");
        assert_eq!(store.range(&[], &[u8::MAX], usize::MAX).expect("it can be read"), [], "nothing is left");
        // Twice what is gathered for one write.
        for _ in 0..2 {
            store.load(entries(2, 30_000)).expect("it is loaded");
        }
        store.commit(vec![(b"last".to_vec(), Some(vec![3]))]).expect("it is committed");
        // A store that is dropped has written everything; the database stays open.
        drop(store);
        copy(&directory.path().join("before"), &directory.path().join("after"));

        let crashed = FjallStores::open(&directory.path().join("after"), StoreOptions::default()).expect("the database opens");
        let store = crashed.open("task").expect("the store opens");
        assert_eq!(store.get(b"last").expect("it can be read"), Some(vec![3]));
        let found = store.range(b"key-", b"key.", usize::MAX).expect("it can be read");
        assert_eq!(found.len(), 30_000);
        assert!(found.iter().all(|(_, value)| *value == vec![2; 100]));
    }

    #[test]
    fn a_directory_is_free_and_holds_everything_once_its_stores_are_dropped() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for round in 0..5u8 {
            let stores = FjallStores::open(directory.path(), StoreOptions::default()).expect("the database opens");
            let mut store = stores.open("a").expect("the store opens");
            let before = round.checked_sub(1).map(|before| vec![before]);
            assert_eq!(store.get(b"round").expect("it can be read"), before);
            store.commit(vec![(b"round".to_vec(), Some(vec![round]))]).expect("the change is committed");
            // Whichever of them goes last.
            if round % 2 == 0 {
                drop(stores);
            }
        }
    }
}
