//! Starting and stopping.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use fluvio_controlplane_metadata::spu::IngressPort;
use tokio::{
    io::DuplexStream,
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    DataDir, DiskProblem, Error, Event, Observer, Options, Plane,
    catalogue::{Catalogue, DiskOptions},
    control::{Control, ControlService},
    data::{Data, DataService, Refusals},
    disk_watch::DiskWatch,
    limits::STOP_TIMEOUT,
    log::{SyncRound, Syncer},
    offset_store::OffsetStore,
    smartmodule::SmartModules,
    wire::{Callers, Listener, Server},
};

/// Connects clients of this process to the data plane without the network. Does not keep the broker alive.
#[derive(Clone, Debug)]
pub struct WithinProcess {
    endpoint: String,
    callers: Callers,
}

impl WithinProcess {
    /// Connects, if this is the address at which clients are told to find the data plane. The protocol is the same.
    pub fn connect(&self, endpoint: &str) -> Option<DuplexStream> {
        if endpoint == self.endpoint { self.callers.connect() } else { None }
    }
}

/// A running broker. Dropping it stops it without waiting; [`Broker::stop`] waits.
pub struct Broker {
    sc_addr: SocketAddr,
    spu_addr: SocketAddr,
    within_process: WithinProcess,
    stopping: CancellationToken,
    tasks: TaskTracker,
    starting_smartmodules: watch::Receiver<usize>,
    disk_problem: watch::Receiver<Option<DiskProblem>>,
    /// Cancelled when the data directory has been let go.
    released: CancellationToken,
}

impl Broker {
    /// Starts a broker on the current Tokio runtime. Both addresses are bound before anything else is done; when
    /// this returns, clients are served.
    ///
    /// # Errors
    /// When an address is in use, or the data directory cannot be used, is in use, damaged or of another version.
    ///
    /// # Panics
    /// When called outside of a Tokio runtime.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let control_listener = Listener::bind(Plane::Control, options.sc_addr)?;
        let data_listener = Listener::bind(Plane::Data, options.spu_addr)?;
        let (sc_addr, spu_addr) = (control_listener.address(), data_listener.address());
        let spu_endpoint = endpoint(options.advertised_spu.as_deref(), spu_addr)?;
        let within_process = WithinProcess { endpoint: spu_endpoint.addr(), callers: data_listener.callers() };

        let released = CancellationToken::new();
        let observer = Arc::clone(&options.observer);
        let limits = Arc::new(options.limits.clone());
        let pure = options.pure_smartmodules.clone();
        let (opening, guard) = (Arc::clone(&limits), released.clone().drop_guard());
        let opened = spawn_blocking(move || open(&options, opening, guard)).await;
        let Opened { catalogue, offsets, disk } = opened.unwrap_or(Err(Error::Stopping))?;

        let smartmodules = Arc::new(SmartModules::new(Arc::clone(&catalogue), Arc::clone(&limits), Arc::clone(&observer), pure));
        let starting_smartmodules = smartmodules.watch_starting();
        let control = Arc::new(Control { catalogue: Arc::clone(&catalogue), limits: Arc::clone(&limits), spu_endpoint });
        let data = Data {
            catalogue: Arc::clone(&catalogue),
            offsets,
            smartmodules,
            disk: Arc::clone(&disk),
            refusals: Refusals::default(),
            limits: Arc::clone(&limits),
            observer: Arc::clone(&observer),
        };
        let data = Arc::new(data);
        let disk_problem = disk.watch();

        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = |plane| Server { plane, limits: Arc::clone(&limits), observer: Arc::clone(&observer), stopping: stopping.clone(), tasks: tasks.clone() };
        let serve_control = move |connection| ControlService::new(Arc::clone(&control), connection);
        tasks.spawn(server(Plane::Control).accept(control_listener, serve_control));
        let serve_data = move |connection| DataService::new(Arc::clone(&data), connection);
        tasks.spawn(server(Plane::Data).accept(data_listener, serve_data));
        let enforcing = enforce_retention(catalogue, observer, limits.retention_interval);
        let looking = look_at_disk(disk, limits.disk_check_interval);
        let [until, until_too] = [stopping.clone(), stopping.clone()];
        tasks.spawn(async move { until.run_until_cancelled(enforcing).await });
        tasks.spawn(async move { until_too.run_until_cancelled(looking).await });
        tracing::info!(%sc_addr, %spu_addr, "broker started");
        Ok(Self { sc_addr, spu_addr, within_process, stopping, tasks, starting_smartmodules, disk_problem, released })
    }

    /// Returns the address of the control plane, the one that clients are configured with.
    pub fn sc_addr(&self) -> SocketAddr {
        self.sc_addr
    }

    /// Returns the address of the data plane.
    pub fn spu_addr(&self) -> SocketAddr {
        self.spu_addr
    }

    /// Returns how clients of this process connect to the data plane without the network.
    pub fn within_process(&self) -> WithinProcess {
        self.within_process.clone()
    }

    /// Tells how many streams wait for their SmartModules to be compiled. Until it is 0, some of those that have been
    /// opened do not deliver yet; the protocol has no way to say so to a client.
    pub fn watch_starting_smartmodules(&self) -> watch::Receiver<usize> {
        self.starting_smartmodules.clone()
    }

    /// Tells why records are refused at the moment; nothing while the disk takes them.
    pub fn watch_disk(&self) -> watch::Receiver<Option<DiskProblem>> {
        self.disk_problem.clone()
    }

    /// Stops the broker: closes all connections, makes everything durable and lets go of the data directory, so
    /// that another broker may use it. Returns within about half a second even if something hangs.
    pub async fn stop(self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        self.stopping.cancel();
        self.tasks.close();
        if timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        if timeout_at(deadline.into(), self.released.cancelled()).await.is_err() {
            tracing::warn!("the data directory is still in use");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Broker").field("sc_addr", &self.sc_addr).field("spu_addr", &self.spu_addr).finish_non_exhaustive()
    }
}

/// What is kept in the data directory.
struct Opened {
    catalogue: Arc<Catalogue>,
    offsets: OffsetStore,
    disk: Arc<DiskWatch>,
}

fn open(options: &Options, limits: Arc<crate::Limits>, released: tokio_util::sync::DropGuard) -> Result<Opened, Error> {
    let (dir, ephemeral) = match &options.data_dir {
        DataDir::Path(dir) => (dir.clone(), None),
        DataDir::Ephemeral => {
            let ephemeral = tempfile::Builder::new().prefix("orderflow-broker-").tempdir();
            let ephemeral = ephemeral.map_err(Error::file("create a directory in", std::env::temp_dir()))?;
            (ephemeral.path().to_owned(), Some(ephemeral))
        }
    };
    let observer = Arc::clone(&options.observer);
    let observe = move |round: SyncRound| {
        observer.observe(Event::Synced { partitions: round.logs as u64, latency: round.elapsed });
    };
    let syncer = Syncer::start_observed(options.durability, observe);
    let offsets_path = dir.join("consumer-offsets");
    let (consumer_offsets_max, disk_free_bytes_min) = (limits.consumer_offsets_max, limits.disk_free_bytes_min);
    let disk = DiskOptions { dir: dir.clone(), durability: options.durability, syncer, ephemeral, released };
    let catalogue = Catalogue::open(disk, limits)?;
    let offsets = OffsetStore::open(offsets_path, options.durability, consumer_offsets_max)?;
    let disk = Arc::new(DiskWatch::new(dir, disk_free_bytes_min));
    Ok(Opened { catalogue: Arc::new(catalogue), offsets, disk })
}

/// Where clients are told to find the data plane.
fn endpoint(advertised: Option<&str>, bound: SocketAddr) -> Result<IngressPort, Error> {
    let Some(advertised) = advertised else {
        let host = match bound.ip() {
            // "Any address" is not one that a client can connect to.
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        return Ok(IngressPort::from_port_host(bound.port(), host));
    };
    let invalid = || Error::AdvertisedAddress { address: advertised.to_owned() };
    let (host, port) = match advertised.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().map_err(|_| invalid())?),
        _ => (advertised, bound.port()),
    };
    if host.is_empty() || host.contains(|letter: char| letter.is_whitespace() || letter == '/') {
        return Err(invalid());
    }
    Ok(IngressPort::from_port_host(port, host.to_owned()))
}

/// Looks at the disk, round after round.
async fn look_at_disk(disk: Arc<DiskWatch>, every: std::time::Duration) {
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let disk = Arc::clone(&disk);
        if let Err(error) = spawn_blocking(move || disk.look()).await {
            tracing::error!(%error, "a look at the disk failed");
        }
    }
}

/// Removes what is too old or too much, round after round.
async fn enforce_retention(catalogue: Arc<Catalogue>, observer: Arc<dyn Observer>, every: std::time::Duration) {
    let mut rounds = interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let (catalogue, observer) = (Arc::clone(&catalogue), Arc::clone(&observer));
        let round = spawn_blocking(move || {
            for partition in catalogue.topics().iter().flat_map(|topic| &topic.partitions) {
                let (topic, index, log) = (&partition.topic, partition.index, &partition.log);
                if let Err(error) = log.enforce_retention(SystemTime::now()) {
                    tracing::warn!(topic, partition = index, %error, "cannot enforce retention");
                }
                observer.observe(Event::LogSize { topic, partition: index, bytes: log.size_bytes() });
            }
        });
        if let Err(error) = round.await {
            tracing::error!(%error, "a round of retention failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(advertised: Option<&str>, bound: &str, expected: Option<&str>) {
        let found = endpoint(advertised, bound.parse().unwrap()).ok().map(|endpoint| endpoint.addr());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn clients_are_told_an_address_that_they_can_connect_to() {
        let any = format!("{}:9010", Ipv4Addr::UNSPECIFIED);
        check(None, "127.0.0.1:9010", Some("127.0.0.1:9010"));
        check(None, &any, Some("127.0.0.1:9010"));
        check(None, "[::1]:9010", Some("[::1]:9010"));
        check(Some("broker.example"), &any, Some("broker.example:9010"));
        check(Some("broker.example:30010"), &any, Some("broker.example:30010"));
        check(Some("[::1]:30010"), &any, Some("[::1]:30010"));
        check(Some("broker.example:port"), &any, None);
        check(Some(""), &any, None);
        check(Some(":9010"), &any, None);
        check(Some("http://broker.example"), &any, None);
    }
}
