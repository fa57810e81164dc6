use bytes::BytesMut;
use fluvio_protocol::record::RecordData;
use proptest::prelude::*;

use super::header::CRC_START;
use super::*;

const CODECS: [Compression; 5] = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn record(key: Option<&str>, value: &str) -> Record {
    match key {
        Some(key) => Record::new_key_value(key, value),
        None => Record::new(value),
    }
}

fn batch_of(values: &[&str], compression: Compression) -> EncodedBatch {
    let records = values.iter().map(|value| record(Some("key"), value)).collect();
    EncodedBatch::from_records(records, compression, 1_700_000_000_000, 1_700_000_000_005, &BatchLimits::default()).unwrap()
}

/// A batch around arbitrary record bytes, with everything outside of them right.
fn envelope(attributes: i16, record_count: i32, records: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&0_i64.to_be_bytes());
    bytes.extend_from_slice(&(45 + records.len() as i32).to_be_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.extend_from_slice(&[2, 0, 0, 0, 0]);
    bytes.extend_from_slice(&attributes.to_be_bytes());
    bytes.extend_from_slice(&record_count.wrapping_sub(1).to_be_bytes());
    bytes.extend_from_slice(&[0; 30]);
    bytes.extend_from_slice(records);
    seal(bytes)
}

/// Makes the checksum right, so that a test gets past it.
fn seal(mut bytes: BytesMut) -> Bytes {
    let crc = crc32c::crc32c(&bytes[CRC_START..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

fn parse(bytes: Bytes) -> Result<Vec<EncodedBatch>, BatchError> {
    EncodedBatch::parse_all(bytes, &BatchLimits::default())
}

#[test]
fn records_come_back_from_every_compression() {
    for compression in CODECS {
        let batch = batch_of(&["one", "two", ""], compression);
        assert_eq!(batch.record_count(), 3);
        assert_eq!(batch.compression(), compression);
        assert_eq!((batch.first_timestamp_ms(), batch.max_timestamp_ms()), (1_700_000_000_000, 1_700_000_000_005));
        let records = batch.decode_records().unwrap();
        let values: Vec<_> = records.iter().map(|record| record.value.as_ref()).collect();
        assert_eq!(values, [b"one".as_slice(), b"two", b""]);
        assert_eq!(records[2].offset_delta(), 2);
        assert_eq!(records[0].key.as_ref().map(RecordData::as_ref), Some(b"key".as_slice()));
    }
}

#[test]
fn several_batches_in_one_entry_are_told_apart() {
    let batches = [batch_of(&["a"], Compression::None), batch_of(&["b", "c"], Compression::Lz4)];
    let raw: BytesMut = batches.iter().flat_map(|batch| batch.as_bytes().iter().copied()).collect();
    let parsed = parse(raw.freeze()).unwrap();
    assert_eq!(parsed.len(), 2);
    for (parsed, sent) in parsed.iter().zip(&batches) {
        assert_eq!(parsed.as_bytes(), sent.as_bytes());
    }
    assert!(parse(Bytes::new()).unwrap().is_empty());
}

#[test]
fn a_batch_with_a_schema_id_has_a_longer_header() {
    let plain = batch_of(&["a"], Compression::None);
    let mut bytes = BytesMut::from(&plain.as_bytes()[..HEADER_BYTES]);
    bytes.extend_from_slice(&42_u32.to_be_bytes());
    bytes.extend_from_slice(&plain.as_bytes()[HEADER_BYTES..]);
    bytes[22] |= 0x10;
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let parsed = parse(seal(bytes)).unwrap();
    assert_eq!(parsed[0].decode_records().unwrap()[0].value.as_ref(), b"a");
}

#[test]
fn an_entry_that_ends_anywhere_too_early_is_refused() {
    let whole = batch_of(&["some", "values"], Compression::None).as_bytes().clone();
    for length in 1..whole.len() {
        assert!(matches!(parse(whole.slice(..length)), Err(BatchError::Truncated { .. })), "cut at {length}");
    }
}

#[test]
fn every_changed_byte_under_the_checksum_is_found() {
    let whole = batch_of(&["some", "values"], Compression::Gzip).as_bytes().clone();
    for position in CRC_START..whole.len() {
        let mut bytes = BytesMut::from(&whole[..]);
        bytes[position] ^= 0x40;
        assert!(parse(bytes.freeze()).is_err(), "byte {position}");
    }
}

#[test]
fn headers_that_no_batch_has_are_refused() {
    let one_record = [0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 0];
    assert!(parse(envelope(0, 1, &one_record)).is_ok());
    assert!(matches!(parse(envelope(0, 0, &[0, 0, 0, 0])), Err(BatchError::Empty)));
    assert!(matches!(parse(envelope(0, i32::MIN, &one_record)), Err(BatchError::TooManyRecords { .. })));
    assert!(matches!(parse(envelope(0, 2, &one_record)), Err(BatchError::RecordCount { header: 2, records: 1 })));
    assert!(matches!(parse(envelope(7, 1, &one_record)), Err(BatchError::Codec { codec: 7 })));
    assert!(matches!(parse(envelope(0, 1, &[0, 0])), Err(BatchError::RecordCount { .. })));
    for length in [i32::MIN, -1, 0, 44, i32::MAX] {
        let mut bytes = BytesMut::from(&envelope(0, 1, &one_record)[..]);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert!(parse(bytes.freeze()).is_err(), "length {length}");
    }
}

#[test]
fn records_that_would_harm_the_published_decoder_are_refused() {
    let negative = 1;
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let endless = [0x80; 20];
    let cases: [(&str, Vec<u8>); 8] = [
        ("negative record length", vec![negative, 0, 0, 0, 0, 0, 0]),
        ("huge record length", [&huge[..], &[0; 6]].concat()),
        ("number without end", endless.to_vec()),
        ("negative value length", vec![12, 0, 0, 0, 0, negative, 0]),
        ("huge value length", [&[30, 0, 0, 0, 0][..], &huge, &[0]].concat()),
        ("huge key length", [&[32, 0, 0, 0, 1][..], &huge, &[0, 0]].concat()),
        ("neither key nor none", vec![12, 0, 0, 0, 9, 0, 0]),
        ("offset delta 5 for the first record", vec![12, 0, 0, 10, 0, 0, 0]),
    ];
    for (name, record) in cases {
        let records = [&[0, 0, 0, 1][..], &record].concat();
        assert!(matches!(parse(envelope(0, 1, &records)), Err(BatchError::Record { index: 0, .. })), "{name}");
    }
    let trailing = [0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 0, 99];
    assert!(matches!(parse(envelope(0, 1, &trailing)), Err(BatchError::TrailingBytes { bytes: 1 })));
}

#[test]
fn a_decompression_bomb_is_refused_at_the_limit() {
    let limits = BatchLimits { decompressed_bytes_max: 64 * 1024, ..BatchLimits::default() };
    for compression in &CODECS[1..] {
        let bomb = compression.compress(&vec![0; 16 * 1024 * 1024]).unwrap();
        let parsed = EncodedBatch::parse_all(envelope(*compression as i16, 1, &bomb), &limits);
        assert!(matches!(parsed, Err(BatchError::DecompressedTooLarge { bytes_max: 65_536 })), "{compression}: {parsed:?}");
    }
}

#[test]
fn corrupt_compressed_records_are_refused() {
    for compression in &CODECS[1..] {
        let parsed = parse(envelope(*compression as i16, 1, b"this is no compressed stream"));
        assert!(matches!(parsed, Err(BatchError::Decompress { .. })), "{compression}: {parsed:?}");
    }
}

#[test]
fn each_limit_is_enforced() {
    let batch = batch_of(&["0123456789", "0123456789"], Compression::None).as_bytes().clone();
    let defaults = BatchLimits::default();
    let small = EncodedBatch::parse_all(batch.clone(), &BatchLimits { batch_bytes_max: 80, ..defaults });
    assert!(matches!(small, Err(BatchError::TooLarge { bytes_max: 80, .. })));
    let few = EncodedBatch::parse_all(batch, &BatchLimits { records_max: 1, ..defaults });
    assert!(matches!(few, Err(BatchError::TooManyRecords { records: 2, records_max: 1 })));
}

fn any_codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(CODECS.to_vec())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(bytes.into());
    }

    /// Whatever passes the scanner passes the published decoder, with the same number of records.
    #[test]
    fn arbitrary_records_never_reach_the_decoder_unchecked(
        codec in any_codec(),
        count in 1..4_i32,
        records in proptest::collection::vec(prop_oneof![3 => 0..16_u8, 1 => any::<u8>()], 0..60),
    ) {
        let mut list = count.to_be_bytes().to_vec();
        list.extend(records);
        let packed = codec.compress(&list).unwrap();
        if let Ok(batches) = parse(envelope(codec as i16, count, &packed)) {
            prop_assert_eq!(batches[0].decode_records().unwrap().len(), count as usize);
        }
    }

    #[test]
    fn a_damaged_batch_never_panics(
        codec in any_codec(),
        values in proptest::collection::vec("[a-z]{0,40}", 1..6),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let mut bytes = BytesMut::from(&batch_of(&values, codec).as_bytes()[..]);
        for (position, byte) in changes {
            let length = bytes.len();
            bytes[position.index(length)] = byte;
        }
        for batch in parse(seal(bytes)).unwrap_or_default() {
            prop_assert_eq!(batch.decode_records().unwrap().len(), batch.record_count() as usize);
        }
    }

    #[test]
    fn what_the_published_encoder_writes_is_accepted(
        codec in any_codec(),
        records in proptest::collection::vec((proptest::option::of("[a-z]{0,10}"), "\\PC{0,200}"), 1..50),
    ) {
        let expected: Vec<Record> = records.iter().map(|(key, value)| record(key.as_deref(), value)).collect();
        let batch = EncodedBatch::from_records(expected.clone(), codec, 1, 2, &BatchLimits::default()).unwrap();
        let decoded = batch.decode_records().unwrap();
        prop_assert_eq!(decoded.len(), expected.len());
        for (decoded, expected) in decoded.iter().zip(&expected) {
            prop_assert_eq!(&decoded.value, &expected.value);
            prop_assert_eq!(&decoded.key, &expected.key);
        }
    }
}
