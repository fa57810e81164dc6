//! The data directory: where what is kept, and in which order things are written.
//!
//! ```text
//! FORMAT                            which version wrote this directory
//! LOCK                              held by the broker that uses it
//! topics/<topic>.json               a topic exists if and only if this file does
//! smartmodules/<name>.json
//! logs/<topic>.<id>/<partition>/    segments; <id> keeps a new topic apart from a deleted one of its name
//! consumer-offsets                  positions of managed consumers
//! ```

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fluvio_controlplane_metadata::{smartmodule::SmartModuleSpec, topic::TopicSpec};
use fluvio_types::defaults::{SPU_LOG_SEGMENT_MAX_BYTES, SPU_PARTITION_MAX_BYTES};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Partition, Topic};
use crate::{
    Durability, Error,
    log::{LogOptions, PartitionLog, Syncer},
    metadata::{ObjectDir, sync_dir, write_atomically},
};

const FORMAT: &str = "orderflow-broker 1";

/// Where and how to keep data.
pub(crate) struct DiskOptions {
    pub(crate) dir: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) syncer: Syncer,
    /// Present if the directory is to be removed in the end.
    pub(crate) ephemeral: Option<TempDir>,
    /// Dropped when the directory has been let go.
    pub(crate) released: DropGuard,
}

/// The open, locked data directory.
pub(super) struct Disk {
    durability: Durability,
    syncer: Syncer,
    logs_dir: PathBuf,
    topics: ObjectDir,
    smartmodules: ObjectDir,
    next_topic_id: AtomicU64,
    // From here on the order counts: unlock, remove, tell that the directory is free.
    _lock: File,
    _ephemeral: Option<TempDir>,
    _released: DropGuard,
}

/// A topic as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct TopicRecord {
    id: u64,
    spec: TopicSpec,
}

impl Disk {
    pub(super) fn open(options: DiskOptions) -> Result<Self, Error> {
        let DiskOptions { dir, durability, syncer, ephemeral, released } = options;
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        let lock = lock(&dir)?;
        check_format(&dir)?;
        let logs_dir = dir.join("logs");
        fs::create_dir_all(&logs_dir).map_err(Error::file("create", &logs_dir))?;
        let topics = ObjectDir::open(dir.join("topics"))?;
        let smartmodules = ObjectDir::open(dir.join("smartmodules"))?;
        sync_dir(&dir).map_err(Error::file("sync", &dir))?;
        let next_topic_id = AtomicU64::new(1);
        Ok(Self { durability, syncer, logs_dir, topics, smartmodules, next_topic_id, _lock: lock, _ephemeral: ephemeral, _released: released })
    }

    pub(super) fn read_topics(&self) -> Result<Vec<(String, TopicRecord)>, Error> {
        let records: Vec<(String, TopicRecord)> = self.topics.read_all()?;
        let highest = records.iter().map(|(_, record)| record.id).max().unwrap_or(0);
        self.next_topic_id.store(highest + 1, Ordering::Relaxed);
        Ok(records)
    }

    pub(super) fn read_smartmodules(&self) -> Result<Vec<(String, SmartModuleSpec)>, Error> {
        self.smartmodules.read_all()
    }

    /// Removes logs that belong to no topic: what a crash left of a creation or a deletion.
    pub(super) fn remove_orphans<'a>(&self, topics: impl Iterator<Item = (&'a str, u64)>) -> Result<(), Error> {
        let known: BTreeSet<PathBuf> = topics.map(|(name, id)| self.topic_dir(name, id)).collect();
        for entry in fs::read_dir(&self.logs_dir).map_err(Error::file("read", &self.logs_dir))? {
            let path = entry.map_err(Error::file("read", &self.logs_dir))?.path();
            if !known.contains(&path) {
                tracing::info!(dir = %path.display(), "removing what is left of a topic that does not exist");
                fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(())
    }

    pub(super) fn open_topic(&self, name: &str, record: TopicRecord, revision: u64) -> Result<Topic, Error> {
        let TopicRecord { id, spec } = record;
        let deleted = CancellationToken::new();
        let partitions = self.open_partitions(name, id, &spec, &deleted, 0)?;
        Ok(Topic { name: name.to_owned(), id, revision, spec, partitions, deleted })
    }

    /// The topic exists from the moment its metadata file does, which comes last.
    pub(super) fn create_topic(&self, name: &str, spec: TopicSpec, revision: u64) -> Result<Topic, Error> {
        let record = TopicRecord { id: self.next_topic_id.fetch_add(1, Ordering::Relaxed), spec };
        let dir = self.topic_dir(name, record.id);
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        sync_dir(&self.logs_dir).map_err(Error::file("sync", &self.logs_dir))?;
        let stored = TopicRecord { id: record.id, spec: record.spec.clone() };
        let topic = self.open_topic(name, record, revision)?;
        sync_dir(&dir).map_err(Error::file("sync", &dir))?;
        self.topics.write(name, &stored).map_err(Error::file("write metadata of topic", name))?;
        Ok(topic)
    }

    /// Opens the partitions that the new spec has more than the old one.
    pub(super) fn extend_topic(&self, topic: &Topic, spec: TopicSpec, revision: u64) -> Result<Topic, Error> {
        let existing = topic.partitions.len() as u32;
        let mut partitions = topic.partitions.clone();
        partitions.extend(self.open_partitions(&topic.name, topic.id, &spec, &topic.deleted, existing)?);
        let dir = self.topic_dir(&topic.name, topic.id);
        sync_dir(&dir).map_err(Error::file("sync", &dir))?;
        let stored = TopicRecord { id: topic.id, spec: spec.clone() };
        self.topics.write(&topic.name, &stored).map_err(Error::file("write metadata of topic", &topic.name))?;
        let (name, deleted) = (topic.name.clone(), topic.deleted.clone());
        Ok(Topic { name, id: topic.id, revision, spec, partitions, deleted })
    }

    pub(super) fn forget_topic(&self, name: &str) -> Result<(), Error> {
        self.topics.remove(name).map_err(Error::file("remove metadata of topic", name))
    }

    pub(super) fn remove_logs(&self, topic: &Topic) -> Result<(), Error> {
        for partition in &topic.partitions {
            let deleted = partition.log.clone().delete();
            deleted.map_err(Error::file("remove log of topic", &topic.name))?;
        }
        let dir = self.topic_dir(&topic.name, topic.id);
        fs::remove_dir_all(&dir).map_err(Error::file("remove", &dir))
    }

    pub(super) fn write_smartmodule(&self, name: &str, spec: &SmartModuleSpec) -> Result<(), Error> {
        self.smartmodules.write(name, spec).map_err(Error::file("write SmartModule", name))
    }

    pub(super) fn remove_smartmodule(&self, name: &str) -> Result<(), Error> {
        self.smartmodules.remove(name).map_err(Error::file("remove SmartModule", name))
    }

    fn open_partitions(&self, topic: &str, id: u64, spec: &TopicSpec, deleted: &CancellationToken, first: u32) -> Result<Vec<Arc<Partition>>, Error> {
        let dir = self.topic_dir(topic, id);
        let options = self.log_options(spec);
        (first..spec.partitions())
            .map(|partition| {
                let log = PartitionLog::open(&dir.join(partition.to_string()), options, &self.syncer).map_err(|source| Error::Log {
                    topic: topic.to_owned(),
                    partition,
                    source,
                })?;
                let (topic, spec, deleted) = (topic.to_owned(), spec.clone(), deleted.clone());
                Ok(Arc::new(Partition { topic, index: partition, spec, log, deleted }))
            })
            .collect()
    }

    fn log_options(&self, spec: &TopicSpec) -> LogOptions {
        let storage = spec.get_storage();
        let segment_bytes_max = storage.and_then(|storage| storage.segment_size).unwrap_or(SPU_LOG_SEGMENT_MAX_BYTES);
        let partition_bytes_max = storage.and_then(|storage| storage.max_partition_size).unwrap_or(SPU_PARTITION_MAX_BYTES);
        LogOptions {
            segment_bytes_max: segment_bytes_max.into(),
            partition_bytes_max,
            retention: Duration::from_secs(spec.retention_secs().into()),
            durability: self.durability,
        }
    }

    fn topic_dir(&self, name: &str, id: u64) -> PathBuf {
        self.logs_dir.join(format!("{name}.{id}"))
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DataDirLocked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::File { action: "lock", path, source }),
    }
}

fn check_format(dir: &Path) -> Result<(), Error> {
    let path = dir.join("FORMAT");
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == FORMAT => Ok(()),
        Ok(found) => {
            let found = found.trim().chars().take(FORMAT.len() * 2).collect();
            Err(Error::DataDirFormat { path: dir.to_owned(), found, expected: FORMAT })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if is_foreign(dir)? {
                let found = String::new();
                return Err(Error::DataDirFormat { path: dir.to_owned(), found, expected: FORMAT });
            }
            write_atomically(&path, format!("{FORMAT}\n").as_bytes()).map_err(Error::file("write", &path))
        }
        Err(source) => Err(Error::File { action: "read", path, source }),
    }
}

/// A directory without our marker must be empty: we do not settle in somebody else's files.
fn is_foreign(dir: &Path) -> Result<bool, Error> {
    for entry in fs::read_dir(dir).map_err(Error::file("read", dir))? {
        let name = entry.map_err(Error::file("read", dir))?.file_name();
        if name != "LOCK" && !name.to_string_lossy().starts_with("FORMAT") {
            return Ok(true);
        }
    }
    Ok(false)
}
