//! Everything that is in the log arrives, whatever its batches look like and however the server cuts its responses.

use fluvio_streams::log::{Log, LogError};
use fluvio_streams::topology::{Routing, STUB, names};

use crate::proxy::{self, Fate, Proxy, STREAM};
use crate::site::Site;
use crate::support::{assert_events, connect, create, event, fill, read_to, upload_thin_map};

const BACKLOG: usize = 100_000;

#[tokio::test]
async fn a_large_backlog_arrives_whole_with_any_size_of_batch() {
    let site = Site::start().await;
    let log = site.connect().await;
    let batches = [100, 1_000, 20_000];
    create(&log, "events", batches.len() as u32).await;
    for (partition, batch) in (0..).zip(batches) {
        fill(&log, "events", partition, BACKLOG, batch).await;
        let mut reader = log.read("events", partition, 0, None).await.expect("the reader opens");
        let records = read_to(&mut *reader, BACKLOG as i64).await.expect("reads");
        assert_events(&records, 0, BACKLOG);
        assert!(records.iter().all(|record| record.timestamp_ms > 0), "the time is there");
    }
}

#[tokio::test]
async fn a_large_backlog_arrives_thinned_and_dense_with_routing() {
    let site = Site::start().await;
    let log = site.connect().await;
    upload_thin_map(&log).await;
    create(&log, "events", 2).await;
    for (partition, batch) in [(0, 500), (1, 20_000)] {
        fill(&log, "events", partition, BACKLOG, batch).await;
        let routing = Routing::Types(names(&["C", "F"]));
        let mut reader = log.read("events", partition, 3, Some(&routing)).await.expect("the reader opens");
        let records = read_to(&mut *reader, BACKLOG as i64).await.expect("reads");
        assert_eq!(records.len(), BACKLOG - 3);
        for (number, record) in (3..).zip(&records) {
            assert_eq!(record.offset, number as i64, "offsets are dense");
            let wanted = event(number);
            if number % 10 == 2 || number % 10 == 5 {
                assert_eq!((&record.key, &record.value), (&wanted.key, &wanted.value));
            } else {
                assert_eq!((record.key.as_ref(), &record.value[..]), (None, STUB));
            }
        }
    }
}

#[tokio::test]
async fn responses_that_are_cut_lose_nothing() {
    const COUNT: usize = 20_000;
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 3).await;
    for (partition, batch, bytes_max) in [(0, 7, 10_000), (1, 400, 99_999), (2, 3_000, 50_000)] {
        fill(&log, "events", partition, COUNT, batch).await;
        proxy.inflict(move |response| proxy::cut(response, bytes_max));
        let mut reader = log.read("events", partition, 5, None).await.expect("the reader opens");
        let records = read_to(&mut *reader, COUNT as i64).await.expect("reads");
        assert_events(&records, 5, COUNT);
        proxy.heal();
    }
}

#[tokio::test]
async fn records_that_one_response_leaves_out_are_read_again() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 1_000, 50).await;
    let mut left_out = false;
    proxy.inflict(move |response| {
        if response.api_key != STREAM || left_out {
            return Fate::Pass(response.frame);
        }
        left_out = true;
        Fate::Pass(proxy::with_batches(&response.frame, |records| drop(records.batches.remove(4))))
    });
    let mut reader = log.read("events", 0, 0, None).await.expect("the reader opens");
    let first = reader.next().await.expect("reads");
    assert_events(&first.records, 0, 200);
    let rest = read_to(&mut *reader, 1_000).await.expect("reads");
    assert_events(&rest, 200, 1_000);
}

#[tokio::test]
async fn records_that_stay_missing_are_named() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 1_000, 50).await;
    proxy.inflict(|response| {
        if response.api_key != STREAM {
            return Fate::Pass(response.frame);
        }
        Fate::Pass(proxy::with_batches(&response.frame, |records| records.batches.retain(|batch| batch.base_offset != 200)))
    });
    let mut reader = log.read("events", 0, 0, None).await.expect("the reader opens");
    let first = reader.next().await.expect("what stands before the hole arrives");
    assert_events(&first.records, 0, 200);
    let error = reader.next().await.expect_err("the hole is found");
    assert!(matches!(&error, LogError::Gap { from: 200, to: 250, .. }), "{error}");
    assert_eq!(error.to_string(), "records 200 to 250 of events/0 were not delivered");
    assert!(matches!(reader.next().await, Err(LogError::Gap { .. })), "the reader stays failed");
}

#[tokio::test]
async fn an_empty_batch_moves_the_reader_on() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 100, 50).await;
    proxy.inflict(|response| {
        if response.api_key != STREAM {
            return Fate::Pass(response.frame);
        }
        let empty = |records: &mut fluvio_protocol::record::RecordSet<fluvio_protocol::record::RawRecords>| {
            for batch in records.batches.iter_mut().filter(|batch| batch.base_offset == 0) {
                let mut emptied = fluvio_protocol::record::Batch::<fluvio_protocol::record::RawRecords>::default();
                emptied.header = batch.header.clone();
                *batch = emptied;
            }
        };
        Fate::Pass(proxy::with_batches(&response.frame, empty))
    });
    let mut reader = log.read("events", 0, 0, None).await.expect("the reader opens");
    let records = read_to(&mut *reader, 100).await.expect("reads");
    assert_events(&records, 50, 100);
}
