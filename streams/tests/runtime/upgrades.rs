//! `U3`: what only a look at all tasks of a processor shows.

use std::sync::Arc;

use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::runtime::{Runtime, StartError};
use fluvio_streams::state::store::MemoryStores;

use crate::{business, counted, deposit, eventually, log, options};

/// Partitions were added to all topics: the journals of the new tasks are empty, and what belongs to them now is in others.
#[tokio::test(flavor = "multi_thread")]
async fn added_partitions_are_refused_before_anybody_begins() {
    let before = log();
    let runtime = Runtime::start(&business::topology(), options(Arc::new(before.clone()), Arc::new(MemoryStores::default()))).await.expect("it starts");
    for number in 0..10 {
        deposit(&before, &format!("a-{number}"), 1);
    }
    eventually("all is counted", || counted(&before).len() == 10).await;
    runtime.stop().await;

    let after = MemoryLog::default();
    for topic in business::topology().topics() {
        after.create(&topic, business::PARTITIONS + 1);
        for partition in 0..business::PARTITIONS {
            for record in before.fetch(&topic, partition, 0, None, usize::MAX).expect("it can be read").records {
                let record = fluvio_streams::record::NewRecord { key: record.key, value: record.value };
                after.append(&topic, partition, 0, record).expect("the topic is there");
            }
        }
    }
    let started = Runtime::start(&business::topology(), options(Arc::new(after.clone()), Arc::new(MemoryStores::default()))).await;
    let Err(error @ StartError::Incompatible { .. }) = started else { panic!("it starts") };
    let why = std::error::Error::source(&error).expect("it says why").to_string();
    assert_eq!(error.to_string(), "processor `till` cannot start");
    assert!(why.starts_with("the state of processor `till` (store `accounts`) was written for 3 partitions, its topics have 4: "), "{why}");
    for partition in 0..=business::PARTITIONS {
        let records = after.fetch("till-journal", partition, 0, None, usize::MAX).expect("it can be read").records.len();
        let known = before.fetch("till-journal", partition, 0, None, usize::MAX).map_or(0, |fetched| fetched.records.len());
        assert_eq!(records, known, "not even a fence");
    }
}

/// Journals that are empty although others are not are no reason to refuse anything: a first start may have been cut short.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_cut_short_is_gone_on_with() {
    let log = log();
    let runtime = Runtime::start(&business::topology(), options(Arc::new(log.clone()), Arc::new(MemoryStores::default()))).await.expect("it starts");
    deposit(&log, "a-1", 1);
    eventually("it is counted", || counted(&log).len() == 1).await;
    runtime.stop().await;
    let again = MemoryLog::default();
    for topic in business::topology().topics() {
        again.create(&topic, business::PARTITIONS);
        let partition = fluvio_streams::partitioner::partition_for(b"a-1", business::PARTITIONS);
        for record in log.fetch(&topic, partition, 0, None, usize::MAX).expect("it can be read").records {
            again.append(&topic, partition, 0, fluvio_streams::record::NewRecord { key: record.key, value: record.value }).expect("the topic is there");
        }
    }
    let runtime = Runtime::start(&business::topology(), options(Arc::new(again.clone()), Arc::new(MemoryStores::default()))).await.expect("it starts");
    runtime.wait_running().await.expect("it runs");
    deposit(&again, "a-2", 5);
    eventually("it is counted", || counted(&again).len() == 2).await;
    runtime.stop().await;
}
