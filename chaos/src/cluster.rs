//! The processes of one system, its roles split among them: a broker, who decides on orders, who calls the provider, who follows, who serves, and one that shares the tasks of all of these, so
//! that they move whenever somebody is killed.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use tokio::sync::watch;

use crate::error::{Doing as _, Error};
use crate::ledger::SYSTEM;
use crate::process::Process;
use crate::random::Random;
use crate::{Options, Pace, Scene};

/// Which process is which.
pub(crate) const BROKER: usize = 0;
/// The process that serves.
pub(crate) const API: usize = 4;

/// Names of the processes, and what each is told to do.
const ROLES: [(&str, &[&str]); 6] = [
    ("broker", &["--roles=broker"]),
    ("orders", &["--roles=processors", "--only=orders"]),
    ("payments", &["--roles=processors", "--only=payments"]),
    ("followers", &["--roles=processors", "--without=orders,payments"]),
    ("api", &["--roles=views,api"]),
    ("helper", &["--roles=processors", "--standbys=1"]),
];

/// Processes that may be stopped while another one takes over, and what the other one is called.
pub(crate) const OWNERS: [(usize, &str); 3] = [(1, "orders-spare"), (2, "payments-spare"), (3, "followers-spare")];

/// Returns the name of a process.
pub(crate) fn name(index: usize) -> &'static str {
    ROLES[index].0
}

/// Ports that no outgoing connection takes.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// The running processes.
pub(crate) struct Cluster {
    pub(crate) processes: Vec<Process>,
    pub(crate) sc: String,
    settings: Settings,
    /// Where the API is; it changes when it is started again.
    api: watch::Sender<String>,
}

/// What all processes are told.
pub(crate) struct Settings {
    program: std::path::PathBuf,
    other_program: Option<std::path::PathBuf>,
    seed: u64,
    directory: std::path::PathBuf,
    common: Vec<String>,
}

impl Cluster {
    /// Starts all processes and waits until they are ready.
    pub(crate) async fn start(options: &Options, provider: &str) -> Result<Self, Error> {
        let (sc, spu) = broker_addresses(Ipv4Addr::LOCALHOST)?;
        let settings = Settings::new(&options.scene(), provider)?;
        let mut processes = Vec::new();
        for (index, (name, flags)) in ROLES.into_iter().enumerate() {
            let place = if index == BROKER { vec![format!("--sc-addr={sc}"), format!("--spu-addr={spu}")] } else { vec![format!("--fluvio={sc}")] };
            processes.push(settings.process(name, flags, place)?);
        }
        let mut cluster = Self { processes, sc, settings, api: watch::Sender::new(String::new()) };
        for index in 0..cluster.processes.len() {
            cluster.restart(index).await?;
        }
        match cluster.ready().await?.as_slice() {
            [] => Ok(cluster),
            [unready, ..] => Err(Error::new(unready)),
        }
    }

    /// Starts a process that was killed.
    pub(crate) async fn restart(&mut self, index: usize) -> Result<(), Error> {
        let process = &mut self.processes[index];
        process.start().await?;
        if index == API {
            self.api.send_replace(process.address("http")?);
        }
        Ok(())
    }

    /// Waits until all are ready; returns what is missing of those that do not become so.
    pub(crate) async fn ready(&mut self) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for process in &mut self.processes {
            missing.extend(process.ready().await?);
        }
        Ok(missing)
    }

    /// Describes another process that does what one of these does, with a directory of its own.
    pub(crate) fn spare(&self, index: usize, name: &'static str) -> Result<Process, Error> {
        self.settings.process(name, ROLES[index].1, vec![format!("--fluvio={}", self.sc)])
    }

    /// Returns where the API is, now and from now on.
    pub(crate) fn api(&self) -> watch::Receiver<String> {
        self.api.subscribe()
    }
}

impl Settings {
    /// Writes down what all processes of a run have in common.
    pub(crate) fn new(scene: &Scene, provider: &str) -> Result<Self, Error> {
        let Scene { program, other_program, seed, directory, partitions, mongodb, pace, .. } = scene;
        let config = directory.join("chaos.toml");
        fs::write(&config, settings(pace)).doing(|| format!("cannot write `{}`", config.display()))?;
        let mut common = vec![
            format!("--systems={SYSTEM}"),
            format!("--partitions={partitions}"),
            format!("--config={}", config.display()),
            "--http-addr=127.0.0.1:0".to_owned(),
            "--metrics-addr=127.0.0.1:0".to_owned(),
            format!("--payment-provider-url={provider}"),
            format!("--payment-try-timeout-ms={}", pace.try_timeout_ms),
            format!("--payment-call-timeout-ms={}", pace.call_timeout_ms),
            format!("--payment-settle-ms={}", pace.settle_ms),
        ];
        common.extend(mongodb.iter().map(|uri| format!("--mongodb={uri}")));
        Ok(Self { program: program.clone(), other_program: other_program.clone(), seed: *seed, directory: directory.clone(), common })
    }

    /// Describes a process with a directory of its own; `place`: where the broker is.
    pub(crate) fn process(&self, name: &'static str, flags: &[&str], place: Vec<String>) -> Result<Process, Error> {
        let process = self.process_of(&self.program, name, flags, place)?;
        Ok(process.or_by(self.other_program.as_deref(), self.seed))
    }

    /// Describes one of another program.
    pub(crate) fn process_of(&self, program: &Path, name: &'static str, flags: &[&str], place: Vec<String>) -> Result<Process, Error> {
        let flag = |argument: &String| argument.split('=').next().map(str::to_owned);
        // What is said of a place holds there.
        let common: Vec<String> = self.common.iter().filter(|common| !place.iter().any(|said| flag(said) == flag(common))).cloned().collect();
        let arguments = flags.iter().map(ToString::to_string).chain(place).chain(common).collect();
        Process::new(name, program, Path::new(&self.directory), arguments)
    }
}

/// Returns the addresses that the broker of a run has whenever it is started again: control plane and data plane. They do not follow from the seed: runs of the same seed at the same time would
/// find the same ports free.
pub(crate) fn broker_addresses(host: Ipv4Addr) -> Result<(String, String), Error> {
    let mut random = Random::of(RandomState::new().build_hasher().finish(), 0);
    Ok((free_address(host, &mut random)?, free_address(host, &mut random)?))
}

fn free_address(host: Ipv4Addr, random: &mut Random) -> Result<String, Error> {
    for _ in 0..100 {
        let port = PORTS.start + random.below(u64::from(PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind((host, port)).is_ok() {
            return Ok(format!("{host}:{port}"));
        }
    }
    Err(Error::new("there is no free port"))
}

/// Orders that wait are given up sooner than by default, so that a run sees it, and breakers look again soon.
fn settings(pace: &Pace) -> String {
    format!(
        "[business.{SYSTEM}]\ngiveUpMs = {}\nunavailableGiveUpMs = {}\nretriesPerSecond = 100\n\n[business.{SYSTEM}.breaker]\nminimumNumberOfCalls = 50\nwaitDurationInOpenMs = 2000\n",
        pace.give_up_ms, pace.unavailable_give_up_ms
    )
}
