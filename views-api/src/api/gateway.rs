//! The API's connection to the topics of one system: commands in, outcomes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fluvio_streams::log::{Log, LogError};
use fluvio_streams::partitioner::partition_for;
use fluvio_streams::system::System;
use tokio_util::sync::CancellationToken;

use super::outcomes::Waiters;
use crate::append::Appender;
use crate::backoff::Backoff;
use crate::limits::APPEND_TIMEOUT;
use crate::telemetry::{Event, Observer};

/// One system's gateway. Usable once it is connected; after that, broken connections are made again in the background and no waiting request is forgotten.
pub(super) struct Gateway {
    pub(super) system: System,
    pub(super) waiters: Arc<Waiters>,
    connected: OnceLock<Connected>,
    /// Partitions of outcome topics that cannot be read at the moment, and why.
    down: Mutex<BTreeMap<String, String>>,
    log: Arc<dyn Log>,
    observer: Arc<dyn Observer>,
    shutdown: CancellationToken,
}

/// What is known once the log has answered.
pub(super) struct Connected {
    pub(super) appender: Appender,
    /// Number of partitions of the topics that views follow.
    view_partitions: BTreeMap<String, u32>,
}

impl Connected {
    /// Returns the number of partitions of a view's topic.
    pub(super) fn partitions(&self, topic: &str) -> u32 {
        self.view_partitions.get(topic).copied().unwrap_or(0)
    }
}

impl Gateway {
    /// Starts to connect, and stays connected until `shutdown`.
    pub(super) fn start(system: System, log: Arc<dyn Log>, observer: Arc<dyn Observer>, shutdown: &CancellationToken) -> Arc<Self> {
        let waiters = Arc::new(Waiters::of(&system));
        let down = Mutex::new(BTreeMap::from([(system.commands_topic.clone(), "not connected yet".to_owned())]));
        let gateway = Arc::new(Self { system, waiters, connected: OnceLock::new(), down, log, observer, shutdown: shutdown.clone() });
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(Arc::clone(&gateway).connect()));
        gateway
    }

    /// Returns the connection, or why there is none yet.
    pub(super) fn connected(&self) -> Result<&Connected, String> {
        self.connected.get().ok_or_else(|| self.not_ready().unwrap_or_default())
    }

    /// Returns what is not connected at the moment; `None` if all is well.
    pub(super) fn not_ready(&self) -> Option<String> {
        let down = self.down();
        (!down.is_empty()).then(|| down.iter().map(|(what, why)| format!("{what}: {why}")).collect::<Vec<_>>().join("; "))
    }

    /// Returns the partition of `key` in a view's topic, and its end now; `None` if the log does not answer.
    pub(super) async fn end_of(&self, topic: &str, key: &str) -> Option<(u32, i64)> {
        let partitions = self.connected().ok()?.partitions(topic);
        let partition = (partitions > 0).then(|| partition_for(key.as_bytes(), partitions))?;
        let held = tokio::time::timeout(APPEND_TIMEOUT, self.log.offsets(topic, partition)).await.ok()?;
        held.ok().map(|held| (partition, held.end))
    }

    fn down(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn failed(&self, what: &str, error: &LogError, backoff: &mut Backoff) {
        let retry_in = backoff.delay();
        self.down().insert(what.to_owned(), error.to_string());
        self.observer.observe(Event::SystemUnreachable { system: self.system.name, error, retry_in });
        tokio::time::sleep(retry_in).await;
    }

    async fn connect(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            match self.try_connect().await {
                Ok((connected, ends)) => {
                    // The ends of the outcome topics were read before the first command can be sent: no outcome is missed.
                    for (topic, partition, end) in ends {
                        tokio::spawn(self.shutdown.clone().run_until_cancelled_owned(Arc::clone(&self).listen(topic, partition, end)));
                    }
                    let _ = self.connected.set(connected);
                    self.down().remove(&self.system.commands_topic);
                    return;
                }
                Err(error) => self.failed(&self.system.commands_topic, &error, &mut backoff).await,
            }
        }
    }

    async fn try_connect(&self) -> Result<(Connected, Vec<(String, u32, i64)>), LogError> {
        let partitions = self.log.partitions(&self.system.commands_topic).await?;
        let mut view_partitions = BTreeMap::new();
        for projection in &self.system.projections {
            let topic = projection.topic();
            view_partitions.insert(topic.clone(), self.log.partitions(&topic).await?);
        }
        let mut ends = Vec::new();
        for topic in self.system.outcome_topics.iter().collect::<BTreeSet<_>>() {
            for partition in 0..self.log.partitions(topic).await? {
                ends.push((topic.clone(), partition, self.log.offsets(topic, partition).await?.end));
            }
        }
        let appender = Appender::start(&self.log, &self.system.commands_topic, partitions, &self.observer, &self.shutdown);
        Ok((Connected { appender, view_partitions }, ends))
    }

    /// Follows a partition of an outcome topic. After a failure it goes on where it was, so that requests that wait get their outcome late rather than never.
    async fn listen(self: Arc<Self>, topic: String, partition: u32, from: i64) {
        let name = format!("{topic}/{partition}");
        let mut next_offset = from;
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.follow(&topic, partition, &name, &mut next_offset, &mut backoff).await;
            if let LogError::OffsetOutOfRange { .. } = error
                && let Ok(held) = self.log.offsets(&topic, partition).await
            {
                next_offset = next_offset.clamp(held.start, held.end.max(held.start));
            }
            self.failed(&name, &error, &mut backoff).await;
        }
    }

    async fn follow(
        &self,
        topic: &str,
        partition: u32,
        name: &str,
        next_offset: &mut i64,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, LogError> {
        // No routing: which event types are outcomes only the system's function knows, and a record is parsed only while somebody waits.
        let mut reader = self.log.read(topic, partition, *next_offset, None).await?;
        self.down().remove(name);
        loop {
            let fetched = reader.next().await?;
            *next_offset = fetched.next_offset;
            self.waiters.take(topic, partition, fetched);
            backoff.reset();
        }
    }
}
