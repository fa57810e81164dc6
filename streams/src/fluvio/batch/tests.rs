//! Encoding against the published decoder, decoding against the published encoder, and damage.

use fluvio_protocol::record::{Batch as Published, MemoryRecords, RawRecords, Record, RecordData, RecordKey, RecordSet};
use fluvio_protocol::{Decoder, Encoder};
use proptest::prelude::*;

use super::*;

fn record(key: Option<&str>, value: &str) -> NewRecord {
    NewRecord { key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())), value: Bytes::copy_from_slice(value.as_bytes()) }
}

fn at(base_offset: i64, batch: &Bytes) -> Bytes {
    let mut batch = batch.to_vec();
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch.into()
}

fn batch(base_offset: i64, values: &[&str]) -> Bytes {
    let records: Vec<NewRecord> = values.iter().map(|value| record(None, value)).collect();
    at(base_offset, &encode(&records, 1_000, Compression::None).expect("encodes"))
}

fn values(decoded: &Decoded) -> Vec<(i64, String)> {
    decoded.records.iter().map(|record| (record.offset, String::from_utf8_lossy(&record.value).into_owned())).collect()
}

#[test]
fn the_published_decoder_reads_what_is_encoded() {
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let records = [record(Some("o-1"), "first"), record(None, ""), record(Some(""), &"long ".repeat(5_000))];
        let bytes = encode(&records, 1_700_000_000_000, compression).expect("encodes");
        assert!(size(&records) >= encode(&records, 0, Compression::None).expect("encodes").len());
        let raw = Published::<RawRecords>::decode_from(&mut bytes.clone(), 0).expect("decodes");
        assert!(raw.validate_decoding(), "the length is right with {compression}");
        assert_eq!(raw.header.last_offset_delta, 2);
        assert_eq!(raw.header.first_timestamp, 1_700_000_000_000);
        assert_eq!(raw.header.crc, crc32c::crc32c(&bytes[21..]));
        let found: Vec<_> = raw
            .memory_records()
            .expect("unpacks")
            .into_iter()
            .map(|record| (record.key.map(|key| key.to_vec()), record.value.to_vec(), record.preamble.offset_delta()))
            .collect();
        let sent: Vec<_> =
            records.iter().enumerate().map(|(index, record)| (record.key.as_ref().map(|key| key.to_vec()), record.value.to_vec(), index as i64)).collect();
        assert_eq!(found, sent);
    }
}

#[test]
fn what_the_published_encoder_writes_is_decoded() {
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut published = Published::<MemoryRecords>::default();
        published.base_offset = 40;
        published.header.first_timestamp = 5_000;
        published.header.set_compression(compression);
        let mut second = Record::new_key_value(RecordKey::from("key"), RecordData::from("b"));
        second.preamble.set_timestamp_delta(7);
        published.add_records(&mut vec![Record::new("a"), second]);
        let raw: Published<RawRecords> = published.try_into().expect("packs");
        let mut bytes = Vec::new();
        RecordSet::default().add(raw).encode(&mut bytes, 0).expect("encodes");
        let decoded = decode(Bytes::from(bytes).slice(4..), 40).expect("decodes");
        assert_eq!(decoded.next_offset, 42);
        assert_eq!(
            decoded.records,
            [
                LogRecord { offset: 40, timestamp_ms: 5_000, key: None, value: "a".into() },
                LogRecord { offset: 41, timestamp_ms: 5_007, key: Some("key".into()), value: "b".into() },
            ]
        );
    }
}

#[test]
fn a_response_that_is_cut_anywhere_gives_its_whole_batches() {
    let whole = [batch(10, &["a", "b"]), batch(12, &["c"]), batch(13, &["d", "e", "f"])].concat();
    let ends = [batch(10, &["a", "b"]).len(), batch(10, &["a", "b"]).len() + batch(12, &["c"]).len(), whole.len()];
    for length in 0..=whole.len() {
        let decoded = decode(Bytes::copy_from_slice(&whole[..length]), 10).expect("a cut is no damage");
        let batches = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(decoded.next_offset, [10, 12, 13, 16][batches], "cut at {length}");
        assert_eq!(decoded.records.len() as i64, decoded.next_offset - 10);
        assert_eq!(decoded.cut, length != 0 && !ends.contains(&length), "cut at {length}");
        assert_eq!(decoded.hole, None);
    }
}

#[test]
fn a_reader_in_the_midst_of_a_batch_gets_the_rest_of_it() {
    let bytes: Bytes = [batch(0, &["old"]), batch(1, &["a", "b", "c"])].concat().into();
    let decoded = decode(bytes, 2).expect("decodes");
    assert_eq!(values(&decoded), [(2, "b".to_owned()), (3, "c".to_owned())]);
    assert_eq!(decoded.next_offset, 4);
}

#[test]
fn a_hole_ends_the_records() {
    let bytes: Bytes = [batch(5, &["a"]), batch(8, &["b"])].concat().into();
    let decoded = decode(bytes, 5).expect("decodes");
    assert_eq!(values(&decoded), [(5, "a".to_owned())]);
    assert_eq!((decoded.next_offset, decoded.hole), (6, Some(8)));
}

#[test]
fn an_empty_batch_moves_the_offset() {
    let mut empty = batch(5, &["a", "b", "c"]).to_vec();
    empty.truncate(PREAMBLE_BYTES + HEADER_BYTES);
    empty.extend_from_slice(&0_i32.to_be_bytes());
    empty[8..12].copy_from_slice(&(HEADER_BYTES as i32 + 4).to_be_bytes());
    let bytes: Bytes = [empty, batch(8, &["d"]).to_vec()].concat().into();
    let decoded = decode(bytes, 5).expect("decodes");
    assert_eq!(values(&decoded), [(8, "d".to_owned())]);
    assert_eq!(decoded.next_offset, 9);
}

#[test]
fn batches_that_contradict_themselves_are_named() {
    let check = |damage: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = batch(7, &["a", "b"]).to_vec();
        damage(&mut bytes);
        let (offset, Malformed(text)) = decode(bytes.into(), 7).expect_err(expected);
        assert_eq!(offset, 7);
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    };
    check(&|bytes| bytes[8..12].copy_from_slice(&44_i32.to_be_bytes()), "its length is 44");
    check(&|bytes| bytes[8..12].copy_from_slice(&(-1_i32).to_be_bytes()), "its length is -1");
    check(&|bytes| bytes[23..27].copy_from_slice(&(-5_i32).to_be_bytes()), "last offset delta");
    check(&|bytes| bytes[22] = 7, "compression 7 is unknown");
    check(&|bytes| bytes[22] = 1, "gzip compression is corrupt");
    check(&|bytes| bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes()), "it says to hold 2147483647 records");
    check(&|bytes| bytes[57..61].copy_from_slice(&3_i32.to_be_bytes()), "it says to hold 3 records");
    check(&|bytes| bytes[61] = 0xfe, "ends outside of it");
}

proptest! {
    #[test]
    fn records_survive_the_way_there_and_back(records in prop::collection::vec((prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), prop::collection::vec(any::<u8>(), 0..300)), 1..40), from in 0_usize..40) {
        let records: Vec<NewRecord> = records.into_iter().map(|(key, value)| NewRecord { key: key.map(Bytes::from), value: value.into() }).collect();
        let from = from.min(records.len());
        let decoded = decode(at(100, &encode(&records, 9, Compression::None).expect("encodes")), 100 + from as i64).expect("decodes");
        prop_assert_eq!(decoded.next_offset, 100 + records.len() as i64);
        let expected: Vec<LogRecord> = records.into_iter().enumerate().skip(from).map(|(index, record)| LogRecord { offset: 100 + index as i64, timestamp_ms: 9, key: record.key, value: record.value }).collect();
        prop_assert_eq!(decoded.records, expected);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), place in 0_usize..300, byte in any::<u8>()) {
        drop(decode(bytes.clone().into(), 0));
        let mut good = batch(0, &["some", "records", "here"]).to_vec();
        let place = place % good.len();
        good[place] = byte;
        drop(decode(good.into(), 0));
        bytes.splice(0..0, batch(0, &["x"]));
        drop(decode(bytes.into(), 0));
    }
}
