//! Encodes batches that no producer sent: what SmartModules let through, and batches whose front was cut off.
//!
//! Not [`EncodedBatch::from_records`], because a batch made here may be empty and may cover more offsets than
//! it has records: that is how a consumer learns of records that were filtered out.

use bytes::{BufMut, Bytes, BytesMut};
use fluvio_protocol::record::Record;

use crate::batch::{BatchError, EncodedBatch};

/// Offset and length.
const PREAMBLE_BYTES: usize = 12;
/// Everything before the records.
const HEADER_BYTES: usize = 57;
/// The checksum covers what follows it.
const CRC_AT: usize = 17;
const CRC_END: usize = 21;
const MAGIC: i8 = 2;
/// "No producer id, epoch or sequence".
const ABSENT: i64 = -1;

/// The header fields of a batch to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// How many offsets the batch takes, however many records it has.
    pub(crate) offsets: i64,
    pub(crate) first_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
}

/// Appends a batch of these records, uncompressed, to `out`.
pub(crate) fn write_batch(out: &mut BytesMut, header: Header, records: &mut [Record]) {
    let start = out.len();
    out.put_i64(header.base_offset);
    out.put_i32(0); // length, known at the end
    out.put_i32(0); // leader epoch
    out.put_i8(MAGIC);
    out.put_u32(0); // checksum, known at the end
    out.put_i16(0); // attributes: not compressed
    out.put_i32((header.offsets - 1).clamp(ABSENT, i32::MAX.into()) as i32);
    out.put_i64(header.first_timestamp_ms);
    out.put_i64(header.max_timestamp_ms);
    out.put_i64(ABSENT);
    out.put_i16(ABSENT as i16);
    out.put_i32(ABSENT as i32);
    debug_assert_eq!(out.len() - start, HEADER_BYTES);
    for (index, record) in records.iter_mut().enumerate() {
        record.preamble.set_offset_delta(index as i64);
    }
    write_records(out, records);

    let length = (out.len() - start - PREAMBLE_BYTES) as i32;
    out[start + 8..start + PREAMBLE_BYTES].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&out[start + CRC_END..]);
    out[start + CRC_AT..start + CRC_END].copy_from_slice(&checksum.to_be_bytes());
}

/// Appends an encoded list of records, offset deltas as they are. The published encoder does the same, a byte
/// at a time.
pub(crate) fn write_records(out: &mut BytesMut, records: &[Record]) {
    out.put_i32(records.len() as i32);
    for record in records {
        let key_bytes = record.key.as_ref().map_or(0, |key| varint_bytes(key.len() as i64) + key.len());
        let value_bytes = varint_bytes(record.value.len() as i64) + record.value.len();
        // One byte of attributes and one that says whether there is a key.
        let bytes = 2 + varint_bytes(record.timestamp_delta()) + varint_bytes(record.offset_delta()) + key_bytes + value_bytes + varint_bytes(record.headers);
        put_varint(out, bytes as i64);
        out.put_i8(0);
        put_varint(out, record.timestamp_delta());
        put_varint(out, record.offset_delta());
        match &record.key {
            None => out.put_u8(0),
            Some(key) => {
                out.put_u8(1);
                put_varint(out, key.len() as i64);
                out.put_slice(key);
            }
        }
        put_varint(out, record.value.len() as i64);
        out.put_slice(&record.value);
        put_varint(out, record.headers);
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn varint_bytes(number: i64) -> usize {
    (64 - zigzag(number).leading_zeros() as usize).div_ceil(7).max(1)
}

fn put_varint(out: &mut BytesMut, number: i64) {
    let mut rest = zigzag(number);
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// A batch without the records before `from`, uncompressed; `from` must lie in it.
pub(crate) fn cut_front(batch: &EncodedBatch, from: i64) -> Result<Bytes, BatchError> {
    let mut records = batch.decode_records()?;
    let cut = usize::try_from(from - batch.base_offset()).unwrap_or(0).min(records.len());
    let header = Header {
        base_offset: from,
        offsets: (records.len() - cut) as i64,
        first_timestamp_ms: batch.first_timestamp_ms(),
        max_timestamp_ms: batch.max_timestamp_ms(),
    };
    let mut out = BytesMut::with_capacity(batch.as_bytes().len());
    write_batch(&mut out, header, &mut records[cut..]);
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use fluvio_protocol::{Decoder, Encoder};
    use proptest::prelude::*;

    use super::*;
    use crate::batch::BatchLimits;

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let record = (any::<Option<Vec<u8>>>(), any::<Vec<u8>>(), 0..i64::from(i32::MAX) / 2);
        let record = record.prop_map(|(key, value, timestamp_delta)| {
            let mut record = Record::new(value);
            record.key = key.map(Into::into);
            record.preamble.set_timestamp_delta(timestamp_delta);
            record
        });
        proptest::collection::vec(record, 0..20)
    }

    proptest! {
        #[test]
        fn records_are_encoded_as_the_published_encoder_does(mut records in records()) {
            for (index, record) in records.iter_mut().enumerate() {
                record.preamble.set_offset_delta(index as i64);
            }
            let mut ours = BytesMut::new();
            write_records(&mut ours, &records);
            let mut theirs = Vec::new();
            records.encode(&mut theirs, 0).unwrap();
            prop_assert_eq!(&ours[..], &theirs[..]);
        }

        #[test]
        fn batches_pass_the_gate_for_batches_from_producers(mut records in records()) {
            prop_assume!(!records.is_empty());
            let offsets = records.len() as i64;
            let header = Header { base_offset: 7, offsets, first_timestamp_ms: 11, max_timestamp_ms: 13 };
            let mut out = BytesMut::new();
            write_batch(&mut out, header, &mut records);
            let batches = EncodedBatch::parse_all(out.freeze(), &BatchLimits::default()).unwrap();
            prop_assert_eq!(batches.len(), 1);
            prop_assert_eq!(batches[0].base_offset(), 7);
            prop_assert_eq!(i64::from(batches[0].record_count()), offsets);
            let decoded = batches[0].decode_records().unwrap();
            for (decoded, record) in decoded.iter().zip(&records) {
                prop_assert_eq!(&decoded.value, &record.value);
                prop_assert_eq!(&decoded.key, &record.key);
                prop_assert_eq!(decoded.timestamp_delta(), record.timestamp_delta());
            }
        }
    }

    #[test]
    fn an_empty_batch_covers_its_offsets_for_the_published_decoder() {
        let header = Header { base_offset: 5, offsets: 10, first_timestamp_ms: -1, max_timestamp_ms: -1 };
        let mut out = BytesMut::new();
        write_batch(&mut out, header, &mut []);
        let mut batch = fluvio_protocol::record::Batch::<Vec<Record>>::default();
        batch.decode(&mut out.freeze(), 0).unwrap();
        assert_eq!((batch.base_offset, batch.records_len(), batch.records().len()), (5, 10, 0));
    }
}
