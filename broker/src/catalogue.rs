//! Which topics, partitions and SmartModules exist: the one place where both endpoints look them up.
//!
//! Changes are made one at a time: first on disk, then in memory, then told to the watches. Looking up is a
//! short read lock. Start reading at [`Catalogue::open`] and [`Catalogue::create_topic`].

mod changes;
mod disk;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use fluvio_controlplane_metadata::{
    smartmodule::SmartModuleSpec,
    topic::{ReplicaSpec, TopicSpec},
};
use fluvio_protocol::link::ErrorCode;
use fluvio_types::defaults::CONSUMER_STORAGE_TOPIC;
use tokio::{sync::Mutex, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

pub(crate) use changes::{Changes, Watch};
use disk::Disk;
pub(crate) use disk::DiskOptions;

use crate::{Error, Limits, log::PartitionLog};

/// Everything that clients can name.
pub(crate) struct Catalogue {
    state: RwLock<State>,
    changes: Changes,
    disk: Arc<Disk>,
    limits: Arc<Limits>,
    /// Held during a change, so that what was validated is still true when it is applied.
    changing: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Counts changes; an object remembers at which count it last changed.
    generation: u64,
    topics: BTreeMap<String, Arc<Topic>>,
    smartmodules: BTreeMap<String, Arc<SmartModule>>,
}

/// A topic with its open partitions.
pub(crate) struct Topic {
    pub(crate) name: String,
    /// Distinguishes topics that bore the same name one after the other.
    pub(crate) id: u64,
    pub(crate) revision: u64,
    pub(crate) spec: TopicSpec,
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// Cancelled when the topic is deleted.
    pub(crate) deleted: CancellationToken,
}

/// A partition with its open log.
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) index: u32,
    pub(crate) spec: TopicSpec,
    pub(crate) log: PartitionLog,
    /// Cancelled when the topic is deleted.
    pub(crate) deleted: CancellationToken,
}

/// A SmartModule as it was uploaded.
pub(crate) struct SmartModule {
    pub(crate) revision: u64,
    pub(crate) spec: SmartModuleSpec,
}

/// Why a change was not made, in the terms of the protocol.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }
}

impl Catalogue {
    /// Reads the data directory and opens all logs in it.
    ///
    /// # Errors
    /// When a file is damaged, of another version, or cannot be read.
    pub(crate) fn open(options: DiskOptions, limits: Arc<Limits>) -> Result<Self, Error> {
        let disk = Disk::open(options)?;
        let mut state = State { generation: 1, ..State::default() };
        for (name, record) in disk.read_topics()? {
            let topic = disk.open_topic(&name, record, state.generation)?;
            state.topics.insert(name, Arc::new(topic));
        }
        for (name, spec) in disk.read_smartmodules()? {
            state.smartmodules.insert(name, Arc::new(SmartModule { revision: state.generation, spec }));
        }
        disk.remove_orphans(state.topics.values().map(|topic| (topic.name.as_str(), topic.id)))?;
        // Clients look this one up before they use managed offsets, and an empty catalogue would make their
        // first synchronisation wait for a minute.
        if !state.topics.contains_key(CONSUMER_STORAGE_TOPIC) {
            let mut spec = TopicSpec::new_computed(1, 1, None);
            spec.set_system(true);
            let topic = disk.create_topic(CONSUMER_STORAGE_TOPIC, spec, state.generation)?;
            state.topics.insert(CONSUMER_STORAGE_TOPIC.to_owned(), Arc::new(topic));
        }
        let changes = Changes::new(state.generation);
        Ok(Self { state: RwLock::new(state), changes, disk: Arc::new(disk), limits, changing: Mutex::new(()) })
    }

    /// Creates a topic whose configuration the caller has validated, with its partitions ready for use.
    pub(crate) async fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<(), Refused> {
        let changing = self.changing.lock().await;
        self.check_room_for_topic(name, &spec)?;
        let disk = Arc::clone(&self.disk);
        let revision = self.read().generation + 1;
        let owned_name = name.to_owned();
        let created = spawn_blocking(move || disk.create_topic(&owned_name, spec, revision)).await;
        let topic = flatten(created).map_err(|error| storage_refused(&error))?;
        let generation = self.change(|state| drop(state.topics.insert(name.to_owned(), Arc::new(topic))));
        drop(changing);
        self.changes.publish(generation).await;
        Ok(())
    }

    fn check_room_for_topic(&self, name: &str, spec: &TopicSpec) -> Result<(), Refused> {
        let state = self.read();
        if state.topics.contains_key(name) {
            return Err(Refused::new(ErrorCode::TopicAlreadyExists, format!("topic '{name}' already exists")));
        }
        if state.topics.len() >= self.limits.topics_max {
            let message = format!("this broker holds at most {} topics", self.limits.topics_max);
            return Err(Refused::new(ErrorCode::TopicError, message));
        }
        self.check_room_for_partitions(&state, 0, spec.partitions())
    }

    fn check_room_for_partitions(&self, state: &State, existing: u32, added: u32) -> Result<(), Refused> {
        let per_topic_max = self.limits.partitions_per_topic_max;
        if existing.checked_add(added).is_none_or(|count| count > per_topic_max) {
            let message = format!("a topic of this broker has at most {per_topic_max} partitions");
            return Err(Refused::new(ErrorCode::TopicError, message));
        }
        let total: usize = state.topics.values().map(|topic| topic.partitions.len()).sum();
        if total + added as usize > self.limits.partitions_max {
            let message = format!("this broker holds at most {} partitions", self.limits.partitions_max);
            return Err(Refused::new(ErrorCode::TopicError, message));
        }
        Ok(())
    }

    /// Adds partitions to a topic.
    pub(crate) async fn add_partitions(&self, name: &str, count: u32) -> Result<(), Refused> {
        let changing = self.changing.lock().await;
        let topic = self.topic(name).ok_or_else(|| topic_not_found(name))?;
        if count == 0 {
            return Err(Refused::new(ErrorCode::TopicError, "the number of partitions to add must be above 0"));
        }
        let existing = topic.spec.partitions();
        self.check_room_for_partitions(&self.read(), existing, count)?;
        let mut spec = topic.spec.clone();
        spec.set_replicas(ReplicaSpec::new_computed(existing + count, 1, None));
        let disk = Arc::clone(&self.disk);
        let revision = self.read().generation + 1;
        let extended = spawn_blocking(move || disk.extend_topic(&topic, spec, revision)).await;
        let topic = flatten(extended).map_err(|error| storage_refused(&error))?;
        let generation = self.change(|state| drop(state.topics.insert(name.to_owned(), Arc::new(topic))));
        drop(changing);
        self.changes.publish(generation).await;
        Ok(())
    }

    /// Deletes a topic and its records. Streams on it end with an error.
    pub(crate) async fn delete_topic(&self, name: &str, force: bool) -> Result<(), Refused> {
        let changing = self.changing.lock().await;
        let topic = self.topic(name).ok_or_else(|| topic_not_found(name))?;
        if topic.spec.is_system() && !force {
            let code = ErrorCode::SystemSpecDeletionAttempt { kind: "topic".to_owned(), name: name.to_owned() };
            // The command line recognises this answer by the absence of a message.
            return Err(Refused { code, message: None });
        }
        if name == CONSUMER_STORAGE_TOPIC {
            let message = "this topic is where clients find their consumer offsets, it cannot be deleted";
            return Err(Refused::new(ErrorCode::TopicError, message));
        }
        let disk = Arc::clone(&self.disk);
        let owned_name = name.to_owned();
        let forgotten = spawn_blocking(move || disk.forget_topic(&owned_name)).await;
        flatten(forgotten).map_err(|error| storage_refused(&error))?;
        let generation = self.change(|state| drop(state.topics.remove(name)));
        topic.deleted.cancel();
        let disk = Arc::clone(&self.disk);
        let removed = spawn_blocking(move || disk.remove_logs(&topic)).await;
        if let Err(error) = flatten(removed) {
            // The topic is gone for everybody; its files are tried again at the next start.
            tracing::warn!(topic = name, %error, "cannot remove the files of a deleted topic");
        }
        drop(changing);
        self.changes.publish(generation).await;
        Ok(())
    }

    /// Stores a SmartModule, replacing an older one of the same name.
    pub(crate) async fn put_smartmodule(&self, name: &str, spec: SmartModuleSpec) -> Result<(), Refused> {
        let changing = self.changing.lock().await;
        let is_new = self.smartmodule(name).is_none();
        if is_new && self.read().smartmodules.len() >= self.limits.smartmodules_max {
            let message = format!("this broker holds at most {} SmartModules", self.limits.smartmodules_max);
            return Err(Refused::new(ErrorCode::SmartModuleError, message));
        }
        let disk = Arc::clone(&self.disk);
        let (owned_name, stored) = (name.to_owned(), spec.clone());
        let written = spawn_blocking(move || disk.write_smartmodule(&owned_name, &stored)).await;
        flatten(written).map_err(|error| storage_refused(&error))?;
        let revision = self.read().generation + 1;
        let smartmodule = Arc::new(SmartModule { revision, spec });
        let generation = self.change(|state| drop(state.smartmodules.insert(name.to_owned(), smartmodule)));
        drop(changing);
        self.changes.publish(generation).await;
        Ok(())
    }

    /// Deletes a SmartModule. Streams that run it go on.
    pub(crate) async fn delete_smartmodule(&self, name: &str) -> Result<(), Refused> {
        let changing = self.changing.lock().await;
        if self.smartmodule(name).is_none() {
            let code = ErrorCode::SmartModuleNotFound { name: name.to_owned() };
            return Err(Refused::new(code, format!("SmartModule '{name}' not found")));
        }
        let disk = Arc::clone(&self.disk);
        let owned_name = name.to_owned();
        let removed = spawn_blocking(move || disk.remove_smartmodule(&owned_name)).await;
        flatten(removed).map_err(|error| storage_refused(&error))?;
        let generation = self.change(|state| drop(state.smartmodules.remove(name)));
        drop(changing);
        self.changes.publish(generation).await;
        Ok(())
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().topics.get(name).cloned()
    }

    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        self.read().topics.values().cloned().collect()
    }

    pub(crate) fn partition(&self, topic: &str, index: u32) -> Option<Arc<Partition>> {
        self.read().topics.get(topic)?.partitions.get(index as usize).cloned()
    }

    pub(crate) fn smartmodule(&self, name: &str) -> Option<Arc<SmartModule>> {
        self.read().smartmodules.get(name).cloned()
    }

    pub(crate) fn smartmodules(&self) -> Vec<(String, Arc<SmartModule>)> {
        self.read().smartmodules.iter().map(|(name, module)| (name.clone(), Arc::clone(module))).collect()
    }

    /// Starts watching for changes.
    pub(crate) fn watch(&self) -> Watch {
        self.changes.watch()
    }

    fn change(&self, apply: impl FnOnce(&mut State)) -> u64 {
        let mut state = self.write();
        apply(&mut state);
        state.generation += 1;
        state.generation
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn topic_not_found(name: &str) -> Refused {
    Refused::new(ErrorCode::TopicNotFound, format!("topic '{name}' not found"))
}

/// The file's name stays in the broker's own log; clients learn what failed, not where.
fn storage_refused(error: &Error) -> Refused {
    tracing::error!(%error, source = std::error::Error::source(error), "cannot change the catalogue");
    Refused::new(ErrorCode::StorageError, "the broker cannot write its data directory")
}

fn flatten<T>(joined: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    joined.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(Error::Stopping),
    })
}
