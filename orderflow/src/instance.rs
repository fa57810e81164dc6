//! One running instance: broker, processors, views, HTTP API and metrics, started in this order and stopped in the reverse one. Its roles say which of them there are.
//!
//! The embedded broker is met over TCP like any cluster: there is one code path.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions, WithinProcess};
use fluvio_streams::lifeline::Lifeline;
use fluvio_streams::log::Log;
use fluvio_streams::runtime::{AssignmentOptions, Options as RuntimeOptions, Runtime, TaskStatus};
use fluvio_streams::state::store::{FjallStores, StoreOptions};
use fluvio_streams::system::System;
use fluvio_streams::task::SnapshotPolicy;
use fluvio_streams::telemetry::Phase;
use fluvio_streams::time::SystemClock;
use orderflow_broker::{Broker, DiskProblem, Durability as BrokerDurability, Options as BrokerOptions};
use orderflow_views::api::ReadyCheck;
use orderflow_views::store::{EmbeddedStore, MongoStore, ViewStore};
use orderflow_views::{ApiOptions, ApiState, Sinks, health_router};
use rustix::process::Signal;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Durability, GroupConfig, mongodb_hosts};
use crate::data_dir::{Caches, DataDir};
use crate::limits::{
    FINISH_REQUESTS_TIMEOUT, HEARTBEATS_PER_SESSION, HTTP_CONNECTIONS_MAX, METRICS_CONNECTIONS_MAX, REACH_POLL, REACH_TIMEOUT, RELEASE_TIMEOUT,
    RESOLVE_TRIES_MAX, STOP_BROKER_TIMEOUT, STOP_PROCESSORS_TIMEOUT, STOP_REQUESTS_TIMEOUT, STOP_VIEWS_TIMEOUT,
};
use crate::roles::{Role, Selection, full_names};
use crate::server::{Server, closing, listen};
use crate::systems::Outside;
use crate::telemetry::Telemetry;
use crate::{systems, topics};

/// Where an instance can be reached.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Addresses {
    /// Control plane that clients connect to, of the embedded broker or of the cluster.
    pub(crate) sc: String,
    /// Data plane of the embedded broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spu: Option<SocketAddr>,
    /// HTTP API.
    pub(crate) http: SocketAddr,
    /// Prometheus endpoint.
    pub(crate) metrics: SocketAddr,
}

/// A running instance. Dropping it stops it without waiting.
pub(crate) struct Instance {
    addresses: Addresses,
    http: Server,
    metrics: Server,
    runtimes: Vec<Runtime>,
    sinks: Option<Sinks>,
    /// It is to stop, and says so to who asks whether it is ready; requests are served as before.
    draining: CancellationToken,
    drain: Duration,
    /// Answers requests that wait at once.
    stopping: CancellationToken,
    stopping_sinks: CancellationToken,
    broker: Option<Broker>,
    // Kept to the end: the metrics count until then, and the directory is ours until then.
    telemetry: Telemetry,
    _data: DataDir,
}

impl Instance {
    /// Starts an instance. When this returns, it can be reached; it is ready when its `/health/ready` says so.
    ///
    /// # Errors
    /// Whatever hinders it; the text names the flag and says what to do.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        // A file that reaches the size that this process may give it is a full disk, and no reason to die.
        let _handler_that_stays = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).context("signals cannot be handled")?;
        // Ports and the directory first: what is wrong with them shows at once and nothing has been done yet.
        let http_listener = listen("--http-addr", config.http_addr).await?;
        let metrics_listener = listen("--metrics-addr", config.metrics_addr).await?;
        let systems = config.selection.systems(systems::configured(&config)?)?;
        let running = if config.roles.has(Role::Processors) { config.selection.running(&systems)? } else { Vec::new() };
        let mut data = DataDir::open(&config.storage)?;
        let part = (config.selection != Selection::default()).then(|| full_names(&running));
        let caches = data.caches(config.fluvio.as_deref(), part.as_deref());

        let mut telemetry = Telemetry::new(&running, config.partitions)?;
        if let Some(endpoint) = &config.otlp_endpoint {
            let instance = config.group.instance.clone().unwrap_or_else(|| format!("process-{}", std::process::id()));
            telemetry.export_traces(endpoint, &instance)?;
        }
        let store = open_views(&config, &mut data, &caches).await?;
        let stores = open_stores(&running, &mut data, &caches)?;
        let broker = match config.roles.has(Role::Broker) {
            true => Some(start_broker(&config, &mut data, &mut telemetry).await?),
            false => None,
        };
        let endpoint = config.fluvio.clone().unwrap_or_else(|| broker.as_ref().map(|broker| broker.sc_addr().to_string()).unwrap_or_default());
        let log = connect(&endpoint, broker.as_ref(), &config, &systems, &telemetry).await?;

        let (runtimes, outside) = match stores {
            Some(stores) => {
                let ledger = data.provider_ledger(config.fluvio.as_deref(), part.as_deref());
                let outside = Outside::new(&config, &ledger, &telemetry)?;
                let instance = match &config.group.instance {
                    Some(name) => name.clone(),
                    None => data.instance(&caches)?,
                };
                (start_processors(&running, &log, stores, &outside, &telemetry, &instance, &config.group).await?, outside.router())
            }
            None => (Vec::new(), axum::Router::new()),
        };
        let stopping_sinks = CancellationToken::new();
        let log: Arc<dyn Log> = log;
        let sinks = store
            .as_ref()
            .filter(|_| config.roles.has(Role::Views))
            .map(|store| Sinks::start(log.clone(), &systems, store.clone(), telemetry.of_views(), &stopping_sinks));
        let stopping = CancellationToken::new();
        let draining = CancellationToken::new();
        let checks = ready_checks(broker.as_ref(), &runtimes, sinks.as_ref(), &draining);
        let router = match store.filter(|_| config.roles.has(Role::Api)) {
            Some(store) => api(&log, systems, store, &telemetry, checks, &stopping)?,
            None => health_router(checks, telemetry.of_views(), stopping.clone())?,
        };
        let http = Server::start(http_listener, closing(router, &draining), HTTP_CONNECTIONS_MAX)?;
        let metrics = Server::start(metrics_listener, telemetry.router().merge(outside), METRICS_CONNECTIONS_MAX)?;
        // Who takes no requests has none to finish.
        let drain = if config.roles.has(Role::Api) { config.drain } else { Duration::ZERO };
        let addresses = Addresses { sc: endpoint, spu: broker.as_ref().map(Broker::spu_addr), http: http.address(), metrics: metrics.address() };
        Ok(Self { addresses, http, metrics, runtimes, sinks, draining, drain, stopping, stopping_sinks, broker, telemetry, _data: data })
    }

    /// Returns where it can be reached.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns how many journal records the tasks have read to restore their states, and of how many.
    pub(crate) fn restored(&self) -> (u64, u64) {
        self.telemetry.streams.restored()
    }

    /// Waits until every task of every processor runs.
    ///
    /// # Errors
    /// If the program is not one for the state that it finds: the text names the store and says what to do.
    pub(crate) async fn wait_running(&self) -> anyhow::Result<()> {
        for runtime in &self.runtimes {
            runtime.wait_running().await?;
        }
        Ok(())
    }

    /// Says from now on that it is not ready, and serves on for as long as it was told to: until everybody who sends requests has gone elsewhere. Then it
    /// takes no more, and those under way get the answers that they would have got.
    pub(crate) async fn drain(&mut self) {
        self.draining.cancel();
        if self.drain > Duration::ZERO {
            tokio::time::sleep(self.drain).await;
            self.http.finish(FINISH_REQUESTS_TIMEOUT).await;
        }
    }

    /// Stops everything within 2 s. What is not finished by then is finished at the next start: nothing is lost.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.http.stop(STOP_REQUESTS_TIMEOUT).await;
        let stop_all = futures_util::future::join_all(self.runtimes.into_iter().map(Runtime::stop));
        within("processors", STOP_PROCESSORS_TIMEOUT, stop_all).await;
        self.stopping_sinks.cancel();
        if let Some(sinks) = self.sinks {
            within("views", STOP_VIEWS_TIMEOUT, sinks.stopped()).await;
        }
        self.metrics.stop(Duration::ZERO).await;
        let stop_broker = async {
            if let Some(broker) = self.broker {
                broker.stop().await;
            }
        };
        tokio::join!(within("broker", STOP_BROKER_TIMEOUT, stop_broker), within("traces", STOP_BROKER_TIMEOUT, self.telemetry.close_traces()));
    }
}

async fn within<T>(what: &str, limit: Duration, stopped: impl Future<Output = T>) {
    if tokio::time::timeout(limit, stopped).await.is_err() {
        tracing::warn!(what, limit_ms = limit.as_millis() as u64, "did not stop in time and is cut off");
    }
}

async fn start_broker(config: &Config, data: &mut DataDir, telemetry: &mut Telemetry) -> anyhow::Result<Broker> {
    data.claim(&data.broker())?;
    let options = BrokerOptions {
        data_dir: orderflow_broker::DataDir::Path(data.broker()),
        sc_addr: config.sc_addr,
        spu_addr: config.spu_addr,
        advertised_spu: config.advertised_spu_addr.clone(),
        durability: match config.durability {
            Durability::Fsync => BrokerDurability::Fsync,
            Durability::Os => BrokerDurability::Os,
        },
        observer: telemetry.broker.clone(),
        pure_smartmodules: topics::SMARTMODULES.map(|(name, _)| name.to_owned()).to_vec(),
        ..BrokerOptions::default()
    };
    let started = Broker::start(options).await.inspect(|broker| telemetry.watch_disk(data.broker(), broker.watch_disk()));
    started.map_err(|error| {
        use orderflow_broker::{Error, Plane};
        let flag = |plane: &Plane| match plane {
            Plane::Control => "--sc-addr",
            Plane::Data => "--spu-addr",
        };
        let text = match &error {
            Error::AddressInUse { plane, address } => {
                format!("{}: {address} is in use by another process; stop that one, or give another address (port 0 takes a free one)", flag(plane))
            }
            Error::Listen { plane, address, .. } => {
                format!("{}: cannot listen on {address}; give an address of this machine and a port that this user may open", flag(plane))
            }
            Error::DataDirLocked { .. } | Error::DataDirFormat { .. } | Error::File { .. } | Error::Metadata { .. } | Error::Log { .. } => {
                "--data-dir: the embedded broker cannot use it".to_owned()
            }
            _ => "the embedded broker cannot start".to_owned(),
        };
        anyhow!(error).context(text)
    })
}

/// Connects to the log and sees to it that the topics of the systems and the SmartModules are there, whatever this process runs of them.
async fn connect(endpoint: &str, broker: Option<&Broker>, config: &Config, systems: &[System], telemetry: &Telemetry) -> anyhow::Result<Arc<FluvioLog>> {
    if config.fluvio.is_some() {
        resolve("--fluvio", &[endpoint.to_owned()], "give the address of the cluster's SC").await?;
    }
    let unreachable = || match &config.fluvio {
        Some(endpoint) => {
            format!("--fluvio: no Fluvio cluster answers at {endpoint}; give the address of its SC, and see that it runs (`fluvio -c {endpoint} topic list`)")
        }
        None => "the embedded broker does not answer".to_owned(),
    };
    let within_process = broker.map(|broker| -> WithinProcess {
        let broker = broker.within_process();
        Arc::new(move |endpoint| broker.connect(endpoint))
    });
    let options = FluvioLogOptions { observer: telemetry.log.clone(), within_process, ..FluvioLogOptions::new(endpoint) };
    let log = reach(|| FluvioLog::connect(options.clone())).await.with_context(unreachable)?;
    let admin = reach(|| topics::connect(endpoint)).await.with_context(unreachable)?;
    topics::apply(&admin, &log, &topics::of(systems, config.partitions)?).await?;
    Ok(log)
}

/// Opens the views, if this process keeps or serves them.
async fn open_views(config: &Config, data: &mut DataDir, caches: &Caches) -> anyhow::Result<Option<Arc<dyn ViewStore>>> {
    if !config.roles.has(Role::Views) && !config.roles.has(Role::Api) {
        return Ok(None);
    }
    let Some(uri) = &config.mongodb else {
        data.claim(&caches.views)?;
        let store = EmbeddedStore::open(&caches.views).context("--data-dir: the embedded views cannot be opened")?;
        return Ok(Some(Arc::new(store)));
    };
    let store = MongoStore::connect(uri, None).await.context("--mongodb: this is not a connection string (`mongodb://HOST:PORT/DATABASE`)")?;
    resolve("--mongodb", &mongodb_hosts(uri), "give the URI of a server that runs, or leave the flag out for embedded views").await?;
    let ready = reach(|| store.ready()).await;
    ready.context("--mongodb: no MongoDB answers there; give the URI of a server that runs, or leave the flag out for embedded views")?;
    Ok(Some(Arc::new(store)))
}

/// Opens the local stores, if this process runs processors.
fn open_stores(running: &[System], data: &mut DataDir, caches: &Caches) -> anyhow::Result<Option<FjallStores>> {
    if running.is_empty() {
        return Ok(None);
    }
    data.claim(&caches.state)?;
    FjallStores::open(&caches.state, StoreOptions::default()).context("--data-dir: the stores of the processors cannot be opened").map(Some)
}

async fn start_processors(
    running: &[System],
    log: &Arc<FluvioLog>,
    stores: FjallStores,
    outside: &Outside,
    telemetry: &Telemetry,
    instance: &str,
    group: &GroupConfig,
) -> anyhow::Result<Vec<Runtime>> {
    let options = RuntimeOptions {
        log: log.clone(),
        stores: Arc::new(stores),
        clock: Arc::new(SystemClock),
        snapshots: SnapshotPolicy::default(),
        assignment: None,
        calls: outside.handlers(),
        observer: telemetry.of_streams(),
        instance: instance.to_owned(),
    };
    let address = group.lifeline_addr;
    let lifeline = Lifeline::listen(address)
        .await
        .with_context(|| format!("--lifeline-addr: cannot listen on {address}; give an address of this machine and a port that is free (port 0 takes one)"));
    let lifeline = Arc::new(lifeline?);
    let mut runtimes = Vec::new();
    for system in running {
        let assignment = AssignmentOptions {
            topic: topics::assignment(system),
            standbys: group.standbys,
            heartbeat: group.session / HEARTBEATS_PER_SESSION,
            session: group.session,
            release: RELEASE_TIMEOUT,
            lifeline: Some(Arc::clone(&lifeline)),
        };
        let started = Runtime::start(&system.topology, RuntimeOptions { assignment: Some(assignment), ..options.clone() }).await;
        runtimes.push(started.with_context(|| format!("the processors of {} cannot start", system.name))?);
    }
    Ok(runtimes)
}

/// Returns what must work before this process is ready: what it runs, and nothing of what others run.
fn ready_checks(broker: Option<&Broker>, runtimes: &[Runtime], sinks: Option<&Sinks>, draining: &CancellationToken) -> Vec<Arc<dyn ReadyCheck>> {
    let mut checks: Vec<Arc<dyn ReadyCheck>> = vec![Arc::new(Stays { draining: draining.clone() })];
    if let Some(broker) = broker {
        // First, because it explains whatever else does not work then.
        checks.push(Arc::new(DiskTakesRecords { problem: broker.watch_disk() }));
        checks.push(Arc::new(StreamsFlow { starting: broker.watch_starting_smartmodules() }));
    }
    if !runtimes.is_empty() {
        checks.push(Arc::new(ProcessorsRun { statuses: runtimes.iter().map(Runtime::watch_statuses).collect() }));
    }
    checks.extend(sinks.map(Sinks::ready_check));
    checks
}

/// Tries for a bounded time to reach something.
async fn reach<T, E, F: Future<Output = Result<T, E>>>(attempt: impl Fn() -> F) -> anyhow::Result<T>
where
    E: Into<anyhow::Error>,
{
    let deadline = Instant::now() + REACH_TIMEOUT;
    loop {
        let error: anyhow::Error = match tokio::time::timeout_at(deadline, attempt()).await {
            Ok(Ok(reached)) => return Ok(reached),
            Ok(Err(error)) => error.into(),
            Err(_) => anyhow!("no answer within {} s", REACH_TIMEOUT.as_secs()),
        };
        if Instant::now() + REACH_POLL >= deadline {
            return Err(error);
        }
        tokio::time::sleep(REACH_POLL).await;
    }
}

/// Sees to it that at least one of these addresses has a name that can be resolved: otherwise it would be looked for as long as one that does not answer.
async fn resolve(flag: &str, endpoints: &[String], advice: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + REACH_TIMEOUT;
    let shown = endpoints.join(", ");
    for tries in 1.. {
        let mut failed = None;
        for endpoint in endpoints {
            // Who cannot be asked for names yet is waited for as a server is.
            let no_answer = || anyhow!("{flag}: whether there is a name as in `{shown}` was not answered within {} s", REACH_TIMEOUT.as_secs());
            match tokio::time::timeout_at(deadline, tokio::net::lookup_host(endpoint)).await.map_err(|_| no_answer())? {
                Ok(_) => return Ok(()),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if tries >= RESOLVE_TRIES_MAX => {
                return Err(error).with_context(|| format!("{flag}: the name in `{shown}` cannot be resolved; {advice}"));
            }
            Some(_) => tokio::time::sleep(REACH_POLL).await,
            None => break,
        }
    }
    Ok(())
}

fn api(
    log: &Arc<dyn Log>,
    systems: Vec<System>,
    store: Arc<dyn ViewStore>,
    telemetry: &Telemetry,
    checks: Vec<Arc<dyn ReadyCheck>>,
    stopping: &CancellationToken,
) -> anyhow::Result<axum::Router> {
    let state = ApiState::new(log.clone(), systems, store, telemetry.of_views(), ApiOptions::default(), checks, stopping.clone());
    orderflow_views::router(&state).context("the routes of the HTTP API contradict each other")
}

/// Ready until it is told to stop.
struct Stays {
    draining: CancellationToken,
}

#[async_trait]
impl ReadyCheck for Stays {
    fn name(&self) -> &str {
        "process"
    }

    async fn check(&self) -> Result<(), String> {
        if self.draining.is_cancelled() { Err("it was told to stop, and takes no new clients".to_owned()) } else { Ok(()) }
    }
}

/// Ready once every task runs.
struct ProcessorsRun {
    statuses: Vec<watch::Receiver<BTreeMap<String, TaskStatus>>>,
}

#[async_trait]
impl ReadyCheck for ProcessorsRun {
    fn name(&self) -> &str {
        "processors"
    }

    async fn check(&self) -> Result<(), String> {
        let waiting: Vec<String> = self.statuses.iter().flat_map(|statuses| idle(&statuses.borrow())).collect();
        if waiting.is_empty() { Ok(()) } else { Err(waiting.join("; ")) }
    }
}

/// Ready once the embedded broker has compiled the SmartModules of every stream that was opened.
struct StreamsFlow {
    starting: watch::Receiver<usize>,
}

#[async_trait]
impl ReadyCheck for StreamsFlow {
    fn name(&self) -> &str {
        "broker"
    }

    async fn check(&self) -> Result<(), String> {
        match *self.starting.borrow() {
            0 => Ok(()),
            starting => Err(format!("{starting} streams wait for their SmartModules to be compiled")),
        }
    }
}

/// Ready while the embedded broker can write what it is sent.
struct DiskTakesRecords {
    problem: watch::Receiver<Option<DiskProblem>>,
}

#[async_trait]
impl ReadyCheck for DiskTakesRecords {
    fn name(&self) -> &str {
        "disk"
    }

    async fn check(&self) -> Result<(), String> {
        self.problem.borrow().as_ref().map_or(Ok(()), |problem| Err(format!("--data-dir: {problem}")))
    }
}

fn idle(statuses: &BTreeMap<String, TaskStatus>) -> Vec<String> {
    let waiting = statuses.iter().filter(|(_, status)| !matches!(status.phase, Phase::Running | Phase::Standby));
    waiting
        .map(|(task, status)| {
            let phase = match status.phase {
                Phase::Restoring => "restoring",
                Phase::Running => "running",
                Phase::Standby => "followed",
                Phase::Waiting => "waiting",
                Phase::Stopped => "stopped",
            };
            status.problem.as_ref().map_or_else(|| format!("{task} is {phase}"), |problem| format!("{task} is {phase}: {problem}"))
        })
        .collect()
}
