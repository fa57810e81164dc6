//! What becomes of a chain's output: every record keeps the offset and the time it has in the log.
//!
//! Consumers number the records of a batch from its base offset upwards. So survivors that follow one another
//! share a batch, a gap starts a new one, and each batch says how many offsets it stands for, those of removed
//! records included. The first may be empty for the same reason. Added up, the batches cover exactly what was
//! processed, which is what clients count to know when they have read up to the end.

use bytes::{Bytes, BytesMut};
use fluvio_protocol::{link::ErrorCode, record::Record};
use fluvio_smartmodule::dataplane::smartmodule::{SmartModuleInput, SmartModuleOutput};

use super::{
    Transformed,
    chain::{Loaded, memory_limit},
};
use crate::{
    batch::{BatchLimits, EncodedBatch},
    encode::{Header, write_batch, write_records},
};

/// Runs the records at and after `from` through a chain, batch by batch, until there is about `bytes_max` of
/// output. A record that fails ends it, with what came before it delivered.
pub(super) fn transform(loaded: &mut Loaded, batches: &[EncodedBatch], from: i64, bytes_max: usize) -> Result<Transformed, ErrorCode> {
    let mut out = BytesMut::new();
    let mut transformed = Transformed { bytes: Bytes::new(), next_offset: from, records_in: 0, records_out: 0, error: None };
    for batch in batches {
        let end = batch.base_offset() + i64::from(batch.record_count());
        let processed = process(loaded, batch, transformed.next_offset)?;
        let covered_end = processed.failed_at.unwrap_or(end).max(transformed.next_offset);
        transformed.records_in += (covered_end - transformed.next_offset) as u64;
        transformed.records_out += processed.survivors.len() as u64;
        write_survivors(&mut out, batch, transformed.next_offset, covered_end, processed.survivors);
        transformed.next_offset = covered_end;
        transformed.error = processed.error;
        if transformed.error.is_some() || out.len() >= bytes_max {
            break;
        }
    }
    transformed.bytes = out.freeze();
    Ok(transformed)
}

/// Runs records from a producer through a chain. What comes out is numbered anew, since it has no place in the
/// log yet, and packed as it came.
pub(super) fn transform_produced(loaded: &mut Loaded, batches: &[EncodedBatch]) -> Result<Vec<EncodedBatch>, ErrorCode> {
    let mut transformed = Vec::with_capacity(batches.len());
    for batch in batches {
        let processed = process_numbered_from_zero(loaded, batch)?;
        if let Some(error) = processed.error {
            return Err(error);
        }
        let records: Vec<Record> = processed.survivors.into_iter().map(|(_, record)| record).collect();
        if !records.is_empty() {
            let (first_ms, max_ms) = (batch.first_timestamp_ms(), batch.max_timestamp_ms());
            let packed = EncodedBatch::from_records(records, batch.compression(), first_ms, max_ms, &BatchLimits::default());
            transformed.push(packed.map_err(|error| ErrorCode::Other(format!("output of SmartModule: {error}")))?);
        }
    }
    Ok(transformed)
}

/// The output for one batch: records with their offsets, in order.
struct Processed {
    survivors: Vec<(i64, Record)>,
    error: Option<ErrorCode>,
    /// Offset of the record that failed, if it is known.
    failed_at: Option<i64>,
}

fn process(loaded: &mut Loaded, batch: &EncodedBatch, from: i64) -> Result<Processed, ErrorCode> {
    process_from(loaded, batch, batch.base_offset(), from)
}

/// A producer's base offset means nothing yet.
fn process_numbered_from_zero(loaded: &mut Loaded, batch: &EncodedBatch) -> Result<Processed, ErrorCode> {
    process_from(loaded, batch, 0, 0)
}

fn process_from(loaded: &mut Loaded, batch: &EncodedBatch, base_offset: i64, from: i64) -> Result<Processed, ErrorCode> {
    let first_timestamp_ms = batch.first_timestamp_ms();
    let end = base_offset + i64::from(batch.record_count());
    let unreadable = |error| ErrorCode::Other(format!("stored batch cannot be read: {error}"));
    if from <= base_offset && !loaded.multiplies {
        let raw = batch.uncompressed_records().map_err(unreadable)?;
        let output = call(loaded, raw.to_vec(), base_offset, first_timestamp_ms)?;
        return Ok(place(output, base_offset, base_offset, end));
    }
    let mut records = batch.decode_records().map_err(unreadable)?;
    records.drain(..usize::try_from(from - base_offset).unwrap_or(0).min(records.len()));
    if loaded.multiplies {
        return process_one_by_one(loaded, records, base_offset, first_timestamp_ms);
    }
    let output = call(loaded, encoded(&records), base_offset, first_timestamp_ms)?;
    Ok(place(output, base_offset, from, end))
}

/// Records made by an array map do not say which record they were made of, so it gets one at a time.
fn process_one_by_one(loaded: &mut Loaded, records: Vec<Record>, base_offset: i64, first_timestamp_ms: i64) -> Result<Processed, ErrorCode> {
    let mut survivors = Vec::new();
    for record in records {
        let (offset, timestamp_delta) = (base_offset + record.offset_delta(), record.timestamp_delta());
        let output = call(loaded, encoded(&[record]), base_offset, first_timestamp_ms)?;
        survivors.extend(output.successes.into_iter().map(|mut made| {
            made.preamble.set_timestamp_delta(timestamp_delta);
            (offset, made)
        }));
        if let Some(error) = output.error {
            let error = Some(ErrorCode::SmartModuleRuntimeError(Box::new(error)));
            return Ok(Processed { survivors, error, failed_at: Some(offset) });
        }
    }
    Ok(Processed { survivors, error: None, failed_at: None })
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut raw = BytesMut::new();
    write_records(&mut raw, records);
    raw.into()
}

fn call(loaded: &mut Loaded, raw: Vec<u8>, base_offset: i64, base_timestamp_ms: i64) -> Result<SmartModuleOutput, ErrorCode> {
    let input = SmartModuleInput::new(raw, base_offset, base_timestamp_ms);
    loaded.instance.process(input).map_err(|error| {
        let limit = memory_limit(error.downcast_ref());
        limit.unwrap_or_else(|| ErrorCode::Other(format!("SmartModule err {error:#}")))
    })
}

/// Gives records back the offsets that they entered with. The modules of Fluvio's own kit keep a record's
/// position; where a module made it up, the record counts as made of the one before it.
fn place(output: SmartModuleOutput, base_offset: i64, from: i64, end: i64) -> Processed {
    let mut last = from;
    let survivors = output
        .successes
        .into_iter()
        .map(|record| {
            let offset = base_offset.saturating_add(record.offset_delta());
            if (last..end).contains(&offset) {
                last = offset;
            }
            (last, record)
        })
        .collect();
    let failed_at = output.error.as_ref().map(|error| error.offset.clamp(last, end));
    let error = output.error.map(|error| ErrorCode::SmartModuleRuntimeError(Box::new(error)));
    Processed { survivors, error, failed_at }
}

/// Writes batches that together stand for the offsets from `from` to `end`.
fn write_survivors(out: &mut BytesMut, batch: &EncodedBatch, from: i64, end: i64, survivors: Vec<(i64, Record)>) {
    let mut runs: Vec<(i64, Vec<Record>)> = Vec::new();
    if survivors.first().is_none_or(|(first, _)| *first > from) && end > from {
        runs.push((from, Vec::new()));
    }
    let first_run = runs.len();
    for (offset, record) in survivors {
        match runs[first_run..].last_mut() {
            Some((base, records)) if *base + records.len() as i64 == offset => records.push(record),
            _ => runs.push((offset, vec![record])),
        }
    }
    for index in 0..runs.len() {
        let next_base = runs.get(index + 1).map_or(end, |(next_base, _)| *next_base);
        let (base_offset, records) = &mut runs[index];
        let header = Header {
            base_offset: *base_offset,
            offsets: next_base - *base_offset,
            first_timestamp_ms: batch.first_timestamp_ms(),
            max_timestamp_ms: batch.max_timestamp_ms(),
        };
        write_batch(out, header, records);
    }
}
