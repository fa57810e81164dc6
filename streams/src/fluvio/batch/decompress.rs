//! Decompression with an end: the published crate unpacks whatever it is given.

use std::io::Read;

use bytes::Bytes;
use fluvio::Compression;

use super::Malformed;
use crate::fluvio::limits::{BATCH_DECOMPRESSED_BYTES_MAX, ZSTD_WINDOW_LOG_MAX};

/// Unpacks the records of a batch.
pub(super) fn decompress(compression: Compression, packed: Bytes) -> Result<Bytes, Malformed> {
    let unpacked = match compression {
        Compression::None => return Ok(packed),
        Compression::Gzip => read_bounded(flate2::read::GzDecoder::new(&packed[..])),
        Compression::Snappy => read_bounded(snap::read::FrameDecoder::new(&packed[..])),
        Compression::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(&packed[..])),
        Compression::Zstd => zstd::stream::read::Decoder::with_buffer(&packed[..]).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read_bounded(decoder)
        }),
    };
    let unpacked = unpacked.map_err(|error| Malformed(format!("its {compression} compression is corrupt: {error}")))?;
    if unpacked.len() > BATCH_DECOMPRESSED_BYTES_MAX {
        return Err(Malformed(format!("it unpacks to more than {BATCH_DECOMPRESSED_BYTES_MAX} bytes")));
    }
    Ok(unpacked.into())
}

/// Reads one byte more than allowed, so that the caller can tell "full" from "too much".
fn read_bounded(decoder: impl Read) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    decoder.take(BATCH_DECOMPRESSED_BYTES_MAX as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}
