//! Consuming with the official client: where streams start, what they carry, and how they end.

use std::time::Duration;

use fluvio::{
    Compression, Offset, RecordKey,
    metadata::topic::{TopicSpec, TopicStorageConfig},
};
use fluvio_protocol::link::ErrorCode;
use futures_util::StreamExt;
use orderflow_broker::{Broker, Limits, Options};

use crate::harness::{
    batching_producer, connect, create_topic, create_topic_with, from, offsets, partition, produce, read, read_all, start, try_read, until, values, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_starts_exactly_where_it_is_asked_to() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "starts", 1).await;
    // Three batches of four, so that most starts are in the middle of one; one of them compressed.
    produce(&fluvio, "starts", &["0", "1", "2", "3"]).await;
    let producer = batching_producer(&fluvio, "starts", Compression::Zstd).await;
    for value in ["4", "5", "6", "7"] {
        producer.send(RecordKey::NULL, value).await.unwrap();
    }
    within(producer.flush()).await.unwrap();
    produce(&fluvio, "starts", &["8", "9", "10", "11"]).await;

    for start in 0..12 {
        let expected: Vec<i64> = (start..12).collect();
        let records = read(&fluvio, &mut from("starts", Offset::absolute(start).unwrap())).await;
        assert_eq!(offsets(&records), expected, "absolute {start}");
        assert_eq!(values(&records), expected.iter().map(i64::to_string).collect::<Vec<_>>());
        assert!(records.iter().all(|record| record.timestamp() > 0));
        let from_beginning = from("starts", Offset::from_beginning(start as u32)).clone();
        assert_eq!(offsets(&read(&fluvio, &mut from_beginning.clone()).await), expected);
        let records = read(&fluvio, &mut from("starts", Offset::from_end(12 - start as u32))).await;
        assert_eq!(offsets(&records), expected, "from end");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_stream_gets_each_record_as_it_comes() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "live", 1).await;
    let config = from("live", Offset::end()).build().unwrap();
    let mut stream = within(fluvio.consumer_with_config(config)).await.unwrap();
    for number in 0..200 {
        let value = number.to_string();
        produce(&fluvio, "live", &[&value]).await;
        let record = within(stream.next()).await.unwrap().unwrap();
        assert_eq!((record.offset(), record.value()), (number, value.as_bytes()));
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_many_responses_has_no_gaps_and_no_repeats() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "backlog", 1).await;
    let producer = batching_producer(&fluvio, "backlog", Compression::None).await;
    let padding = "x".repeat(1000);
    // Batches of very different sizes, some larger than a response may be.
    let mut count = 0_i64;
    for size in [1, 900, 3, 500, 1, 1, 700, 60].repeat(3) {
        for _ in 0..size {
            producer.send(RecordKey::NULL, format!("{count} {padding}")).await.unwrap();
            count += 1;
        }
        within(producer.flush()).await.unwrap();
    }
    for max_bytes in [1, 10_000, 100_000, 1_048_588] {
        let records = read(&fluvio, from("backlog", Offset::beginning()).max_bytes(max_bytes)).await;
        assert_eq!(offsets(&records), (0..count).collect::<Vec<_>>(), "max_bytes {max_bytes}");
        for (number, record) in records.iter().enumerate() {
            assert!(record.value().starts_with(format!("{number} ").as_bytes()));
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_partitions_are_read_by_one_stream() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "many", 3).await;
    let producer = within(fluvio.topic_producer("many")).await.unwrap();
    for number in 0..60 {
        producer.send(format!("{number}"), format!("{number}")).await.unwrap();
    }
    within(producer.flush()).await.unwrap();
    let mut config = fluvio::consumer::ConsumerConfigExt::builder();
    config.topic("many").offset_start(Offset::beginning()).retry_mode(fluvio::consumer::RetryMode::Disabled);
    let mut read: Vec<u32> = values(&read(&fluvio, &mut config).await).iter().map(|value| value.parse().unwrap()).collect();
    read.sort_unstable();
    assert_eq!(read, (0..60).collect::<Vec<_>>());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_cannot_start_say_why() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "short", 1).await;
    produce(&fluvio, "short", &["a"]).await;
    let config = from("short", Offset::absolute(100).unwrap()).build().unwrap();
    let error = match within(fluvio.consumer_with_config(config)).await {
        Ok(mut stream) => within(stream.next()).await.unwrap().err(),
        Err(error) => error.downcast().ok(),
    };
    let Some(ErrorCode::Other(message)) = error else { panic!("unexpected: {error:?}") };
    assert!(message.contains("100"), "{message}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_size_evicts_whole_segments_and_tells_late_readers() {
    let limits = Limits { retention_interval: Duration::from_millis(20), ..Limits::default() };
    let broker = Broker::start(Options { limits, ..Options::default() }).await.unwrap();
    let fluvio = connect(&broker).await;
    let mut spec = TopicSpec::new_computed(1, 1, None);
    spec.set_storage(TopicStorageConfig { segment_size: Some(4096), max_partition_size: Some(16384) });
    create_topic_with(&fluvio, "bounded", spec).await;
    for _ in 0..100 {
        produce(&fluvio, "bounded", &["y".repeat(500).as_str()]).await;
    }
    until(async || {
        let (start, _, size) = partition(&fluvio, "bounded-0").await;
        start > 0 && size <= 16384
    })
    .await;
    let (start, high_watermark, _) = partition(&fluvio, "bounded-0").await;
    assert_eq!(high_watermark, 100);
    assert_eq!(offsets(&read_all(&fluvio, "bounded").await), (start..100).collect::<Vec<_>>());
    let (_, error) = try_read(&fluvio, &mut from("bounded", Offset::absolute(0).unwrap())).await;
    assert_eq!(error, Some(ErrorCode::OffsetEvicted { offset: 0, next_available: start }));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_topic_ends_its_streams() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "doomed", 1).await;
    produce(&fluvio, "doomed", &["a"]).await;
    let config = from("doomed", Offset::beginning()).build().unwrap();
    let mut stream = within(fluvio.consumer_with_config(config)).await.unwrap();
    assert_eq!(within(stream.next()).await.unwrap().unwrap().value(), b"a");
    within(fluvio.admin().await.delete::<TopicSpec>("doomed")).await.unwrap();
    assert_eq!(within(stream.next()).await.unwrap().err(), Some(ErrorCode::TopicDeleted));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_stops_reading_holds_up_neither_producers_nor_other_consumers() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "busy", 1).await;
    let producer = batching_producer(&fluvio, "busy", Compression::None).await;
    for _ in 0..6 {
        for _ in 0..500 {
            producer.send(RecordKey::NULL, "z".repeat(1000)).await.unwrap();
        }
        within(producer.flush()).await.unwrap();
    }
    // All on the client's one connection: ten streams that are never read, one that is.
    let mut idle = Vec::new();
    for _ in 0..10 {
        let config = from("busy", Offset::beginning()).build().unwrap();
        idle.push(within(fluvio.consumer_with_config(config)).await.unwrap());
    }
    produce(&fluvio, "busy", &["last"]).await;
    let records = read_all(&fluvio, "busy").await;
    assert_eq!(records.len(), 3001);
    drop(idle);
    broker.stop().await;
}
