//! The world of one run: broker, network, clocks, disks, instances, and the checker that sees all of it.

use std::collections::{BTreeMap, BTreeSet};

use fluvio_streams::record::NewRecord;
use fluvio_streams::task::Stop;
use fluvio_streams::testing::{Random, START_MS};
use fluvio_streams::topology::Topology;

use crate::assignment::{Assignment, Seat};
use crate::broker::{Broker, Place};
use crate::bug::Bug;
use crate::business;
use crate::disk::Disk;
use crate::incarnation::{End, Incarnation};
use crate::invariants::{Law, Violation};
use crate::limits::{INSTANCES, SKEW_MS_MAX};
use crate::network::{Cargo, Network};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::provider::Provider;
use crate::workload::Workload;

/// A machine that runs tasks.
pub(crate) struct Instance {
    pub(crate) skew_ms: i64,
    pub(crate) is_paused: bool,
    pub(crate) is_cut: bool,
    /// It never comes back.
    pub(crate) is_gone: bool,
    /// By task.
    disks: Vec<Disk>,
}

/// Everything that there is.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) bug: Option<Bug>,
    pub(crate) topology: Topology,
    pub(crate) broker: Broker,
    pub(crate) network: Network,
    pub(crate) provider: Provider,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) assignment: Assignment,
    pub(crate) instances: Vec<Instance>,
    pub(crate) incarnations: BTreeMap<u64, Incarnation>,
    pub(crate) serials: u64,
    /// What no clock shows exactly.
    pub(crate) time_ms: i64,
    pub(crate) steps: u64,
    /// By task and epoch: who commits.
    owners: BTreeMap<(usize, u64), u64>,
    /// A broker has lost what it had acknowledged: from here on only the end is judged.
    pub(crate) has_lost_tail: bool,
    /// And a task has said so.
    pub(crate) is_loss_told: bool,
    pub(crate) trace: Option<Vec<String>>,
    /// What happened, counted: to see that a run is about something.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>, loses_tails: bool, is_traced: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random, loses_tails);
        let topology = business::topology();
        let oracle = Oracle::new(topology.clone());
        let instances = (0..INSTANCES).map(|_| Instance {
            skew_ms: random.below(2 * SKEW_MS_MAX as u64) as i64 - SKEW_MS_MAX,
            is_paused: false,
            is_cut: false,
            is_gone: false,
            disks: oracle.tasks.iter().map(|_| Disk::new(bug)).collect(),
        });
        let instances = instances.collect();
        let mut world = Self {
            workload: Workload::draw(&mut random, plan.commands),
            assignment: match plan.is_agreed {
                true => Assignment::Agreed((0..INSTANCES).map(|_| Seat::default()).collect()),
                false => Assignment::Anybody { rival_once_in: plan.rival_once_in },
            },
            random,
            bug,
            broker: Broker::new(),
            network: Network::default(),
            provider: Provider::default(),
            oracle,
            topology,
            instances,
            incarnations: BTreeMap::new(),
            serials: 0,
            time_ms: START_MS,
            steps: 0,
            owners: BTreeMap::new(),
            has_lost_tail: false,
            is_loss_told: false,
            trace: is_traced.then(Vec::new),
            counts: BTreeMap::new(),
            plan,
        };
        world.tell(|| format!("seed {seed}"));
        let plan = world.plan.clone();
        world.tell(|| format!("{plan:?}"));
        world
    }

    /// Writes a line of the trace, if there is one.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        let (steps, time_ms) = (self.steps, self.time_ms - START_MS);
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{steps:>5} {time_ms:>6} ms  {}", line()));
        }
    }

    /// Counts something that happened.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Returns true once in so many times; never for 0.
    pub(crate) fn happens(&mut self, once_in: u64) -> bool {
        once_in > 0 && self.random.once_in(once_in)
    }

    /// Returns what an instance's clock shows.
    pub(crate) fn now_ms(&self, instance: usize) -> i64 {
        self.time_ms + self.instances[instance].skew_ms
    }

    pub(crate) fn is_cut(&self, instance: usize) -> bool {
        self.instances[instance].is_cut
    }

    pub(crate) fn disk(&self, instance: usize, task: usize) -> Disk {
        self.instances[instance].disks[task].clone()
    }

    /// Returns true if the incarnation holds the fence in force.
    pub(crate) fn is_owner(&self, incarnation: &Incarnation) -> bool {
        self.oracle.tasks[incarnation.task].owner == incarnation.owner
    }

    /// Returns the tasks that an instance runs.
    pub(crate) fn running_at(&self, instance: usize) -> BTreeSet<usize> {
        self.incarnations.values().filter(|incarnation| incarnation.instance == instance).map(|incarnation| incarnation.task).collect()
    }

    /// Starts an incarnation.
    pub(crate) fn start(&mut self, instance: usize, task: usize) -> Result<(), Violation> {
        match Incarnation::open(self, instance, task) {
            Ok(incarnation) => {
                self.tell(|| format!("{} starts as task {task}", incarnation.owner));
                self.incarnations.insert(incarnation.serial, incarnation);
                Ok(())
            }
            Err(stop) => Err(Violation::new(Law::NoFalseAlarm, format!("task {task} does not open: {stop}"))),
        }
    }

    /// Lets an incarnation act, and ends it if that ends it.
    pub(crate) fn let_act(&mut self, serial: u64, act: impl FnOnce(&mut Incarnation, &mut Self) -> Result<bool, End>) -> Result<bool, Violation> {
        let Some(mut incarnation) = self.incarnations.remove(&serial) else { return Ok(false) };
        match act(&mut incarnation, self) {
            Ok(is_busy) => {
                self.incarnations.insert(serial, incarnation);
                Ok(is_busy)
            }
            Err(end) => self.end(incarnation, end).map(|()| true),
        }
    }

    fn end(&mut self, incarnation: Incarnation, end: End) -> Result<(), Violation> {
        let stop = match end {
            End::Broken(violation) => return Err(violation),
            End::Log(why) => {
                self.count("incarnation ended: log");
                self.tell(|| format!("{} ends: {why}", incarnation.owner));
                None
            }
            End::Stop(stop) => {
                self.count(match &stop {
                    Stop::Fenced { .. } => "incarnation ended: fenced",
                    Stop::Doubt { .. } => "incarnation ended: doubt",
                    Stop::Gap { .. } => "incarnation ended: gap",
                    _ => "incarnation ended: alarm",
                });
                self.tell(|| format!("{} ends: {stop}", incarnation.owner));
                self.judge(&incarnation, &stop)?;
                Some(stop)
            }
        };
        let end = incarnation.end(stop.as_ref());
        end.map_err(|stop| Violation::new(Law::NoFalseAlarm, stop.to_string()))
    }

    /// Judges whether an incarnation had a reason to stop.
    fn judge(&mut self, incarnation: &Incarnation, stop: &Stop) -> Result<(), Violation> {
        let is_right = match stop {
            Stop::Fenced { .. } | Stop::Doubt { .. } => true,
            Stop::Gap { .. } => incarnation.was_misled,
            // The bug changes the record behind the machine's back, which is not what it is about.
            Stop::Diverged(_) if self.bug == Some(Bug::TimerNotJournaled) => true,
            Stop::Diverged(_) | Stop::JournalWentBack { .. } | Stop::FenceLost { .. } | Stop::SenderWentBack { .. } | Stop::Journal(_) => {
                self.is_loss_told |= self.has_lost_tail;
                self.has_lost_tail
            }
            Stop::Policy { .. } | Stop::Incompatible(_) | Stop::Undeclared { .. } | Stop::State(_) => false,
        };
        match is_right || self.has_lost_tail {
            true => Ok(()),
            false => Err(Violation::new(Law::NoFalseAlarm, format!("{} stops: {stop}", incarnation.owner))),
        }
    }

    /// Kills an incarnation: what it has in memory is gone.
    pub(crate) fn kill(&mut self, serial: u64) {
        self.incarnations.remove(&serial);
    }

    /// Lets readers see a partition up to `end`.
    pub(crate) fn show(&mut self, place: Place, end: i64) -> Result<bool, Violation> {
        let shown = self.broker.show(place, end);
        let is_new = !shown.is_empty();
        if !self.has_lost_tail {
            self.oracle.shown(&self.broker, place, shown)?;
        }
        Ok(is_new)
    }

    /// Appends a batch that has arrived, and returns where.
    pub(crate) fn land(&mut self, place: Place, records: &[NewRecord]) -> Result<i64, Violation> {
        let first = self.broker.append(place, self.time_ms, records);
        self.tell(|| format!("{place} takes {} records at {first}", records.len()));
        if !place.is_journal() && !self.has_lost_tail {
            for offset in first..self.broker.end(place) {
                self.oracle.landed(place, self.broker.archived(place, offset))?;
            }
        }
        Ok(first)
    }

    /// A message moves on: it lands (perhaps a second time), reaches the provider, or its answer arrives. `is_calm`: nothing goes wrong.
    pub(crate) fn move_parcel(&mut self, index: usize, is_calm: bool) -> Result<bool, Violation> {
        let instance = &self.instances[self.network.parcels[index].instance];
        if instance.is_cut {
            return Ok(false);
        }
        let is_deaf = instance.is_paused;
        if !is_calm && self.happens(self.plan.lost_once_in) {
            let parcel = self.network.parcels.swap_remove(index);
            self.tell(|| format!("message {} of #{} is lost", parcel.id, parcel.incarnation));
            return Ok(true);
        }
        let mut parcel = self.network.parcels.swap_remove(index);
        let is_kept = match &mut parcel.cargo {
            Cargo::Append { place, records, landed } => {
                let (place, is_doubled) = (*place, !is_calm && landed.len() == 1 && self.happens(self.plan.doubled_once_in));
                if landed.is_empty() || is_doubled {
                    let is_late = parcel.incarnation > 0 && !self.incarnations.contains_key(&parcel.incarnation);
                    match (is_doubled, is_late) {
                        (true, _) => self.count("append landed twice"),
                        (_, true) => self.count("append landed after its sender was gone"),
                        _ => {}
                    }
                    landed.push(self.land(place, records)?);
                    true
                } else if is_deaf {
                    true
                } else {
                    let told = landed[self.random.below(landed.len() as u64) as usize];
                    // What is acknowledged is seen by everybody from then on.
                    self.show(place, told + records.len() as i64)?;
                    if is_calm || !self.happens(self.plan.unacknowledged_once_in) {
                        if let Some(incarnation) = self.incarnations.get_mut(&parcel.incarnation) {
                            incarnation.acknowledged(parcel.id, told);
                        }
                        self.tell(|| format!("message {} of #{} is acknowledged at {told}", parcel.id, parcel.incarnation));
                    }
                    false
                }
            }
            Cargo::Call { call, response: response @ None } => {
                if !self.has_lost_tail {
                    self.oracle.called(parcel.task, call)?;
                }
                *response = Some(self.provider.take(call)?);
                true
            }
            Cargo::Call { response: Some(response), .. } if !is_deaf => {
                let is_doubled = !is_calm && self.happens(self.plan.doubled_once_in);
                if let Some(incarnation) = self.incarnations.get_mut(&parcel.incarnation) {
                    incarnation.answered(parcel.id, std::mem::take(response), is_doubled);
                }
                false
            }
            Cargo::Call { .. } => true,
        };
        if is_kept {
            self.network.parcels.push(parcel);
        }
        Ok(!is_deaf || !is_kept)
    }

    /// Checks that an owner may take a transaction for committed, and that it is the only one in its epoch.
    pub(crate) fn check_committed(&mut self, task: usize, serial: u64, landed: i64) -> Result<(), Violation> {
        if self.has_lost_tail {
            return Ok(());
        }
        let epoch = self.oracle.committed(task, landed)?;
        let first = *self.owners.entry((task, epoch)).or_insert(serial);
        match first == serial {
            true => Ok(()),
            false => Err(Violation::new(Law::OneOwner, format!("#{first} and #{serial} commit in epoch {epoch} of task {task}"))),
        }
    }

    /// Checks that a store is what the journal says up to and with `offset`.
    pub(crate) fn check_state(&self, task: usize, disk: &Disk, offset: i64, law: Law) -> Result<(), Violation> {
        if self.has_lost_tail {
            return Ok(());
        }
        let (held, said) = (disk.entries(), self.oracle.state_at(&self.broker, task, offset));
        if held == said {
            return Ok(());
        }
        let different = |key: &&Vec<u8>| held.get(*key) != said.get(*key);
        let key = held.keys().chain(said.keys()).find(different).cloned().unwrap_or_default();
        let text = |bytes: Option<&Vec<u8>>| bytes.map_or_else(|| "nothing".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned());
        let detail = format!(
            "task {task} at {offset}: `{}` is {} in the store, {} by the journal",
            text(Some(&key)).escape_debug(),
            text(held.get(&key)).escape_debug(),
            text(said.get(&key)).escape_debug()
        );
        Err(Violation::new(law, detail))
    }
}
