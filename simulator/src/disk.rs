//! The simulated disk: the store of one task on one instance, which a crash may set back.
//!
//! Production writes behind (`streams/src/state/store/behind.rs`): what is on disk is always a whole number of commits, the newest of which may be missing after a crash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fluvio_streams::processor::StateReader;
use fluvio_streams::state::store::Store;
use fluvio_streams::state::{Change, StateError};

use crate::bug::Bug;
use crate::limits::UNWRITTEN_COMMITS_MAX;

/// Entries by key.
pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
struct State {
    /// What is read.
    view: Entries,
    /// What survives a crash.
    written: Entries,
    unwritten: VecDeque<Write>,
}

enum Write {
    Commit(Vec<Change>),
    Clear,
}

impl Write {
    fn apply(&self, entries: &mut Entries) {
        match self {
            Self::Commit(changes) => apply(entries, changes),
            Self::Clear => entries.clear(),
        }
    }
}

/// A store; clones are one.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    bug: Option<Bug>,
}

impl Disk {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { state: Arc::default(), bug }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes changes, as [`Store::commit`] does.
    pub(crate) fn put(&self, changes: Vec<Change>) {
        self.write(Write::Commit(changes));
    }

    fn write(&self, write: Write) {
        let mut state = self.lock();
        write.apply(&mut state.view);
        state.unwritten.push_back(write);
        if state.unwritten.len() > UNWRITTEN_COMMITS_MAX {
            let State { written, unwritten, .. } = &mut *state;
            unwritten.pop_front().into_iter().for_each(|write| write.apply(written));
        }
    }

    /// Writes everything, as production does when a store is closed.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        let State { view, written, unwritten } = &mut *state;
        unwritten.clear();
        written.clone_from(view);
    }

    /// Returns how many commits a crash may take back.
    pub(crate) fn unwritten(&self) -> usize {
        self.lock().unwritten.len()
    }

    /// The power fails: of the unwritten commits, `kept` were written in time.
    pub(crate) fn crash(&self, kept: usize) {
        let mut state = self.lock();
        let unwritten = std::mem::take(&mut state.unwritten);
        let State { view, written, .. } = &mut *state;
        unwritten.iter().take(kept).for_each(|write| write.apply(written));
        let lost = unwritten.iter().skip(kept).last();
        if let (Some(Bug::StoreAheadOfItself), Some(lost)) = (self.bug, lost) {
            // The newest commit got to the disk before those ahead of it.
            lost.apply(written);
        }
        view.clone_from(written);
    }

    /// The disk is lost.
    pub(crate) fn lose(&self) {
        *self.lock() = State::default();
    }

    /// Returns a copy of what is read, without the task's own progress: what the journal speaks of.
    pub(crate) fn entries(&self) -> Entries {
        let mut entries = self.lock().view.clone();
        entries.remove(b"p".as_slice());
        entries
    }
}

/// Applies changes.
pub(crate) fn apply(entries: &mut Entries, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(entries.insert(key.clone(), value.clone())),
            None => drop(entries.remove(key)),
        }
    }
}

impl StateReader for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        if self.bug == Some(Bug::ForgetDeduplication) && key.first() == Some(&b's') {
            return Ok(None);
        }
        Ok(self.lock().view.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let state = self.lock();
        Ok(state.view.range(from.to_vec()..to.to_vec()).take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl Store for Disk {
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        self.put(changes);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StateError> {
        self.write(Write::Clear);
        Ok(())
    }
}
