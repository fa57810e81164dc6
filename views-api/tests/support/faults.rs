//! A log and a store that fail on request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fluvio_streams::log::{Log, LogError, NewTopic, Offsets, Reader, Writer};
use fluvio_streams::record::NewRecord;
use fluvio_streams::topology::Routing;
use orderflow_views::store::{Batch, ListQuery, Page, StoreError, ViewStore};
use orderflow_views::view::{Document, View};

/// A switch; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<AtomicBool>);

impl Fault {
    pub(crate) fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn unreachable() -> LogError {
    LogError::Unreachable { endpoint: "127.0.0.1:1".into(), detail: "switched off".into() }
}

/// A log whose requests fail while `down` is on, whose appends land without an answer while `mute` is on, and whose appends wait while `stuck` is on.
pub(crate) struct FaultyLog {
    pub(crate) inner: Arc<dyn Log>,
    pub(crate) down: Fault,
    pub(crate) mute: Fault,
    pub(crate) stuck: Fault,
}

impl FaultyLog {
    pub(crate) fn new(inner: impl Log) -> Self {
        Self { inner: Arc::new(inner), down: Fault::default(), mute: Fault::default(), stuck: Fault::default() }
    }

    fn check(&self) -> Result<(), LogError> {
        if self.down.is_on() { Err(unreachable()) } else { Ok(()) }
    }
}

#[async_trait]
impl Log for FaultyLog {
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        self.inner.ensure_topic(topic).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.check()?;
        self.inner.partitions(topic).await
    }

    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        self.check()?;
        self.inner.offsets(topic, partition).await
    }

    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError> {
        self.check()?;
        Ok(Box::new(FaultyReader { inner: self.inner.read(topic, partition, from, routing).await?, down: self.down.clone() }))
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        self.check()?;
        let inner = self.inner.writer(topic, partition).await?;
        Ok(Arc::new(FaultyWriter { inner, down: self.down.clone(), mute: self.mute.clone(), stuck: self.stuck.clone() }))
    }
}

struct FaultyReader {
    inner: Box<dyn Reader>,
    down: Fault,
}

#[async_trait]
impl Reader for FaultyReader {
    async fn next(&mut self) -> Result<fluvio_streams::log::Fetched, LogError> {
        loop {
            if self.down.is_on() {
                return Err(unreachable());
            }
            // `next` is cancel-safe, so looking at the switch now and then loses nothing.
            if let Ok(fetched) = tokio::time::timeout(Duration::from_millis(2), self.inner.next()).await {
                return fetched;
            }
        }
    }
}

struct FaultyWriter {
    inner: Arc<dyn Writer>,
    down: Fault,
    mute: Fault,
    stuck: Fault,
}

#[async_trait]
impl Writer for FaultyWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        while self.stuck.is_on() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if self.down.is_on() {
            return Err(unreachable());
        }
        let offset = self.inner.append(records).await?;
        if self.mute.is_on() { Err(unreachable()) } else { Ok(offset) }
    }
}

/// A store that fails while `down` is on, and that writes documents without their progress while `torn` is on, as if it died in between.
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn ViewStore>,
    pub(crate) down: Fault,
    pub(crate) torn: Fault,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn ViewStore>) -> Self {
        Self { inner, down: Fault::default(), torn: Fault::default() }
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.down.is_on() {
            true => Err(StoreError::Failed { store: "faulty".into(), action: "answer", source: "switched off".into() }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl ViewStore for FaultyStore {
    async fn prepare(&self, view: &View) -> Result<(), StoreError> {
        self.check()?;
        self.inner.prepare(view).await
    }

    async fn get(&self, view: &View, ids: &[String]) -> Result<Vec<Document>, StoreError> {
        self.check()?;
        self.inner.get(view, ids).await
    }

    async fn list(&self, view: &View, query: &ListQuery) -> Result<Page, StoreError> {
        self.check()?;
        self.inner.list(view, query).await
    }

    async fn apply(&self, view: &View, batch: Batch) -> Result<usize, StoreError> {
        self.check()?;
        if self.torn.is_on() {
            self.inner.apply(view, Batch { next_offset: 0, ..batch }).await?;
            return Err(StoreError::Failed { store: "faulty".into(), action: "write progress", source: "died".into() });
        }
        self.inner.apply(view, batch).await
    }

    async fn begin(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        self.check()?;
        self.inner.begin(view, partition).await
    }

    async fn progress(&self, view: &View, partition: u32) -> Result<i64, StoreError> {
        self.check()?;
        self.inner.progress(view, partition).await
    }

    async fn wait_for(&self, view: &View, partition: u32, offset: i64, timeout: Duration) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.wait_for(view, partition, offset, timeout).await
    }

    async fn clear(&self, view: &View) -> Result<(), StoreError> {
        self.inner.clear(view).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.check()?;
        self.inner.ready().await
    }
}
