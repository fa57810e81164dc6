//! Metadata watches: what clients hear, and that those who do not listen hold up nobody.

use std::time::Instant;

use fluvio::{
    FluvioAdmin,
    metadata::{
        partition::PartitionSpec,
        smartmodule::{SmartModuleSpec, SmartModuleWasm},
        topic::{AddPartition, TopicSpec, UpdateTopicAction},
    },
};
use futures_util::StreamExt;

use crate::harness::{admin, connect, create_topic, start, until, within};

async fn create(admin: &FluvioAdmin, name: &str) {
    let spec = TopicSpec::new_computed(1, 1, None);
    within(admin.create(name.to_owned(), false, spec)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_all_first_and_then_every_change() {
    let broker = start().await;
    let admin = admin(&broker).await;
    let mut topics = within(admin.watch::<TopicSpec>()).await.unwrap();
    let first = within(topics.next()).await.unwrap().unwrap().inner();
    assert_eq!(first.all.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["consumer-offset"]);

    create(&admin, "watched").await;
    let added = within(topics.next()).await.unwrap().unwrap().inner();
    assert!(added.all.is_empty());
    assert_eq!(added.changes.len(), 1);
    assert_eq!(added.changes[0].content.name, "watched");

    let grow = UpdateTopicAction::AddPartition(AddPartition { count: 1 });
    within(admin.update::<TopicSpec>("watched".to_owned(), grow)).await.unwrap();
    let grown = within(topics.next()).await.unwrap().unwrap().inner();
    assert_eq!(grown.changes[0].content.status.replica_map.len(), 2);

    within(admin.delete::<TopicSpec>("watched")).await.unwrap();
    let removed = within(topics.next()).await.unwrap().unwrap().inner();
    assert!(format!("{:?}", removed.changes[0].header).contains("DELETE"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_smartmodules_are_watched_too() {
    let broker = start().await;
    let admin = admin(&broker).await;
    let mut partitions = within(admin.watch::<PartitionSpec>()).await.unwrap();
    assert_eq!(within(partitions.next()).await.unwrap().unwrap().inner().all.len(), 1);
    create(&admin, "watched").await;
    let added = within(partitions.next()).await.unwrap().unwrap().inner();
    assert_eq!(added.changes[0].content.name, "watched-0");
    assert!(added.changes[0].content.status.is_online());

    let mut modules = within(admin.watch::<SmartModuleSpec>()).await.unwrap();
    assert!(within(modules.next()).await.unwrap().unwrap().inner().all.is_empty());
    let wasm = SmartModuleWasm::from_raw_wasm_bytes(include_bytes!("../../../smartmodules/artifacts/thin-map.wasm")).unwrap();
    let spec = SmartModuleSpec { wasm, ..SmartModuleSpec::default() };
    within(admin.create("module".to_owned(), false, spec)).await.unwrap();
    let added = within(modules.next()).await.unwrap().unwrap().inner();
    assert_eq!(added.changes[0].content.name, "module");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_finds_a_topic_as_soon_as_its_creator_is_answered() {
    let broker = start().await;
    let (creator, other) = (connect(&broker).await, connect(&broker).await);
    // Synchronises the other client's metadata.
    assert!(within(other.topic_producer("nothing-yet")).await.is_err());
    create_topic(&creator, "fresh", 2).await;
    until(async || other.topic_producer("fresh").await.is_ok()).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_nobody_reads_hold_up_nobody() {
    let broker = start().await;
    let lazy = admin(&broker).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(within(lazy.watch::<TopicSpec>()).await.unwrap());
    }
    let busy = admin(&broker).await;
    let started = Instant::now();
    for number in 0..30 {
        create(&busy, &format!("topic-{number}")).await;
    }
    // The broker may wait half a second for a slow watch, never for one that waits in a client's own queue.
    assert!(started.elapsed().as_secs() < 20, "creating took {:?}", started.elapsed());
    assert_eq!(within(busy.all::<TopicSpec>()).await.unwrap().len(), 30);
    drop(unread);
    broker.stop().await;
}
