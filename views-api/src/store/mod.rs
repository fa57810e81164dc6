//! Where views live: the port, and what every adapter promises.
//!
//! # Contract
//! - A document is written only over an older state of itself: same partition, smaller offset. Everything else is left out silently, since what is stored includes it.
//! - Progress never goes back, and never claims an offset whose documents are not stored, whatever crashes when. Documents may be ahead of progress: their events are read again and
//!   change nothing.
//! - A store that loses everything while a sink writes to it is noticed by that sink: [`StoreError::Emptied`]. Whoever begins after that begins at the beginning, and overwrites whatever was
//!   folded into nothing meanwhile.
//! - So a sink may be killed at any point, and two sinks may work on one partition at once: the documents are the same bytes in the end.
//!
//! Adapters: [`EmbeddedStore`] (one directory of this machine), [`MongoStore`]. `tests/contract.rs` holds both to this page.

mod cursor;
mod embedded;
mod mongodb;
mod watch;

use std::time::Duration;

use async_trait::async_trait;

pub use self::cursor::Cursor;
pub use self::embedded::EmbeddedStore;
pub use self::mongodb::MongoStore;
use crate::view::{Document, View};

/// What went wrong at a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer or could not do it. Trying again may help.
    #[error("view store `{store}` failed to {action}")]
    Failed {
        /// Which store, for example the directory or the server's address.
        store: String,
        /// What was tried.
        action: &'static str,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store has lost what was written to it: somebody dropped the database, or the server has come back without its disk. Beginning again writes the view anew.
    #[error(
        "view `{view}` was lost from its store while it was being written (was the database dropped, or the server started without its disk?): it is made anew from its topic"
    )]
    Emptied {
        /// View.
        view: String,
    },
    /// An entry cannot be decoded: the store was changed by something else.
    #[error("entry `{key}` of view `{view}` is damaged: {detail}")]
    Damaged {
        /// View.
        view: String,
        /// Document id.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// The directory was written by another version of this program.
    #[error("view store `{store}` has format {found}, this program reads format {expected}: clear it, views are rebuilt from their topics")]
    OtherFormat {
        /// Which store.
        store: String,
        /// Format found.
        found: String,
        /// Format that is read here.
        expected: &'static str,
    },
    /// A list was asked for by a field that has no index.
    #[error("view `{view}` has no index on field `{field}`")]
    NotIndexed {
        /// View.
        view: String,
        /// Field.
        field: String,
    },
}

/// What a sink writes in one go: documents and the progress that they amount to.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Partition of the view's topic.
    pub partition: u32,
    /// Changed documents, each id at most once.
    pub documents: Vec<Document>,
    /// First offset that is not included.
    pub next_offset: i64,
}

/// Which documents of a view are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// (indexed field, text): all must be equal.
    pub filters: Vec<(String, String)>,
    /// Most documents of the page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

/// Documents, newest first: by [`Document::created_ms`] from large to small, then by id. Neither changes in a document's life, so a reader who follows the cursors sees every document
/// that was there from the start exactly once.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Documents; may be fewer than asked for, or none, although there are more.
    pub documents: Vec<Document>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// A place for views.
#[async_trait]
pub trait ViewStore: Send + Sync + 'static {
    /// Makes the view's indexes; those of documents that were written under other indexes are made anew.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn prepare(&self, view: &View) -> Result<(), StoreError>;

    /// Returns those of the documents that are there, in any order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, view: &View, ids: &[String]) -> Result<Vec<Document>, StoreError>;

    /// Returns a page of documents.
    ///
    /// # Errors
    /// [`StoreError::NotIndexed`] and others.
    async fn list(&self, view: &View, query: &ListQuery) -> Result<Page, StoreError>;

    /// Writes documents, then progress, as the contract above says. Returns the number of documents that were newer than what was stored.
    ///
    /// # Errors
    /// [`StoreError::Emptied`]: [`ViewStore::begin`] again. Others: some of the documents may be written, progress is not; applying the same or a larger batch again is right.
    async fn apply(&self, view: &View, batch: Batch) -> Result<usize, StoreError>;

    /// Begins to write a partition; returns the first offset that the view does not include.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn begin(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        self.progress(view, partition).await
    }

    /// Returns the first offset of the partition that the view does not include; 0 if it was never written.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn progress(&self, view: &View, partition: u32) -> Result<i64, StoreError>;

    /// Waits until the view includes the offset; false if it does not within `timeout`. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn wait_for(&self, view: &View, partition: u32, offset: i64, timeout: Duration) -> Result<bool, StoreError>;

    /// Removes the view's documents and progress, so that it is rebuilt from its topic. No sink may be at work on it.
    ///
    /// # Errors
    /// [`StoreError`]: some of it may be gone; progress goes first.
    async fn clear(&self, view: &View) -> Result<(), StoreError>;

    /// Returns if the store can be used now.
    ///
    /// # Errors
    /// [`StoreError`] saying why it cannot.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// Checks that every filter has an index.
fn check_filters(view: &View, query: &ListQuery) -> Result<(), StoreError> {
    match query.filters.iter().find(|(field, _)| !view.indexes.contains(field)) {
        Some((field, _)) => Err(StoreError::NotIndexed { view: view.name(), field: field.clone() }),
        None => Ok(()),
    }
}
