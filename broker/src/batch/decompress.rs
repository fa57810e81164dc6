//! Decompression with an end: the published crate unpacks whatever it is given.

use std::io::{self, Read};

use bytes::Bytes;
use fluvio_compression::Compression;

use crate::limits::ZSTD_WINDOW_LOG_MAX;

use super::BatchError;

/// Unpacks `packed`, at most `bytes_max` bytes of it.
///
/// # Errors
/// When the stream is corrupt or holds more than `bytes_max` bytes.
pub(super) fn decompress(compression: Compression, packed: &Bytes, bytes_max: usize) -> Result<Bytes, BatchError> {
    let unpacked = match compression {
        Compression::None => return Ok(packed.clone()),
        Compression::Gzip => read_bounded(flate2::read::GzDecoder::new(&packed[..]), bytes_max),
        Compression::Snappy => read_bounded(snap::read::FrameDecoder::new(&packed[..]), bytes_max),
        Compression::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(&packed[..]), bytes_max),
        Compression::Zstd => zstd_decoder(packed).and_then(|decoder| read_bounded(decoder, bytes_max)),
    };
    let unpacked = unpacked.map_err(|source| BatchError::Decompress { compression, source })?;
    if unpacked.len() > bytes_max {
        return Err(BatchError::DecompressedTooLarge { bytes_max });
    }
    Ok(unpacked.into())
}

fn zstd_decoder(packed: &[u8]) -> io::Result<impl Read + '_> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Reads one byte more than allowed, so that the caller can tell "full" from "too much".
fn read_bounded(decoder: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    decoder.take(bytes_max as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}
