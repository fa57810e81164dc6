//! A broker that loses what it has acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::record::NewRecord;
use fluvio_streams::runtime::Runtime;
use fluvio_streams::state::store::MemoryStores;

use super::altered::{Alteration, Altered};
use super::{business, eventually, log, options};

/// Acknowledges what is appended, and forgets it.
struct Forgetful;

#[async_trait]
impl Alteration for Forgetful {
    async fn writer(&self, inner: &MemoryLog, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        Ok(Arc::new(ForgetfulWriter { log: inner.clone(), topic: topic.to_owned(), partition }))
    }
}

struct ForgetfulWriter {
    log: MemoryLog,
    topic: String,
    partition: u32,
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
    let log = Altered { inner: log(), by: Forgetful };
    let runtime = Runtime::start(&business::topology(), options(Arc::new(log), Arc::new(MemoryStores::default()))).await.expect("it starts");
    eventually("every task says what was lost", || {
        let statuses = runtime.statuses();
        let says = |problem: &String| problem.contains("fence was acknowledged at offset 0") && problem.contains("lost acknowledged records");
        !statuses.is_empty() && statuses.values().all(|status| status.problem.as_ref().is_some_and(says))
    })
    .await;
    runtime.stop().await;
}
