//! The fixed part of a batch: offsets in the wire form and what they mean.

use super::BatchError;

/// Offset and length, which the length itself does not count.
const PREAMBLE_BYTES: usize = 12;
/// Preamble and header, without the schema id.
pub(crate) const HEADER_BYTES: usize = 57;
/// From here to the end of the batch the CRC32C counts.
pub(crate) const CRC_START: usize = 21;
/// The leader epoch: four bytes that no checksum covers and no client reads.
pub(crate) const LEADER_EPOCH: std::ops::Range<usize> = 12..16;

const MAGIC: i8 = 2;
const SCHEMA_ID_BYTES: usize = 4;
const ATTRIBUTE_CODEC_MASK: i16 = 0x07;
const ATTRIBUTE_SCHEMA: i16 = 0x10;

/// A decoded batch header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// Whole batch, preamble included.
    pub(crate) total_bytes: usize,
    pub(crate) crc: u32,
    attributes: i16,
    pub(crate) record_count: u32,
    pub(crate) first_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
}

impl BatchHeader {
    /// Decodes the header at the start of `bytes`; does not look at what follows it.
    ///
    /// # Errors
    /// When fewer than [`HEADER_BYTES`] are there, or a field has a value that no batch can have.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated { needed_bytes: HEADER_BYTES, available_bytes: bytes.len() });
        }
        let magic = i8::from_be_bytes(field(bytes, 16));
        if magic != MAGIC {
            return Err(BatchError::Magic { magic });
        }
        let attributes = i16::from_be_bytes(field(bytes, 21));
        let length = i32::from_be_bytes(field(bytes, 8));
        let total_bytes = usize::try_from(length).map_or(0, |length| length + PREAMBLE_BYTES);
        if total_bytes < HEADER_BYTES + schema_bytes(attributes) {
            return Err(BatchError::Length { length });
        }
        let last_offset_delta = i32::from_be_bytes(field(bytes, 23));
        let record_count = u32::try_from(last_offset_delta).map_err(|_| BatchError::Empty)? + 1;
        Ok(Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            total_bytes,
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes,
            record_count,
            first_timestamp_ms: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp_ms: i64::from_be_bytes(field(bytes, 35)),
        })
    }

    /// Offset of the record after this batch.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.record_count))
    }

    /// Number of the compression codec, 0 for none.
    pub(crate) fn codec(&self) -> i8 {
        (self.attributes & ATTRIBUTE_CODEC_MASK) as i8
    }

    /// Where in the batch the (perhaps compressed) records start.
    pub(crate) fn records_start(&self) -> usize {
        HEADER_BYTES + schema_bytes(self.attributes)
    }

    /// Whether the checksum of `batch`, which is this header's whole batch, is right.
    pub(crate) fn crc_matches(&self, batch: &[u8]) -> bool {
        crc32c::crc32c(&batch[CRC_START..]) == self.crc
    }
}

/// The real encoder writes four more bytes when the schema bit is set.
fn schema_bytes(attributes: i16) -> usize {
    if attributes & ATTRIBUTE_SCHEMA == 0 { 0 } else { SCHEMA_ID_BYTES }
}

fn field<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[start..start + N]);
    field
}
