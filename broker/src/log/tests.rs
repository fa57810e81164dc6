//! Tests of the log against real files, with a disk that can be told to fail.

mod durability;
mod model;
mod read_write;
mod recovery;
mod retention;

use std::fs;
use std::path::{Path, PathBuf};

use fluvio_compression::Compression;
use fluvio_protocol::record::Record;
use tempfile::TempDir;

use crate::batch::{BatchLimits, EncodedBatch};

use super::file::Disk;
use super::{Durability, Error, LogOptions, PartitionLog, Syncer};

const FSYNC: Durability = Durability::Fsync;
const OS: Durability = Durability::Os;

/// A directory for one log, and the syncer of its broker.
struct Home {
    parent: TempDir,
    syncer: Syncer,
    disk: Disk,
}

impl Home {
    fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap(), syncer: Syncer::start(FSYNC), disk: Disk::default() }
    }

    fn dir(&self) -> PathBuf {
        self.parent.path().join("topic-0")
    }

    fn try_open(&self, options: LogOptions) -> Result<PartitionLog, Error> {
        PartitionLog::open_on(self.disk.clone(), &self.dir(), options, &self.syncer)
    }

    fn open(&self, options: LogOptions) -> PartitionLog {
        self.try_open(options).unwrap()
    }

    fn segment(&self, base_offset: i64) -> PathBuf {
        self.dir().join(format!("{base_offset:020}.log"))
    }
}

/// Small segments, so that a test gets to see several.
fn small_segments(durability: Durability) -> LogOptions {
    LogOptions { segment_bytes_max: 1024, durability, ..LogOptions::default() }
}

fn batch(values: &[&str]) -> EncodedBatch {
    batch_at(values, 1_700_000_000_000)
}

fn batch_at(values: &[&str], timestamp_ms: i64) -> EncodedBatch {
    let records = values.iter().map(|value| Record::new(*value)).collect();
    EncodedBatch::from_records(records, Compression::None, timestamp_ms, timestamp_ms, &BatchLimits::default()).unwrap()
}

/// Appends one batch and waits until it is durable; returns its base offset.
fn append(log: &PartitionLog, values: &[&str]) -> i64 {
    let base_offset = log.append(&[batch(values)]).unwrap()[0];
    wait_durable(log, base_offset + values.len() as i64).unwrap();
    base_offset
}

fn wait_durable(log: &PartitionLog, offset: i64) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.wait_durable(offset))
}

/// Reads everything that a reader may see, in steps of at most `bytes_max`, as pairs of offset and value.
fn read_all(log: &PartitionLog, bytes_max: usize) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    let mut offset = log.start_offset();
    while offset < log.high_watermark() {
        let slice = log.read(offset, bytes_max).unwrap();
        assert_eq!(slice.base_offset, offset, "reading goes on where it stopped");
        for batch in slice.batches(&BatchLimits::default()).unwrap() {
            for (position, record) in batch.decode_records().unwrap().iter().enumerate() {
                let value = String::from_utf8(record.value.to_vec()).unwrap();
                records.push((batch.base_offset() + position as i64, value));
            }
        }
        assert!(slice.next_offset > offset, "reading makes progress");
        offset = slice.next_offset;
    }
    records
}

/// Copies a log in use, oldest segment first: what a killed process would have left at some moment.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut names: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}
