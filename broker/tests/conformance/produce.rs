//! Producing with the official client: every way of acknowledging and packing.

use std::time::Duration;

use fluvio::{
    Compression, DeliverySemantic, Isolation, RecordKey, TopicProducerConfigBuilder,
    metadata::topic::{CompressionAlgorithm, TopicSpec},
};

use crate::harness::{batching_producer, connect, create_topic, create_topic_with, offsets, partition, produce, read_all, start, until, values, within};

#[tokio::test(flavor = "multi_thread")]
async fn keys_values_times_and_offsets_survive() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "records", 1).await;
    let producer = within(fluvio.topic_producer("records")).await.unwrap();
    let large = "x".repeat(300_000);
    let sent: [(Option<&[u8]>, &[u8]); 5] =
        [(Some(b"key"), b"value"), (None, b"no key"), (Some(b""), b""), (Some(b"\xff\x00binary"), b"\x00\x01\xfe"), (Some(b"large"), large.as_bytes())];
    for (number, (key, value)) in sent.iter().enumerate() {
        let key = key.map_or(RecordKey::NULL, |key| key.to_vec().into());
        let output = producer.send(key, value.to_vec()).await.unwrap();
        producer.flush().await.unwrap();
        assert_eq!(within(output.wait()).await.unwrap().offset(), number as i64);
    }
    let records = read_all(&fluvio, "records").await;
    assert_eq!(offsets(&records), [0, 1, 2, 3, 4]);
    for (record, (key, value)) in records.iter().zip(&sent) {
        assert_eq!(record.key(), *key);
        assert_eq!(record.value(), *value);
        assert!(record.timestamp() > 1_600_000_000_000);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_stored_and_read() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "packed", 1).await;
    let mut expected = Vec::new();
    let all = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for compression in all {
        let producer = batching_producer(&fluvio, "packed", compression).await;
        for number in 0..50 {
            let value = format!("{compression} {number} {}", "lorem ipsum ".repeat(20));
            producer.send(RecordKey::NULL, value.clone()).await.unwrap();
            expected.push(value);
        }
        within(producer.flush()).await.unwrap();
    }
    let records = read_all(&fluvio, "packed").await;
    assert_eq!(values(&records), expected);
    assert_eq!(offsets(&records), (0..250).collect::<Vec<i64>>());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_a_compression_of_its_own_takes_that_one() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    let mut spec = TopicSpec::new_computed(1, 1, None);
    spec.set_compression_type(CompressionAlgorithm::Zstd);
    create_topic_with(&fluvio, "zstd-only", spec).await;
    // The client adopts the topic's compression when told none, and refuses another by itself.
    let producer = within(fluvio.topic_producer("zstd-only")).await.unwrap();
    let output = producer.send(RecordKey::NULL, "z".repeat(10_000)).await.unwrap();
    within(producer.flush()).await.unwrap();
    within(output.wait()).await.unwrap();
    assert!(partition(&fluvio, "zstd-only-0").await.2 < 1000);
    let config = TopicProducerConfigBuilder::default().compression(Compression::Gzip).build().unwrap();
    assert!(within(fluvio.topic_producer_with_config("zstd-only", config)).await.is_err());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_isolations_and_deliveries_arrive_in_order() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    for (index, isolation) in [Isolation::ReadUncommitted, Isolation::ReadCommitted].into_iter().enumerate() {
        for (delivery, name) in
            [(DeliverySemantic::AtMostOnce, format!("most-{index}")), (DeliverySemantic::AtLeastOnce(fluvio::RetryPolicy::default()), format!("least-{index}"))]
        {
            create_topic(&fluvio, &name, 1).await;
            let config =
                TopicProducerConfigBuilder::default().isolation(isolation).delivery_semantic(delivery).batch_size(200).linger(Duration::ZERO).build().unwrap();
            let producer = within(fluvio.topic_producer_with_config(&name, config)).await.unwrap();
            for number in 0..500 {
                within(producer.send(RecordKey::NULL, format!("{number:04}"))).await.unwrap();
            }
            within(producer.flush()).await.unwrap();
            // At most once does not wait for acknowledgements.
            until(async || partition(&fluvio, &format!("{name}-0")).await.1 == 500).await;
            let expected: Vec<String> = (0..500).map(|number| format!("{number:04}")).collect();
            assert_eq!(values(&read_all(&fluvio, &name).await), expected, "{name}");
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_go_to_one_partition_and_all_partitions_are_used() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "spread", 4).await;
    let producer = within(fluvio.topic_producer("spread")).await.unwrap();
    let mut partition_of = std::collections::BTreeMap::new();
    let mut used = std::collections::BTreeSet::new();
    for number in 0..200 {
        let key = format!("key-{}", number % 20);
        let output = producer.send(key.clone(), "value").await.unwrap();
        producer.flush().await.unwrap();
        let partition = within(output.wait()).await.unwrap().partition_id();
        assert_eq!(*partition_of.entry(key).or_insert(partition), partition);
        used.insert(partition);
    }
    assert_eq!(used.len(), 4);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_at_a_time_lose_nothing_and_get_offsets_of_their_own() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "shared", 1).await;
    let mut producers = Vec::new();
    for producer in 0..8 {
        let address = broker.sc_addr().to_string();
        producers.push(tokio::spawn(async move {
            let fluvio = crate::harness::connect_to(&address).await;
            let mut offsets = Vec::new();
            for number in 0..20 {
                offsets.extend(produce(&fluvio, "shared", &[&format!("{producer}-{number}")]).await);
            }
            offsets
        }));
    }
    let mut acknowledged = Vec::new();
    for producer in producers {
        let offsets = within(producer).await.unwrap();
        assert!(offsets.is_sorted());
        acknowledged.extend(offsets);
    }
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (0..160).collect::<Vec<i64>>());
    assert_eq!(read_all(&fluvio, "shared").await.len(), 160);
    broker.stop().await;
}
