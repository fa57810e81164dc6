//! A new version takes the place of the old one, process by process, or replicas are killed again and again, while requests come in at a fixed rate: how many of them fail, and how long the
//! longest of them waited.
//!
//! All roles have several replicas, the views are in MongoDB, and what takes requests is behind a `front` that does what a Kubernetes Service does. The broker stands in for a cluster, which
//! is not what is released.

mod front;
mod report;
mod requests;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::front::Front;
pub use self::report::Report;
pub use self::requests::Answers;
use self::requests::Requests;
use crate::cluster::{Settings, broker_addresses};
use crate::customers::{Counter, Customer, Progress, SentLog, client};
use crate::error::{Doing as _, Error};
use crate::ledger::Ledger;
use crate::limits::{POLL, SHARE_LIMIT};
use crate::process::Process;
use crate::provider::{Provider, Temper};
use crate::random::Random;
use crate::run::{Around, panics};
use crate::{Scene, reader};

/// What happens to the replicas.
#[derive(Debug, Clone)]
pub enum Disturbance {
    /// Each is replaced by one of another program, one after the other: first the new one is started, then the old one is told to go.
    Replaced(PathBuf),
    /// Every so often a random one is killed, so many in all, and started again where it was.
    Killed(Duration, usize),
}

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where and with what. It has a MongoDB.
    pub scene: Scene,
    /// Orders per second over HTTP; a quarter as many more are written into the topic.
    pub rate: u32,
    /// Replicas that take requests, keep the views, and decide.
    pub replicas: [usize; 3],
    /// How long replicas that take requests serve on after they were told to go.
    pub drain: Duration,
    /// What happens to them.
    pub disturbance: Disturbance,
}

/// Names of replicas by role: each name is used for one process and those that take its place on its disk.
const NAMES: [[&str; 8]; 3] = [
    ["api-0", "api-1", "api-2", "api-3", "api-4", "api-5", "api-6", "api-7"],
    ["views-0", "views-1", "views-2", "views-3", "views-4", "views-5", "views-6", "views-7"],
    ["processors-0", "processors-1", "processors-2", "processors-3", "processors-4", "processors-5", "processors-6", "processors-7"],
];
const API: usize = 0;
const FLAGS: [&str; 3] = ["--roles=api", "--roles=views", "--roles=processors"];
/// So long everything runs before the first replica is disturbed, and after the last one.
const CALM: Duration = Duration::from_secs(2);
/// Every so often an order is written into the topic, in units of those over HTTP.
const WRITTEN_EVERY: u32 = 4;

/// Makes a run and returns what it found.
///
/// # Errors
/// [`Error`] if it cannot be made, or not to its end.
pub async fn run(options: &Options) -> Result<Report, Error> {
    let scene = &options.scene;
    fs::create_dir_all(&scene.directory).doing(|| format!("cannot create `{}`", scene.directory.display()))?;
    let provider = Provider::start(scene.seed, Temper::Calm, &scene.directory.join("provider.ndjson")).await?;
    let mut replicas = Replicas::start(options, provider.url()).await?;
    let sent = Arc::new(SentLog::new(&scene.directory.join("sent.ndjson"))?);
    let tries = if matches!(options.disturbance, Disturbance::Replaced(_)) { 1 } else { TRIES };
    let requests = Requests { address: replicas.front.address.clone(), rate: options.rate, tries, sent: Arc::clone(&sent), name: "h" };
    let address = watch::Sender::new(replicas.front.address.clone());
    let counter =
        Counter { seed: scene.seed, sc: replicas.sc.clone(), api: address.subscribe(), progress: Arc::new(Progress::new(usize::MAX)), sent: Arc::clone(&sent) };
    let (end, ended) = watch::channel(false);
    let disturbing = async {
        sleep(CALM).await;
        let disturbed = replicas.disturb(&options.disturbance).await;
        sleep(CALM).await;
        end.send_replace(true);
        disturbed
    };
    let (answers, written, ()) = tokio::try_join!(requests.pour(ended.clone()), write(&counter, (options.rate / WRITTEN_EVERY).max(1), ended), disturbing)?;
    let mut unready = std::mem::take(&mut replicas.unready);
    for replica in &mut replicas.running {
        unready.extend(replica.process.ready().await?);
    }
    let mut ledger = Ledger::default();
    let (sc, front) = (&replicas.sc, &replicas.front.address);
    let around = Around { sc, partitions: scene.partitions, patience: scene.pace.patience, api: front, provider: &provider, sent: &sent };
    let verdicts = around.settle(&mut ledger).await?;
    let panics = panics(replicas.running.iter().map(|replica| &replica.process).chain([&replicas.broker]));
    Ok(Report { disturbed: replicas.disturbed, answers, written, slowest_stop: replicas.slowest_stop, verdicts, panics, unready })
}

/// Tries of one request while replicas are killed: at most one replica is down at a time, and the next try goes to another one.
const TRIES: u32 = 4;

/// Tells the stories of orders whose commands are written into the topic, at a fixed rate. Returns how many.
async fn write(counter: &Counter, rate: u32, mut ended: watch::Receiver<bool>) -> Result<usize, Error> {
    let customer = Arc::new(Customer::new(counter, &client()?, true));
    let (began, mut stories) = (Instant::now(), tokio::task::JoinSet::new());
    for number in 0.. {
        tokio::select! {
            () = sleep_until(began + Duration::from_secs(1) * number / rate) => {}
            _ = ended.wait_for(|ended| *ended) => break,
        }
        let customer = Arc::clone(&customer);
        stories.spawn(async move { customer.tell(number as usize).await });
    }
    let told = stories.join_all().await;
    let count = told.len();
    told.into_iter().collect::<Result<(), Error>>().map(|()| count)
}

/// A running replica.
struct Replica {
    role: usize,
    process: Process,
}

struct Replicas<'a> {
    options: &'a Options,
    settings: Settings,
    sc: String,
    broker: Process,
    front: Front,
    running: Vec<Replica>,
    /// How many names of each role are taken.
    named: [usize; 3],
    disturbed: usize,
    slowest_stop: Duration,
    unready: Vec<String>,
}

impl<'a> Replicas<'a> {
    async fn start(options: &'a Options, provider: &str) -> Result<Self, Error> {
        let (sc, spu) = broker_addresses(Ipv4Addr::LOCALHOST)?;
        let settings = Settings::new(&options.scene, provider)?;
        let mut broker = settings.process("broker", &["--roles=broker"], vec![format!("--sc-addr={sc}"), format!("--spu-addr={spu}")])?;
        broker.start().await?;
        let front = Front::start().await?;
        let mut replicas =
            Self { options, settings, sc, broker, front, running: Vec::new(), named: [0; 3], disturbed: 0, slowest_stop: Duration::ZERO, unready: Vec::new() };
        for (role, count) in options.replicas.into_iter().enumerate() {
            for _ in 0..count {
                let replica = replicas.one(role, &options.scene.program).await?;
                replicas.running.push(replica);
            }
        }
        for replica in &mut replicas.running {
            if let Some(missing) = replica.process.ready().await? {
                return Err(Error::new(missing));
            }
        }
        replicas.behind(options.replicas[API]).await?;
        replicas.shared().await?;
        Ok(replicas)
    }

    /// Starts another replica.
    async fn one(&mut self, role: usize, program: &Path) -> Result<Replica, Error> {
        let name = *NAMES[role].get(self.named[role]).ok_or_else(|| Error::new(format!("there are at most {} replicas", NAMES[role].len())))?;
        self.named[role] += 1;
        let drain = format!("--drain-ms={}", self.options.drain.as_millis());
        let place = vec![format!("--fluvio={}", self.sc), format!("--instance={name}"), "--standbys=1".to_owned(), drain];
        let mut process = self.settings.process_of(program, name, &[FLAGS[role]], place)?;
        process.start().await?;
        self.told(role, &process)?;
        Ok(Replica { role, process })
    }

    fn told(&self, role: usize, process: &Process) -> Result<(), Error> {
        if role == API {
            self.front.set(process.name, process.address("http")?);
        }
        Ok(())
    }

    /// Waits until so many are ready behind the front.
    async fn behind(&self, count: usize) -> Result<(), Error> {
        let began = Instant::now();
        while self.front.ready() < count {
            if began.elapsed() > SHARE_LIMIT {
                return Err(Error::new(format!("after {SHARE_LIMIT:?} only {} replicas take requests", self.front.ready())));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until the instances that run have all the tasks.
    async fn shared(&self) -> Result<(), Error> {
        let names: Vec<&str> = self.running.iter().filter(|replica| FLAGS[replica.role].ends_with("processors")).map(|replica| replica.process.name).collect();
        reader::until(&self.sc, &format!("{names:?} have the tasks"), |assignments| {
            let owners = assignments.now();
            !owners.is_empty() && owners.values().all(|owner| names.contains(&owner.as_str()))
        })
        .await
    }

    async fn disturb(&mut self, disturbance: &Disturbance) -> Result<(), Error> {
        match disturbance {
            Disturbance::Replaced(program) => {
                for _ in 0..self.running.len() {
                    self.replace(program).await?;
                }
            }
            Disturbance::Killed(every, count) => {
                let mut random = Random::of(self.options.scene.seed, u64::MAX);
                let began = Instant::now();
                for number in 0..*count {
                    let victim = random.below(self.running.len() as u64) as usize;
                    self.kill(victim).await?;
                    sleep_until(began + *every * (number as u32 + 1)).await;
                }
            }
        }
        Ok(())
    }

    /// Replaces the replica that has run longest.
    async fn replace(&mut self, program: &Path) -> Result<(), Error> {
        let mut old = self.running.remove(0);
        let mut new = self.one(old.role, program).await?;
        self.unready.extend(new.process.ready().await?);
        if old.role == API {
            self.behind(self.options.replicas[API] + 1).await?;
        }
        let took = old.process.terminate().await?;
        self.front.remove(old.process.name);
        self.slowest_stop = self.slowest_stop.max(took);
        self.options.scene.tell(|| format!("`{}` after `{}`, which ended within {took:?}", new.process.name, old.process.name));
        self.running.push(new);
        self.disturbed += 1;
        self.shared().await
    }

    async fn kill(&mut self, victim: usize) -> Result<(), Error> {
        let replica = &mut self.running[victim];
        self.unready.extend(replica.process.ready().await?);
        replica.process.kill().await?;
        replica.process.start().await?;
        let replica = &self.running[victim];
        self.told(replica.role, &replica.process)?;
        self.options.scene.tell(|| format!("`{}` was killed", replica.process.name));
        self.disturbed += 1;
        Ok(())
    }
}
