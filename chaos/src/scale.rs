//! Instances come and go under an open load: by order, and killed. It shows how long the tasks that moved stood still, and those that did not, and that nothing was lost or doubled.
//!
//! [`run`] makes the steps of [`Options`]; what it finds is a [`Report`].

mod report;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

pub use self::report::{Kind, Report, Step};
use crate::customers::{Counter, Progress, SentLog};
use crate::error::{Doing as _, Error};
use crate::fleet::Fleet;
use crate::ledger::{Ledger, TOPICS};
use crate::open::Load;
use crate::owners::Assignments;
use crate::provider::{Provider, Temper};
use crate::random::Random;
use crate::run::{Around, panics};
use crate::stalls::Gaps;
use crate::{Scene, reader};

pub use crate::stalls::Spread;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where and with what.
    pub scene: Scene,
    /// Orders per second.
    pub rate: u32,
    /// How many instances there are at the beginning, and after each move. Whoever leaves does so one by one.
    pub sizes: Vec<usize>,
    /// Whether those that go are killed, round by round: each round goes through all sizes.
    pub rounds: Vec<Kind>,
    /// Instances that follow each task besides its owner.
    pub standbys: usize,
    /// How long everything is left alone after each step.
    pub hold: Duration,
}

/// Makes a run and returns what it found.
///
/// # Errors
/// [`Error`] if it cannot be made, or not to its end.
pub async fn run(options: &Options) -> Result<Report, Error> {
    let scene = &options.scene;
    fs::create_dir_all(&scene.directory).doing(|| format!("cannot create `{}`", scene.directory.display()))?;
    let provider = Provider::start(scene.seed, Temper::Calm, &scene.directory.join("provider.ndjson")).await?;
    let mut fleet = Fleet::start(scene, provider.url(), options.standbys).await?;
    let sent = Arc::new(SentLog::new(&scene.directory.join("sent.ndjson"))?);
    let progress = Arc::new(Progress::new(usize::MAX));
    let counter = Counter { seed: scene.seed, sc: fleet.sc.clone(), api: fleet.api(), progress: Arc::clone(&progress), sent: Arc::clone(&sent) };
    let (end, ended) = watch::channel(false);
    let load = Load { counter, rate: options.rate, first: 0 };
    let mut steps = Steps { options, fleet: &mut fleet, random: Random::of(scene.seed, u64::MAX), made: Vec::new(), unready: Vec::new() };
    steps.first(options.sizes.first().copied().unwrap_or(1)).await?;
    let making = async {
        let made = steps.make().await;
        end.send_replace(true);
        made
    };
    let (orders, ()) = tokio::try_join!(load.pour(ended), making)?;
    let (made, unready) = (steps.made, steps.unready);
    let mut ledger = Ledger::default();
    let api = fleet.api.address("http")?;
    let around = Around { sc: &fleet.sc, partitions: scene.partitions, patience: scene.pace.patience, api: &api, provider: &provider, sent: &sent };
    let verdicts = around.settle(&mut ledger).await?;
    let (gaps, assignments) = look_back(&fleet.sc, scene.partitions).await?;
    let steps = report::measure(&made, &gaps.samples(), &assignments);
    Ok(Report { seed: scene.seed, orders, standbys: options.standbys, steps, verdicts, panics: panics(fleet.processes()), unready })
}

/// What was done when.
#[derive(Debug, Clone)]
struct Made {
    kind: Kind,
    instances: (usize, usize),
    at_ms: i64,
    /// When the next step began, or the load ended.
    until_ms: i64,
    /// How long an instance took to go.
    took: Option<Duration>,
}

struct Steps<'a> {
    options: &'a Options,
    fleet: &'a mut Fleet,
    random: Random,
    made: Vec<Made>,
    unready: Vec<String>,
}

impl Steps<'_> {
    /// Starts those that are there at the beginning.
    async fn first(&mut self, instances: usize) -> Result<(), Error> {
        let sc = self.fleet.sc.clone();
        for _ in 0..instances {
            self.fleet.join(&sc).await?;
        }
        match self.fleet.ready().await?.into_iter().next() {
            Some(unready) => Err(Error::new(unready)),
            None => self.fleet.shared(self.options.scene.partitions).await,
        }
    }

    async fn make(&mut self) -> Result<(), Error> {
        sleep(self.options.hold).await;
        for leaving in &self.options.rounds {
            for size in &self.options.sizes[1..] {
                let present = self.fleet.up().len();
                if *size > present {
                    self.step(Kind::Join, size - present).await?;
                }
                for _ in *size..present {
                    self.step(*leaving, 1).await?;
                }
            }
        }
        Ok(())
    }

    async fn step(&mut self, kind: Kind, count: usize) -> Result<(), Error> {
        let before = self.fleet.up();
        let goes = self.chosen(&before);
        let at_ms = now_ms();
        let took = match kind {
            Kind::Join => {
                let sc = self.fleet.sc.clone();
                for _ in 0..count {
                    self.fleet.join(&sc).await?;
                }
                None
            }
            Kind::Leave => Some(self.fleet.leave(goes).await?),
            Kind::Kill => {
                self.fleet.kill(goes).await?;
                None
            }
        };
        self.unready.extend(self.fleet.ready().await?);
        self.fleet.shared(self.options.scene.partitions).await?;
        sleep(self.options.hold).await;
        let instances = (before.len(), self.fleet.up().len());
        self.options.scene.tell(|| format!("{kind}: {} -> {} instances", instances.0, instances.1));
        self.made.push(Made { kind, instances, at_ms, until_ms: now_ms(), took });
        Ok(())
    }

    /// Chooses who goes.
    fn chosen(&mut self, present: &[usize]) -> usize {
        present[self.random.below(present.len() as u64) as usize]
    }
}

/// Reads all topics once more, for what they say about time.
pub(crate) async fn look_back(sc: &str, partitions: u32) -> Result<(Gaps, Assignments), Error> {
    let client = reader::connect(sc).await?;
    let mut gaps = Gaps::default();
    for topic in TOPICS {
        for partition in 0..partitions {
            reader::scan(&client, topic, partition, 0, |record| gaps.take(topic, partition, record.time_ms, record.value)).await?;
        }
    }
    let mut assignments = Assignments::new();
    reader::scan(&client, "assignment", 0, 0, |record| assignments.take(record.offset, record.time_ms, record.value)).await?;
    Ok((gaps, assignments))
}

/// Returns the time of the wall clock, which is that of the records, too.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
