//! A server between the adapter and the broker that does to responses what a test says: the faults of real servers and networks, on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use fluvio_protocol::api::Request;
use fluvio_protocol::record::{RawRecords, RecordSet};
use fluvio_protocol::{Decoder, Encoder};
use fluvio_spu_schema::produce::{DefaultProduceRequest, ProduceResponse};
use fluvio_spu_schema::server::stream_fetch::{DefaultStreamFetchRequest, DefaultStreamFetchResponse};
use fluvio_streams::fluvio::limits::FETCH_BYTES_MAX;
use orderflow_broker::{Broker, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PRODUCE: u16 = <DefaultProduceRequest as Request>::API_KEY;
pub(crate) const STREAM: u16 = <DefaultStreamFetchRequest as Request>::API_KEY;
const VERSION: i16 = 25;

/// A response on its way back.
pub(crate) struct Response {
    /// Which request it answers.
    pub(crate) api_key: u16,
    /// The request's body.
    pub(crate) request: Bytes,
    /// Correlation id and body.
    pub(crate) frame: Bytes,
}

/// What becomes of a response.
pub(crate) enum Fate {
    Pass(Bytes),
    /// Bytes as they are, without a length in front.
    Raw(Bytes),
    /// Nothing is sent.
    Swallow,
    /// It goes after the next one.
    Overtaken(Bytes),
    /// The connection is closed.
    Cut,
}

type Fault = Box<dyn FnMut(Response) -> Fate + Send>;

/// The proxy.
#[derive(Clone)]
pub(crate) struct Proxy {
    fault: Arc<Mutex<Fault>>,
}

impl Proxy {
    /// Starts a broker whose data plane is reached through a proxy.
    pub(crate) async fn start() -> (Self, Broker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let advertised_spu = Some(listener.local_addr().expect("an address").to_string());
        let broker = Broker::start(Options { advertised_spu, ..Options::default() }).await.expect("the broker starts");
        let proxy = Self { fault: Arc::new(Mutex::new(Box::new(|response| Fate::Pass(response.frame)))) };
        tokio::spawn(proxy.clone().accept(listener, broker.spu_addr()));
        (proxy, broker)
    }

    /// From now on responses meet this.
    pub(crate) fn inflict(&self, fault: impl FnMut(Response) -> Fate + Send + 'static) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(fault);
    }

    /// From now on nothing happens to responses.
    pub(crate) fn heal(&self) {
        self.inflict(|response| Fate::Pass(response.frame));
    }

    async fn accept(self, listener: TcpListener, server: SocketAddr) {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(server).await else { continue };
            client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).expect("TCP_NODELAY");
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let requests = Arc::new(Mutex::new(HashMap::new()));
            tokio::spawn(forward(from_client, to_server, Arc::clone(&requests)));
            tokio::spawn(self.clone().back(from_server, to_client, requests));
        }
    }

    async fn back(self, mut from_server: OwnedReadHalf, mut to_client: OwnedWriteHalf, requests: Arc<Mutex<HashMap<i32, (u16, Bytes)>>>) {
        let mut overtaken = Vec::new();
        while let Some(frame) = read_frame(&mut from_server).await {
            let correlation = i32::from_be_bytes(frame[..4].try_into().expect("four bytes"));
            let (api_key, request) = requests.lock().expect("requests").get(&correlation).cloned().expect("it was asked for");
            let fate = (self.fault.lock().unwrap_or_else(PoisonError::into_inner))(Response { api_key, request, frame });
            let bytes = match fate {
                Fate::Pass(frame) => framed(&frame),
                Fate::Raw(bytes) => bytes,
                Fate::Swallow => continue,
                Fate::Overtaken(frame) => {
                    overtaken.push(framed(&frame));
                    continue;
                }
                Fate::Cut => return,
            };
            for bytes in std::iter::once(bytes).chain(overtaken.drain(..)) {
                if to_client.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn forward(mut from_client: OwnedReadHalf, mut to_server: OwnedWriteHalf, requests: Arc<Mutex<HashMap<i32, (u16, Bytes)>>>) {
    while let Some(frame) = read_frame(&mut from_client).await {
        let api_key = u16::from_be_bytes([frame[0], frame[1]]);
        let correlation = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
        let client_id = usize::from(u16::from_be_bytes([frame[8], frame[9]]));
        requests.lock().expect("requests").insert(correlation, (api_key, frame.slice(10 + client_id..)));
        if to_server.write_all(&framed(&frame)).await.is_err() {
            return;
        }
    }
}

async fn read_frame(reader: &mut OwnedReadHalf) -> Option<Bytes> {
    let length = reader.read_i32().await.ok()?;
    let mut frame = vec![0; length as usize];
    reader.read_exact(&mut frame).await.ok()?;
    Some(frame.into())
}

/// Puts the length in front.
pub(crate) fn framed(frame: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + frame.len());
    bytes.put_i32(frame.len() as i32);
    bytes.put_slice(frame);
    bytes.freeze()
}

/// Cuts the records of a response as a real server does: at the size that was asked for, here at most `bytes_max`. A request for the largest size gets everything.
pub(crate) fn cut(response: Response, bytes_max: usize) -> Fate {
    if response.api_key != STREAM {
        return Fate::Pass(response.frame);
    }
    let request = DefaultStreamFetchRequest::decode_from(&mut response.request.clone(), VERSION).expect("a stream request");
    if request.max_bytes == FETCH_BYTES_MAX {
        return Fate::Pass(response.frame);
    }
    // The records are the last thing in the response, with their length in front.
    let decoded = stream_response(&response.frame);
    let records: usize = decoded.partition.records.write_size(VERSION) - 4;
    if records <= bytes_max {
        return Fate::Pass(response.frame);
    }
    let mut frame = BytesMut::from(&response.frame[..]);
    let length_at = frame.len() - records - 4;
    frame.truncate(frame.len() - records + bytes_max);
    frame[length_at..length_at + 4].copy_from_slice(&(bytes_max as i32).to_be_bytes());
    Fate::Pass(frame.freeze())
}

pub(crate) fn stream_response(frame: &Bytes) -> DefaultStreamFetchResponse {
    DefaultStreamFetchResponse::decode_from(&mut frame.slice(4..), VERSION).expect("a stream response")
}

/// Returns the response with its batches changed.
pub(crate) fn with_batches(frame: &Bytes, change: impl FnOnce(&mut RecordSet<RawRecords>)) -> Bytes {
    let mut decoded = stream_response(frame);
    change(&mut decoded.partition.records);
    let mut bytes = frame[..4].to_vec();
    decoded.encode(&mut bytes, VERSION).expect("encodes");
    bytes.into()
}

/// Returns the answer to an append with its one entry changed.
pub(crate) fn with_append(frame: &Bytes, change: impl FnOnce(&mut fluvio_spu_schema::produce::PartitionProduceResponse)) -> Bytes {
    let mut decoded = ProduceResponse::decode_from(&mut frame.slice(4..), VERSION).expect("an answer to an append");
    change(&mut decoded.responses[0].partitions[0]);
    let mut bytes = frame[..4].to_vec();
    decoded.encode(&mut bytes, VERSION).expect("encodes");
    bytes.into()
}
