//! Frames: length, correlation id, body. Requests and responses are the published types; only the record sets are kept as raw bytes.

use std::io::{self, ErrorKind};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fluvio_protocol::api::RequestHeader;
use fluvio_protocol::{Decoder, Encoder, Version};

/// The bytes of a record set as they are on the wire, without the length in front of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct RawRecordSet(pub(crate) Bytes);

impl Encoder for RawRecordSet {
    fn write_size(&self, _version: Version) -> usize {
        4 + self.0.len()
    }

    fn encode<T: BufMut>(&self, dest: &mut T, _version: Version) -> io::Result<()> {
        dest.put_i32(i32::try_from(self.0.len()).map_err(io::Error::other)?);
        dest.put_slice(&self.0);
        Ok(())
    }
}

impl Decoder for RawRecordSet {
    fn decode<T: Buf>(&mut self, src: &mut T, version: Version) -> io::Result<()> {
        let declared = i32::decode_from(src, version)?;
        let length = usize::try_from(declared).ok().filter(|length| *length <= src.remaining());
        let length =
            length.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("a record set of {declared} bytes in a response of {}", src.remaining())))?;
        self.0 = src.copy_to_bytes(length);
        Ok(())
    }
}

/// Encodes a request with its length in front. The correlation id is set later, by [`set_correlation`].
pub(crate) fn request<R: Encoder>(api_key: u16, version: Version, client_id: &str, body: &R) -> io::Result<BytesMut> {
    let mut header = RequestHeader::new_with_client(api_key, client_id);
    header.set_api_version(version);
    let mut frame = BytesMut::with_capacity(4 + header.write_size(0) + body.write_size(version));
    frame.put_i32(0);
    header.encode(&mut frame, 0)?;
    body.encode(&mut frame, version)?;
    let length = i32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Sets the correlation id of a frame made by [`request`]: it stands behind length, api key and version.
pub(crate) fn set_correlation(frame: &mut BytesMut, correlation: i32) {
    frame[8..12].copy_from_slice(&correlation.to_be_bytes());
}

/// Decodes the body of a response.
pub(crate) fn response<R: Decoder>(mut body: Bytes, version: Version) -> io::Result<R> {
    R::decode_from(&mut body, version)
}
