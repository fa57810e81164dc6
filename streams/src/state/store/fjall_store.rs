//! The store on disk: one fjall database per instance, one keyspace per task, one thread that writes to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, KeyspaceCreateOptions};

use super::behind::{Disk, WriteBehind, Writer};
use super::overlay::Overlay;
use super::{SealingKeyspace, Store, Stores};
use crate::processor::StateReader;
use crate::state::StateError;

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

/// A key that no entry has: it is written to see whether the store can be.
const PROBE_KEY: &[u8] = &[0];

/// The database of an instance.
pub struct FjallStores {
    database: Database,
    directory: PathBuf,
    options: StoreOptions,
    // After the database: whoever drops the last of it waits here until the directory is free.
    writer: Arc<Writer>,
}

impl FjallStores {
    /// Opens or creates the database in `directory`.
    ///
    /// # Errors
    /// [`StateError::Store`] naming the directory.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self, StateError> {
        let name = directory.display().to_string();
        let database = Database::builder(directory)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes)
            .worker_threads(1)
            .open()
            .map_err(|error| failed(&name, &error))?;
        let writer = Writer::start().map_err(|error| failed(&name, &error))?;
        Ok(Self { database, directory: directory.to_owned(), options, writer })
    }

    /// Returns the directory of the database.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Stores for FjallStores {
    /// Opens the store and writes to it once: a disk that cannot be written shows here, and not after the task has begun.
    fn open(&self, task: &str) -> Result<Box<dyn Store>, StateError> {
        let open = || -> fjall::Result<SealingKeyspace> {
            let keyspace = SealingKeyspace::open(&self.database, task, KeyspaceCreateOptions::default(), self.options.memtable_bytes)?;
            keyspace.keyspace().remove(PROBE_KEY)?;
            Ok(keyspace)
        };
        let keyspace = open().map_err(|error| failed(task, &error))?;
        let disk = FjallDisk { database: self.database.clone(), keyspace, task: task.to_owned() };
        Ok(Box::new(WriteBehind::new(task, Box::new(disk), self.writer.clone())))
    }
}

struct FjallDisk {
    database: Database,
    keyspace: SealingKeyspace,
    task: String,
}

impl StateReader for FjallDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.keyspace.keyspace().get(key).map_err(|error| failed(&self.task, &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        let mut entries = Vec::new();
        for guard in self.keyspace.keyspace().range(from.to_vec()..to.to_vec()).take(limit) {
            let (key, value) = guard.into_inner().map_err(|error| failed(&self.task, &error))?;
            entries.push((key.to_vec(), value.to_vec()));
        }
        Ok(entries)
    }
}

impl Disk for FjallDisk {
    fn write(&self, changes: &Overlay) -> Result<(), StateError> {
        self.keyspace.seal_if_full().map_err(|error| failed(&self.task, &error))?;
        let mut batch = self.database.batch();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => self.keyspace.insert(&mut batch, key, value),
                None => self.keyspace.remove(&mut batch, key),
            }
        }
        batch.commit().map_err(|error| failed(&self.task, &error))
    }

    fn clear(&self) -> Result<(), StateError> {
        self.keyspace.keyspace().clear().map_err(|error| failed(&self.task, &error))
    }
}

fn failed(name: &str, error: &dyn std::fmt::Display) -> StateError {
    StateError::Store { task: name.to_owned(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

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
