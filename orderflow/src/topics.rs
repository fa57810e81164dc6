//! The topics and SmartModules that the systems need, as the files in the repository say, and how they come onto a cluster.
//!
//! Through the official admin client, with the same types by which `fluvio topic create --config` reads the files: what is made by hand and what is made here is the same.

mod orphans;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use fluvio::metadata::topic::TopicSpec;
use fluvio::metadata::topic::config::TopicConfig;
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use fluvio_streams::fluvio::{FluvioLog, REDACT_MAP, THIN_MAP};
use fluvio_streams::log::{Log as _, NewTopic};
use fluvio_streams::system::System;

/// SmartModule by which people and other programs pick events.
const EVENT_FILTER: &str = "event-filter";

/// End of the name of the topic in which instances share the tasks of a system: it has one partition.
const ASSIGNMENT: &str = "-assignment";

/// (name, wasm) of the SmartModules.
pub(crate) const SMARTMODULES: [(&str, &[u8]); 3] = [
    (THIN_MAP, include_bytes!("../../smartmodules/artifacts/thin-map.wasm")),
    (REDACT_MAP, include_bytes!("../../smartmodules/artifacts/redact-map.wasm")),
    (EVENT_FILTER, include_bytes!("../../smartmodules/artifacts/event-filter.wasm")),
];

/// Lists the topic files of a system.
macro_rules! topic_files {
    ($system:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../topics/", $system, "/", $name, ".yaml")))),+]
    };
}

/// (file name, content) of the topic files, system by system.
const FILES: &[&[(&str, &str)]] = &[
    topic_files!("food-delivery":
        "assignment",
        "commands",
        "dead-letters",
        "notifications-events",
        "notifications-journal",
        "orders-events",
        "orders-journal",
        "payment-replies",
        "payment-requests",
        "payments-events",
        "payments-journal",
        "rejections",
        "store-events",
        "store-journal",
    ),
    topic_files!("movie-booking":
        "assignment",
        "bookings-events",
        "bookings-journal",
        "commands",
        "dead-letters",
        "notifications-events",
        "notifications-journal",
        "payment-replies",
        "payment-requests",
        "payments-events",
        "payments-journal",
        "rejections",
        "seat-replies",
        "seat-requests",
        "seats-events",
        "seats-journal",
        "tickets-events",
        "tickets-journal",
    ),
    topic_files!("mask-shop":
        "assignment",
        "commands",
        "couriers-journal",
        "dead-letters",
        "delivery-events",
        "delivery-journal",
        "delivery-replies",
        "delivery-requests",
        "inventory-events",
        "inventory-journal",
        "notifications-events",
        "notifications-journal",
        "orders-events",
        "orders-journal",
        "rejections",
        "stock-replies",
        "stock-requests",
    ),
];

/// A topic as its file describes it.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) spec: TopicSpec,
}

/// How a topic is on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not there.
    Missing,
    /// It is there with this number of partitions.
    Present(u32),
}

impl State {
    fn of(topic: &Topic, there: &BTreeMap<String, u32>) -> Self {
        there.get(&topic.name).map_or(Self::Missing, |partitions| Self::Present(*partitions))
    }
}

/// Returns all topics: those of the businesses, and those that followers bring with them. They have this number of partitions, but for those by which instances share the tasks.
///
/// # Errors
/// If a file is not what Fluvio takes.
pub(crate) fn all(partitions: u32) -> anyhow::Result<Vec<Topic>> {
    let read = |(name, text): (&str, &str)| {
        let mut config: TopicConfig = text.parse().with_context(|| format!("topic file `{name}` is not what Fluvio takes"))?;
        if !config.meta.name.ends_with(ASSIGNMENT) {
            config.partition.count = Some(partitions);
        }
        Ok(Topic { name: config.meta.name.clone(), spec: TopicSpec::from(config) })
    };
    let systems = crate::systems::all()?;
    let brought = systems.iter().flat_map(|system| system.follower_topics.iter().map(|text| (system.name, *text)));
    FILES.concat().into_iter().chain(brought).map(read).collect()
}

/// Returns the topics of these systems, whoever runs their processors.
///
/// # Errors
/// If a file is not what Fluvio takes.
pub(crate) fn of(systems: &[System], partitions: u32) -> anyhow::Result<Vec<Topic>> {
    let used = used_by(systems);
    let mut topics = all(partitions)?;
    topics.retain(|topic| used.contains(&topic.name));
    Ok(topics)
}

fn used_by(systems: &[System]) -> BTreeSet<String> {
    systems.iter().flat_map(|system| system.topology.topics().into_iter().chain([assignment(system)])).collect()
}

/// Returns the topic in which the instances of a system share its tasks.
pub(crate) fn assignment(system: &System) -> String {
    format!("{}{ASSIGNMENT}", system.name)
}

/// Connects to the control plane of a cluster.
///
/// # Errors
/// If nobody answers there.
pub(crate) async fn connect(endpoint: &str) -> anyhow::Result<FluvioAdmin> {
    let mut config = FluvioClusterConfig::new(endpoint);
    config.client_id = Some("orderflow".to_owned());
    FluvioAdmin::connect_with_config(&config).await.with_context(|| format!("cluster at {endpoint} is unreachable"))
}

/// Returns how the topics are on a cluster, in their order.
///
/// # Errors
/// If the cluster does not tell.
pub(crate) async fn states(admin: &FluvioAdmin, topics: &[Topic]) -> anyhow::Result<Vec<State>> {
    let there = there(admin).await?;
    Ok(topics.iter().map(|topic| State::of(topic, &there)).collect())
}

/// Returns the topics of a cluster with the numbers of their partitions.
async fn there(admin: &FluvioAdmin) -> anyhow::Result<BTreeMap<String, u32>> {
    let found = admin.all::<TopicSpec>().await.context("cannot list the topics of the cluster")?;
    Ok(found.into_iter().map(|topic| (topic.name, topic.spec.partitions())).collect())
}

/// Makes the cluster hold all topics and SmartModules. What is there already is left as it is. Returns how many topics were created.
///
/// # Errors
/// If the cluster refuses, or has a topic with another number of partitions (the text names the flag then), or the state of a processor that this program seems to have under another name.
pub(crate) async fn apply(admin: &FluvioAdmin, log: &FluvioLog, topics: &[Topic]) -> anyhow::Result<usize> {
    let there = there(admin).await?;
    let states: Vec<State> = topics.iter().map(|topic| State::of(topic, &there)).collect();
    for (topic, state) in topics.iter().zip(&states) {
        let wanted = topic.spec.partitions();
        if let State::Present(found) = state
            && *found != wanted
        {
            bail!(
                "--partitions: topic `{}` has {found} partitions, not {wanted}; give --partitions {found} (the number is chosen once, before the first record)",
                topic.name
            );
        }
    }
    let missing: Vec<&str> = topics.iter().zip(&states).filter(|(_, state)| **state == State::Missing).map(|(topic, _)| topic.name.as_str()).collect();
    let systems = crate::systems::all()?;
    let names: Vec<&str> = systems.iter().map(|system| system.name).collect();
    orphans::check(log, &names, &used_by(&systems), &there, &missing).await?;
    let mut created = 0;
    for (topic, state) in topics.iter().zip(&states) {
        if *state == State::Missing {
            let Err(error) = admin.create(topic.name.clone(), false, topic.spec.clone()).await else {
                created += 1;
                continue;
            };
            // Another process that starts at this moment may have been faster.
            if self::states(admin, std::slice::from_ref(topic)).await? != [State::Present(topic.spec.partitions())] {
                return Err(error.context(format!("cannot create topic `{}`", topic.name)));
            }
        }
    }
    for topic in topics {
        // It exists by now; what is waited for is that it can be used.
        let there = NewTopic { name: topic.name.clone(), partitions: topic.spec.partitions(), retention_seconds: None, segment_bytes: None };
        log.ensure_topic(&there).await.with_context(|| format!("topic `{}` cannot be used", topic.name))?;
    }
    for (name, wasm) in SMARTMODULES {
        log.ensure_smartmodule(name, wasm).await.with_context(|| format!("cannot upload SmartModule `{name}`"))?;
    }
    Ok(created)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_every_system_has_its_file_and_no_other() {
        let described: BTreeSet<String> = all(3).expect("all files are read").into_iter().map(|topic| topic.name).collect();
        assert_eq!(described, used_by(&crate::systems::all().expect("the settings work")));
    }

    #[test]
    fn the_number_of_partitions_is_the_flag_s() {
        for topic in all(3).expect("all files are read") {
            let wanted = if topic.name.ends_with(ASSIGNMENT) { 1 } else { 3 };
            assert_eq!(topic.spec.partitions(), wanted, "{}", topic.name);
        }
    }

    #[test]
    fn journals_keep_their_own_size_limit() {
        let topics = all(1).expect("all files are read");
        let journals = topics.iter().filter(|topic| topic.name.ends_with("-journal"));
        for journal in journals {
            let storage = journal.spec.get_storage().expect("a journal says how it is stored");
            assert!(storage.max_partition_size.is_some_and(|bytes| bytes >= 1 << 50), "{} would lose live state", journal.name);
        }
    }
}
