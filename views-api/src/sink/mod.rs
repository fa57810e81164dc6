//! Runs projections: from the topics of a system into a view store.
//!
//! One task for each partition of each view's topic. It reads from the view's progress on, folds what has arrived into documents, writes documents and progress, and so on: at low load
//! each record is a batch of its own and visible at once, under load batches grow. Log or store down: it tries again, for ever. Killed at any point, it goes on from the progress that is
//! stored, and the documents are the same bytes in the end (see [`crate::store`]).
//!
//! Records that do not fold go to the system's dead letters before progress passes them. A sink has no journal, so such a dead letter may appear twice, with the same CloudEvents id.

mod dead_letter;
mod fold;
mod following;
mod partition;
mod waiting;

use std::sync::Arc;

use fluvio_streams::log::{Log, LogError};
use fluvio_streams::projection::Projection;
use fluvio_streams::system::System;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::dead_letter::DeadLetters;
use self::following::Following;
use crate::api::ReadyCheck;
use crate::backoff::Backoff;
use crate::store::{StoreError, ViewStore};
use crate::telemetry::{Event, Observer};
use crate::view::View;

/// Why a sink cannot go on at the moment.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The log.
    #[error("topic cannot be read or written")]
    Log(#[from] LogError),
    /// The store.
    #[error("view store cannot be used")]
    Store(#[from] StoreError),
    /// The view has taken more than the topic holds.
    #[error("view has taken {taken} records of {topic}/{partition}, which holds only {end}: was the topic created anew? clear the view to rebuild it")]
    AheadOfLog {
        /// Topic.
        topic: String,
        /// Partition.
        partition: u32,
        /// Next offset of the view.
        taken: i64,
        /// Next offset of the topic.
        end: i64,
    },
}

/// What the tasks of one view share.
struct Sink {
    view: View,
    projection: Arc<dyn Projection>,
    log: Arc<dyn Log>,
    store: Arc<dyn ViewStore>,
    dead_letters: DeadLetters,
    observer: Arc<dyn Observer>,
    following: Arc<Following>,
}

/// Running sinks.
#[derive(Debug)]
pub struct Sinks {
    tasks: TaskTracker,
    following: Arc<Following>,
}

impl Sinks {
    /// Starts a sink for every view of the systems. They run until `shutdown` is cancelled, whatever the log and the store do. Must be called within a tokio runtime.
    pub fn start(log: Arc<dyn Log>, systems: &[System], store: Arc<dyn ViewStore>, observer: Arc<dyn Observer>, shutdown: &CancellationToken) -> Self {
        let (tasks, following) = (TaskTracker::new(), Arc::<Following>::default());
        for system in systems {
            for projection in &system.projections {
                let sink = Arc::new(Sink {
                    view: View::of(system.name, projection.as_ref()),
                    projection: Arc::clone(projection),
                    log: Arc::clone(&log),
                    store: Arc::clone(&store),
                    dead_letters: DeadLetters::of(system, Arc::clone(&log)),
                    observer: Arc::clone(&observer),
                    following: Arc::clone(&following),
                });
                following.waits(&sink.view, None, "it is not prepared yet");
                tasks.spawn(supervise(sink, tasks.clone(), shutdown.clone()));
            }
        }
        tasks.close();
        Self { tasks, following }
    }

    /// Returns a check that is ready while every sink follows its topic: its store is prepared, its reader is open, and it has taken what the topic held when it began. Later it may be as far
    /// behind as it is; but a view that is still being made does not have what its readers had long ago.
    pub fn ready_check(&self) -> Arc<dyn ReadyCheck> {
        self.following.clone()
    }

    /// Waits until the sinks have stopped, after `shutdown` was cancelled.
    pub async fn stopped(self) {
        self.tasks.wait().await;
    }
}

/// Prepares the view, then starts a task for each partition.
async fn supervise(sink: Arc<Sink>, tasks: TaskTracker, shutdown: CancellationToken) {
    let mut backoff = Backoff::default();
    loop {
        let prepared = tokio::select! {
            () = shutdown.cancelled() => return,
            prepared = sink.prepare() => prepared,
        };
        match prepared {
            Ok(partitions) => {
                for partition in 0..partitions {
                    sink.following.waits(&sink.view, Some(partition), "it is not connected yet");
                    tasks.spawn(partition::run(Arc::clone(&sink), partition, shutdown.clone()));
                }
                sink.following.goes_on(&sink.view, None);
                return;
            }
            Err(error) => sink.stalled(None, &error, &mut backoff, &shutdown).await,
        }
    }
}

impl Sink {
    async fn prepare(&self) -> Result<u32, SinkError> {
        self.store.prepare(&self.view).await?;
        Ok(self.log.partitions(&self.view.topic).await?)
    }

    /// Notes whether the view of a partition can be used.
    fn tell_whether_fit(&self, partition: u32, position: &waiting::Position) {
        match position.records_until_fit() {
            0 => self.following.goes_on(&self.view, Some(partition)),
            records => self.following.waits(&self.view, Some(partition), &format!("it is being made, {records} records to take")),
        }
    }

    /// Tells of a failure and waits before the next try.
    async fn stalled(&self, partition: Option<u32>, error: &SinkError, backoff: &mut Backoff, shutdown: &CancellationToken) {
        let retry_in = backoff.delay();
        self.following.waits(&self.view, partition, &error.to_string());
        self.observer.observe(Event::ViewStalled { view: &self.view, partition, error, retry_in });
        let _ = tokio::time::timeout(retry_in, shutdown.cancelled()).await;
    }
}
