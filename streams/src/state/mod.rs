//! What a task remembers: an ordered map of bytes, split into families by the first byte of the key.
//!
//! User state, timers, pending calls and progress are all entries of this one map, so a journal record is nothing but a header, entry changes and effects, and the local store
//! commits all of them in one write.

pub mod keys;
pub mod store;

/// The local store failed, or holds what the code cannot read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StateError {
    /// The store itself failed.
    #[error("local store of task `{task}` failed: {detail}")]
    Store {
        /// Task or directory.
        task: String,
        /// What the store said.
        detail: String,
    },
    /// An entry does not decode as the type that was asked for.
    #[error("state entry `{key}` does not decode: {detail}")]
    Entry {
        /// Key of the entry.
        key: String,
        /// What the decoder said.
        detail: String,
    },
}

/// A change to one entry: `None` deletes it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);
