//! Batches on the wire: 12 bytes of base offset and length, 45 bytes of header, records.
//!
//! Written here rather than with the published types for three reasons: the published decoder takes a batch that the server cut for a whole one (and loses what was cut), it can
//! panic or allocate without bound on damaged input, and it copies every record byte by byte. Records decoded here share the memory of the response.

mod decompress;
#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fluvio::Compression;

use crate::record::{LogRecord, NewRecord};

const PREAMBLE_BYTES: usize = 12;
const HEADER_BYTES: usize = 45;
/// Bytes of the header before what the checksum covers: leader epoch, magic, checksum.
const UNCHECKED_BYTES: usize = 9;
const SCHEMA_FLAG: i16 = 0x10;
const COMPRESSION_MASK: i16 = 0x07;
/// Fewest bytes that a record takes: length, attributes, two deltas, key flag, value length, headers.
const RECORD_BYTES_MIN: usize = 7;

/// A batch that no correct server sends. The text completes "the batch at offset N is malformed: ...".
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// What a response held for a reader that wants to go on at some offset.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Records from that offset on.
    pub(crate) records: Vec<LogRecord>,
    /// One past the last offset that a whole batch covers.
    pub(crate) next_offset: i64,
    /// First offset after a hole: the batches end before it.
    pub(crate) hole: Option<i64>,
    /// True if the response ended within a batch, which is dropped: the server cuts responses at the size that was asked for.
    pub(crate) cut: bool,
}

/// Reads the whole batches of a response for a reader that wants to go on at `from`. Stops at a hole.
pub(crate) fn decode(mut bytes: Bytes, from: i64) -> Result<Decoded, (i64, Malformed)> {
    let mut decoded = Decoded { next_offset: from, ..Decoded::default() };
    while bytes.has_remaining() {
        if bytes.len() < PREAMBLE_BYTES {
            decoded.cut = true;
            break;
        }
        let base_offset = bytes.get_i64();
        let declared = bytes.get_i32();
        let malformed = |text: String| (base_offset, Malformed(text));
        let length = usize::try_from(declared).ok().filter(|length| *length >= HEADER_BYTES).ok_or_else(|| malformed(format!("its length is {declared}")))?;
        if bytes.len() < length {
            decoded.cut = true;
            break;
        }
        let body = bytes.split_to(length);
        let batch = Batch::parse(base_offset, body).map_err(|error| (base_offset, error))?;
        if batch.end_offset <= decoded.next_offset {
            continue;
        }
        if batch.base_offset > decoded.next_offset {
            decoded.hole = Some(batch.base_offset);
            break;
        }
        let end_offset = batch.end_offset;
        batch.records_into(decoded.next_offset, &mut decoded.records).map_err(|error| (base_offset, error))?;
        decoded.next_offset = end_offset;
    }
    Ok(decoded)
}

/// A whole batch with its header read.
struct Batch {
    base_offset: i64,
    /// One past the last offset that the batch covers.
    end_offset: i64,
    compression: Compression,
    first_timestamp_ms: i64,
    records: Bytes,
}

impl Batch {
    /// Reads the header; `body` is what follows the length and holds at least [`HEADER_BYTES`].
    fn parse(base_offset: i64, mut body: Bytes) -> Result<Self, Malformed> {
        body.advance(UNCHECKED_BYTES);
        let attributes = body.get_i16();
        let last_offset_delta = body.get_i32();
        let first_timestamp_ms = body.get_i64();
        body.advance(8 + 8 + 2 + 4);
        if attributes & SCHEMA_FLAG != 0 {
            if body.len() < 4 {
                return Err(Malformed("its schema id is missing".to_owned()));
            }
            body.advance(4);
        }
        let compression = Compression::try_from((attributes & COMPRESSION_MASK) as i8)
            .map_err(|_| Malformed(format!("its compression {} is unknown", attributes & COMPRESSION_MASK)))?;
        let end_offset = base_offset.checked_add(i64::from(last_offset_delta) + 1).filter(|end| base_offset >= 0 && *end >= base_offset);
        let end_offset = end_offset.ok_or_else(|| Malformed(format!("its last offset delta is {last_offset_delta}")))?;
        Ok(Self { base_offset, end_offset, compression, first_timestamp_ms, records: body })
    }

    /// Appends the records from `from` on. A record's offset is its place in the batch: behind a SmartModule the deltas in the records are wrong.
    fn records_into(self, from: i64, records: &mut Vec<LogRecord>) -> Result<(), Malformed> {
        if self.records.is_empty() {
            return Ok(());
        }
        let mut bytes = decompress::decompress(self.compression, self.records)?;
        if bytes.len() < 4 {
            return Err(Malformed("its number of records is missing".to_owned()));
        }
        let count = i64::from(bytes.get_i32());
        if count < 0 || count > self.end_offset - self.base_offset || count as usize > bytes.len() / RECORD_BYTES_MIN {
            return Err(Malformed(format!("it says to hold {count} records in {} bytes over {} offsets", bytes.len(), self.end_offset - self.base_offset)));
        }
        records.reserve(count as usize);
        for offset in self.base_offset..self.base_offset + count {
            let record = read_record(&mut bytes, offset, self.first_timestamp_ms).ok_or_else(|| Malformed(format!("record {offset} ends outside of it")))?;
            if offset >= from {
                records.push(record);
            }
        }
        Ok(())
    }
}

/// Reads one record; `None` if it contradicts its own lengths.
fn read_record(bytes: &mut Bytes, offset: i64, first_timestamp_ms: i64) -> Option<LogRecord> {
    let mut record = read_bytes(bytes)?;
    if !record.has_remaining() {
        return None;
    }
    record.advance(1);
    let timestamp_delta_ms = read_varint(&mut record)?;
    read_varint(&mut record)?;
    if !record.has_remaining() {
        return None;
    }
    let key = match record.get_u8() {
        0 => None,
        1 => Some(read_bytes(&mut record)?),
        _ => return None,
    };
    let value = read_bytes(&mut record)?;
    // As in the official client: a batch without a time has none for its records either.
    let timestamp_ms = if first_timestamp_ms > 0 { first_timestamp_ms.saturating_add(timestamp_delta_ms) } else { -1 };
    Some(LogRecord { offset, timestamp_ms, key, value })
}

fn read_bytes(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(read_varint(bytes)?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// Reads a zigzag varint of at most 64 bits.
fn read_varint(bytes: &mut Bytes) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        if !bytes.has_remaining() {
            return None;
        }
        let byte = bytes.get_u8();
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

/// Returns the bytes that the records take before compression, batch header included: at most a few bytes more than they really take.
pub(crate) fn size(records: &[NewRecord]) -> usize {
    const RECORD_OVERHEAD_BYTES: usize = 24;
    let payload = |record: &NewRecord| record.key.as_ref().map_or(0, Bytes::len) + record.value.len() + RECORD_OVERHEAD_BYTES;
    PREAMBLE_BYTES + HEADER_BYTES + 4 + records.iter().map(payload).sum::<usize>()
}

/// Writes the records as one batch. The server sets the base offset.
///
/// # Panics
/// If there are no records, or more than an `i32` counts.
pub(crate) fn encode(records: &[NewRecord], now_ms: i64, compression: Compression) -> Result<Bytes, Malformed> {
    let count = i32::try_from(records.len()).expect("callers bound the number of records");
    assert!(count > 0, "a batch has at least one record");
    let mut batch = BytesMut::with_capacity(size(records));
    batch.put_i64(0);
    batch.put_i32(0);
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0);
    let checked_from = batch.len();
    batch.put_i16(compression as i16);
    batch.put_i32(count - 1);
    batch.put_i64(now_ms);
    batch.put_i64(now_ms);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    let records_from = batch.len();
    batch.put_i32(count);
    for (index, record) in records.iter().enumerate() {
        write_record(&mut batch, index as i64, record);
    }
    if compression != Compression::None {
        let packed = compression.compress(&batch[records_from..]).map_err(|error| Malformed(format!("{compression} compression failed: {error}")))?;
        batch.truncate(records_from);
        batch.put_slice(&packed);
    }
    let length = i32::try_from(batch.len() - PREAMBLE_BYTES).expect("callers bound the size of a batch");
    batch[8..PREAMBLE_BYTES].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[checked_from..]);
    batch[checked_from - 4..checked_from].copy_from_slice(&checksum.to_be_bytes());
    Ok(batch.freeze())
}

fn write_record(batch: &mut BytesMut, index: i64, record: &NewRecord) {
    let key_bytes = record.key.as_ref().map_or(1, |key| 1 + varint_size(key.len() as i64) + key.len());
    let value_bytes = varint_size(record.value.len() as i64) + record.value.len();
    let length = 1 + 1 + varint_size(index) + key_bytes + value_bytes + 1;
    write_varint(batch, length as i64);
    batch.put_i8(0);
    write_varint(batch, 0);
    write_varint(batch, index);
    match &record.key {
        None => batch.put_u8(0),
        Some(key) => {
            batch.put_u8(1);
            write_varint(batch, key.len() as i64);
            batch.put_slice(key);
        }
    }
    write_varint(batch, record.value.len() as i64);
    batch.put_slice(&record.value);
    write_varint(batch, 0);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint_size(number: i64) -> usize {
    let bits = 64 - zigzag(number).leading_zeros() as usize;
    bits.div_ceil(7).max(1)
}

fn write_varint(batch: &mut BytesMut, number: i64) {
    let mut rest = zigzag(number);
    while rest >= 0x80 {
        batch.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    batch.put_u8(rest as u8);
}
