//! A broker that loses what it has acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, NewTopic, Offsets, Reader, Writer};
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::Runtime;
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::topology::Routing;

use super::{business, eventually, log, options};

/// Acknowledges what is appended to journals, and forgets it.
struct ForgetfulLog(MemoryLog);

struct ForgetfulWriter {
    log: MemoryLog,
    topic: String,
    partition: u32,
}

#[async_trait]
impl Log for ForgetfulLog {
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        self.0.ensure_topic(topic).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.0.partitions(topic).await
    }

    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        self.0.offsets(topic, partition).await
    }

    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError> {
        self.0.read(topic, partition, from, routing).await
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        Ok(Arc::new(ForgetfulWriter { log: self.0.clone(), topic: topic.to_owned(), partition }))
    }
}

#[async_trait]
impl Writer for ForgetfulWriter {
    async fn append(&self, _: Vec<NewRecord>) -> Result<i64, LogError> {
        Ok(self.log.offsets(&self.topic, self.partition).await?.end)
    }
}

/// Goal: a task whose fence is gone does not wait for it for ever in silence.
#[tokio::test]
async fn a_fence_that_was_acknowledged_and_lost_is_told() {
    let runtime = Runtime::start(&business::topology(), options(Arc::new(ForgetfulLog(log())), Arc::new(MemoryStores::default()))).await.expect("it starts");
    eventually("every task says what was lost", || {
        let statuses = runtime.statuses();
        let says = |problem: &String| problem.contains("fence was acknowledged at offset 0") && problem.contains("lost acknowledged records");
        !statuses.is_empty() && statuses.values().all(|status| status.problem.as_ref().is_some_and(says))
    })
    .await;
    runtime.stop().await;
}
