//! Where a suite that needs a broker runs: on an embedded one of its own, or on the cluster that `FLUVIO_ENDPOINT` names (`HOST:PORT` of its control plane).
//!
//! A cluster is shared with others, so there each test has topics of its own: it says `events`, the cluster knows `t-<number>-events`, and at its end they are deleted. Tests that must disturb a
//! broker, or need one that is as new, bring their own all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use fluvio::metadata::topic::TopicSpec;
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::{Log, LogError, NewTopic, Offsets, Reader, Writer};
use fluvio_streams::record::NewRecord;
use fluvio_streams::topology::Routing;
use orderflow_broker::{Broker, Options};

/// A broker or a cluster, with topics of this test's own.
pub(crate) struct Site {
    endpoint: String,
    prefix: String,
    created: Arc<Mutex<Vec<String>>>,
    broker: Option<Broker>,
}

/// Tells tests of one process apart.
static SITES: AtomicU64 = AtomicU64::new(0);

impl Site {
    pub(crate) async fn start() -> Self {
        let created = Arc::default();
        if let Ok(endpoint) = std::env::var("FLUVIO_ENDPOINT") {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970").as_millis();
            let prefix = format!("t-{since:x}-{:x}-{:x}-", std::process::id(), SITES.fetch_add(1, Ordering::Relaxed));
            return Self { endpoint, prefix, created, broker: None };
        }
        let broker = Broker::start(Options::default()).await.expect("the broker starts");
        Self { endpoint: broker.sc_addr().to_string(), prefix: String::new(), created, broker: Some(broker) }
    }

    /// Returns true if the cluster is shared with others.
    #[allow(dead_code, reason = "not every suite has something that only a broker of its own shows")]
    pub(crate) fn is_shared(&self) -> bool {
        self.broker.is_none()
    }

    pub(crate) fn options(&self) -> FluvioLogOptions {
        FluvioLogOptions::new(self.endpoint.clone())
    }

    pub(crate) async fn connect(&self) -> Arc<SiteLog> {
        self.connect_with(self.options()).await
    }

    pub(crate) async fn connect_with(&self, options: FluvioLogOptions) -> Arc<SiteLog> {
        let log = FluvioLog::connect(options).await.expect("the log connects");
        Arc::new(SiteLog { log, prefix: self.prefix.clone(), created: self.created.clone() })
    }

    /// Returns the official client for the control plane.
    #[allow(dead_code, reason = "not every suite asks the control plane")]
    pub(crate) async fn admin(&self) -> FluvioAdmin {
        admin(&self.endpoint).await
    }

    /// Returns the name by which the cluster knows a topic.
    #[allow(dead_code, reason = "not every suite asks the control plane")]
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Site {
    /// Deletes the topics, on a thread of its own: the test's runtime may be about to end.
    fn drop(&mut self) {
        let created = std::mem::take(&mut *self.created.lock().unwrap_or_else(PoisonError::into_inner));
        if self.broker.is_some() || created.is_empty() {
            return;
        }
        let endpoint = self.endpoint.clone();
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let admin = admin(&endpoint).await;
                for topic in created {
                    if let Err(error) = admin.delete::<TopicSpec>(topic.clone()).await {
                        eprintln!("topic `{topic}` is left behind: {error}");
                    }
                }
            });
        });
        let _ = cleaning.join();
    }
}

async fn admin(endpoint: &str) -> FluvioAdmin {
    FluvioAdmin::connect_with_config(&FluvioClusterConfig::new(endpoint)).await.expect("the admin client connects")
}

/// The log of a site: topics have the names that the test gives them.
pub(crate) struct SiteLog {
    log: Arc<FluvioLog>,
    prefix: String,
    created: Arc<Mutex<Vec<String>>>,
}

impl SiteLog {
    pub(crate) async fn ensure_smartmodule(&self, name: &str, wasm: &[u8]) -> Result<(), LogError> {
        self.log.ensure_smartmodule(name, wasm).await
    }

    fn named(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    fn told<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        told(&self.prefix, result)
    }
}

struct SiteWriter {
    writer: Arc<dyn Writer>,
    prefix: String,
}

#[async_trait]
impl Writer for SiteWriter {
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64, LogError> {
        told(&self.prefix, self.writer.append(records).await)
    }
}

/// Says of a topic what the test calls it.
fn told<T>(prefix: &str, result: Result<T, LogError>) -> Result<T, LogError> {
    let short = |text: String| if prefix.is_empty() { text } else { text.replace(prefix, "") };
    result.map_err(|error| match error {
        LogError::NoTopic { topic } => LogError::NoTopic { topic: short(topic) },
        LogError::OffsetOutOfRange { topic, partition, offset, start, end } => {
            LogError::OffsetOutOfRange { topic: short(topic), partition, offset, start, end }
        }
        LogError::Gap { topic, partition, from, to } => LogError::Gap { topic: short(topic), partition, from, to },
        LogError::Refused { action, detail } => LogError::Refused { action: short(action), detail: short(detail) },
        other => other,
    })
}

#[async_trait]
impl Log for SiteLog {
    async fn ensure_topic(&self, topic: &NewTopic) -> Result<(), LogError> {
        let name = self.named(&topic.name);
        self.created.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        self.told(self.log.ensure_topic(&NewTopic { name, ..topic.clone() }).await)
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.told(self.log.partitions(&self.named(topic)).await)
    }

    async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, LogError> {
        self.told(self.log.offsets(&self.named(topic), partition).await)
    }

    async fn read(&self, topic: &str, partition: u32, from: i64, routing: Option<&Routing>) -> Result<Box<dyn Reader>, LogError> {
        self.told(self.log.read(&self.named(topic), partition, from, routing).await)
    }

    async fn writer(&self, topic: &str, partition: u32) -> Result<Arc<dyn Writer>, LogError> {
        let writer = self.told(self.log.writer(&self.named(topic), partition).await)?;
        Ok(Arc::new(SiteWriter { writer, prefix: self.prefix.clone() }))
    }
}
