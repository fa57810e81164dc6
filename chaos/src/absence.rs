//! One of several instances is away for a while and does not know it: stopped, cut off, or behind a network that hardly works. It is replaced, comes back, and harms nothing.
//!
//! Where it was away wholly, the run looks at that moment by itself: everything is quiet, all topics, books and views fit, then it wakes up. Whatever it had begun is void: all that it may write
//! into a topic that others read is what stands there already.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::customers::{Counter, Progress, SentLog};
use crate::error::{Doing as _, Error};
use crate::fleet::Fleet;
use crate::ledger::{Ledger, Verdicts};
use crate::namespace::Namespace;
use crate::open::Load;
use crate::provider::{Provider, Temper};
use crate::proxy::{Link, Proxy};
use crate::run::{Around, panics};
use crate::{Scene, reader};

/// Why it is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// SIGSTOP, as a machine that hangs.
    Stopped,
    /// Its connections to the broker are reset, and new ones refused.
    Cut,
    /// Its connections stay and carry nothing; what it has sent arrives later.
    HalfOpen,
    /// All that it sends and gets takes so much longer.
    Slow(Duration),
    /// Its connections are reset again and again.
    Resets(Duration),
    /// The cable of its network namespace is pulled, as [`Trouble::HalfOpen`], by the kernel. Needs root.
    Unplugged,
    /// Its wall clock jumps by so many seconds, and back in the end. Needs libfaketime, at this path.
    Clock(i32, PathBuf),
}

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where and with what.
    pub scene: Scene,
    /// Orders per second.
    pub rate: u32,
    /// Instances, one of which gets into trouble.
    pub instances: usize,
    /// Instances that follow each task besides its owner.
    pub standbys: usize,
    /// Into which.
    pub trouble: Trouble,
    /// For how long, at least.
    pub away: Duration,
}

/// What a run found.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was done.
    pub trouble: Trouble,
    /// Orders that were placed.
    pub orders: usize,
    /// Whether another one had all its tasks meanwhile.
    pub was_replaced: bool,
    /// What it did when it came back and nothing else happened; none if it was never away wholly.
    pub awakening: Option<Awakening>,
    /// What the ledger found in the end.
    pub verdicts: Verdicts,
    /// Lines of logs that tell of a panic.
    pub panics: Vec<String>,
    /// What was missing of processes that did not become ready.
    pub unready: Vec<String>,
}

/// What happened from the moment in which everything was quiet until the one that was away had its share again.
#[derive(Debug, Clone, Copy)]
pub struct Awakening {
    /// Records that were written into topics that others read.
    pub records: u64,
    /// Those of them that stood there already.
    pub repeated: u64,
    /// Movements of money.
    pub movements: usize,
    /// Laws that do not hold any more.
    pub exceptions: u64,
}

impl Awakening {
    /// Returns true if it had no effect on anything.
    pub fn is_void(&self) -> bool {
        self.records == self.repeated && self.movements == 0 && self.exceptions == 0
    }
}

impl Report {
    /// Returns true if everything holds.
    pub fn is_clean(&self) -> bool {
        let is_void = self.awakening.is_none_or(|awakening| awakening.is_void());
        is_void && self.verdicts.exceptions() == 0 && self.panics.is_empty() && self.unready.is_empty()
    }
}

/// So long everything runs before the trouble, and after it.
const CALM: Duration = Duration::from_secs(2);

/// Makes a run and returns what it found.
///
/// # Errors
/// [`Error`] if it cannot be made, or not to its end: nobody takes the tasks over, or the one that was away does not get its share again.
pub async fn run(options: &Options) -> Result<Report, Error> {
    let scene = &options.scene;
    fs::create_dir_all(&scene.directory).doing(|| format!("cannot create `{}`", scene.directory.display()))?;
    let namespace = (options.trouble == Trouble::Unplugged).then(Namespace::create).transpose()?;
    let clock = Clock { file: scene.directory.join("clock") };
    let host = namespace.as_ref().map_or(Ipv4Addr::LOCALHOST, |namespace| namespace.host);
    let provider = Provider::start_on(host, scene.seed, Temper::Moody(scene.pace.very_slow), &scene.directory.join("provider.ndjson")).await?;
    let mut fleet = Fleet::start_on(host, scene, provider.url(), options.standbys).await?;
    let proxy = Proxy::start(&fleet.sc, &fleet.spu).await?;
    let sc = fleet.sc.clone();
    // Whoever comes first leads, and is the one.
    let victim = match &namespace {
        Some(namespace) => fleet.join_within(&sc, namespace.prefix(), Some(namespace.guest)).await?,
        None => fleet.join_within(&proxy.sc, clock.prefix(&options.trouble)?, None).await?,
    };
    let way = Way { proxy, namespace, clock };
    for _ in 1..options.instances {
        fleet.join(&sc).await?;
    }
    let mut unready = fleet.ready().await?;
    fleet.shared(scene.partitions).await?;
    let sent = Arc::new(SentLog::new(&scene.directory.join("sent.ndjson"))?);
    let progress = Arc::new(Progress::new(usize::MAX));
    let counter = Counter { seed: scene.seed, sc: sc.clone(), api: fleet.api(), progress, sent: Arc::clone(&sent) };
    let api = fleet.api.address("http")?;
    let around = Around { sc: &sc, partitions: scene.partitions, patience: scene.pace.patience, api: &api, provider: &provider, sent: &sent };
    let mut ledger = Ledger::default();
    let mut load = Load { counter, rate: options.rate, first: 0 };
    let name = fleet.instances[victim].process.name;
    let is_wholly_away = matches!(options.trouble, Trouble::Stopped | Trouble::Cut | Trouble::HalfOpen | Trouble::Unplugged);

    load.first = during(&load, async {
        sleep(CALM).await;
        let until = Instant::now() + options.away;
        way.begin(&options.trouble, &fleet, victim)?;
        scene.tell(|| format!("{:?}: `{name}`", options.trouble));
        if is_wholly_away {
            reader::until(&sc, "it is replaced", |assignments| assignments.now().values().all(|owner| owner != name)).await?;
        }
        sleep_until(until).await;
        if !is_wholly_away {
            way.end(&options.trouble, &fleet, victim)?;
        }
        sleep(CALM).await;
        Ok(())
    })
    .await?;
    let mut awakening = None;
    if is_wholly_away {
        let before = around.settle(&mut ledger).await?;
        let (records, repeated, movements) = (ledger.records(), ledger.repeated(), provider.movements().len());
        way.end(&options.trouble, &fleet, victim)?;
        unready.extend(fleet.ready().await?);
        fleet.shared(scene.partitions).await?;
        let after = around.settle(&mut ledger).await?;
        awakening = Some(Awakening {
            records: ledger.records() - records,
            repeated: ledger.repeated() - repeated,
            movements: provider.movements().len() - movements,
            exceptions: after.exceptions().saturating_sub(before.exceptions()),
        });
        scene.tell(|| format!("`{name}` is back: {awakening:?}"));
    }
    load.first = during(&load, async {
        unready.extend(fleet.ready().await?);
        fleet.shared(scene.partitions).await?;
        sleep(CALM).await;
        Ok(())
    })
    .await?;
    let verdicts = around.settle(&mut ledger).await?;
    if way.namespace.is_none() && way.proxy.carried() == 0 {
        return Err(Error::new(format!("`{name}` has not used the way that was to be cut")));
    }
    Ok(Report {
        trouble: options.trouble.clone(),
        orders: load.first,
        was_replaced: is_wholly_away,
        awakening,
        verdicts,
        panics: panics(fleet.processes()),
        unready,
    })
}

/// Sends orders while something is done. Returns the number of the next order.
async fn during(load: &Load, doing: impl Future<Output = Result<(), Error>>) -> Result<usize, Error> {
    let (end, ended) = watch::channel(false);
    let doing = async {
        let done = doing.await;
        end.send_replace(true);
        done
    };
    Ok(tokio::try_join!(load.pour(ended), doing)?.0)
}

/// Between the one that gets into trouble and the broker.
struct Way {
    proxy: Proxy,
    namespace: Option<Namespace>,
    clock: Clock,
}

/// The wall clock of one process, as libfaketime shows it.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Returns what comes before a command that is to run by this clock, if it is wanted.
    fn prefix(&self, trouble: &Trouble) -> Result<Vec<String>, Error> {
        let Trouble::Clock(_, library) = trouble else { return Ok(Vec::new()) };
        self.jump(0)?;
        let file = self.file.display();
        let variables = [format!("LD_PRELOAD={}", library.display()), format!("FAKETIME_TIMESTAMP_FILE={file}")];
        let fixed = ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_RESET=1"].map(str::to_owned);
        Ok(["env".to_owned()].into_iter().chain(variables).chain(fixed).collect())
    }

    fn jump(&self, seconds: i32) -> Result<(), Error> {
        fs::write(&self.file, format!("{seconds:+}s\n")).doing(|| format!("cannot write `{}`", self.file.display()))
    }
}

impl Way {
    fn begin(&self, trouble: &Trouble, fleet: &Fleet, victim: usize) -> Result<(), Error> {
        match trouble {
            Trouble::Stopped => return fleet.signal(victim, Signal::STOP),
            Trouble::Unplugged => return self.namespace.as_ref().map_or(Ok(()), |namespace| namespace.plug(false)),
            Trouble::Cut => self.proxy.set(Link::Cut),
            Trouble::HalfOpen => self.proxy.set(Link::HalfOpen),
            Trouble::Slow(slow) => self.proxy.set(Link::Slow(*slow)),
            Trouble::Resets(every) => self.proxy.set(Link::Resets(*every)),
            Trouble::Clock(seconds, _) => return self.clock.jump(*seconds),
        }
        Ok(())
    }

    fn end(&self, trouble: &Trouble, fleet: &Fleet, victim: usize) -> Result<(), Error> {
        match trouble {
            Trouble::Stopped => fleet.signal(victim, Signal::CONT),
            Trouble::Clock(..) => self.clock.jump(0),
            Trouble::Unplugged => self.namespace.as_ref().map_or(Ok(()), |namespace| namespace.plug(true)),
            _ => {
                self.proxy.set(Link::Whole);
                Ok(())
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:?}, {} orders, replaced: {}", self.trouble, self.orders, self.was_replaced)?;
        if let Some(Awakening { records, repeated, movements, exceptions }) = self.awakening {
            writeln!(
                formatter,
                "when it came back: {records} records, {repeated} of them repeated; {movements} movements of money; {exceptions} new exceptions"
            )?;
        }
        write!(formatter, "{}", self.verdicts)?;
        self.panics.iter().try_for_each(|line| writeln!(formatter, "panicked: {line}"))?;
        self.unready.iter().try_for_each(|line| writeln!(formatter, "not ready: {line}"))?;
        writeln!(formatter, "{}", if self.is_clean() { "everything holds" } else { "SOMETHING DOES NOT HOLD" })
    }
}
