//! The store on disk: one fjall database per instance, one keyspace per task.

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
    /// Memtable of one task, in bytes, before it is written out.
    pub memtable_bytes: u64,
    /// Write-ahead log of all tasks, in bytes, before memtables are written out.
    pub journal_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, memtable_bytes: 4 << 20, journal_bytes: 64 << 20 }
    }
}

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
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.options.memtable_bytes);
        let keyspace = self.database.keyspace(task, options).map_err(|error| failed(task, &error))?;
        Ok(Box::new(FjallStore { database: self.database.clone(), keyspace, task: task.to_owned() }))
    }
}

struct FjallStore {
    database: Database,
    keyspace: Keyspace,
    task: String,
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
        let mut batch = self.database.batch();
        for (key, value) in changes {
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
