//! Views in MongoDB: the production store.
//!
//! Every life of a view has a number, see [`life`]. No transactions: each document is written by a conditional upsert that matches only an older state of it, many statements to one `update` command, journaled by a majority. Progress
//! follows in a command of its own that need not be durable: if it is lost, events are read again and change nothing. Beside the views, one collection holds progress and index definitions.

mod codec;
mod life;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document as BsonDocument, doc};
use mongodb::options::{ClientOptions, IndexOptions, ReturnDocument};
use mongodb::{Client, Collection, Database, IndexModel};

use self::life::Lives;
use super::watch::ProgressWatch;
use super::{Batch, Cursor, ListQuery, Page, StoreError, ViewStore, check_filters};
use crate::limits::{BATCH_RECORDS_MAX, POSITION_POLL_INTERVAL, STORE_COMMAND_TIMEOUT, STORE_SELECTION_TIMEOUT, UPDATE_BYTES_MAX};
use crate::view::{Document, View, json_size};

/// Database that is used if the connection string names none.
const DATABASE: &str = "orderflow";
/// Collection of progress and index definitions. Views have a dot in their names, so it is none of them.
const PROGRESS: &str = "progress";
/// Error code of a second document with the same id.
const DUPLICATE_KEY: i64 = 11_000;

/// The MongoDB store.
pub struct MongoStore {
    name: String,
    database: Database,
    watch: ProgressWatch,
    lives: Lives,
}

/// A statement of an `update` command.
struct Statement {
    id: String,
    filter: BsonDocument,
    update: BsonDocument,
    bytes: usize,
}

impl MongoStore {
    /// Returns a store on the server that `uri` names, in `database`, else in the database that `uri` names, else in `orderflow`. Does not wait for the server: see [`ViewStore::ready`].
    ///
    /// # Errors
    /// [`StoreError`] if the connection string is wrong.
    pub async fn connect(uri: &str, database: Option<&str>) -> Result<Self, StoreError> {
        let wrong =
            |error: mongodb::error::Error| StoreError::Failed { store: "MongoDB".to_owned(), action: "read the connection string", source: Box::new(error) };
        let mut options = ClientOptions::parse(uri).await.map_err(wrong)?;
        options.app_name.get_or_insert_with(|| "orderflow".to_owned());
        options.server_selection_timeout.get_or_insert(STORE_SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(STORE_SELECTION_TIMEOUT);
        // The addresses only: the connection string may hold a password.
        let name = options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let database_name = database.map(str::to_owned).or_else(|| options.default_database.clone()).unwrap_or_else(|| DATABASE.to_owned());
        let client = Client::with_options(options).map_err(wrong)?;
        Ok(Self { name, database: client.database(&database_name), watch: ProgressWatch::default(), lives: Lives::default() })
    }

    fn documents(&self, view: &View) -> Collection<BsonDocument> {
        self.database.collection(&view.name())
    }

    fn failed(&self, action: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
        StoreError::Failed { store: self.name.clone(), action, source: source.into() }
    }

    /// Waits for an answer of the server, but not for ever: the driver itself waits as long as the connection stands.
    async fn bounded<T>(&self, action: &'static str, answer: impl Future<Output = mongodb::error::Result<T>> + Send) -> Result<T, StoreError> {
        match tokio::time::timeout(STORE_COMMAND_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|error| self.failed(action, error)),
            Err(elapsed) => Err(self.failed(action, elapsed)),
        }
    }

    /// Runs one `update` command; returns (documents matched or inserted, ids of statements that met a duplicate key).
    async fn update(&self, collection: &str, statements: &[Statement], upsert: bool, write_concern: BsonDocument) -> Result<(usize, Vec<String>), StoreError> {
        const ACTION: &str = "write documents";
        let updates: Vec<Bson> =
            statements.iter().map(|statement| Bson::from(doc! { "q": statement.filter.clone(), "u": statement.update.clone(), "upsert": upsert })).collect();
        let command = doc! { "update": collection, "updates": updates, "ordered": false, "writeConcern": write_concern };
        let answer = self.bounded(ACTION, async { self.database.run_command(command).await }).await?;
        if let Some(error) = answer.get("writeConcernError") {
            return Err(self.failed(ACTION, format!("write is not durable: {error}")));
        }
        let mut duplicates = Vec::new();
        for error in answer.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default() {
            let number = |field| codec::integer(error.as_document()?, field);
            let statement = number("index").and_then(|index| statements.get(usize::try_from(index).ok()?));
            match statement {
                Some(statement) if number("code") == Some(DUPLICATE_KEY) => duplicates.push(statement.id.clone()),
                _ => return Err(self.failed(ACTION, error.to_string())),
            }
        }
        let written = codec::integer(&answer, "n").and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        Ok((written, duplicates))
    }

    /// Takes part in the life of a partition's view, or begins one where there is no progress; returns its number and the progress.
    async fn enter(&self, view: &View, partition: u32) -> Result<(i64, i64), StoreError> {
        let collection = self.database.collection::<BsonDocument>(PROGRESS);
        let next_life = self.lives.next(view, partition);
        let begun = doc! { "$setOnInsert": { "view": view.name(), "next": 0_i64, life::FIELD: next_life } };
        let entry = collection.find_one_and_update(doc! { "_id": progress_id(view, partition) }, begun).upsert(true).return_document(ReturnDocument::After);
        let entry = self.bounded("begin a view", async { entry.await }).await?;
        let (life, next_offset) = entry.map_or((next_life, 0), |entry| (life::of(&entry), codec::integer(&entry, "next").unwrap_or(0)));
        if life == next_life {
            // Its indexes may be gone too.
            self.prepare(view).await?;
        }
        self.lives.begins(view, partition, life);
        Ok((life, next_offset))
    }

    /// Writes statements that each match only an older state of their document.
    ///
    /// Where the filter matches nothing, the upsert inserts, and meets a duplicate key if a document is there after all: one that is newer, or one that another sink has inserted in the
    /// same moment and that may be older. A second try without insertion tells them apart.
    async fn write(&self, view: &View, statements: &[Statement]) -> Result<usize, StoreError> {
        let durable = || doc! { "w": "majority", "j": true };
        let (written, duplicates) = self.update(&view.name(), statements, true, durable()).await?;
        if duplicates.is_empty() {
            return Ok(written);
        }
        let again: Vec<Statement> = statements.iter().filter(|statement| duplicates.contains(&statement.id)).map(Statement::clone).collect();
        let (written_again, _) = self.update(&view.name(), &again, false, durable()).await?;
        Ok(written + written_again)
    }

    /// Writes the index fields anew of documents that were written under other indexes.
    async fn reindex(&self, view: &View) -> Result<(), StoreError> {
        const ACTION: &str = "write indexes";
        let mut cursor = self.bounded(ACTION, async { self.documents(view).find(doc! {}).await }).await?;
        let mut statements = Vec::new();
        loop {
            let found = self.bounded(ACTION, cursor.try_next()).await?;
            let at_end = found.is_none();
            if let Some(found) = found {
                let document = codec::decode(view, found)?;
                let filter = doc! { "_id": &document.id, "offset": document.offset };
                let update = doc! { "$set": { "keys": codec::keys(view, &document) } };
                statements.push(Statement { id: document.id, filter, update, bytes: 0 });
            }
            if statements.len() >= BATCH_RECORDS_MAX || (at_end && !statements.is_empty()) {
                self.update(&view.name(), &statements, false, doc! { "w": "majority" }).await?;
                statements.clear();
            }
            if at_end {
                return Ok(());
            }
        }
    }
}

impl Clone for Statement {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), filter: self.filter.clone(), update: self.update.clone(), bytes: self.bytes }
    }
}

/// Returns the conditional upsert of a document in this life of the view.
fn statement(view: &View, document: &Document, life: i64) -> Statement {
    let mut filter = doc! { "_id": &document.id, "partition": i64::from(document.partition) };
    filter.extend(life::older(life, document.offset));
    let mut update = codec::encode(view, document);
    update.insert(life::FIELD, life);
    Statement { id: document.id.clone(), filter, update, bytes: json_size(&document.value) }
}

fn progress_id(view: &View, partition: u32) -> String {
    format!("{}/{}/{partition}", view.name(), view.topic)
}

/// Returns the filter for the documents after the cursor that have the wanted fields.
fn list_filter(query: &ListQuery) -> BsonDocument {
    let mut filter = BsonDocument::new();
    for (field, text) in &query.filters {
        filter.insert(format!("keys.{field}"), text);
    }
    if let Some(after) = &query.after {
        // The first condition says nothing new; it bounds the index scan.
        filter.insert("createdMs", doc! { "$lte": after.created_ms });
        filter.insert("$or", vec![doc! { "createdMs": { "$lt": after.created_ms } }, doc! { "createdMs": after.created_ms, "_id": { "$gt": &after.id } }]);
    }
    filter
}

#[async_trait]
impl ViewStore for MongoStore {
    async fn prepare(&self, view: &View) -> Result<(), StoreError> {
        const ACTION: &str = "create indexes";
        let order = doc! { "createdMs": -1, "_id": 1 };
        let by_field = view.indexes.iter().map(|field| {
            let mut keys = doc! { format!("keys.{field}"): 1 };
            keys.extend(order.clone());
            (keys, format!("by-{field}"))
        });
        let indexes = std::iter::once((order.clone(), "by-time".to_owned())).chain(by_field);
        let models: Vec<IndexModel> =
            indexes.map(|(keys, name)| IndexModel::builder().keys(keys).options(IndexOptions::builder().name(name).build()).build()).collect();
        self.bounded(ACTION, async { self.documents(view).create_indexes(models).await }).await?;

        let definitions = self.database.collection::<BsonDocument>(PROGRESS);
        let known = self.bounded(ACTION, async { definitions.find_one(doc! { "_id": view.name() }).await }).await?;
        let known: Vec<String> = known.as_ref().and_then(|known| known.get_array("indexes").ok()).map(|names| codec::texts(names)).unwrap_or_default();
        if known == view.indexes {
            return Ok(());
        }
        self.reindex(view).await?;
        let update = doc! { "$set": { "indexes": view.indexes.clone() } };
        self.bounded(ACTION, async { definitions.update_one(doc! { "_id": view.name() }, update).upsert(true).await }).await.map(drop)
    }

    async fn get(&self, view: &View, ids: &[String]) -> Result<Vec<Document>, StoreError> {
        const ACTION: &str = "read documents";
        let found = self.bounded(ACTION, async { self.documents(view).find(doc! { "_id": { "$in": ids } }).await?.try_collect::<Vec<_>>().await }).await?;
        let is_alive = |found: &BsonDocument| {
            let partition = codec::integer(found, "partition").and_then(|partition| u32::try_from(partition).ok());
            partition.and_then(|partition| self.lives.of(view, partition)).is_none_or(|life| life::of(found) >= life)
        };
        found.into_iter().filter(is_alive).map(|found| codec::decode(view, found)).collect()
    }

    async fn list(&self, view: &View, query: &ListQuery) -> Result<Page, StoreError> {
        check_filters(view, query)?;
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
        let documents = self.documents(view);
        let found = documents.find(list_filter(query)).sort(doc! { "createdMs": -1, "_id": 1 }).limit(limit);
        let found = self.bounded("list documents", async { found.await?.try_collect::<Vec<_>>().await }).await?;
        let more = found.len() > query.limit;
        let documents: Vec<Document> = found.into_iter().take(query.limit).map(|found| codec::decode(view, found)).collect::<Result<_, _>>()?;
        let last = documents.last().filter(|_| more);
        Ok(Page { next: last.map(|last| Cursor { created_ms: last.created_ms, id: last.id.clone() }), documents })
    }

    async fn apply(&self, view: &View, batch: Batch) -> Result<usize, StoreError> {
        let life = match self.lives.of(view, batch.partition) {
            Some(life) => life,
            None => self.enter(view, batch.partition).await?.0,
        };
        let mut taken = 0;
        let mut statements: Vec<Statement> = Vec::new();
        let mut bytes = 0;
        for document in &batch.documents {
            let next = statement(view, document, life);
            if !statements.is_empty() && bytes + next.bytes > UPDATE_BYTES_MAX {
                taken += self.write(view, &statements).await?;
                statements.clear();
                bytes = 0;
            }
            bytes += next.bytes;
            statements.push(next);
        }
        if !statements.is_empty() {
            taken += self.write(view, &statements).await?;
        }
        let id = progress_id(view, batch.partition);
        let filter = doc! { "_id": &id, life::FIELD: life::equal(life) };
        let progress = Statement { id, filter, update: doc! { "$max": { "next": batch.next_offset } }, bytes: 0 };
        let (found, _) = self.update(PROGRESS, &[progress], false, doc! { "w": 1 }).await?;
        if found == 0 {
            self.lives.ends(view, batch.partition);
            self.watch.restart(view, batch.partition);
            return Err(StoreError::Emptied { view: view.name() });
        }
        self.watch.publish(view, batch.partition, batch.next_offset);
        Ok(taken)
    }

    async fn begin(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        self.enter(view, partition).await.map(|(_, next_offset)| next_offset)
    }

    async fn progress(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        let progress = self.database.collection::<BsonDocument>(PROGRESS);
        let found = self.bounded("read progress", async { progress.find_one(doc! { "_id": progress_id(view, partition) }).await }).await?;
        Ok(found.and_then(|found| codec::integer(&found, "next")).unwrap_or(0))
    }

    async fn wait_for(&self, view: &View, partition: u32, offset: i64, timeout: Duration) -> Result<bool, StoreError> {
        let mut seen = self.watch.subscribe(view, partition);
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            if *seen.borrow_and_update() > offset || self.progress(view, partition).await? > offset {
                return Ok(true);
            }
            let poll_at = (tokio::time::Instant::now() + POSITION_POLL_INTERVAL).min(deadline);
            let _ = tokio::time::timeout_at(poll_at, seen.wait_for(|next_offset| *next_offset > offset)).await;
            if *seen.borrow() <= offset && tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    async fn clear(&self, view: &View) -> Result<(), StoreError> {
        const ACTION: &str = "remove a view";
        let progress = self.database.collection::<BsonDocument>(PROGRESS);
        self.bounded(ACTION, async { progress.delete_many(doc! { "view": view.name() }).await }).await?;
        self.watch.clear(view);
        self.lives.clear(view);
        self.bounded(ACTION, async { self.documents(view).delete_many(doc! {}).await }).await.map(drop)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.bounded("answer a ping", async { self.database.run_command(doc! { "ping": 1 }).await }).await.map(drop)
    }
}
