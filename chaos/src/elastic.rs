//! As many instances as somebody else wants, second by second, under a load that grows and ends. Each gets a part of a CPU and no more, as a container with a limit does, so that more of
//! them are more.
//!
//! [`run`] is told by a [`Scaler`] how many it shall be; what it finds is a [`Report`]. How a scaler decides is none of its business.

mod ration;
mod report;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::ration::Ration;
pub use self::report::{Look, Report};
use crate::Scene;
use crate::customers::{Counter, Progress, SentLog};
use crate::error::{Doing as _, Error};
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::limits::ELASTIC_LIMIT;
use crate::open::Load;
use crate::provider::{Provider, Temper};
use crate::run::{Around, panics};

/// Number of the first order that comes on top: both loads have names of their own.
const FIRST_ON_TOP: usize = 1_000_000;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where and with what.
    pub scene: Scene,
    /// Instances at the beginning; the run ends once there are so many again.
    pub instances: usize,
    /// Orders per second, all the time.
    pub rate: u32,
    /// Orders per second that come on top, for a while.
    pub rate_on_top: u32,
    /// How long everything is left alone before they come.
    pub calm: Duration,
    /// How long they come.
    pub step: Duration,
    /// How long nobody may come or go in the end.
    pub rest: Duration,
    /// Part of the time for which an instance may run, in percent.
    pub cpu_percent: u32,
}

/// What a scaler found and decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decision {
    /// Records that nobody has taken yet.
    pub lag: Option<f64>,
    /// The number by which it decided; other than the lag while that is held.
    pub metric: Option<f64>,
    /// How many instances there shall be.
    pub wanted: usize,
}

/// Who decides how many instances there are.
pub trait Scaler {
    /// Decides, `elapsed` after the beginning, while so many instances are wanted already, and so many run. `targets`: where all processes show their metrics.
    ///
    /// # Errors
    /// If it cannot be decided at all: the run ends.
    fn decide(
        &mut self,
        elapsed: Duration,
        wanted: usize,
        running: usize,
        targets: &[String],
    ) -> impl Future<Output = Result<Decision, Box<dyn std::error::Error + Send + Sync>>>;
}

/// Makes a run and returns what it found.
///
/// # Errors
/// [`Error`] if it cannot be made, or not to its end.
pub async fn run(options: &Options, scaler: &mut impl Scaler) -> Result<Report, Error> {
    let scene = &options.scene;
    fs::create_dir_all(&scene.directory).doing(|| format!("cannot create `{}`", scene.directory.display()))?;
    let provider = Provider::start(scene.seed, Temper::Calm, &scene.directory.join("provider.ndjson")).await?;
    let mut fleet = Fleet::start(scene, provider.url(), 0).await?;
    let sent = Arc::new(SentLog::new(&scene.directory.join("sent.ndjson"))?);
    let counter = Counter { seed: scene.seed, sc: fleet.sc.clone(), api: fleet.api(), progress: Arc::new(Progress::new(usize::MAX)), sent: Arc::clone(&sent) };
    let others = vec![fleet.broker.address("metrics")?, fleet.api.address("metrics")?];
    let mut following =
        Following { ration: Ration::start(options.cpu_percent), fleet: &mut fleet, others, present: watch::Sender::new(Vec::new()), unready: Vec::new() };
    following.reach(options.instances).await?;
    if let Some(unready) = following.fleet.ready().await?.into_iter().next() {
        return Err(Error::new(unready));
    }
    following.fleet.shared(scene.partitions).await?;
    let (wanted, shown) = (watch::Sender::new(options.instances), following.present.subscribe());
    let wants = wanted.subscribe();
    let (end, ended) = watch::channel(false);
    let deciding = async {
        let made = decide(options, scaler, &wanted, &shown).await;
        end.send_replace(true);
        made
    };
    let (orders, orders_on_top, looks, ()) =
        tokio::try_join!(pour(&counter, options, ended.clone()), pour_on_top(&counter, options), deciding, following.follow(wants, ended))?;
    let unready = std::mem::take(&mut following.unready);
    drop(following);
    let mut ledger = Ledger::default();
    let api = fleet.api.address("http")?;
    let around = Around { sc: &fleet.sc, partitions: scene.partitions, patience: scene.pace.patience, api: &api, provider: &provider, sent: &sent };
    let verdicts = around.settle(&mut ledger).await?;
    Ok(Report { seed: scene.seed, orders: orders + orders_on_top, looks, verdicts, panics: panics(fleet.processes()), unready })
}

/// Orders that come all the time.
async fn pour(counter: &Counter, options: &Options, ended: watch::Receiver<bool>) -> Result<usize, Error> {
    Load { counter: counter.clone(), rate: options.rate, first: 0 }.pour(ended).await
}

/// Orders that come on top for a while.
async fn pour_on_top(counter: &Counter, options: &Options) -> Result<usize, Error> {
    sleep(options.calm).await;
    let (end, ended) = watch::channel(false);
    let load = Load { counter: counter.clone(), rate: options.rate_on_top, first: FIRST_ON_TOP };
    let ending = async {
        sleep(options.step).await;
        end.send_replace(true);
        Ok(())
    };
    let (after_last, ()) = tokio::try_join!(load.pour(ended), ending)?;
    Ok(after_last - FIRST_ON_TOP)
}

/// Lets the scaler decide once a second, until there are as many as in the beginning for a while after the load has ended.
async fn decide(options: &Options, scaler: &mut impl Scaler, wanted: &watch::Sender<usize>, shown: &watch::Receiver<Vec<String>>) -> Result<Vec<Look>, Error> {
    let (began, mut looks, mut changed) = (Instant::now(), Vec::new(), Duration::ZERO);
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let (elapsed, before) = (began.elapsed(), *wanted.borrow());
        let targets = shown.borrow().clone();
        let running = targets.len().saturating_sub(2);
        let decision = scaler.decide(elapsed, before, running, &targets).await.doing(|| "nobody decides how many there shall be".to_owned())?;
        let is_step = elapsed > options.calm && elapsed < options.calm + options.step;
        let rate = options.rate + if is_step { options.rate_on_top } else { 0 };
        looks.push(Look { second: elapsed.as_secs(), rate, lag: decision.lag, metric: decision.metric, wanted: decision.wanted, running });
        if decision.wanted != before {
            changed = elapsed;
            options
                .scene
                .tell(|| format!("{:>4} s: {before} -> {} instances, lag {:.0}", elapsed.as_secs(), decision.wanted, decision.lag.unwrap_or(f64::NAN)));
            wanted.send_replace(decision.wanted);
        }
        let is_over = elapsed > options.calm + options.step && decision.wanted == options.instances;
        if is_over && elapsed > changed + options.rest {
            return Ok(looks);
        }
        if elapsed > options.calm + options.step + ELASTIC_LIMIT {
            return Err(Error::new(format!("{ELASTIC_LIMIT:?} after the load there are still {} instances", decision.wanted)));
        }
    }
}

/// Starts and ends instances until there are as many as are wanted.
struct Following<'a> {
    fleet: &'a mut Fleet,
    ration: Ration,
    /// Where the broker and the API show their metrics.
    others: Vec<String>,
    /// Where all processes do.
    present: watch::Sender<Vec<String>>,
    unready: Vec<String>,
}

impl Following<'_> {
    async fn follow(&mut self, mut wants: watch::Receiver<usize>, mut ended: watch::Receiver<bool>) -> Result<(), Error> {
        loop {
            let wanted = *wants.borrow_and_update();
            self.reach(wanted).await?;
            tokio::select! {
                changed = wants.changed() => changed.doing(|| "nobody wants anything any more".to_owned())?,
                _ = ended.wait_for(|ended| *ended) => break,
            }
        }
        let unready = self.fleet.ready().await?;
        self.unready.extend(unready);
        Ok(())
    }

    async fn reach(&mut self, wanted: usize) -> Result<(), Error> {
        loop {
            let up = self.fleet.up();
            if up.len() < wanted {
                let sc = self.fleet.sc.clone();
                let number = self.fleet.join(&sc).await?;
                // It starts at full speed.
                self.ration.add(self.fleet.instances[number].process.id()?);
            } else if let Some(last) = up.last().filter(|_| up.len() > wanted) {
                self.ration.remove(self.fleet.instances[*last].process.id()?);
                self.fleet.leave(*last).await?;
            } else {
                return Ok(());
            }
            let mut present = self.others.clone();
            for number in self.fleet.up() {
                present.push(self.fleet.instances[number].process.address("metrics")?);
            }
            self.present.send_replace(present);
        }
    }
}
