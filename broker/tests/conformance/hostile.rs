//! Clients that no correct client is: each costs itself the connection, and nobody else anything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use orderflow_broker::{Broker, CloseReason, Limits, Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Recorder, connect, create_topic, produce, read_all, start_recorded, until, values, within};

const API_VERSIONS: u16 = 18;
const PRODUCE: u16 = 0;
const STREAM_FETCH: u16 = 1003;
const WATCH: u16 = 1004;
const CREATE: u16 = 1001;

/// A frame with a well-formed header.
fn frame(api_key: u16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(api_key.to_be_bytes());
    header.extend(version.to_be_bytes());
    header.extend(7_i32.to_be_bytes());
    header.extend([0, 4]);
    header.extend(b"evil");
    let mut frame = ((header.len() + body.len()) as i32).to_be_bytes().to_vec();
    frame.extend(header);
    frame.extend(body);
    frame
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as i16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// The body of a produce request with one entry, whose records are these bytes.
fn produce_body(topic: &str, announced: i32, records: &[u8]) -> Vec<u8> {
    let mut body = vec![0]; // no transaction
    body.extend(1_i16.to_be_bytes());
    body.extend(1500_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(string(topic));
    body.extend(1_i32.to_be_bytes());
    body.extend(0_u32.to_be_bytes());
    body.extend(announced.to_be_bytes());
    body.extend(records);
    body.extend(0_i32.to_be_bytes()); // no SmartModules
    body
}

/// A batch of format 2 around a payload; its checksum is right.
fn batch(last_offset_delta: i32, attributes: i16, payload: &[u8]) -> Vec<u8> {
    let mut checked = attributes.to_be_bytes().to_vec();
    checked.extend(last_offset_delta.to_be_bytes());
    checked.extend([0; 16]);
    checked.extend([0xff; 14]);
    checked.extend(payload);
    let mut bytes = 0_i64.to_be_bytes().to_vec();
    bytes.extend((checked.len() as i32 + 9).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 2]);
    bytes.extend(crc32c::crc32c(&checked).to_be_bytes());
    bytes.extend(checked);
    bytes
}

/// Sends bytes and reads until the broker closes the connection.
async fn send_until_closed(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The broker may close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within(socket.read_to_end(&mut answer)).await;
    answer
}

/// Sends a request and returns the body of its answer.
async fn call(socket: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    socket.write_all(request).await.unwrap();
    let length = within(socket.read_i32()).await.unwrap();
    let mut answer = vec![0; length as usize];
    within(socket.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[..4], 7_i32.to_be_bytes());
    answer.split_off(4)
}

/// Checks that a well-behaved client is served as ever.
async fn assert_serves(broker: &Broker, topic: &str) {
    let fluvio = connect(broker).await;
    create_topic(&fluvio, topic, 1).await;
    produce(&fluvio, topic, &["fine"]).await;
    assert_eq!(values(&read_all(&fluvio, topic).await), ["fine"]);
}

async fn closed_for(recorder: &Arc<Recorder>, reason: CloseReason, count: usize) {
    let recorder = Arc::clone(recorder);
    until(async move || recorder.closed.lock().unwrap().iter().filter(|found| **found == reason).count() >= count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_close_their_connection_only() {
    let (broker, recorder) = start_recorded(Options::default()).await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "before", 1).await;

    let huge_string = [&[0x7f, 0xff][..], b"short"].concat();
    let frames: Vec<Vec<u8>> = vec![
        i32::MAX.to_be_bytes().to_vec(),
        // A length that is allowed for produce requests only.
        [&(30 * 1024 * 1024_i32).to_be_bytes()[..], &API_VERSIONS.to_be_bytes(), &[0; 8]].concat(),
        [&(-1_i32).to_be_bytes()[..], &[0; 64]].concat(),
        [&0_i32.to_be_bytes()[..], &[0; 64]].concat(),
        [&3_i32.to_be_bytes()[..], &[0; 64]].concat(),
        frame(4242, 0, &[]),
        frame(API_VERSIONS, 99, &[]),
        frame(API_VERSIONS, -1, &[]),
        frame(API_VERSIONS, 2, &huge_string),
        frame(API_VERSIONS, 2, &[0; 500]),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello looks about like this".to_vec(),
    ];
    for address in [broker.sc_addr(), broker.spu_addr()] {
        for frame in &frames {
            assert_eq!(send_until_closed(address, frame).await, b"", "{frame:?}");
        }
    }
    closed_for(&recorder, CloseReason::Hostile, 2 * frames.len()).await;
    produce(&fluvio, "before", &["still connected"]).await;
    assert_serves(&broker, "after").await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_close_their_connection_only() {
    let (broker, recorder) = start_recorded(Options::default()).await;
    let vector_of_billions = i32::MAX.to_be_bytes();
    let type_buffer = |label: &str, inner: &[u8]| {
        let mut body = string(label);
        body.extend((inner.len() as u32).to_be_bytes());
        body.extend(inner);
        body
    };
    let control: Vec<Vec<u8>> = vec![
        frame(WATCH, 19, &[]),
        frame(WATCH, 19, &type_buffer("Nonsense", &[0; 9])),
        frame(WATCH, 19, &type_buffer("Topic", &[])),
        frame(CREATE, 19, &type_buffer("Topic", &[0xff; 30])),
        frame(CREATE, 19, &[&string("Topic")[..], &u32::MAX.to_be_bytes()].concat()),
        frame(CREATE, 19, &type_buffer("SmartModule", &[&string("x")[..], &[0, 0, 0, 0, 0], &[0xff; 8]].concat())),
    ];
    for frame in &control {
        assert_eq!(send_until_closed(broker.sc_addr(), frame).await, b"", "{frame:?}");
    }
    let mut many_topics = vec![0];
    many_topics.extend([0, 1, 0, 0, 5, 220]);
    many_topics.extend(vector_of_billions);
    let data: Vec<Vec<u8>> = vec![
        frame(PRODUCE, 25, &many_topics),
        frame(PRODUCE, 25, &produce_body("t", -5, &[])),
        frame(PRODUCE, 25, &produce_body("t", i32::MAX, &[1, 2, 3])),
        frame(STREAM_FETCH, 25, &[&string("t")[..], &[0; 4]].concat()),
        // A look-back whose nanoseconds overflow makes the published decoder panic.
        frame(STREAM_FETCH, 25, &overflowing_lookback()),
    ];
    for frame in &data {
        assert_eq!(send_until_closed(broker.spu_addr(), frame).await, b"", "{frame:?}");
    }
    closed_for(&recorder, CloseReason::Hostile, control.len() + data.len()).await;
    assert_serves(&broker, "after").await;
    broker.stop().await;
}

fn overflowing_lookback() -> Vec<u8> {
    let mut body = string("t");
    body.extend([0; 4]); // partition
    body.extend([0; 8]); // offset
    body.extend([0; 4]); // max bytes
    body.push(0); // isolation
    body.extend(1_i32.to_be_bytes()); // one SmartModule
    body.push(0); // by name
    body.extend(string("x"));
    body.push(0); // a filter
    body.extend([0, 0]); // no parameters
    body.push(1); // a look-back
    body.extend([0; 8]);
    body.push(1); // with an age
    body.extend(u64::MAX.to_be_bytes());
    body.extend(u32::MAX.to_be_bytes());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_batches_are_refused_and_nothing_of_them_is_stored() {
    let (broker, recorder) = start_recorded(Options::default()).await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "target", 1).await;

    // One record with value length 2^62, and others as bad.
    let lying_length = [&1_i32.to_be_bytes()[..], &[0x20, 0, 0, 0, 0], &[0xff; 9], &[0x01]].concat();
    let negative_length = [&1_i32.to_be_bytes()[..], &[0x0c, 0, 0, 0, 0, 0x01, 0]].concat();
    let good_record = [&1_i32.to_be_bytes()[..], &[0x0e, 0, 0, 0, 0, 0x02, b'x', 0]].concat();
    let records: Vec<Vec<u8>> = vec![
        vec![0; 10],
        batch(0, 0, &lying_length),
        batch(0, 0, &negative_length),
        batch(i32::MAX, 0, &good_record),
        batch(-1, 0, &0_i32.to_be_bytes()),
        batch(0, 7, &good_record),
        batch(0, 1, b"not gzip"),
        batch(0, 0, &good_record)[..60].to_vec(),
        [batch(0, 0, &good_record), vec![9; 5]].concat(),
    ];
    let mut socket = TcpStream::connect(broker.spu_addr()).await.unwrap();
    for (index, records) in records.iter().enumerate() {
        let body = produce_body("target", records.len() as i32, records);
        let answer = call(&mut socket, &frame(PRODUCE, 25, &body)).await;
        let code_at = 4 + 2 + "target".len() + 4 + 4;
        let code = i16::from_be_bytes([answer[code_at], answer[code_at + 1]]);
        assert_ne!(code, 0, "batch {index} was taken");
    }
    assert_eq!(*recorder.appended.lock().unwrap(), 0);
    let body = produce_body("target", batch(0, 0, &good_record).len() as i32, &batch(0, 0, &good_record));
    call(&mut socket, &frame(PRODUCE, 25, &body)).await;
    assert_eq!(values(&read_all(&fluvio, "target").await), ["x"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dawdle_are_disconnected_and_idle_ones_are_not() {
    let limits = Limits { handshake_timeout: Duration::from_millis(200), frame_timeout: Duration::from_millis(200), ..Limits::default() };
    let (broker, recorder) = start_recorded(Options { limits, ..Options::default() }).await;
    let mut idle = TcpStream::connect(broker.sc_addr()).await.unwrap();
    let hello = frame(API_VERSIONS, 2, &[string("1"), string("os"), string("arch")].concat());
    call(&mut idle, &hello).await;

    assert_eq!(send_until_closed(broker.sc_addr(), &[]).await, b"");
    assert_eq!(send_until_closed(broker.sc_addr(), &hello[..3]).await, b"");
    assert_eq!(send_until_closed(broker.sc_addr(), &hello[..20]).await, b"");
    closed_for(&recorder, CloseReason::TimedOut, 3).await;
    // By now the idle client has been silent for longer than any of them.
    call(&mut idle, &hello).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_turned_away_and_room_is_reused() {
    let limits = Limits { connections_max: 3, ..Limits::default() };
    let (broker, recorder) = start_recorded(Options { limits, ..Options::default() }).await;
    let hello = frame(API_VERSIONS, 2, &[string("1"), string("os"), string("arch")].concat());
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(broker.sc_addr()).await.unwrap();
        call(&mut socket, &hello).await;
        open.push(socket);
    }
    assert_eq!(send_until_closed(broker.sc_addr(), &hello).await, b"");
    assert_eq!(*recorder.refused.lock().unwrap(), 1);
    drop(open.pop());
    closed_for(&recorder, CloseReason::ByPeer, 1).await;
    until(async || {
        let mut socket = TcpStream::connect(broker.sc_addr()).await.unwrap();
        let _ = socket.write_all(&hello).await;
        socket.read_i32().await.is_ok()
    })
    .await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_given_up_and_holds_up_nobody() {
    let limits = Limits { write_timeout: Duration::from_millis(300), outbound_bytes_max: 64 * 1024, ..Limits::default() };
    let (broker, recorder) = start_recorded(Options { limits, ..Options::default() }).await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "large", 1).await;
    for _ in 0..30 {
        produce(&fluvio, "large", &["v".repeat(500_000).as_str()]).await;
    }
    let mut deaf = TcpStream::connect(broker.spu_addr()).await.unwrap();
    let mut body = string("large");
    body.extend([0; 4]);
    body.extend([0; 8]);
    body.extend(i32::MAX.to_be_bytes());
    body.extend([0, 0, 0, 0, 0, 0]);
    for _ in 0..20 {
        deaf.write_all(&frame(STREAM_FETCH, 25, &body)).await.unwrap();
    }
    assert_serves(&broker, "meanwhile").await;
    closed_for(&recorder, CloseReason::Network, 1).await;
    broker.stop().await;
}
