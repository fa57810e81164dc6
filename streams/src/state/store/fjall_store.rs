//! The store on disk: one fjall database per instance, one keyspace per task.
//!
//! It seals memtables itself. Left to itself, fjall asks its worker to with every commit to a full memtable; as soon as
//! those requests fill the worker's queue, the worker, which queues requests too, waits for itself: nothing is written
//! out any more, and memory and journal grow until the process ends. The figures are in `docs/adr/0002-local-store.md`.

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::{Store, Stores};
use crate::processor::StateReader;
use crate::state::{Change, StateError};

/// Memory that the database may use.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// Block cache for all tasks, in bytes.
    pub cache_bytes: u64,
    /// Memtable of one task, in bytes, before it is written out. Up to four more may wait to be written.
    pub memtable_bytes: u64,
    /// Write-ahead log of all tasks, in bytes, before memtables are written out.
    pub journal_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, memtable_bytes: 1 << 20, journal_bytes: 64 << 20 }
    }
}

/// What an entry takes in a memtable besides its key and value, in bytes, roughly.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// The database of an instance.
pub struct FjallStores {
    database: Database,
    directory: PathBuf,
    options: StoreOptions,
}

impl FjallStores {
    /// Opens or creates the database in `directory`.
    ///
    /// # Errors
    /// [`StateError::Store`] naming the directory.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self, StateError> {
        let database = Database::builder(directory)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes)
            .worker_threads(1)
            .open()
            .map_err(|error| failed(&directory.display().to_string(), &error))?;
        Ok(Self { database, directory: directory.to_owned(), options })
    }

    /// Returns the directory of the database.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Stores for FjallStores {
    fn open(&self, task: &str) -> Result<Box<dyn Store>, StateError> {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(u64::MAX);
        let keyspace = self.database.keyspace(task, options).map_err(|error| failed(task, &error))?;
        let memtable_bytes_max = self.options.memtable_bytes;
        let mut store = FjallStore { database: self.database.clone(), keyspace, task: task.to_owned(), memtable_bytes: 0, memtable_bytes_max };
        // What was recovered from the journal is of unknown size.
        store.seal_memtable()?;
        Ok(Box::new(store))
    }
}

struct FjallStore {
    database: Database,
    keyspace: Keyspace,
    task: String,
    /// What was committed since the memtable was sealed.
    memtable_bytes: u64,
    memtable_bytes_max: u64,
}

impl FjallStore {
    /// Begins a new memtable; the worker writes the old one out.
    fn seal_memtable(&mut self) -> Result<(), StateError> {
        self.keyspace.rotate_memtable().map_err(|error| failed(&self.task, &error))?;
        self.memtable_bytes = 0;
        Ok(())
    }
}

impl StateReader for FjallStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.keyspace.get(key).map_err(|error| failed(&self.task, &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for guard in self.keyspace.range(from.to_vec()..to.to_vec()).take(limit) {
            let (key, value) = guard.into_inner().map_err(|error| failed(&self.task, &error))?;
            entries.push((key.to_vec(), value.to_vec()));
        }
        Ok(entries)
    }
}

impl Store for FjallStore {
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        // Before and not after: where this fails, nothing must have been applied.
        if self.memtable_bytes >= self.memtable_bytes_max {
            self.seal_memtable()?;
        }
        let mut batch = self.database.batch();
        for (key, value) in changes {
            self.memtable_bytes += (ENTRY_OVERHEAD_BYTES + key.len() + value.as_ref().map_or(0, Vec::len)) as u64;
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        batch.commit().map_err(|error| failed(&self.task, &error))
    }

    fn clear(&mut self) -> Result<(), StateError> {
        self.keyspace.clear().map_err(|error| failed(&self.task, &error))
    }
}

fn failed(task: &str, error: &fjall::Error) -> StateError {
    StateError::Store { task: task.to_owned(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// Commits `commits` times in each of `tasks`, at the same time and as fast as possible.
    fn write(stores: &FjallStores, tasks: &[&str], commits: usize) {
        thread::scope(|scope| {
            for task in tasks {
                let mut store = stores.open(task).expect("the store opens");
                scope.spawn(move || {
                    for commit in 0..commits {
                        let key = |n: usize| format!("key-{}", (commit + n) % 500).into_bytes();
                        let changes = (0..5).map(|n| (key(n), Some(vec![commit as u8; 500]))).collect();
                        store.commit(changes).expect("the changes are committed");
                    }
                });
            }
        });
    }

    #[test]
    fn memtables_are_written_out_however_fast_they_fill() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = FjallStores::open(directory.path(), StoreOptions::default()).expect("the database opens");
        let tasks = ["a", "b", "c", "d"];
        write(&stores, &tasks, 3000);

        let deadline = Instant::now() + Duration::from_secs(60);
        for task in tasks {
            let keyspace = stores.database.keyspace(task, KeyspaceCreateOptions::default).expect("the keyspace is there");
            while keyspace.sealed_memtable_count() > 0 {
                assert!(Instant::now() < deadline, "task {task} still has {} memtables to write", keyspace.sealed_memtable_count());
                thread::sleep(Duration::from_millis(5));
            }
            assert!(keyspace.table_count() > 0, "task {task} was written out");
        }
    }
}
