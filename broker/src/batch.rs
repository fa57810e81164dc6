//! Batches in Fluvio's wire form, checked before anything else touches them.
//!
//! A batch is what a producer sends, what the log stores and what a consumer gets: the same bytes throughout, apart
//! from the base offset that the log assigns. [`EncodedBatch::parse_all`] is the gate for bytes that came from a
//! socket; start reading there. This module neither stores batches nor transforms them.

mod decompress;
mod header;
mod records;
#[cfg(test)]
mod tests;

use std::io;

use bytes::Bytes;
use fluvio_compression::Compression;
use fluvio_protocol::record::{Batch, RawRecords, Record};
use fluvio_protocol::{Decoder, Encoder};

use crate::limits;

pub(crate) use header::{BatchHeader, HEADER_BYTES, LEADER_EPOCH};

/// How large a batch may be, packed and unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Whole batch in wire form, in bytes.
    pub batch_bytes_max: usize,
    /// Its records after decompression, in bytes.
    pub decompressed_bytes_max: usize,
    /// Number of its records.
    pub records_max: u32,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { batch_bytes_max: limits::BATCH_BYTES_MAX, decompressed_bytes_max: limits::BATCH_DECOMPRESSED_BYTES_MAX, records_max: limits::BATCH_RECORDS_MAX }
    }
}

/// Why bytes are not a batch that the broker takes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("batch is cut short: {needed_bytes} bytes needed, {available_bytes} there")]
    Truncated {
        /// What the batch announces.
        needed_bytes: usize,
        /// What is there.
        available_bytes: usize,
    },
    /// The length field is smaller than the header that it counts.
    #[error("batch has an impossible length of {length}")]
    Length {
        /// The field as sent.
        length: i32,
    },
    /// Another version of the batch format.
    #[error("batch has format version {magic}, expected 2")]
    Magic {
        /// The field as sent.
        magic: i8,
    },
    /// Larger than allowed in wire form.
    #[error("batch of {bytes} bytes exceeds the limit of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Larger than allowed once unpacked.
    #[error("batch unpacks to more than the limit of {bytes_max} bytes")]
    DecompressedTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// More records than allowed.
    #[error("batch of {records} records exceeds the limit of {records_max}")]
    TooManyRecords {
        /// Their number.
        records: u32,
        /// The limit.
        records_max: u32,
    },
    /// A batch without records would take no offset, so it has no place in a log.
    #[error("batch has no records")]
    Empty,
    /// The checksum is not that of the bytes.
    #[error("batch does not match its checksum")]
    Checksum,
    /// A compression that this broker does not know.
    #[error("batch has the unknown compression codec {codec}")]
    Codec {
        /// The number as sent.
        codec: i8,
    },
    /// The compressed records cannot be unpacked.
    #[error("{compression} records of the batch are corrupt")]
    Decompress {
        /// The codec.
        compression: Compression,
        /// What the codec says.
        source: io::Error,
    },
    /// Header and records disagree on how many records there are.
    #[error("batch header announces {header} records, the records {records}")]
    RecordCount {
        /// By the header.
        header: u32,
        /// By the records; -1 when even their number is missing.
        records: i32,
    },
    /// One record is not well formed.
    #[error("record {index} of the batch is malformed: {problem}")]
    Record {
        /// Its position in the batch.
        index: u32,
        /// What is wrong, in words.
        problem: &'static str,
    },
    /// Something follows the last record.
    #[error("batch has {bytes} bytes behind its last record")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// The published codec refused what the scanner let through, or what was to be encoded.
    #[error("records of the batch cannot be converted")]
    Codecs(#[source] io::Error),
}

/// Exactly one whole batch in wire form.
///
/// # Contract
/// One that comes from [`EncodedBatch::parse_all`] has a right checksum, a known compression and well-formed records
/// with dense offsets. Its base offset is whatever the producer wrote until the log has assigned one.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    bytes: Bytes,
    header: BatchHeader,
    compression: Compression,
    decompressed_bytes_max: usize,
}

impl EncodedBatch {
    /// Splits the record set of one produce entry (without its length prefix) into batches and checks every one,
    /// down to the fields of each record.
    ///
    /// # Errors
    /// Names the first thing that is wrong; then no batch of the entry may be stored.
    pub fn parse_all(raw: Bytes, limits: &BatchLimits) -> Result<Vec<Self>, BatchError> {
        let batches = Self::split(raw, limits)?;
        for batch in &batches {
            if !batch.header.crc_matches(&batch.bytes) {
                return Err(BatchError::Checksum);
            }
            batch.uncompressed_records()?;
        }
        Ok(batches)
    }

    /// Splits bytes that the log stores into batches, by their headers alone. The records stay unchecked until
    /// they are asked for.
    ///
    /// # Errors
    /// When a header is not that of a batch or a batch exceeds `limits`.
    pub fn split(raw: Bytes, limits: &BatchLimits) -> Result<Vec<Self>, BatchError> {
        let mut rest = raw;
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let header = BatchHeader::parse(&rest)?;
            check_size(&header, rest.len(), limits)?;
            let codec = header.codec();
            batches.push(Self {
                bytes: rest.split_to(header.total_bytes),
                header,
                compression: Compression::try_from(codec).map_err(|_| BatchError::Codec { codec })?,
                decompressed_bytes_max: limits.decompressed_bytes_max,
            });
        }
        Ok(batches)
    }

    /// Encodes records as one batch with base offset 0; their offset deltas are renumbered.
    ///
    /// # Errors
    /// When there are no records, when compression fails, or when the result exceeds `limits`.
    pub fn from_records(
        records: Vec<Record>,
        compression: Compression,
        first_timestamp_ms: i64,
        max_timestamp_ms: i64,
        limits: &BatchLimits,
    ) -> Result<Self, BatchError> {
        let mut batch = Batch::from(records);
        batch.header.first_timestamp = first_timestamp_ms;
        batch.header.max_time_stamp = max_timestamp_ms;
        batch.header.set_compression(compression);
        let packed = Batch::<RawRecords>::try_from(batch).map_err(|error| BatchError::Codecs(io::Error::other(error)))?;
        let mut bytes = Vec::with_capacity(packed.write_size(0));
        packed.encode(&mut bytes, 0).map_err(BatchError::Codecs)?;
        let mut batches = Self::parse_all(bytes.into(), limits)?;
        batches.pop().ok_or(BatchError::Empty)
    }

    /// Returns how many records, and so how many offsets, the batch holds; at least one.
    pub fn record_count(&self) -> u32 {
        self.header.record_count
    }

    /// Returns the offset of the first record: the log's for a batch that was read, arbitrary for one that was sent.
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// Returns the producer's time of the first record in milliseconds since 1970, or -1.
    pub fn first_timestamp_ms(&self) -> i64 {
        self.header.first_timestamp_ms
    }

    /// Returns the producer's latest time in milliseconds since 1970, or -1.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.header.max_timestamp_ms
    }

    /// Returns how the records are packed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the whole batch in wire form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the encoded list of records, unpacked: what a SmartModule takes as input.
    ///
    /// # Errors
    /// When the records cannot be unpacked within the limits or are not well formed.
    pub fn uncompressed_records(&self) -> Result<Bytes, BatchError> {
        let packed = self.bytes.slice(self.header.records_start()..);
        let unpacked = decompress::decompress(self.compression, &packed, self.decompressed_bytes_max)?;
        records::check(&unpacked, self.header.record_count)?;
        Ok(unpacked)
    }

    /// Decodes the records.
    ///
    /// # Errors
    /// As [`EncodedBatch::uncompressed_records`].
    pub fn decode_records(&self) -> Result<Vec<Record>, BatchError> {
        let unpacked = self.uncompressed_records()?;
        let mut records = Vec::with_capacity(self.header.record_count as usize);
        records.decode(&mut &unpacked[..], 0).map_err(BatchError::Codecs)?;
        Ok(records)
    }
}

fn check_size(header: &BatchHeader, available_bytes: usize, limits: &BatchLimits) -> Result<(), BatchError> {
    let (bytes, bytes_max) = (header.total_bytes, limits.batch_bytes_max);
    if bytes > bytes_max {
        return Err(BatchError::TooLarge { bytes, bytes_max });
    }
    if bytes > available_bytes {
        return Err(BatchError::Truncated { needed_bytes: bytes, available_bytes });
    }
    let (records, records_max) = (header.record_count, limits.records_max);
    if records > records_max {
        return Err(BatchError::TooManyRecords { records, records_max });
    }
    Ok(())
}
