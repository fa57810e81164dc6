//! Views in a directory of this machine: the laptop's and the tests' store.
//!
//! One fjall database with three keyspaces: documents, list entries, and progress. Documents, their list entries and the progress of a batch are committed in one write batch, so that
//! they survive or are lost together; what is lost when the machine (not the process) dies is read from the topic again.

mod layout;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fjall::config::BlockSizePolicy;
use fjall::{Database, KeyspaceCreateOptions, OwnedWriteBatch};
use fluvio_streams::state::store::SealingKeyspace;

use self::layout::{Entry, Stored};
use super::watch::ProgressWatch;
use super::{Batch, Cursor, ListQuery, Page, StoreError, ViewStore, check_filters};
use crate::limits::{BATCH_RECORDS_MAX, EMBEDDED_CACHE_BYTES, EMBEDDED_JOURNAL_BYTES, EMBEDDED_WRITE_BUFFER_BYTES, LIST_SCAN_MAX};
use crate::view::{Document, View};

/// What is written under [`FORMAT_KEY`]; changes with the layout.
const FORMAT: &str = "1";
const FORMAT_KEY: &str = "format";

/// The embedded store. Clones share it; the directory is released when the last one is dropped.
///
/// One write that fails (a full disk) spoils the database for good. It is closed then, and the next use opens it anew, as it is on disk.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    name: String,
    /// None after a write that failed, until it is opened again.
    inner: Mutex<Option<Arc<Inner>>>,
    watch: Arc<ProgressWatch>,
}

struct Inner {
    name: String,
    database: Database,
    documents: SealingKeyspace,
    entries: SealingKeyspace,
    progress: SealingKeyspace,
    /// Makes "compare offsets, then write" one step.
    writing: Mutex<()>,
    /// A write has failed: nothing can be written any more.
    is_spoiled: AtomicBool,
    watch: Arc<ProgressWatch>,
}

impl EmbeddedStore {
    /// Opens the store in `directory`, or creates it.
    ///
    /// # Errors
    /// [`StoreError`] if the directory cannot be used, is in use, or has another format.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let watch = Arc::<ProgressWatch>::default();
        let inner = Inner::open(directory, &watch)?;
        let (directory, name) = (directory.to_owned(), inner.name.clone());
        Ok(Self { shared: Arc::new(Shared { directory, name, inner: Mutex::new(Some(Arc::new(inner))), watch }) })
    }

    /// Runs `act` off the async threads: it may wait for the disk.
    async fn run<T: Send + 'static>(&self, action: &'static str, act: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || shared.with(act)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Failed { store: self.shared.name.clone(), action, source: Box::new(error) }),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Inner>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&Inner) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let inner = self.opened()?;
        let result = act(&inner);
        if inner.is_spoiled.load(Ordering::Relaxed) {
            let mut current = self.lock();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &inner)) {
                *current = None;
            }
        }
        result
    }

    /// Returns what is open. While somebody still reads what was closed, the directory is not free, and that is an error like any other of a disk that fails.
    fn opened(&self) -> Result<Arc<Inner>, StoreError> {
        let mut current = self.lock();
        let inner = match current.take() {
            Some(inner) => inner,
            None => Arc::new(Inner::open(&self.directory, &self.watch)?),
        };
        *current = Some(Arc::clone(&inner));
        Ok(inner)
    }
}

impl Inner {
    /// Opens the database, or creates it.
    fn open(directory: &Path, watch: &Arc<ProgressWatch>) -> Result<Self, StoreError> {
        let name = directory.display().to_string();
        let failed = |error: fjall::Error| StoreError::Failed { store: name.clone(), action: "open", source: Box::new(error) };
        let database = Database::builder(directory)
            .cache_size(EMBEDDED_CACHE_BYTES)
            .max_journaling_size(EMBEDDED_JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let open = |keyspace| {
            let options = KeyspaceCreateOptions::default().data_block_size_policy(BlockSizePolicy::all(8 * 1024));
            SealingKeyspace::open(&database, keyspace, options, EMBEDDED_WRITE_BUFFER_BYTES).map_err(failed)
        };
        let (documents, entries, progress) = (open("documents")?, open("entries")?, open("progress")?);
        match progress.keyspace().get(FORMAT_KEY).map_err(failed)? {
            Some(found) if *found == *FORMAT.as_bytes() => {}
            Some(found) => {
                let found = String::from_utf8_lossy(&found).into_owned();
                return Err(StoreError::OtherFormat { store: name, found, expected: FORMAT });
            }
            None => progress.keyspace().insert(FORMAT_KEY, FORMAT).map_err(failed)?,
        }
        let (writing, is_spoiled, watch) = (Mutex::default(), AtomicBool::new(false), Arc::clone(watch));
        Ok(Self { name, database, documents, entries, progress, writing, is_spoiled, watch })
    }

    fn failed(&self, action: &'static str) -> impl Fn(fjall::Error) -> StoreError + '_ {
        move |error| StoreError::Failed { store: self.name.clone(), action, source: Box::new(error) }
    }

    fn stored(&self, view: &View, id: &str) -> Result<Option<Stored>, StoreError> {
        let bytes = self.documents.keyspace().get(layout::document_key(view, id)).map_err(self.failed("read a document"))?;
        bytes.map(|bytes| Stored::decode(view, id, &bytes)).transpose()
    }

    fn progress(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        let bytes = self.progress.keyspace().get(layout::progress_key(view, partition)).map_err(self.failed("read progress"))?;
        Ok(bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, i64::from_be_bytes))
    }

    fn apply(&self, view: &View, batch: &Batch) -> Result<usize, StoreError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = self.database.batch();
        let mut taken = 0;
        for document in &batch.documents {
            let old = self.stored(view, &document.id)?;
            if old.as_ref().is_some_and(|old| old.partition != document.partition || old.offset >= document.offset) {
                continue;
            }
            taken += 1;
            self.replace(&mut write, view, old, document);
        }
        if self.progress(view, batch.partition)? < batch.next_offset {
            self.progress.insert(&mut write, &layout::progress_key(view, batch.partition), &batch.next_offset.to_be_bytes());
        }
        self.commit(write, "write documents")?;
        // Here and not by the caller, who may have gone away: the write happens all the same, and readers wait for it.
        self.watch.publish(view, batch.partition, batch.next_offset);
        Ok(taken)
    }

    /// Commits a batch, alone: the caller holds the lock.
    fn commit(&self, write: OwnedWriteBatch, action: &'static str) -> Result<(), StoreError> {
        let sealed = [&self.documents, &self.entries, &self.progress].into_iter().try_for_each(SealingKeyspace::seal_if_full);
        sealed.and_then(|()| write.commit()).map_err(|error| {
            self.is_spoiled.store(true, Ordering::Relaxed);
            self.failed(action)(error)
        })
    }

    /// Writes a document and its list entries, and removes the list entries of its old state that no longer hold.
    fn replace(&self, write: &mut OwnedWriteBatch, view: &View, old: Option<Stored>, document: &Document) {
        let stored = Stored::of(view, document);
        let keys = stored.entry_keys(view, &document.id);
        let old_keys = old.map(|old| old.entry_keys(view, &document.id)).unwrap_or_default();
        for key in old_keys.iter().filter(|key| !keys.contains(key)) {
            self.entries.remove(write, key);
        }
        for key in keys.iter().filter(|key| !old_keys.contains(key)) {
            self.entries.insert(write, key, &[]);
        }
        self.documents.insert(write, &layout::document_key(view, &document.id), &stored.encode());
    }

    /// Looks at list entries in order until the page is full; documents that other filters leave out are looked at too, so the number of looks is bounded.
    fn list(&self, view: &View, query: &ListQuery) -> Result<Page, StoreError> {
        let prefix = layout::entry_prefix(view, query.filters.first().map(|(field, text)| (field.as_str(), text.as_str())));
        let from = query.after.as_ref().map_or_else(|| prefix.clone(), |cursor| layout::after(&prefix, cursor));
        let to = layout::end_of(&prefix);
        let mut documents: Vec<Document> = Vec::new();
        let mut last: Option<Cursor> = None;
        for (looked, guard) in self.entries.keyspace().range(from..to).enumerate() {
            let key = guard.key().map_err(self.failed("read list entries"))?;
            if documents.len() == query.limit || looked == LIST_SCAN_MAX {
                return Ok(Page { documents, next: last });
            }
            let entry = Entry::decode(view, &prefix, &key)?;
            if let Some(stored) = self.stored(view, &entry.id)? {
                let document = stored.into_document(view, &entry.id)?;
                let found = view.index_entries(&document.value);
                if query.filters.iter().all(|(field, text)| found.iter().any(|(name, value)| name == field && value == text)) {
                    documents.push(document);
                }
            }
            last = Some(Cursor { created_ms: entry.created_ms, id: entry.id });
        }
        Ok(Page { documents, next: None })
    }

    /// Makes list entries anew if the view's indexes are others than those of the last time.
    fn prepare(&self, view: &View) -> Result<(), StoreError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let key = layout::indexes_key(view);
        let indexes = view.indexes.join(",");
        if self.progress.keyspace().get(&key).map_err(self.failed("read indexes"))?.is_some_and(|known| *known == *indexes.as_bytes()) {
            return Ok(());
        }
        let prefix = layout::document_prefix(view);
        let mut write = self.database.batch();
        for guard in self.documents.keyspace().range(prefix.clone()..layout::end_of(&prefix)) {
            let (key, bytes) = guard.into_inner().map_err(self.failed("read documents"))?;
            let id = layout::text(view, &key[prefix.len()..])?;
            let stored = Stored::decode(view, &id, &bytes)?;
            let document = stored.clone().into_document(view, &id)?;
            self.replace(&mut write, view, Some(stored), &document);
            if write.len() >= BATCH_RECORDS_MAX {
                self.commit(std::mem::replace(&mut write, self.database.batch()), "write indexes")?;
            }
        }
        self.progress.insert(&mut write, &key, indexes.as_bytes());
        self.commit(write, "write indexes")
    }

    fn clear(&self, view: &View) -> Result<(), StoreError> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = layout::progress_prefix(view);
        self.remove_range(&self.progress, &progress)?;
        self.remove_range(&self.entries, &layout::document_prefix(view))?;
        self.remove_range(&self.documents, &layout::document_prefix(view))
    }

    fn remove_range(&self, keyspace: &SealingKeyspace, prefix: &[u8]) -> Result<(), StoreError> {
        let mut write = self.database.batch();
        for guard in keyspace.keyspace().range(prefix.to_vec()..layout::end_of(prefix)) {
            keyspace.remove(&mut write, &guard.key().map_err(self.failed("read keys"))?);
            if write.len() >= BATCH_RECORDS_MAX {
                self.commit(std::mem::replace(&mut write, self.database.batch()), "remove a view")?;
            }
        }
        self.commit(write, "remove a view")
    }
}

#[async_trait]
impl ViewStore for EmbeddedStore {
    async fn prepare(&self, view: &View) -> Result<(), StoreError> {
        let view = view.clone();
        self.run("write indexes", move |inner| inner.prepare(&view)).await
    }

    async fn get(&self, view: &View, ids: &[String]) -> Result<Vec<Document>, StoreError> {
        let (view, ids) = (view.clone(), ids.to_vec());
        self.run("read documents", move |inner| {
            let found = ids.iter().map(|id| inner.stored(&view, id)?.map(|stored| stored.into_document(&view, id)).transpose());
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn list(&self, view: &View, query: &ListQuery) -> Result<Page, StoreError> {
        check_filters(view, query)?;
        let (view, query) = (view.clone(), query.clone());
        self.run("read list entries", move |inner| inner.list(&view, &query)).await
    }

    async fn apply(&self, view: &View, batch: Batch) -> Result<usize, StoreError> {
        let view = view.clone();
        self.run("write documents", move |inner| inner.apply(&view, &batch)).await
    }

    async fn progress(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        let view = view.clone();
        self.run("read progress", move |inner| inner.progress(&view, partition)).await
    }

    async fn wait_for(&self, view: &View, partition: u32, offset: i64, timeout: Duration) -> Result<bool, StoreError> {
        let mut seen = self.shared.watch.subscribe(view, partition);
        if *seen.borrow() > offset || self.progress(view, partition).await? > offset {
            return Ok(true);
        }
        let arrived = tokio::time::timeout(timeout, seen.wait_for(|next_offset| *next_offset > offset)).await;
        Ok(matches!(arrived, Ok(Ok(_))))
    }

    async fn clear(&self, view: &View) -> Result<(), StoreError> {
        let cleared = view.clone();
        self.run("remove a view", move |inner| inner.clear(&cleared)).await?;
        self.shared.watch.clear(view);
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.run("read progress", |inner| inner.progress.keyspace().get(FORMAT_KEY).map(drop).map_err(inner.failed("read progress"))).await
    }
}

#[cfg(test)]
mod tests;
