//! Servers and networks that break.

use bytes::Bytes;
use fluvio_streams::fluvio::limits::{FRAME_BYTES_MAX, STREAM_RESPONSES_QUEUED_MAX, Timeouts};
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::{Log, LogError};
use tokio::net::TcpListener;

use crate::proxy::{Fate, Proxy, STREAM, framed};
use crate::support::{assert_events, connect, create, event, fill, hasty, options, read_to, start_broker};

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let error = FluvioLog::connect(FluvioLogOptions::new(&endpoint)).await.expect_err("nobody listens");
    assert!(matches!(&error, LogError::Unreachable { endpoint: named, .. } if *named == endpoint), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_greet_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let timeouts = Timeouts { connect: std::time::Duration::from_millis(200), ..Timeouts::default() };
    let options = FluvioLogOptions { timeouts, ..FluvioLogOptions::new(listener.local_addr().expect("an address").to_string()) };
    let error = FluvioLog::connect(options).await.expect_err("nobody answers");
    assert!(matches!(&error, LogError::Unreachable { detail, .. } if detail.contains("200 ms")), "{error}");
}

/// Breaks the stream of a reader, checks that it says so, and that another one goes on.
async fn check_broken_stream(fault: impl Fn() -> Fate + Send + 'static, expected: &str) {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 100, 10).await;
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    assert_events(&read_to(&mut *reader, 100).await.expect("reads"), 0, 100);
    proxy.inflict(move |response| if response.api_key == STREAM { fault() } else { Fate::Pass(response.frame) });
    let writer = log.writer("events", 0).await.expect("opens");
    writer.append(vec![event(100)]).await.expect("other connections are not concerned");
    let error = reader.next().await.expect_err("the stream is broken").to_string();
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    proxy.heal();
    let mut reader = log.read("events", 0, 100, None).await.expect("opens anew");
    assert_events(&read_to(&mut *reader, 101).await.expect("reads"), 100, 101);
}

#[tokio::test]
async fn a_broken_connection_fails_its_reader() {
    check_broken_stream(|| Fate::Cut, "the server closed the connection").await;
}

#[tokio::test]
async fn an_oversized_frame_fails_its_reader() {
    let length = (FRAME_BYTES_MAX as i32 + 1).to_be_bytes();
    check_broken_stream(move || Fate::Raw(Bytes::copy_from_slice(&length)), "the server sent a frame of").await;
}

#[tokio::test]
async fn a_negative_length_fails_its_reader() {
    check_broken_stream(|| Fate::Raw(Bytes::from_static(&[0xff; 8])), "the server sent a frame of -1 bytes").await;
}

#[tokio::test]
async fn a_response_that_does_not_decode_fails_its_reader() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 10, 10).await;
    // The head of a response, cut after each of its bytes.
    let mut length = 4;
    proxy.inflict(move |response| {
        if response.api_key != STREAM {
            return Fate::Pass(response.frame);
        }
        length = if length + 1 >= response.frame.len().min(60) { 4 } else { length + 1 };
        Fate::Pass(response.frame.slice(..length))
    });
    for _ in 0..60 {
        let mut reader = log.read("events", 0, 0, None).await.expect("opens");
        let error = reader.next().await.expect_err("the response is not whole").to_string();
        assert!(error.contains("does not decode"), "{error}");
    }
    proxy.heal();
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    assert_events(&read_to(&mut *reader, 10).await.expect("reads"), 0, 10);
}

#[tokio::test]
async fn a_server_that_sends_without_being_asked_to_fails_that_reader_alone() {
    let (proxy, broker) = Proxy::start().await;
    let log = connect(&broker).await;
    create(&log, "events", 1).await;
    let mut flooded = log.read("events", 0, 0, None).await.expect("opens");
    let mut floods = 0;
    proxy.inflict(move |response| {
        floods += usize::from(response.api_key == STREAM);
        let frames = if response.api_key == STREAM && floods == 1 { STREAM_RESPONSES_QUEUED_MAX + 3 } else { 1 };
        Fate::Raw(framed(&response.frame).repeat(frames).into())
    });
    fill(&log, "events", 0, 10, 10).await;
    // It shares the connection, so the flood has come when it has read.
    let mut other = log.read("events", 0, 0, None).await.expect("opens");
    assert_events(&read_to(&mut *other, 10).await.expect("reads"), 0, 10);
    assert_events(&read_to(&mut *flooded, 10).await.expect("what was sent first is good"), 0, 10);
    let error = flooded.next().await.expect_err("the rest was too much").to_string();
    assert!(error.contains("sends more than was acknowledged"), "{error}");
    fill(&log, "events", 0, 5, 5).await;
    assert_eq!(read_to(&mut *other, 15).await.expect("goes on").len(), 5);
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_is_found_out() {
    let (proxy, broker) = Proxy::start().await;
    let log = FluvioLog::connect(FluvioLogOptions { timeouts: hasty(), ..options(&broker) }).await.expect("connects");
    create(&log, "events", 1).await;
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    proxy.inflict(|_| Fate::Swallow);
    let error = reader.next().await.expect_err("nobody is there any more");
    assert!(matches!(&error, LogError::Unreachable { detail, .. } if detail.contains("no answer within")), "{error}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_anew() {
    let (proxy, broker) = Proxy::start().await;
    let log = FluvioLog::connect(FluvioLogOptions { timeouts: hasty(), ..options(&broker) }).await.expect("connects");
    create(&log, "events", 1).await;
    let mut reader = log.read("events", 0, 0, None).await.expect("opens");
    let mut swallowed = false;
    proxy.inflict(move |response| {
        if response.api_key != STREAM || swallowed {
            return Fate::Pass(response.frame);
        }
        swallowed = true;
        Fate::Swallow
    });
    fill(&log, "events", 0, 10, 10).await;
    assert_events(&read_to(&mut *reader, 10).await.expect("reads"), 0, 10);
}

#[tokio::test]
async fn a_stream_that_stays_silent_is_a_loss() {
    let (proxy, broker) = Proxy::start().await;
    let log = FluvioLog::connect(FluvioLogOptions { timeouts: hasty(), ..options(&broker) }).await.expect("connects");
    create(&log, "events", 1).await;
    fill(&log, "events", 0, 10, 10).await;
    proxy.inflict(|response| if response.api_key == STREAM { Fate::Swallow } else { Fate::Pass(response.frame) });
    let mut reader = log.read("events", 0, 3, None).await.expect("opens");
    let error = reader.next().await.expect_err("nothing comes");
    assert!(matches!(error, LogError::Gap { from: 3, to: 10, .. }), "{error}");
}

#[tokio::test]
async fn two_logs_and_two_brokers_do_not_meet() {
    let brokers = [start_broker().await, start_broker().await];
    let logs = [connect(&brokers[0]).await, connect(&brokers[1]).await];
    create(&logs[0], "events", 1).await;
    create(&logs[1], "events", 2).await;
    fill(&logs[0], "events", 0, 7, 7).await;
    assert_eq!(logs[0].partitions("events").await.expect("answers"), 1);
    assert_eq!(logs[1].partitions("events").await.expect("answers"), 2);
    assert_eq!(logs[1].offsets("events", 0).await.expect("answers").end, 0);
}
