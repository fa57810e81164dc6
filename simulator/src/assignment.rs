//! Who tries to own what. Correctness must not depend on it: fencing alone keeps owners apart.
//!
//! So in half of the runs anybody tries anything at any time, which is worse than any agreement. In the others the instances agree through the assignment topic, by the production
//! [`Member`]; what is around it here stands for `runtime/membership.rs`, `take_part` and `carry_out`. When faults stop, they must agree on one owner for each task, evenly, who runs it.

use std::collections::{BTreeMap, BTreeSet};

use fluvio_streams::assignment::{Announcement, Duty, Member, MemberConfig, TaskId};
use fluvio_streams::record::NewRecord;
use fluvio_streams::testing::START_MS;

use crate::broker::Place;
use crate::incarnation::Incarnation;
use crate::invariants::{Law, Violation};
use crate::limits::{AGREEMENT_ROUNDS_MAX, FETCH_RECORDS_MAX, INSTANCES, PARTITIONS};
use crate::network::Cargo;
use crate::rest;
use crate::world::World;

/// How instances come to run tasks.
pub(crate) enum Assignment {
    /// Anybody, at any time; a task that somebody runs is tried once in so many times.
    Anybody { rival_once_in: u64 },
    /// As the group agrees, by instance.
    Agreed(Vec<Seat>),
}

/// An instance's place in the group.
#[derive(Default)]
pub(crate) struct Seat {
    member: Option<Member>,
    next_offset: i64,
    /// What it has written and not heard of.
    parcel: Option<u64>,
    joins: u64,
}

impl Seat {
    /// The process is gone.
    pub(crate) fn lose_memory(&mut self) {
        (self.member, self.parcel) = (None, None);
    }
}

impl World {
    /// Returns what an instance is to do for a task, as it believes.
    pub(crate) fn duty(&self, instance: usize, task: usize) -> Duty {
        match &self.assignment {
            Assignment::Anybody { .. } => Duty::Owner,
            Assignment::Agreed(seats) => seats[instance].member.as_ref().map_or(Duty::Idle, |member| member.duty(&self.task_id(task), self.monotonic_ms())),
        }
    }

    fn task_id(&self, task: usize) -> TaskId {
        let reading = &self.oracle.tasks[task];
        TaskId::new(&self.topology.processors[reading.processor].name, reading.partition)
    }

    /// A clock that does not jump; it goes on while an instance stands still.
    fn monotonic_ms(&self) -> u64 {
        (self.time_ms - START_MS) as u64
    }
}

fn topic() -> Place {
    Place::of("assignment", 0)
}

/// Lets an instance take part once: read some of the topic, write what is to be written, and begin and end tasks accordingly.
pub(crate) fn take_part(world: &mut World, instance: usize) -> Result<(), Violation> {
    if world.instances[instance].is_paused || world.instances[instance].is_gone {
        return Ok(());
    }
    if !world.is_cut(instance) {
        read_and_write(world, instance);
    }
    for task in 0..world.oracle.tasks.len() {
        carry_out(world, instance, task)?;
    }
    Ok(())
}

fn read_and_write(world: &mut World, instance: usize) {
    let now_ms = world.monotonic_ms();
    let limit = 1 + world.random.below(2 * FETCH_RECORDS_MAX);
    let followed: BTreeSet<usize> = world.incarnations.values().filter(|it| it.instance == instance && it.follows()).map(|it| it.task).collect();
    let warm = followed.into_iter().map(|task| world.task_id(task)).collect();
    let processors: BTreeMap<String, u32> = world.topology.processors.iter().map(|spec| (spec.name.clone(), PARTITIONS)).collect();
    let (broker, network) = (&world.broker, &mut world.network);
    let Assignment::Agreed(seats) = &mut world.assignment else { return };
    let seat = &mut seats[instance];
    let joins = &mut seat.joins;
    let next_offset = &mut seat.next_offset;
    let member = seat.member.get_or_insert_with(|| {
        (*joins, *next_offset) = (*joins + 1, 0);
        let config = MemberConfig {
            instance: format!("instance-{instance}"),
            processors,
            standbys: 1,
            heartbeat_ms: 20,
            session_ms: 80,
            release_ms: 30,
            lifeline: None,
        };
        Member::new(&format!("instance-{instance}#{joins}"), config, true)
    });
    for record in broker.fetch(topic(), *next_offset, None, limit).unwrap_or_default() {
        *next_offset = record.offset + 1;
        if let Some(announcement) = Announcement::decode(&record.value) {
            member.admit(record.offset, &announcement, now_ms);
        }
    }
    let is_writing = seat.parcel.is_some_and(|parcel| network.carries(parcel));
    if *next_offset < broker.offsets(topic()).1 || is_writing {
        return;
    }
    member.set_warm(warm);
    let announcements = member.tick(now_ms);
    if announcements.is_empty() {
        return;
    }
    let records = announcements.iter().map(|announcement| NewRecord { key: None, value: announcement.encode().into() }).collect();
    seat.parcel = Some(network.send(0, instance, 0, Cargo::Append { place: topic(), records, landed: Vec::new() }));
    world.tell(|| format!("instance {instance} announces {announcements:?}"));
}

/// Begins or ends a task as the duty says.
fn carry_out(world: &mut World, instance: usize, task: usize) -> Result<(), Violation> {
    let duty = world.duty(instance, task);
    let here = world.incarnations.values().find(|incarnation| incarnation.instance == instance && incarnation.task == task);
    match (here, duty) {
        (None, Duty::Idle) => Ok(()),
        (None, Duty::Standby | Duty::Owner) => world.start(instance, task),
        (Some(incarnation), Duty::Idle | Duty::Standby) if incarnation.is_running() || duty == Duty::Idle => {
            if !incarnation.can_leave() {
                return Ok(());
            }
            let serial = incarnation.serial;
            let left = world.incarnations.remove(&serial).map_or(Ok(()), Incarnation::leave);
            left.map_err(|stop| Violation::new(Law::NoFalseAlarm, stop.to_string()))?;
            world.disk(instance, task).flush();
            world.tell(|| format!("instance {instance} has finished with task {task}"));
            world.count("task given away");
            let id = world.task_id(task);
            if let Assignment::Agreed(seats) = &mut world.assignment
                && let Some(member) = &mut seats[instance].member
            {
                member.finished(&id);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Says goodbye: the process ends in good order.
pub(crate) fn leave(world: &mut World, instance: usize) {
    let Assignment::Agreed(seats) = &mut world.assignment else { return };
    let goodbye = seats[instance].member.take().and_then(|mut member| member.leave());
    seats[instance].parcel = None;
    if let Some(goodbye) = goodbye {
        let records = vec![NewRecord { key: None, value: goodbye.encode().into() }];
        world.network.send(0, instance, 0, Cargo::Append { place: topic(), records, landed: Vec::new() });
    }
}

/// Returns who runs a task by the agreement, or anybody.
pub(crate) fn heir(world: &mut World, task: usize) -> usize {
    let assigned = (0..INSTANCES).find(|instance| world.duty(*instance, task) == Duty::Owner);
    match (&world.assignment, assigned) {
        (Assignment::Agreed(_), Some(instance)) => instance,
        _ => world.random.below(INSTANCES as u64) as usize,
    }
}

/// Without faults, goes on until the group agrees and does as agreed.
pub(crate) fn settle(world: &mut World) -> Result<(), Violation> {
    if !matches!(world.assignment, Assignment::Agreed(_)) {
        return Ok(());
    }
    if world.random.once_in(2) {
        bury(world);
    }
    let mut calm_rounds = 0;
    let mut problem = None;
    for _ in 0..AGREEMENT_ROUNDS_MAX {
        world.steps += 1;
        world.time_ms += 10;
        rest::pass(world)?;
        if world.is_loss_told {
            return Ok(());
        }
        (0..INSTANCES).try_for_each(|instance| take_part(world, instance))?;
        problem = disagreement(world);
        calm_rounds = if problem.is_none() { calm_rounds + 1 } else { 0 };
        if calm_rounds > 10 {
            return Ok(());
        }
    }
    Err(Violation::new(Law::GroupAgrees, problem.unwrap_or_else(|| "the group agrees again and again".to_owned())))
}

/// An instance never comes back: the others must notice.
fn bury(world: &mut World) {
    let instance = world.random.below(INSTANCES as u64) as usize;
    world.tell(|| format!("instance {instance} never comes back"));
    world.count("instance that never came back");
    world.instances[instance].is_gone = true;
    world.incarnations.retain(|_, incarnation| incarnation.instance != instance);
    if let Assignment::Agreed(seats) = &mut world.assignment {
        seats[instance].lose_memory();
    }
}

fn disagreement(world: &World) -> Option<String> {
    let Assignment::Agreed(seats) = &world.assignment else { return None };
    let living: Vec<usize> = (0..INSTANCES).filter(|instance| !world.instances[*instance].is_gone).collect();
    let members: Vec<&Member> = living.iter().filter_map(|instance| seats[*instance].member.as_ref()).collect();
    if members.len() < living.len() || members.iter().any(|member| !member.is_settled()) {
        return Some("somebody does not belong to the group".to_owned());
    }
    if members.iter().any(|member| member.group().members().len() != living.len()) {
        return Some("somebody who is gone still belongs to the group".to_owned());
    }
    if members.iter().any(|member| member.group().owners() != members[0].group().owners()) {
        return Some("members differ in who owns what".to_owned());
    }
    for task in 0..world.oracle.tasks.len() {
        let owners: Vec<usize> = (0..INSTANCES).filter(|instance| world.duty(*instance, task) == Duty::Owner).collect();
        let [owner] = owners[..] else { return Some(format!("task {task} is the duty of {owners:?}")) };
        let runs = world.incarnations.values().any(|it| it.task == task && it.instance == owner && it.is_running() && world.is_owner(it));
        if !runs {
            return Some(format!("task {task} is the duty of {owner}, who does not run it"));
        }
    }
    let share = |instance| (0..world.oracle.tasks.len()).filter(|task| world.duty(instance, *task) == Duty::Owner).count();
    let shares: Vec<usize> = living.into_iter().map(share).collect();
    let is_even = shares.iter().max().zip(shares.iter().min()).is_some_and(|(most, least)| most - least <= 1);
    (!is_even).then(|| format!("shares are {shares:?}"))
}
