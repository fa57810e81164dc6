//! Who is killed or stopped, and when: as the seed says, while orders come in.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::Options;
use crate::cluster::{BROKER, Cluster, OWNERS};
use crate::customers::Progress;
use crate::error::Error;
use crate::process::Process;
use crate::random::Random;

/// The broker is killed at least once in so many times.
const BROKER_EVERY: usize = 8;
/// How long orders may make no progress while nobody is killed.
const STALL_LIMIT: Duration = Duration::from_secs(180);
/// Orders that are told while two processes run the same processors.
const CONTEST_ORDERS: usize = 20;

/// What was done to whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) kills: BTreeMap<&'static str, usize>,
    /// Kills of a process that had just been started.
    pub(crate) while_restoring: usize,
    pub(crate) pauses: BTreeMap<&'static str, usize>,
    /// What was missing of processes that did not become ready.
    pub(crate) unready: Vec<String>,
}

impl Tally {
    pub(crate) fn count(&self) -> usize {
        self.kills.values().sum()
    }
}

struct Unrest<'a> {
    cluster: &'a mut Cluster,
    options: &'a Options,
    progress: &'a Progress,
    random: Random,
    tally: Tally,
}

/// Makes unrest until the last kill, and lets the customers go on to their end then.
pub(crate) async fn make(cluster: &mut Cluster, options: &Options, progress: &Progress) -> Result<Tally, Error> {
    let random = Random::of(options.seed, u64::MAX);
    let mut unrest = Unrest { cluster, options, progress, random, tally: Tally::default() };
    let stage = options.orders / (options.kills + options.pauses + 1);
    let pause_every = options.kills.checked_div(options.pauses).unwrap_or(usize::MAX).max(1);
    let (mut round, mut pauses) = (0, 0);
    while unrest.tally.count() < options.kills || pauses < options.pauses {
        progress.allow((round + 2) * stage + options.customers);
        unrest.reach((round + 1) * stage).await?;
        let is_pause_due = pauses < options.pauses && unrest.tally.count() >= (pauses + 1) * pause_every / 2;
        if is_pause_due {
            pauses += 1;
            unrest.pause().await?;
        } else {
            unrest.kill(round).await?;
        }
        round += 1;
        if options.is_told {
            println!("  {} of {} orders, {} kills, {pauses} pauses", progress.done(), options.orders, unrest.tally.count());
        }
    }
    progress.allow(options.orders);
    Ok(unrest.tally)
}

impl Unrest<'_> {
    /// Waits until the stories of so many orders are told.
    async fn reach(&self, orders: usize) -> Result<(), Error> {
        let mut before = self.progress.done();
        while timeout(STALL_LIMIT, self.progress.reached(orders)).await.is_err() {
            if self.progress.done() == before {
                return Err(Error::new(format!("after {STALL_LIMIT:?} still only {before} orders are told")));
            }
            before = self.progress.done();
        }
        Ok(())
    }

    /// Kills one process, sometimes another one with it, and starts them again; sometimes also while they start.
    async fn kill(&mut self, round: usize) -> Result<(), Error> {
        let processes = self.cluster.processes.len() as u64;
        let is_broker_due = round % BROKER_EVERY == BROKER_EVERY / 2;
        let victim = if is_broker_due { BROKER } else { self.random.below(processes) as usize };
        let other = self.random.below(processes) as usize;
        let (is_ready_first, is_pair, is_killed_again) = (self.random.percent(60), self.random.percent(15), self.random.percent(25));
        if is_ready_first {
            let missing = self.cluster.processes[victim].ready().await?;
            self.tally.unready.extend(missing);
        } else {
            sleep(Duration::from_millis(self.random.below(300))).await;
        }
        let mut victims = if is_pair && other != victim { vec![victim, other] } else { vec![victim] };
        // Without the broker, the first of all, nobody else starts.
        victims.sort_unstable();
        for victim in &victims {
            let process = &mut self.cluster.processes[*victim];
            process.kill().await?;
            *self.tally.kills.entry(process.name).or_default() += 1;
        }
        sleep(Duration::from_millis(self.random.below(1_000))).await;
        if is_killed_again {
            let lives = Duration::from_millis(self.random.below(600));
            let process = &mut self.cluster.processes[victim];
            process.start_in_vain(lives).await?;
            *self.tally.kills.entry(process.name).or_default() += 1;
            self.tally.while_restoring += 1;
        }
        for victim in victims {
            self.cluster.restart(victim).await?;
        }
        Ok(())
    }

    /// Stops one process as a machine that hangs, lets another one take its processors over, lets the first one go on as if nothing had been, and kills one of them.
    async fn pause(&mut self) -> Result<(), Error> {
        let (index, spare_name) = OWNERS[self.random.below(OWNERS.len() as u64) as usize];
        let owner = &mut self.cluster.processes[index];
        self.tally.unready.extend(owner.ready().await?);
        owner.signal(Signal::STOP)?;
        let (owner_name, began) = (owner.name, tokio::time::Instant::now());
        *self.tally.pauses.entry(owner_name).or_default() += 1;
        // Whoever was killed before is away, and its directory is there for another.
        let other = OWNERS.iter().find(|(_, name)| *name == owner_name).map_or(spare_name, |_| crate::cluster::name(index));
        let mut spare: Process = self.cluster.spare(index, other)?;
        spare.start().await?;
        self.tally.unready.extend(spare.ready().await?);
        self.progress.allow(self.progress.done() + self.options.customers * 4);
        tokio::time::sleep_until(began + self.options.pause).await;
        let before = self.progress.done();
        self.progress.allow(before + self.options.customers * 4 + CONTEST_ORDERS);
        self.cluster.processes[index].signal(Signal::CONT)?;
        self.reach(before + CONTEST_ORDERS).await?;
        if self.random.percent(50) {
            std::mem::swap(&mut self.cluster.processes[index], &mut spare);
        }
        spare.kill().await?;
        *self.tally.kills.entry(spare.name).or_default() += 1;
        Ok(())
    }
}
