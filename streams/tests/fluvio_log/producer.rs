//! The batching producer on a real log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fluvio_streams::log::Log;
use fluvio_streams::log::batching::BatchingProducer;
use fluvio_streams::partitioner::partition_for;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::site::Site;
use crate::support::{create, read_to, values};

#[tokio::test]
async fn many_senders_share_appends_and_lose_nothing() {
    const SENDERS: usize = 50;
    const RECORDS: usize = 100;
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "commands", 4).await;
    let producer = Arc::new(BatchingProducer::new(log.clone(), "commands").await.expect("starts"));
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let producer = Arc::clone(&producer);
        senders.spawn(async move {
            let key = Bytes::from(format!("o-{sender}"));
            let mut last = -1;
            for number in 0..RECORDS {
                let (partition, offset) = producer.send(Some(key.clone()), format!("{sender}/{number}").into()).await.expect("lands");
                assert_eq!(partition, partition_for(&key, 4));
                assert!(offset > last, "records of one sender land in order");
                last = offset;
            }
        });
    }
    senders.join_all().await;
    let mut found = BTreeMap::<usize, Vec<usize>>::new();
    for partition in 0..4 {
        let end = log.offsets("commands", partition).await.expect("answers").end;
        let mut reader = log.read("commands", partition, 0, None).await.expect("opens");
        for value in values(&read_to(&mut *reader, end).await.expect("reads")) {
            let text = String::from_utf8(value.to_vec()).expect("text");
            let (sender, number) = text.split_once('/').expect("two numbers");
            found.entry(sender.parse().expect("a number")).or_default().push(number.parse().expect("a number"));
        }
    }
    assert_eq!(found.len(), SENDERS);
    assert!(found.values().all(|numbers| *numbers == (0..RECORDS).collect::<Vec<_>>()));
}

#[tokio::test]
async fn what_one_task_sends_at_once_lands_in_order() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "commands", 2).await;
    let producer = BatchingProducer::new(log.clone(), "commands").await.expect("starts");
    // More than the queue holds, so that senders wait, and more than Tokio lets a task do in one go.
    let value = Bytes::from(vec![b'x'; 10_000]);
    let sends = (0..2_000).map(|_| producer.send(Some("o-1".into()), value.clone()));
    let offsets: Vec<i64> = join_all(sends).await.into_iter().map(|sent| sent.expect("lands").1).collect();
    assert_eq!(offsets, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_that_is_too_large_fails_alone() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "commands", 1).await;
    let producer = BatchingProducer::new(log.clone(), "commands").await.expect("starts");
    let large = fluvio_streams::fluvio::limits::APPEND_BYTES_MAX + 1;
    let (before, refused, after) =
        tokio::join!(producer.send(None, "before".into()), producer.send(None, vec![b'x'; large].into()), producer.send(None, "after".into()),);
    refused.expect_err("is too large");
    assert_eq!((before.expect("lands"), after.expect("lands")), ((0, 0), (0, 1)));
}
