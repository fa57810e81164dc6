//! Appends: in order, pipelined, and honest about failures.

use std::sync::Arc;

use fluvio_protocol::link::ErrorCode;
use fluvio_streams::fluvio::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX};
use fluvio_streams::fluvio::{Compression, FluvioLog, FluvioLogOptions};
use fluvio_streams::log::{Log, LogError, Writer};
use fluvio_streams::record::NewRecord;
use futures_util::future::{join_all, poll_immediate};

use crate::proxy::{self, Fate, PRODUCE, Proxy};
use crate::site::Site;
use crate::support::{assert_events, connect, create, event, hasty, options, read_to};

#[tokio::test]
async fn pipelined_appends_keep_their_order() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 2).await;
    let writers = [log.writer("events", 0).await.expect("opens"), log.writer("events", 1).await.expect("opens")];
    let append = |number: usize| {
        let writer = &writers[number % 2];
        async move { writer.append(vec![event(number / 2 * 2), event(number / 2 * 2 + 1)]).await }
    };
    // Joined futures are polled in their order, which makes it the order of the calls.
    let offsets = join_all((0..2_000).map(append)).await;
    for (number, offset) in offsets.into_iter().enumerate() {
        assert_eq!(offset.expect("is acknowledged"), (number / 2 * 2) as i64, "append {number}");
    }
    for partition in 0..2 {
        let mut reader = log.read("events", partition, 0, None).await.expect("opens");
        assert_events(&read_to(&mut *reader, 2_000).await.expect("reads"), 0, 2_000);
    }
}

#[tokio::test]
async fn compressed_appends_are_read_back() {
    let site = Site::start().await;
    for (index, compression) in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd].into_iter().enumerate() {
        let log = site.connect_with(FluvioLogOptions { compression, ..site.options() }).await;
        let topic = format!("events-{index}");
        create(&log, &topic, 1).await;
        let writer = log.writer(&topic, 0).await.expect("opens");
        assert_eq!(writer.append((0..300).map(event).collect()).await.expect("is acknowledged"), 0);
        let mut reader = log.read(&topic, 0, 100, None).await.expect("opens");
        assert_events(&read_to(&mut *reader, 300).await.expect("reads"), 100, 300);
    }
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_disturbs_no_other() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    for number in 0..20 {
        // Polled once, so that it is on its way, and dropped.
        assert!(poll_immediate(writer.append(vec![event(number)])).await.is_none());
    }
    assert_eq!(writer.append(vec![event(20)]).await.expect("is acknowledged"), 20);
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    assert_events(&read_to(&mut *reader, 21).await.expect("reads"), 0, 21);
}

#[tokio::test]
async fn what_cannot_be_appended_is_refused_before_it_is_sent() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    let refusal = async |records: Vec<NewRecord>| match writer.append(records).await {
        Err(LogError::Refused { action, detail }) => format!("{action}: {detail}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(Vec::new()).await, "appending to events/0: there are no records to append");
    let large = NewRecord { key: None, value: vec![0; APPEND_BYTES_MAX].into() };
    assert!(refusal(vec![large]).await.contains("at most"));
    let many = vec![NewRecord { key: None, value: "x".into() }; APPEND_RECORDS_MAX + 1];
    assert!(refusal(many).await.contains("at most"));
    assert_eq!(writer.append(vec![event(0)]).await.expect("the writer is still good"), 0);
    assert_eq!(log.offsets("events", 0).await.expect("answers").end, 1);
}

#[tokio::test]
async fn a_large_append_arrives() {
    let site = Site::start().await;
    let log = site.connect().await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    let value = vec![b'x'; APPEND_BYTES_MAX - 1_000];
    writer.append(vec![event(0)]).await.expect("is acknowledged");
    writer.append(vec![NewRecord { key: None, value: value.clone().into() }]).await.expect("is acknowledged");
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    let records = read_to(&mut *reader, 2).await.expect("reads");
    assert_eq!(records[1].value, value);
}

/// Appends three records at once while the answer to the second is changed to an error.
async fn append_with_second_failing(proxy: &Proxy, writer: &Arc<dyn Writer>) -> Vec<Result<i64, LogError>> {
    let mut answers = 0;
    proxy.inflict(move |response| {
        if response.api_key == PRODUCE {
            answers += 1;
        }
        if response.api_key != PRODUCE || answers != 2 {
            return Fate::Pass(response.frame);
        }
        Fate::Pass(proxy::with_append(&response.frame, |answer| (answer.error_code, answer.base_offset) = (ErrorCode::StorageError, -1)))
    });
    join_all((0..3).map(|number| writer.append(vec![event(number)]))).await
}

#[tokio::test]
async fn a_failed_append_fails_all_later_ones_until_the_writer_is_opened_anew() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    let outcomes = append_with_second_failing(&proxy, &writer).await;
    assert_eq!(*outcomes[0].as_ref().expect("the first is acknowledged"), 0);
    for outcome in &outcomes[1..] {
        let error = outcome.as_ref().expect_err("the second and the one in flight behind it fail").to_string();
        assert!(error.contains("storage error"), "{error}");
    }
    writer.append(vec![event(9)]).await.expect_err("so does what is called later");
    assert_eq!(log.offsets("events", 0).await.expect("answers").end, 3, "and it was not even sent");
    let writer = log.writer("events", 0).await.expect("opens anew");
    assert_eq!(writer.append(vec![event(3)]).await.expect("is acknowledged"), 3);
}

#[tokio::test]
async fn answers_that_overtake_each_other_change_nothing() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    let mut answers = 0;
    proxy.inflict(move |response| {
        answers += usize::from(response.api_key == PRODUCE);
        if response.api_key == PRODUCE && answers % 3 == 1 { Fate::Overtaken(response.frame) } else { Fate::Pass(response.frame) }
    });
    let offsets: Vec<i64> =
        join_all((0..30).map(|number| writer.append(vec![event(number)]))).await.into_iter().map(|offset| offset.expect("is acknowledged")).collect();
    assert_eq!(offsets, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_append_that_landed_out_of_order_is_no_success() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    writer.append(vec![event(0), event(1)]).await.expect("is acknowledged");
    proxy.inflict(|response| match response.api_key {
        PRODUCE => Fate::Pass(proxy::with_append(&response.frame, |answer| answer.base_offset = 1)),
        _ => Fate::Pass(response.frame),
    });
    let error = writer.append(vec![event(2)]).await.expect_err("its place is taken").to_string();
    assert!(error.contains("acknowledged at offset 1 after an earlier append had reached 2"), "{error}");
}

#[tokio::test]
async fn an_append_without_an_answer_ends() {
    let (proxy, broker) = Proxy::start().await;
    let log = FluvioLog::connect(FluvioLogOptions { timeouts: hasty(), ..options(&broker) }).await.expect("connects");
    create(&log, "events", 1).await;
    let writer = log.writer("events", 0).await.expect("opens");
    proxy.inflict(|response| if response.api_key == PRODUCE { Fate::Swallow } else { Fate::Pass(response.frame) });
    let error = writer.append(vec![event(0)]).await.expect_err("nobody answers");
    assert!(matches!(&error, LogError::Unreachable { detail, .. } if detail.contains("not acknowledged within")), "{error}");
    proxy.heal();
    let writer = log.writer("events", 0).await.expect("opens anew");
    assert_eq!(writer.append(vec![event(1)]).await.expect("is acknowledged"), 1, "the one without an answer had landed");
}
