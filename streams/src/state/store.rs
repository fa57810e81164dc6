//! The local store: a cache of what the journal says, so that a restart does not replay history.
//!
//! It commits a task's changes and its progress in one write. It is never the truth: any store may be deleted, and the task rebuilds it from its journal. So a commit need not be
//! forced to disk: after a crash the store holds some earlier state with the progress that belongs to it.

mod behind;
mod fjall_store;
mod memory;
mod overlay;
mod sealing;

pub use fjall_store::{FjallStores, StoreOptions};
pub use memory::{MemoryStore, MemoryStores};
pub use sealing::SealingKeyspace;

use super::{Change, StateError};
use crate::processor::StateReader;

/// The entries of one task.
pub trait Store: StateReader + Send + Sync {
    /// Applies all changes, or none: from here on they are read, and sooner or later they are on disk, never without what was committed before them.
    ///
    /// # Errors
    /// [`StateError::Store`]: these changes are not applied, and commits before may not have reached the disk. The task must be opened anew.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), StateError>;

    /// Applies all changes as [`Store::commit`] does, for a replay that brings one lot after another: they may reach the disk later, and in larger pieces.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn load(&mut self, changes: Vec<Change>) -> Result<(), StateError> {
        self.commit(changes)
    }

    /// Removes every entry.
    ///
    /// # Errors
    /// [`StateError::Store`].
    fn clear(&mut self) -> Result<(), StateError>;
}

/// Opens the stores of an instance's tasks.
pub trait Stores: Send + Sync + 'static {
    /// Opens the store of a task; the same name gives the same entries again. The caller sees to it that a name is open once.
    ///
    /// # Errors
    /// [`StateError::Store`].
    fn open(&self, task: &str) -> Result<Box<dyn Store>, StateError>;
}
