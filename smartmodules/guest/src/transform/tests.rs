//! Batches go in and come out as Fluvio's own types encode and decode them.

use std::{convert::Infallible, io::Cursor};

use fluvio_smartmodule::{
    Record, RecordData,
    dataplane::{
        core::{Decoder, Encoder},
        smartmodule::{SmartModuleInput, SmartModuleOutput},
    },
};
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::Params;

/// The versions of the interface between which Fluvio's encoding of the input differs.
const VERSIONS: [i16; 4] = [15, 16, 22, 25];

struct Short<const MAP: bool>;

impl<const MAP: bool> SmartModule for Short<MAP> {
    const NAME: &'static str = "short";
    const OTHERS: Others = if MAP { Others::Replaced(b"\0stub") } else { Others::Dropped };
    type Error = Infallible;

    fn from_params(_: &Params<'_>) -> Result<Self, Infallible> {
        Ok(Self)
    }

    fn verdict(&self, value: &[u8]) -> Verdict {
        match value.len() {
            0..8 => Verdict::Whole,
            8..16 => Verdict::Rewritten(value[..4].repeat(40)),
            _ => Verdict::Other,
        }
    }
}

type Parts = (i64, i64, Option<Vec<u8>>, Vec<u8>);

/// A record as Fluvio's clients make it. Fluvio's varints hold 32 bits.
fn record((time, offset, key, value): Parts) -> Record {
    let mut record = Record::new(value);
    record.key = key.map(RecordData::from);
    record.preamble.set_timestamp_delta(time);
    record.preamble.set_offset_delta(offset);
    record
}

fn parts(record: &Record) -> Parts {
    let key = record.key().map(|key| key.as_ref().to_vec());
    (record.timestamp_delta(), record.offset_delta(), key, record.value().as_ref().to_vec())
}

fn encoded(records: Vec<Parts>, version: i16) -> Vec<u8> {
    let mut raw = Vec::new();
    records.into_iter().map(record).collect::<Vec<_>>().encode(&mut raw, version).expect("records encode");
    let mut input = Vec::new();
    SmartModuleInput::new(raw, 42, 1_700_000_000_000).encode(&mut input, version).expect("the input encodes");
    input
}

fn decoded((output, count): (Vec<u8>, i32), version: i16) -> Vec<Parts> {
    let mut cursor = Cursor::new(&output);
    let mut decoded = SmartModuleOutput::default();
    decoded.decode(&mut cursor, version).expect("the output decodes");
    assert_eq!(cursor.position() as usize, output.len(), "nothing is left over");
    assert_eq!(decoded.successes.len(), count as usize, "the number of records is right");
    assert!(decoded.error.is_none(), "no error is reported");
    decoded.successes.iter().map(parts).collect()
}

fn a_record() -> impl Strategy<Value = Parts> {
    let text = || prop_oneof![20 => vec(any::<u8>(), 0..20), 4 => vec(any::<u8>(), 60..70), 1 => vec(any::<u8>(), 8190..8200)];
    (0..1_i64 << 30, 0..1_i64 << 30, option::of(text()), text())
}

proptest! {
    #[test]
    fn records_come_out_as_they_went_in_or_as_the_module_says(records in vec(a_record(), 0..8), version in 0..VERSIONS.len()) {
        let version = VERSIONS[version];
        let input = encoded(records.clone(), version);

        prop_assert_eq!(transform::<Short<true>>(None, &input), Err(Status::UnknownError), "nothing passes a module that was not started");

        let mapped = records.iter().cloned().map(|(time, offset, key, value)| match value.len() {
            0..8 => (time, offset, key, value),
            8..16 => (time, offset, key, value[..4].repeat(40)),
            _ => (time, offset, None, b"\0stub".to_vec()),
        });
        prop_assert_eq!(decoded(transform(Some(&Short::<true>), &input).expect("it is a batch"), version), mapped.collect::<Vec<_>>());

        let filtered = records.into_iter().filter(|(.., value)| value.len() < 16).map(|(time, offset, key, value)| match value.len() {
            0..8 => (time, offset, key, value),
            _ => (time, offset, key, value[..4].repeat(40)),
        });
        prop_assert_eq!(decoded(transform(Some(&Short::<false>), &input).expect("it is a batch"), version), filtered.collect::<Vec<_>>());
    }

    #[test]
    fn damaged_batches_are_refused_or_read_but_never_trap(records in vec(a_record(), 1..5), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut input = encoded(records, 25);
        let at = at.index(input.len());
        if cut {
            input.truncate(at);
        } else {
            input[at] = byte;
        }
        if let Ok((_, count)) = transform(Some(&Short::<true>), &input) {
            prop_assert!(count >= 0);
        }
    }
}

#[test]
fn a_batch_cut_short_is_refused() {
    let records = vec![(1, 2, Some(b"key".to_vec()), b"value".to_vec()); 3];
    let mut raw = Vec::new();
    records.into_iter().map(record).collect::<Vec<_>>().encode(&mut raw, 25).expect("records encode");
    for size in 0..raw.len() {
        let mut input = Vec::new();
        SmartModuleInput::new(raw[..size].to_vec(), 0, 0).encode(&mut input, 25).expect("the input encodes");
        let expected = if size < 4 { Status::DecodingBaseInput } else { Status::DecodingRecords };
        assert_eq!(transform(Some(&Short::<true>), &input), Err(expected), "{size} bytes");
    }
}
