//! Runs topologies on a log: one asynchronous runner per task, senders for effects, executors for outside calls.
//!
//! Everything that decides is in [`crate::task`]; here is only waiting, reading, appending and starting again.

mod calls;
mod inbox;
mod incarnation;
mod lag;
mod membership;
mod partitions;
mod query;
mod sender;
mod source;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::incarnation::Problem;
use self::query::Query;
pub use self::query::{QueryError, Read};
use crate::assignment::{Duty, TaskId};
use crate::lifeline::Lifeline;
use crate::limits::{QUERIES_QUEUED_MAX, QUERY_TIMEOUT};
use crate::log::{Log, LogError};
use crate::processor::Call;
use crate::state::store::Stores;
use crate::task::{Incompatible, SnapshotPolicy, Stop};
use crate::telemetry::{Event, NoObserver, Observer, Phase, TaskName, with_sources};
use crate::time::{Clock, SystemClock};
use crate::topology::{ProcessorSpec, Topology, TopologyError};
use crate::trace::InputTraced;

/// Makes calls to one outside system.
///
/// A call may be made again after a crash with the same id: the other side must honour it as an idempotency key.
#[async_trait::async_trait]
pub trait CallHandler: Send + Sync + 'static {
    /// Returns the answer as JSON. Failures that are final are answers too; time limits and retries are the handler's.
    async fn call(&self, call: &Call) -> String;

    /// Returns the answer to a call that was pending when this incarnation took the task over: an earlier one may have made it, and it is not known what came of it.
    /// By default that makes no difference.
    async fn call_again(&self, call: &Call) -> String {
        self.call(call).await
    }
}

/// What a runtime needs.
#[derive(Clone)]
pub struct Options {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Local stores of the tasks.
    pub stores: Arc<dyn Stores>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Outside systems by name.
    pub calls: BTreeMap<String, Arc<dyn CallHandler>>,
    /// When tasks write their state again, so that restoring stays short.
    pub snapshots: SnapshotPolicy,
    /// Hears what happens.
    pub observer: Arc<dyn Observer>,
    /// Name of this instance: the same after a restart, and another one in each instance of an application. Part of the owner in its fences.
    pub instance: String,
    /// How instances share the tasks; `None`: this one has all of them.
    pub assignment: Option<AssignmentOptions>,
}

impl Options {
    /// Returns what a runtime needs at least: the wall clock, no outside systems, nobody who hears anything, all tasks for itself.
    pub fn new(log: Arc<dyn Log>, stores: Arc<dyn Stores>, instance: &str) -> Self {
        Self {
            log,
            stores,
            clock: Arc::new(SystemClock),
            calls: BTreeMap::new(),
            snapshots: SnapshotPolicy::default(),
            observer: Arc::new(NoObserver),
            instance: instance.to_owned(),
            assignment: None,
        }
    }
}

/// How the instances of an application share its tasks.
#[derive(Debug, Clone)]
pub struct AssignmentOptions {
    /// Topic of one partition in which they agree.
    pub topic: String,
    /// How many instances follow each task besides its owner, to take it over at once.
    pub standbys: usize,
    /// How often an instance says that it lives.
    pub heartbeat: Duration,
    /// An instance that is silent for so long is taken for dead.
    pub session: Duration,
    /// How long a new owner waits for the former one to finish with a task.
    pub release: Duration,
    /// By which the others learn at once that this process has ended; `None`: by its silence.
    pub lifeline: Option<Arc<Lifeline>>,
}

/// Why a runtime does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The topology cannot run.
    #[error("topology of `{application}` cannot run")]
    Topology {
        /// Application.
        application: String,
        /// Why.
        #[source]
        source: TopologyError,
    },
    /// The log cannot be used.
    #[error("log cannot be used")]
    Log(#[from] LogError),
    /// Topics that a processor reads together have different numbers of partitions.
    #[error(
        "processor `{processor}` reads topics that are not co-partitioned: `{first}` has {first_partitions} partitions, `{second}` has {second_partitions}"
    )]
    NotCopartitioned {
        /// Processor.
        processor: String,
        /// A topic.
        first: String,
        /// Its partitions.
        first_partitions: u32,
        /// Another topic.
        second: String,
        /// Its partitions.
        second_partitions: u32,
    },
    /// The state of a processor was written in a way with which this program cannot go on.
    #[error("processor `{processor}` cannot start")]
    Incompatible {
        /// Processor.
        processor: String,
        /// Why, and what to do.
        #[source]
        source: Incompatible,
    },
    /// A processor calls an outside system that nobody handles.
    #[error("processor `{processor}` calls `{target}`, for which there is no handler")]
    NoHandler {
        /// Processor.
        processor: String,
        /// Outside system.
        target: String,
    },
}

/// How the tasks of a runtime are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it waits, if it does.
    pub problem: Option<String>,
}

/// A task that this program may not run: it is not one for the task's state, and has changed nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{task}: {reason}")]
pub struct Refused {
    /// Task.
    pub task: String,
    /// Why, and what to do.
    pub reason: String,
}

type Statuses = BTreeMap<String, TaskStatus>;

/// A running application. Dropping it stops its tasks at once; [`Runtime::stop`] lets them finish.
pub struct Runtime {
    tasks: JoinSet<()>,
    queries: BTreeMap<TaskId, mpsc::Sender<Query>>,
    membership: JoinSet<()>,
    shutdown: CancellationToken,
    /// All tasks have ended.
    ended: CancellationToken,
    statuses: watch::Receiver<Statuses>,
    /// The first task that was refused.
    refused: watch::Receiver<Option<Refused>>,
}

impl Runtime {
    /// Starts all tasks of the topology. Its topics must exist.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(topology: &Topology, options: Options) -> Result<Self, StartError> {
        topology.check().map_err(|source| StartError::Topology { application: topology.application.clone(), source })?;
        let shutdown = CancellationToken::new();
        let (sender, statuses) = watch::channel(Statuses::new());
        let sender = Arc::new(sender);
        let (refused_sender, refused) = watch::channel(None);
        let refused_sender = Arc::new(refused_sender);
        let mut plans = Vec::new();
        for spec in &topology.processors {
            if let Some(target) = spec.calls.iter().find(|target| !options.calls.contains_key(*target)) {
                return Err(StartError::NoHandler { processor: spec.name.clone(), target: target.clone() });
            }
            let partitions = copartitions(&*options.log, spec).await?;
            partitions::check(&*options.log, spec, partitions).await?;
            plans.extend((0..partitions).map(|partition| (spec.clone(), partition, partitions)));
        }
        let initial = if options.assignment.is_some() { Duty::Idle } else { Duty::Owner };
        let (finished_sender, finished) = mpsc::unbounded_channel();
        let (mut duties, mut queries) = (BTreeMap::new(), BTreeMap::new());
        let mut tasks = JoinSet::new();
        for (spec, partition, partitions) in plans {
            let duty = watch::Sender::new(initial);
            let id = TaskId::new(&spec.name, partition);
            let (query_sender, asked) = mpsc::channel(QUERIES_QUEUED_MAX);
            let runner = Runner {
                application: topology.application.clone(),
                spec,
                partition,
                partitions,
                options: options.clone(),
                shutdown: shutdown.clone(),
                stop: shutdown.child_token(),
                duty: duty.subscribe(),
                finished: finished_sender.clone(),
                queries: Mutex::new(asked),
                statuses: sender.clone(),
                refused: refused_sender.clone(),
            };
            duties.insert(id.clone(), duty);
            queries.insert(id, query_sender);
            if initial == Duty::Owner {
                runner.report(Phase::Waiting, None);
            }
            tasks.spawn(runner.run());
        }
        let ended = CancellationToken::new();
        let membership =
            membership::Membership { application: topology.application.clone(), options, duties, finished, statuses: sender, ended: ended.clone() };
        let mut memberships = JoinSet::new();
        memberships.spawn(membership.run());
        Ok(Self { tasks, queries, membership: memberships, shutdown, ended, statuses, refused })
    }

    /// Returns how each task is, by name.
    pub fn statuses(&self) -> Statuses {
        self.statuses.borrow().clone()
    }

    /// Returns a handle by which others see how the tasks are.
    pub fn watch_statuses(&self) -> watch::Receiver<Statuses> {
        self.statuses.clone()
    }

    /// Returns once this instance knows its share of the tasks, and every one of them runs or is followed.
    ///
    /// # Errors
    /// [`Refused`] if one of them may not: it will not run, however long one waits. The others are not disturbed.
    pub async fn wait_running(&self) -> Result<(), Refused> {
        let mut statuses = self.statuses.clone();
        let all_run = |statuses: &Statuses| !statuses.is_empty() && statuses.values().all(|status| matches!(status.phase, Phase::Running | Phase::Standby));
        // The sender lives as long as the tasks do.
        let mut refused = self.refused.clone();
        tokio::select! {
            Ok(refused) = refused.wait_for(Option::is_some) => refused.clone().map_or(Ok(()), Err),
            _ = statuses.wait_for(all_run) => Ok(()),
        }
    }

    /// Reads an entry of a task's state, if this instance runs the task or follows it: `store` and `key` as the processor wrote them.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn read(&self, task: &TaskId, store: &str, key: &str) -> Result<Read, QueryError> {
        let none_here = || QueryError::NotHere { task: task.clone() };
        let (answer, answered) = oneshot::channel();
        let query = Query { store: store.to_owned(), key: key.to_owned(), answer };
        // A task that nobody here does anything for answers nothing.
        let is_here = self.statuses.borrow().keys().any(|name| name.ends_with(&format!("-{}-{}", task.processor, task.partition)));
        let sender = self.queries.get(task).filter(|_| is_here).ok_or_else(none_here)?;
        sender.try_send(query).map_err(|_| QueryError::Busy { task: task.clone() })?;
        tokio::time::timeout(QUERY_TIMEOUT, answered).await.map_err(|_| QueryError::Busy { task: task.clone() })?.map_err(|_| none_here())?
    }

    /// Lets every task finish its transaction and send its effects, then returns.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.ended.cancel();
        while self.membership.join_next().await.is_some() {}
    }
}

/// Returns the number of partitions that the processor's sources and journal share.
async fn copartitions(log: &dyn Log, spec: &ProcessorSpec) -> Result<u32, StartError> {
    let first = &spec.sources[0].topic;
    let first_partitions = log.partitions(first).await?;
    for topic in spec.sources.iter().map(|source| &source.topic).chain([&spec.journal, &spec.rejections, &spec.dead_letters]).chain(&spec.sinks) {
        let partitions = log.partitions(topic).await?;
        if partitions != first_partitions {
            return Err(StartError::NotCopartitioned {
                processor: spec.name.clone(),
                first: first.clone(),
                first_partitions,
                second: topic.clone(),
                second_partitions: partitions,
            });
        }
    }
    Ok(first_partitions)
}

/// Keeps one task alive: an incarnation after the other until shutdown.
struct Runner {
    application: String,
    spec: ProcessorSpec,
    partition: u32,
    partitions: u32,
    options: Options,
    shutdown: CancellationToken,
    /// The present incarnation is to end.
    stop: CancellationToken,
    /// What this instance does for the task.
    duty: watch::Receiver<Duty>,
    /// Hears when it has finished with the task.
    finished: mpsc::UnboundedSender<TaskId>,
    /// Reads of the task's state; the present incarnation answers.
    queries: Mutex<mpsc::Receiver<Query>>,
    statuses: Arc<watch::Sender<Statuses>>,
    refused: Arc<watch::Sender<Option<Refused>>>,
}

/// First and longest wait between two incarnations.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);

impl Runner {
    fn name(&self) -> TaskName<'_> {
        TaskName { application: &self.application, processor: &self.spec.name, partition: self.partition }
    }

    /// Name of the task's store, and of the task for people.
    fn id(&self) -> String {
        format!("{}-{}-{}", self.application, self.spec.name, self.partition)
    }

    fn observe(&self, event: &Event<'_>) {
        self.options.observer.observe(event);
    }

    fn report(&self, phase: Phase, problem: Option<String>) {
        self.observe(&Event::PhaseEntered(self.name(), phase));
        self.statuses.send_modify(|statuses| {
            statuses.insert(self.id(), TaskStatus { phase, problem });
        });
    }

    /// Returns true if anybody wants to know of each input.
    fn is_traced(&self) -> bool {
        self.options.observer.wants_traces() || tracing::enabled!(tracing::Level::DEBUG)
    }

    fn tell_traces(&self, inputs: &[InputTraced], took: Duration) {
        if inputs.is_empty() {
            return;
        }
        self.observe(&Event::InputsTraced { task: self.name(), inputs, took });
        for InputTraced { context, what, cause, subject, outcome, .. } in inputs {
            tracing::debug!(task = self.id(), trace_id = %context.trace, what, cause, subject, outcome, "input was taken");
        }
    }

    fn is_running(&self) -> bool {
        self.statuses.borrow().get(&self.id()).is_some_and(|status| status.phase == Phase::Running)
    }

    /// Returns once this instance has nothing to do for the task any more, or less than before: then the incarnation is told to stop.
    async fn withdraw(&self) {
        let mut duty = self.duty.clone();
        let mut most = Duty::Idle;
        loop {
            let now = *duty.borrow_and_update();
            if now < most || now == Duty::Idle {
                self.stop.cancel();
            }
            most = most.max(now);
            if duty.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn run(mut self) {
        let mut wait = WAIT_FIRST;
        // What was told last: a disk that stays full is said once, not at every try.
        let mut told = None;
        let shutdown = self.shutdown.clone();
        let mut duty = self.duty.clone();
        loop {
            // It may have been given to others while it waited to be started again.
            if *duty.borrow() == Duty::Idle && self.is_told() {
                self.let_go();
            }
            tokio::select! {
                _ = duty.wait_for(|duty| *duty != Duty::Idle) => {}
                () = shutdown.cancelled() => {}
            }
            if shutdown.is_cancelled() {
                break;
            }
            self.stop = shutdown.child_token();
            let ended = tokio::select! {
                ended = incarnation::run(&self) => ended,
                () = self.withdraw() => continue,
            };
            let Err(problem) = ended else {
                wait = WAIT_FIRST;
                if !shutdown.is_cancelled() {
                    self.let_go();
                }
                continue;
            };
            // One that ran had its log and its store; what stopped it is over. A fence means that somebody else is at it: those two must not chase each other.
            if self.is_running() && !matches!(problem, Problem::Stopped(Stop::Fenced { .. })) {
                (wait, told) = (WAIT_FIRST, None);
            }
            self.observe(&Event::TaskFailed { task: self.name(), kind: problem.kind() });
            if told.replace(problem.kind()) != Some(problem.kind()) {
                tracing::warn!(task = self.id(), error = &problem as &dyn std::error::Error, "task stopped and will be started again");
            }
            if matches!(problem, Problem::Stopped(Stop::Incompatible(_))) {
                let refused = Refused { task: self.id(), reason: with_sources(&problem) };
                self.refused.send_if_modified(|first| first.is_none() && first.replace(refused).is_none());
            }
            self.report(Phase::Waiting, Some(with_sources(&problem)));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = duty.wait_for(|duty| *duty == Duty::Idle) => {}
                () = shutdown.cancelled() => {}
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        self.report(Phase::Stopped, None);
    }

    fn is_told(&self) -> bool {
        self.statuses.borrow().contains_key(&self.id())
    }

    /// Others have the task: says nothing of it any more, and that this instance has finished with it.
    fn let_go(&self) {
        self.observe(&Event::PhaseEntered(self.name(), Phase::Stopped));
        self.statuses.send_modify(|statuses| drop(statuses.remove(&self.id())));
        let _ = self.finished.send(TaskId::new(&self.spec.name, self.partition));
    }
}
