//! Length-prefixed frames: requests coming in, responses going out.

use std::{io, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fluvio_protocol::{Encoder, Version, api::RequestHeader, core::Decoder};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use crate::limits::{FRAME_BYTES_INITIAL, FRAME_BYTES_MIN};

/// One request: its header, and its body not yet decoded.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) header: RequestHeader,
    pub(crate) body: Bytes,
    /// Size on the wire, length prefix included.
    pub(crate) bytes: usize,
}

impl Request {
    pub(crate) fn version(&self) -> Version {
        self.header.api_version()
    }

    pub(crate) fn correlation_id(&self) -> i32 {
        self.header.correlation_id()
    }
}

/// Why no further request can be read from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    #[error("no complete request in time")]
    TimedOut,
    #[error("frame of {length} bytes, between {FRAME_BYTES_MIN} and {length_max} are allowed")]
    Length { length: i64, length_max: usize },
    #[error("unknown api key {api_key}")]
    UnknownApi { api_key: u16 },
    #[error("malformed request header: {0}")]
    Header(io::Error),
}

/// Limits of reading one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimits {
    /// Size of the largest request of all; one that announces more is not even looked at.
    pub(crate) bytes_max: usize,
    /// For the first byte; unlimited where `None`, since idle connections are legitimate.
    pub(crate) start: Option<Duration>,
    /// For the rest.
    pub(crate) rest: Duration,
}

/// Reads the next request, or `None` when the peer has closed the connection between two requests.
///
/// `length_max` gives the largest frame for an api key, or `None` for an unknown key; it is asked before any
/// memory is set aside for the frame.
pub(crate) async fn read_request<R>(reader: &mut R, limits: ReadLimits, length_max: impl Fn(u16) -> Option<usize>) -> Result<Option<Request>, ReadError>
where
    R: AsyncRead + Unpin,
{
    let mut first = [0_u8; 1];
    let started = reader.read(&mut first);
    let count = match limits.start {
        Some(limit) => timeout(limit, started).await.map_err(|_| ReadError::TimedOut)??,
        None => started.await?,
    };
    if count == 0 {
        return Ok(None);
    }
    let rest = read_rest(reader, first[0], limits.bytes_max, length_max);
    timeout(limits.rest, rest).await.map_err(|_| ReadError::TimedOut)?.map(Some)
}

async fn read_rest<R>(reader: &mut R, first: u8, bytes_max: usize, length_max: impl Fn(u16) -> Option<usize>) -> Result<Request, ReadError>
where
    R: AsyncRead + Unpin,
{
    let mut prefix = [first, 0, 0, 0];
    reader.read_exact(&mut prefix[1..]).await?;
    let declared = i32::from_be_bytes(prefix);
    let length = usize::try_from(declared).unwrap_or(0);
    if !(FRAME_BYTES_MIN..=bytes_max).contains(&length) {
        return Err(ReadError::Length { length: declared.into(), length_max: bytes_max });
    }

    let mut fixed = [0_u8; FRAME_BYTES_MIN];
    reader.read_exact(&mut fixed).await?;
    let api_key = u16::from_be_bytes([fixed[0], fixed[1]]);
    let length_max = length_max(api_key).ok_or(ReadError::UnknownApi { api_key })?;
    if length > length_max {
        return Err(ReadError::Length { length: declared.into(), length_max });
    }

    let mut frame = BytesMut::with_capacity(length.min(FRAME_BYTES_INITIAL));
    frame.put_slice(&fixed);
    let mut remaining = reader.take((length - FRAME_BYTES_MIN) as u64);
    while frame.len() < length {
        if frame.len() == frame.capacity() {
            frame.reserve(frame.len().min(length - frame.len()));
        }
        if remaining.read_buf(&mut frame).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    parse(frame.freeze())
}

fn parse(mut frame: Bytes) -> Result<Request, ReadError> {
    let bytes = frame.len() + 4;
    let client_id_length = i16::from_be_bytes([frame[8], frame[9]]);
    if frame.len() - FRAME_BYTES_MIN < usize::try_from(client_id_length).unwrap_or(0) {
        return Err(ReadError::Header(io::ErrorKind::UnexpectedEof.into()));
    }
    let header = RequestHeader::decode_from(&mut frame, 0).map_err(ReadError::Header)?;
    Ok(Request { header, body: frame, bytes })
}

/// One response, ready to be written. The parts are sent one after the other by a single system call, so
/// that stored batches need not be copied behind their header.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    head: Bytes,
    tail: Bytes,
}

impl Frame {
    /// A frame of which `head` holds everything but the length prefix's place, which is its first four bytes.
    fn new(mut head: BytesMut, tail: Bytes) -> io::Result<Self> {
        let length = head.len() - 4 + tail.len();
        let length = i32::try_from(length).map_err(|_| io::Error::other("response exceeds 2 GiB"))?;
        head[..4].copy_from_slice(&length.to_be_bytes());
        Ok(Self { head: head.freeze(), tail })
    }

    /// Size on the wire.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The parts, in the order in which they are sent.
    pub(crate) fn into_parts(self) -> [Bytes; 2] {
        [self.head, self.tail]
    }
}

/// Encodes a response to the request with this correlation id, followed by `tail` as it is.
pub(crate) fn response<R: Encoder>(correlation_id: i32, version: Version, body: &R, tail: Bytes) -> io::Result<Frame> {
    let mut head = BytesMut::with_capacity(8 + body.write_size(version));
    head.put_i32(0);
    head.put_i32(correlation_id);
    body.encode(&mut head, version)?;
    Frame::new(head, tail)
}

/// Whether a decoder has consumed all it was given; left-over bytes mean that the two sides disagree.
pub(crate) fn is_exhausted(body: &impl Buf) -> bool {
    !body.has_remaining()
}
