//! A log that lies about what landed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, NewTopic, Offsets, Reader, Writer};
use fluvio_streams::record::NewRecord;
use fluvio_streams::topology::Routing;

/// Fails about every seventh append, in one of three ways.
pub(crate) struct FlakyLog {
    inner: MemoryLog,
    appends: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
}

impl FlakyLog {
    pub(crate) fn new(inner: MemoryLog) -> Self {
        Self { inner, appends: Arc::default(), faults: Arc::default() }
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Log for FlakyLog {
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
        self.inner.read(topic, partition, from, routing).await
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        let inner = self.inner.writer(topic, partition).await?;
        Ok(Arc::new(FlakyWriter { inner, appends: self.appends.clone(), faults: self.faults.clone() }))
    }
}

struct FlakyWriter {
    inner: Arc<dyn Writer>,
    appends: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
}

#[async_trait]
impl Writer for FlakyWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        if number % 7 != 6 {
            return self.inner.append(records).await;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        let lost = LogError::Unreachable { endpoint: "flaky".to_owned(), detail: "injected".to_owned() };
        match number / 7 % 3 {
            0 => Err(lost),
            1 => self.inner.append(records).await.and(Err(lost)),
            _ => {
                let first = self.inner.append(records.clone()).await?;
                self.inner.append(records).await?;
                Ok(first)
            }
        }
    }
}
