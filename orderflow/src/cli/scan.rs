//! Reading topics from their beginning to where they end now, as `breaker` and `why` do: record by record, so that nothing but what is wanted is kept.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::{Log, LogError};
use fluvio_streams::record::LogRecord;
use fluvio_streams::system::System;
use fluvio_streams::topology::Routing;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::config::check_endpoint;
use crate::limits::REACH_TIMEOUT;

/// An event as it stands in a topic.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) time: String,
    #[serde(rename = "causationid", default)]
    pub(super) causation: String,
    #[serde(rename = "correlationid", default)]
    pub(super) correlation: String,
    #[serde(default)]
    pub(super) traceparent: Option<String>,
    pub(super) data: Value,
}

/// Connects to the cluster at `--fluvio`.
///
/// # Errors
/// If it is no address, or nobody answers there.
pub(super) async fn connect(endpoint: &str) -> anyhow::Result<Arc<FluvioLog>> {
    check_endpoint("--fluvio", endpoint)?;
    let no_answer = || format!("--fluvio: no Fluvio cluster answers at {endpoint}; give the address of its SC");
    timeout(REACH_TIMEOUT, FluvioLog::connect(FluvioLogOptions::new(endpoint))).await.with_context(no_answer)?.with_context(no_answer)
}

/// Returns the system of a name.
///
/// # Errors
/// If there is none.
pub(super) fn find<'s>(systems: &'s [System], name: &str) -> anyhow::Result<&'s System> {
    match systems.iter().find(|system| system.name == name) {
        Some(system) => Ok(system),
        None => bail!("there is no system `{name}`; there are {}", systems.iter().map(|system| system.name).collect::<Vec<_>>().join(", ")),
    }
}

/// Returns those of the systems that a cluster has, with their numbers of partitions.
///
/// # Errors
/// If it has none of them, or does not answer.
pub(super) async fn present<'s>(log: &dyn Log, systems: &'s [System]) -> anyhow::Result<Vec<(&'s System, u32)>> {
    let mut present = Vec::new();
    for system in systems {
        match log.partitions(&system.commands_topic).await {
            Ok(partitions) => present.push((system, partitions)),
            Err(LogError::NoTopic { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let names: Vec<&str> = systems.iter().map(|system| system.name).collect();
    ensure!(!present.is_empty(), "--fluvio: there are no topics of {} on this cluster", names.join(", "));
    Ok(present)
}

/// Where a scan began and ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned {
    /// First offset that the partition still holds.
    pub(super) start: i64,
    /// Where to go on.
    pub(super) next: i64,
}

/// Hands every record of a partition from the offset `from` on to `take`, up to the present end. A topic that is not there, of a follower that was added later, holds nothing.
///
/// # Errors
/// If the topic cannot be read, or `take` fails.
pub(super) async fn scan(
    log: &dyn Log,
    topic: &str,
    partition: u32,
    from: i64,
    routing: Option<&Routing>,
    mut take: impl FnMut(&LogRecord) -> anyhow::Result<()>,
) -> anyhow::Result<Scanned> {
    let offsets = match log.offsets(topic, partition).await {
        Ok(offsets) => offsets,
        Err(LogError::NoTopic { .. }) => return Ok(Scanned { start: 0, next: 0 }),
        Err(error) => return Err(error.into()),
    };
    let mut next = offsets.start.max(from);
    if next < offsets.end {
        let mut reader = log.read(topic, partition, next, routing).await?;
        while next < offsets.end {
            let fetched = timeout(REACH_TIMEOUT, reader.next()).await.with_context(|| format!("{topic}/{partition} does not go on after {next}"))??;
            for record in &fetched.records {
                take(record)?;
            }
            next = fetched.next_offset;
        }
    }
    Ok(Scanned { start: offsets.start, next })
}
