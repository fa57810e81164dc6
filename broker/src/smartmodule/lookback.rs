//! Look-back: showing a module what was in the partition before its stream begins.

use std::{
    future::ready,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fluvio_protocol::{link::ErrorCode, record::Record};
use fluvio_smartengine::Lookback;
use futures_util::FutureExt;

use super::chain::{Loaded, memory_limit};
use crate::{
    batch::{BatchLimits, EncodedBatch},
    limits::{LOOKBACK_BYTES_MAX, LOOKBACK_RECORDS_MAX},
    log::PartitionLog,
};

/// Feeds each module that asked for it the last records of the partition.
pub(super) fn look_back(loaded: &mut Loaded, log: &PartitionLog) -> Result<(), ErrorCode> {
    let read = |lookback| ready(read_back(log, lookback).map_err(Into::into));
    // Reading is synchronous here, so the engine's future has nothing to wait for.
    match loaded.instance.look_back(read).now_or_never() {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(memory_limit(error.downcast_ref()).unwrap_or_else(|| ErrorCode::SmartModuleLookBackError(error.root_cause().to_string()))),
        None => Err(ErrorCode::SmartModuleLookBackError("it did not end".to_owned())),
    }
}

fn read_back(log: &PartitionLog, lookback: Lookback) -> Result<Vec<Record>, io::Error> {
    let (count_max, age_max) = match lookback {
        Lookback::Last(last) => (last, None),
        // Without a number, age alone decides.
        Lookback::Age { age, last: 0 } => (u64::MAX, Some(age)),
        Lookback::Age { age, last } => (last, Some(age)),
    };
    let count_max = usize::try_from(count_max).unwrap_or(usize::MAX).min(LOOKBACK_RECORDS_MAX);
    let oldest_ms = age_max.map(oldest_timestamp_ms);

    let mut records = Vec::new();
    for batch in batches_backwards(log, count_max, oldest_ms)?.iter().rev() {
        let first_timestamp_ms = batch.first_timestamp_ms();
        let decoded = batch.decode_records().map_err(io::Error::other)?;
        records.extend(decoded.into_iter().filter(|record| oldest_ms.is_none_or(|oldest_ms| first_timestamp_ms + record.timestamp_delta() >= oldest_ms)));
    }
    let excess = records.len().saturating_sub(count_max);
    records.drain(..excess);
    Ok(records)
}

fn oldest_timestamp_ms(age: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX)
}

/// Batches from the end of the partition backwards, as many as may hold records that are asked for.
fn batches_backwards(log: &PartitionLog, count_max: usize, oldest_ms: Option<i64>) -> Result<Vec<EncodedBatch>, io::Error> {
    let (mut batches, mut count, mut bytes) = (Vec::<EncodedBatch>::new(), 0, 0);
    let mut end = log.high_watermark();
    while end > log.start_offset() && count < count_max && bytes < LOOKBACK_BYTES_MAX {
        // At least the batch that holds the record is returned, however small the limit.
        let slice = log.read(end - 1, 1).map_err(io::Error::other)?;
        let found = slice.batches(&BatchLimits::default()).map_err(io::Error::other)?;
        let Some(batch) = found.into_iter().next() else { break };
        if oldest_ms.is_some_and(|oldest_ms| batch.max_timestamp_ms() < oldest_ms) {
            break;
        }
        end = batch.base_offset();
        count += batch.record_count() as usize;
        bytes += batch.as_bytes().len();
        batches.push(batch);
    }
    Ok(batches)
}
