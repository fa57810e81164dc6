//! Runs SmartModules: WASM that filters, maps or aggregates records on their way in or out.
//!
//! The engine is Fluvio's own. What this module adds is where it runs and what becomes of its output:
//!
//! * each chain lives on a thread of its own, away from the async threads, and few of them compute at a time;
//!   a call that does not end is given up, and then costs one thread and nothing else;
//! * records leave with the offsets and timestamps they have in the log (`output.rs`), which the real server
//!   does not manage.
//!
//! What it cannot do: stop an endless loop inside the engine, or share compiled code between chains, because
//! the engine offers neither; nor survive a module that makes the engine's decoder allocate without bound.
//! What costs too much that way for a system with many streams is spared by `pool.rs`: streams with the same
//! question to a module that is declared pure share one chain.
//!
//! Start reading at [`Chain`].

mod chain;
mod exports;
mod lookback;
mod output;
mod pool;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use bytes::Bytes;
use fluvio_protocol::{Version, link::ErrorCode};
use fluvio_smartengine::SmartEngine;
use fluvio_spu_schema::server::smartmodule::SmartModuleInvocation;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::timeout,
};

pub(crate) use chain::check;
use chain::{Loaded, Source};
use pool::Pool;

use crate::{Event, Limits, Observer, batch::EncodedBatch, catalogue::Catalogue, limits::SMARTMODULE_STACK_BYTES, log::PartitionLog};

/// What all chains of a broker share.
pub(crate) struct SmartModules {
    engine: SmartEngine,
    catalogue: Arc<Catalogue>,
    limits: Arc<Limits>,
    observer: Arc<dyn Observer>,
    /// Chains that may exist; a permit belongs to a thread and ends with it.
    chains: Arc<Semaphore>,
    /// Chains that may compute.
    running: Semaphore,
    /// Chains that are being compiled.
    starting: watch::Sender<usize>,
    /// Chains that several streams share.
    pool: Pool,
}

/// Records that a chain has let through, as batches ready to be sent.
#[derive(Debug)]
pub(crate) struct Transformed {
    pub(crate) bytes: Bytes,
    /// Where to go on: everything before it has been processed.
    pub(crate) next_offset: i64,
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    /// What went wrong at `next_offset`, after the records in `bytes`.
    pub(crate) error: Option<ErrorCode>,
}

/// A stream's chain of SmartModules with its state.
pub(crate) struct Chain {
    shared: Arc<SmartModules>,
    worker: Arc<Worker>,
}

/// The thread on which a chain lives. Dropping it ends the thread.
struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: thread::JoinHandle<()>,
}

/// Counts a chain among those being compiled until it is dropped.
struct Starting<'a>(&'a watch::Sender<usize>);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|starting| *starting -= 1);
    }
}

type Job = Box<dyn FnOnce(&mut Loaded) + Send>;

impl SmartModules {
    /// `pure` names the modules whose chains may be shared.
    pub(crate) fn new(catalogue: Arc<Catalogue>, limits: Arc<Limits>, observer: Arc<dyn Observer>, pure: Vec<String>) -> Self {
        let chains = Arc::new(Semaphore::new(limits.smartmodule_chains_max));
        let running = Semaphore::new(limits.smartmodule_running_max);
        Self { engine: SmartEngine::new(), catalogue, limits, observer, chains, running, starting: watch::Sender::new(0), pool: Pool::new(pure) }
    }

    /// Tells how many chains are being compiled.
    pub(crate) fn watch_starting(&self) -> watch::Receiver<usize> {
        self.starting.subscribe()
    }

    /// Compiles and initialises a chain.
    pub(crate) async fn start(self: &Arc<Self>, invocations: Vec<SmartModuleInvocation>, version: Version) -> Result<Chain, ErrorCode> {
        self.starting.send_modify(|starting| *starting += 1);
        // A guard, since the client may go away while its chain is compiled.
        let _starting = Starting(&self.starting);
        let started = self.start_unobserved(invocations, version).await;
        if started.is_err() {
            self.observer.observe(Event::SmartModuleFailed);
        }
        started
    }

    async fn start_unobserved(self: &Arc<Self>, invocations: Vec<SmartModuleInvocation>, version: Version) -> Result<Chain, ErrorCode> {
        let length_max = self.limits.smartmodule_chain_length_max;
        if invocations.len() > length_max {
            let message = format!("a chain holds at most {length_max} SmartModules");
            return Err(ErrorCode::SmartModuleChainInitError(message));
        }
        let sources: Vec<Source> = invocations.into_iter().map(|invocation| Source::resolve(invocation, &self.catalogue)).collect::<Result<_, _>>()?;
        let worker = match self.pool.place_of(&sources, version) {
            Some(place) => place.take_or_start(|| self.start_worker(sources, version)).await?,
            None => Arc::new(self.start_worker(sources, version).await?),
        };
        Ok(Chain { shared: Arc::clone(self), worker })
    }

    async fn start_worker(self: &Arc<Self>, sources: Vec<Source>, version: Version) -> Result<Worker, ErrorCode> {
        let permit = Arc::clone(&self.chains).try_acquire_owned().map_err(|_| {
            let max = self.limits.smartmodule_chains_max;
            ErrorCode::SmartModuleChainInitError(format!("this broker runs at most {max} chains at a time"))
        })?;

        let _running = self.running.acquire().await.map_err(|_| stopping())?;
        let (jobs, queue) = mpsc::channel();
        let (built, ready) = oneshot::channel();
        let shared = Arc::clone(self);
        let thread = thread::Builder::new()
            .name("smartmodule".to_owned())
            .stack_size(SMARTMODULE_STACK_BYTES)
            .spawn(move || run(&shared, sources, version, built, &queue, permit))
            .map_err(|error| ErrorCode::SmartModuleChainInitError(format!("no thread for it: {error}")))?;
        self.bounded(ready).await??;
        Ok(Worker { jobs, thread })
    }

    async fn bounded<T>(&self, result: oneshot::Receiver<T>) -> Result<T, ErrorCode> {
        let limit = self.limits.smartmodule_call_timeout;
        match timeout(limit, result).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(ErrorCode::Other("SmartModule returned what cannot be decoded".to_owned())),
            Err(_) => Err(ErrorCode::Other(format!("SmartModule did not return within {} s", limit.as_secs()))),
        }
    }
}

/// The life of a chain's thread. A panic in here (from decoding what a module returned) ends this chain only.
fn run(
    shared: &SmartModules,
    sources: Vec<Source>,
    version: Version,
    built: oneshot::Sender<Result<(), ErrorCode>>,
    queue: &mpsc::Receiver<Job>,
    _permit: OwnedSemaphorePermit,
) {
    let mut loaded = match Loaded::build(&shared.engine, sources, version, &shared.limits) {
        Ok(loaded) => loaded,
        Err(error) => {
            // Whoever asked for the chain may have disconnected meanwhile.
            let _ = built.send(Err(error));
            return;
        }
    };
    if built.send(Ok(())).is_err() {
        return;
    }
    while let Ok(job) = queue.recv() {
        job(&mut loaded);
    }
}

impl Chain {
    /// Shows the records before the stream to those modules that asked to look back.
    pub(crate) async fn look_back(&self, log: PartitionLog) -> Result<(), ErrorCode> {
        self.call(move |loaded| lookback::look_back(loaded, &log)).await?
    }

    /// Processes the records at and after `from`, until the output reaches about `bytes_max`.
    pub(crate) async fn transform(&self, batches: Vec<EncodedBatch>, from: i64, bytes_max: usize) -> Result<Transformed, ErrorCode> {
        let started = Instant::now();
        let result = self.call(move |loaded| output::transform(loaded, &batches, from, bytes_max)).await;
        let result = result.and_then(|transformed| transformed);
        let observer = &self.shared.observer;
        match &result {
            Ok(Transformed { records_in, records_out, error, .. }) => {
                let (records_in, records_out, latency) = (*records_in, *records_out, started.elapsed());
                observer.observe(Event::SmartModuleRun { records_in, records_out, latency });
                if error.is_some() {
                    observer.observe(Event::SmartModuleFailed);
                }
            }
            Err(_) => observer.observe(Event::SmartModuleFailed),
        }
        result
    }

    /// Processes records that are about to be appended. A record that fails refuses them all.
    pub(crate) async fn transform_produced(&self, batches: Vec<EncodedBatch>) -> Result<Vec<EncodedBatch>, ErrorCode> {
        let started = Instant::now();
        let records_in = batches.iter().map(|batch| u64::from(batch.record_count())).sum();
        let result = self.call(move |loaded| output::transform_produced(loaded, &batches)).await;
        let result = result.and_then(|transformed| transformed);
        let event = match &result {
            Ok(batches) => {
                let records_out = batches.iter().map(|batch| u64::from(batch.record_count())).sum();
                Event::SmartModuleRun { records_in, records_out, latency: started.elapsed() }
            }
            Err(_) => Event::SmartModuleFailed,
        };
        self.shared.observer.observe(event);
        result
    }

    async fn call<T: Send + 'static>(&self, work: impl FnOnce(&mut Loaded) -> T + Send + 'static) -> Result<T, ErrorCode> {
        let _running = self.shared.running.acquire().await.map_err(|_| stopping())?;
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |loaded| {
            // A stream that has ended does not wait for its result.
            let _ = done.send(work(loaded));
        });
        self.worker.jobs.send(job).map_err(|_| ErrorCode::Other("SmartModule has failed before".to_owned()))?;
        self.shared.bounded(result).await
    }
}

fn stopping() -> ErrorCode {
    ErrorCode::Other("the broker is stopping".to_owned())
}
