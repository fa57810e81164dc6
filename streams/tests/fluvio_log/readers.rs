//! Readers: where they may start, many of them, and what becomes of those that are dropped or not asked.

use std::sync::Arc;
use std::time::Duration;

use fluvio_streams::fluvio::FluvioLogOptions;
use fluvio_streams::fluvio::limits::STREAMS_PER_CONNECTION_MAX;
use fluvio_streams::fluvio::telemetry::Purpose;
use fluvio_streams::log::{Log, LogError, Offsets};
use fluvio_streams::topology::{Routing, names};

use crate::site::Site;
use crate::support::{Connections, assert_events, connect, create, event, eventually, fill, hasty, read_to, start_broker, upload_thin_map};

#[tokio::test]
async fn a_reader_starts_within_the_log_or_at_its_end() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 2).await;
    fill(&log, "events", 0, 10, 10).await;
    assert_eq!(log.offsets("events", 0).await.expect("answers"), Offsets { start: 0, end: 10 });
    assert_eq!(log.offsets("events", 1).await.expect("answers"), Offsets { start: 0, end: 0 });
    for from in [0, 4, 9] {
        let mut reader = log.read("events", 0, from, None).await.expect("opens");
        let fetched = reader.next().await.expect("reads");
        assert_events(&fetched.records, from as usize, 10);
        assert_eq!((fetched.next_offset, fetched.end_offset), (10, 10));
    }
    for from in [-1, 11] {
        let error = log.read("events", 0, from, None).await.err().expect("there is nothing");
        assert!(matches!(error, LogError::OffsetOutOfRange { offset, start: 0, end: 10, .. } if offset == from), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 1).await;
    create(&log, "events-2", 1).await;
    // Part of a name is no name.
    for topic in ["event", "nowhere"] {
        let named = |error: LogError| matches!(error, LogError::NoTopic { topic: named } if named == topic);
        assert!(named(log.offsets(topic, 0).await.expect_err("there is no topic")));
        assert!(named(log.partitions(topic).await.expect_err("there is no topic")));
        assert!(named(log.writer(topic, 0).await.err().expect("there is no topic")));
        assert!(named(log.read(topic, 0, 0, None).await.err().expect("there is no topic")));
    }
    let error = log.offsets("events", 1).await.expect_err("there is one partition");
    assert_eq!(error.to_string(), "log refused looking up events/1: the topic has 1 partitions");
}

/// On a broker of its own: others may have uploaded it to a cluster.
#[tokio::test]
async fn a_smartmodule_that_is_not_there_is_named() {
    let broker = start_broker().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let routing = Routing::Types(names(&["A"]));
    let mut reader = log.read("events", 0, 0, Some(&routing)).await.expect("opens");
    fill(&log, "events", 0, 1, 1).await;
    let error = reader.next().await.expect_err("the SmartModule was not uploaded").to_string();
    assert!(error.contains("thin-map"), "{error}");
}

#[tokio::test]
async fn a_waiting_reader_gets_records_as_they_come() {
    let site = Site::start().await;
    let log = site.connect().await;
    upload_thin_map(&log).await;
    create(&log, "events", 1).await;
    let routing = Routing::Except(names(&["A"]));
    let mut plain = log.read("events", 0, 0, None).await.expect("opens");
    let mut routed = log.read("events", 0, 0, Some(&routing)).await.expect("opens");
    let mut all = log.read("events", 0, 0, Some(&Routing::Except(Vec::new()))).await.expect("opens");
    let writer = log.writer("events", 0).await.expect("opens");
    for number in 0..50 {
        writer.append(vec![event(number)]).await.expect("is acknowledged");
        assert_events(&read_to(&mut *plain, number as i64 + 1).await.expect("reads"), number, number + 1);
        assert_events(&read_to(&mut *all, number as i64 + 1).await.expect("reads"), number, number + 1);
        let thinned = read_to(&mut *routed, number as i64 + 1).await.expect("reads");
        assert_eq!(thinned[0].key.is_some(), number % 10 != 0);
    }
}

#[tokio::test]
async fn waiting_can_be_given_up_at_any_time_without_loss() {
    let site = Site::start().await;
    let log = site.connect_with(FluvioLogOptions { timeouts: hasty(), ..site.options() }).await;
    create(&log, "events", 1).await;
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    let filling = fill(&log, "events", 0, 5_000, 3);
    tokio::pin!(filling);
    let (mut records, mut filled, mut given_up) = (Vec::new(), false, 0_u64);
    while records.len() < 5_000 {
        tokio::select! {
            () = &mut filling, if !filled => filled = true,
            fetched = reader.next() => records.extend(fetched.expect("reads").records),
            () = tokio::time::sleep(Duration::from_micros(given_up % 300)) => given_up += 1,
        }
    }
    assert_events(&records, 0, 5_000);
    assert!(given_up > 0);
}

#[tokio::test]
async fn a_reader_that_is_not_asked_holds_up_no_other() {
    let site = Site::start().await;
    let connections = Arc::new(Connections::default());
    let observer = Arc::clone(&connections);
    let log = site.connect_with(FluvioLogOptions { observer, ..site.options() }).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 30_000, 500).await;
    let mut readers = Vec::new();
    for _ in 0..STREAMS_PER_CONNECTION_MAX {
        readers.push(log.read("events", 0, 0, None).await.expect("opens"));
    }
    assert_eq!(connections.open(Purpose::Stream), 1, "they share a connection");
    let mut idle = readers.pop().expect("there are several");
    for reader in &mut readers {
        assert_events(&read_to(&mut **reader, 30_000).await.expect("reads"), 0, 30_000);
    }
    assert_events(&read_to(&mut *idle, 30_000).await.expect("it is still good"), 0, 30_000);
}

#[tokio::test]
async fn dropped_readers_leave_nothing_behind_but_places_on_one_connection() {
    let site = Site::start().await;
    let connections = Arc::new(Connections::default());
    let observer = Arc::clone(&connections);
    let log = site.connect_with(FluvioLogOptions { observer, ..site.options() }).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 5_000, 100).await;
    let mut keeper = log.read("events", 0, 0, None).await.expect("opens");
    for round in 0..STREAMS_PER_CONNECTION_MAX * 5 {
        let mut reader = log.read("events", 0, 0, None).await.expect("opens");
        if round % 2 == 0 {
            reader.next().await.expect("reads");
        }
    }
    assert!(connections.opened(Purpose::Stream) >= 5, "connections are used up");
    // One for the reader that is left, one with places left.
    eventually("used-up connections close with their last reader", || connections.open(Purpose::Stream) <= 2).await;
    assert_events(&read_to(&mut *keeper, 5_000).await.expect("it is still good"), 0, 5_000);
}
