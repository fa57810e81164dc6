//! A store that lives in memory: for tests, and for instances that would rather replay than write to disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, Stores};
use crate::processor::StateReader;
use crate::state::{Change, StateError};

type Entries = Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>;

/// Entries in memory. Clones share them, as two openings of one directory would.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    entries: Entries,
}

impl StateReader for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(lock(&self.entries).get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let entries = lock(&self.entries);
        Ok(entries.range(from.to_vec()..to.to_vec()).take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        let mut entries = lock(&self.entries);
        for (key, value) in changes {
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StateError> {
        lock(&self.entries).clear();
        Ok(())
    }
}

/// Memory stores by task name; they outlive the tasks.
#[derive(Debug, Default)]
pub struct MemoryStores {
    stores: Mutex<BTreeMap<String, MemoryStore>>,
}

impl Stores for MemoryStores {
    fn open(&self, task: &str) -> Result<Box<dyn Store>, StateError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(stores.entry(task.to_owned()).or_default().clone()))
    }
}

fn lock(entries: &Entries) -> std::sync::MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}
