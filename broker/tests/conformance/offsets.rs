//! Managed consumer offsets: committed positions outlive the consumer and the broker.

use std::time::Duration;

use fluvio::{
    Fluvio, Offset,
    consumer::{ConsumerStream, OffsetManagementStrategy},
    metadata::topic::TopicSpec,
};
use futures_util::StreamExt;
use orderflow_broker::{Broker, DataDir, Options};

use crate::harness::{connect, create_topic, from, offsets, produce, read, start, until, within};

/// Reads some records as a managed consumer, commits the last one and leaves.
async fn consume(fluvio: &Fluvio, topic: &str, consumer: &str, count: usize) -> Vec<i64> {
    let config = from(topic, Offset::beginning()).offset_consumer(consumer.to_owned()).offset_strategy(OffsetManagementStrategy::Manual).build().unwrap();
    let mut stream = within(fluvio.consumer_with_config(config)).await.unwrap();
    let mut offsets = Vec::new();
    for _ in 0..count {
        offsets.push(within(stream.next()).await.unwrap().unwrap().offset());
    }
    within(stream.offset_commit()).await.unwrap();
    within(stream.offset_flush()).await.unwrap();
    offsets
}

async fn positions(fluvio: &Fluvio) -> Vec<(String, String, i64)> {
    let listed = within(fluvio.consumer_offsets()).await.unwrap();
    let mut positions: Vec<_> = listed.into_iter().map(|position| (position.consumer_id, position.topic, position.offset)).collect();
    positions.sort();
    positions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_resumes_after_what_it_committed_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { data_dir: DataDir::Path(dir.path().to_owned()), ..Options::default() };
    let broker = Broker::start(options()).await.unwrap();
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "records", 1).await;
    produce(&fluvio, "records", &["0", "1", "2", "3", "4", "5", "6", "7"]).await;
    assert_eq!(consume(&fluvio, "records", "me", 3).await, [0, 1, 2]);
    assert_eq!(consume(&fluvio, "records", "me", 2).await, [3, 4]);
    assert_eq!(consume(&fluvio, "records", "you", 1).await, [0]);
    broker.stop().await;

    let broker = Broker::start(options()).await.unwrap();
    let fluvio = connect(&broker).await;
    let expected = [("me".to_owned(), "records".to_owned(), 4), ("you".to_owned(), "records".to_owned(), 0)];
    assert_eq!(positions(&fluvio).await, expected);
    assert_eq!(consume(&fluvio, "records", "me", 2).await, [5, 6]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_deleted_one_by_one_and_with_their_topic() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "first", 1).await;
    create_topic(&fluvio, "second", 1).await;
    for topic in ["first", "second"] {
        produce(&fluvio, topic, &["0", "1"]).await;
        consume(&fluvio, topic, "me", 2).await;
        consume(&fluvio, topic, "you", 1).await;
    }
    within(fluvio.delete_consumer_offset("me", ("first".to_owned(), 0))).await.unwrap();
    assert_eq!(positions(&fluvio).await.len(), 3);
    assert_eq!(consume(&fluvio, "first", "me", 1).await, [0]);

    within(fluvio.admin().await.delete::<TopicSpec>("second")).await.unwrap();
    until(async || fluvio.topic_producer("second").await.is_err()).await;
    create_topic(&fluvio, "second", 1).await;
    produce(&fluvio, "second", &["new"]).await;
    assert!(positions(&fluvio).await.iter().all(|(_, topic, _)| topic == "first"));
    assert_eq!(consume(&fluvio, "second", "me", 1).await, [0]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_automatic_strategy_commits_by_itself() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "records", 1).await;
    produce(&fluvio, "records", &["0", "1", "2"]).await;
    let mut config = from("records", Offset::beginning());
    config.offset_consumer("auto".to_owned()).offset_strategy(OffsetManagementStrategy::Auto).offset_flush(Duration::from_millis(10));
    let records = read(&fluvio, &mut config).await;
    assert_eq!(offsets(&records), [0, 1, 2]);
    until(async || positions(&fluvio).await.first().is_some_and(|(_, _, offset)| *offset >= 1)).await;
    broker.stop().await;
}
