//! A log that lies about what landed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::record::NewRecord;

use super::altered::Alteration;

/// Fails about every seventh append, in one of three ways.
#[derive(Clone, Default)]
pub(crate) struct Flaky {
    appends: Arc<AtomicU64>,
    faults: Arc<AtomicU64>,
}

impl Flaky {
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Alteration for Flaky {
    async fn writer(&self, inner: &MemoryLog, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        Ok(Arc::new(FlakyWriter { inner: inner.writer(topic, partition).await?, by: self.clone() }))
    }
}

struct FlakyWriter {
    inner: Arc<dyn Writer>,
    by: Flaky,
}

#[async_trait]
impl Writer for FlakyWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        let number = self.by.appends.fetch_add(1, Ordering::Relaxed);
        if number % 7 != 6 {
            return self.inner.append(records).await;
        }
        self.by.faults.fetch_add(1, Ordering::Relaxed);
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
