//! Logs in memory of which one thing is not as it should be.

use std::sync::Arc;

use async_trait::async_trait;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, NewTopic, Offsets, Reader, Writer};
use fluvio_streams::topology::Routing;

/// A log in memory, altered. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Altered<A> {
    pub(crate) inner: MemoryLog,
    pub(crate) by: A,
}

/// What is different; everything else is the log's own.
#[async_trait]
pub(crate) trait Alteration: Send + Sync + 'static {
    /// Makes of a topic's reader another one.
    fn reader(&self, _topic: &str, reader: Box<dyn Reader>) -> Box<dyn Reader> {
        reader
    }

    /// Makes of a partition's writer another one, or refuses it.
    async fn writer(&self, inner: &MemoryLog, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        inner.writer(topic, partition).await
    }
}

#[async_trait]
impl<A: Alteration> Log for Altered<A> {
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        self.inner.ensure_topic(topic).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.inner.partitions(topic).await
    }

    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        self.inner.offsets(topic, partition).await
    }

    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError> {
        Ok(self.by.reader(topic, self.inner.read(topic, partition, from, routing).await?))
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        self.by.writer(&self.inner, topic, partition).await
    }
}
