//! Whether a processor has as many partitions as when its state was written, where its tasks cannot tell by themselves: one whose journal is empty may be new, or new partitions may have been added
//! to topics that are in use. Then keys belong to other tasks, and the new ones would begin with nothing while the entries are elsewhere.

use super::StartError;
use crate::journal::JournalRecord;
use crate::limits::RESTORE_POINT_RECORDS;
use crate::log::{Log, LogError, Offsets};
use crate::record::LogRecord;
use crate::task::{Incompatible, partitions_written};
use crate::topology::{ProcessorSpec, StoreSpec};

/// Checks a processor some of whose journals are empty while others are not, by what one of these says.
pub(super) async fn check(log: &dyn Log, spec: &ProcessorSpec, partitions: u32) -> Result<(), StartError> {
    let mut used = None;
    let mut is_any_empty = false;
    for partition in 0..partitions {
        let offsets = log.offsets(&spec.journal, partition).await?;
        match offsets.end > offsets.start {
            true => used = used.or(Some((partition, offsets))),
            false => is_any_empty = true,
        }
    }
    let Some((partition, offsets)) = used.filter(|_| is_any_empty) else { return Ok(()) };
    match written(log, &spec.journal, partition, offsets).await? {
        Some(written) if written != partitions => {
            let stores = spec.stores.iter().map(StoreSpec::name).map(str::to_owned).collect();
            let source = Incompatible::Partitions { processor: spec.name.clone(), stores, written, found: partitions };
            Err(StartError::Incompatible { processor: spec.name.clone(), source })
        }
        _ => Ok(()),
    }
}

/// Returns for how many partitions the state of a task was written, if its journal says so.
async fn written(log: &dyn Log, journal: &str, partition: u32, Offsets { start, end }: Offsets) -> Result<Option<u32>, LogError> {
    let mut from = start;
    // The newest restore point spares most of the reading: what is alive, the schema among it, stands behind it.
    scan(log, journal, partition, start.max(end - RESTORE_POINT_RECORDS), end, |record| {
        let point = JournalRecord::decode(&record.value).ok().and_then(|record| record.restore_point());
        from = point.map_or(from, |point| from.max(point.offset));
    })
    .await?;
    let mut found = None;
    scan(log, journal, partition, from, end, |record| found = partitions_written(&record.value).or(found)).await?;
    Ok(found)
}

async fn scan(log: &dyn Log, topic: &str, partition: u32, from: i64, end: i64, mut look: impl FnMut(&LogRecord)) -> Result<(), LogError> {
    let mut reader = log.read(topic, partition, from, None).await?;
    let mut next = from;
    while next < end {
        let fetched = reader.next().await?;
        fetched.records.iter().for_each(&mut look);
        next = fetched.next_offset;
    }
    Ok(())
}
