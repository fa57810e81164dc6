//! The part of a run in which anything may go wrong: one random action after the other.

use fluvio_streams::task::Stop;

use crate::assignment::{self, Assignment};
use crate::broker::Place;
use crate::incarnation::Incarnation;
use crate::invariants::{Law, Violation};
use crate::limits::{CLOCK_JUMP_MS_MAX, INSTANCES};
use crate::plan::Fault;
use crate::world::World;

/// Does `plan.actions` random actions.
pub(crate) fn run(world: &mut World) -> Result<(), Violation> {
    for _ in 0..world.plan.actions {
        world.steps += 1;
        act(world)?;
        if world.happens(world.plan.fault_once_in) {
            fault(world)?;
        }
        if world.is_loss_told {
            return Ok(());
        }
    }
    Ok(())
}

fn act(world: &mut World) -> Result<(), Violation> {
    match world.random.below(100) {
        0..5 => pass_time(world),
        5..9 => send_command(world)?,
        9..13 => show_some(world)?,
        13..18 => start_some(world)?,
        18..21 => time_out_some(world)?,
        21..50 => move_some(world)?,
        _ => act_somewhere(world)?,
    }
    Ok(())
}

fn pass_time(world: &mut World) {
    world.time_ms += 1 + world.random.below(30) as i64;
}

fn send_command(world: &mut World) -> Result<(), Violation> {
    let Some((place, record)) = world.workload.next() else { return Ok(()) };
    let offset = world.land(place, &[record])?;
    world.show(place, offset + 1).map(drop)
}

/// Returns the partitions that hold records which readers do not see.
fn unseen(world: &World) -> Vec<Place> {
    Place::all().filter(|place| world.broker.end(*place) > world.broker.offsets(*place).1).collect()
}

fn show_some(world: &mut World) -> Result<(), Violation> {
    let places = unseen(world);
    if places.is_empty() {
        return Ok(());
    }
    let place = places[world.random.below(places.len() as u64) as usize];
    let (_, visible) = world.broker.offsets(place);
    let more = 1 + world.random.below((world.broker.end(place) - visible) as u64) as i64;
    world.show(place, visible + more).map(drop)
}

fn start_some(world: &mut World) -> Result<(), Violation> {
    let instance = world.random.below(INSTANCES as u64) as usize;
    let Assignment::Anybody { rival_once_in } = world.assignment else { return assignment::take_part(world, instance) };
    let task = world.random.below(world.oracle.tasks.len() as u64) as usize;
    if world.instances[instance].is_paused || world.running_at(instance).contains(&task) {
        return Ok(());
    }
    let is_owned = world.incarnations.values().any(|incarnation| incarnation.task == task);
    match !is_owned || world.random.once_in(rival_once_in) {
        true => world.start(instance, task),
        false => Ok(()),
    }
}

fn time_out_some(world: &mut World) -> Result<(), Violation> {
    let serials: Vec<u64> = world.incarnations.keys().copied().collect();
    for serial in serials {
        let incarnation = &world.incarnations[&serial];
        if world.instances[incarnation.instance].is_paused {
            continue;
        }
        for parcel in incarnation.awaited() {
            // One that is lost is given up sooner or later; one that is slow, now and then.
            let is_lost = !world.network.carries(parcel);
            if (is_lost && world.random.once_in(2)) || (!is_lost && world.happens(world.plan.timed_out_once_in)) {
                world.let_act(serial, |incarnation, world| {
                    world.tell(|| format!("{} waits no longer for message {parcel}", incarnation.owner));
                    incarnation.timed_out(parcel, world.bug).map(|()| true)
                })?;
            }
        }
    }
    Ok(())
}

fn move_some(world: &mut World) -> Result<(), Violation> {
    if world.network.parcels.is_empty() {
        return Ok(());
    }
    let index = world.random.below(world.network.parcels.len() as u64) as usize;
    world.move_parcel(index, false).map(drop)
}

fn act_somewhere(world: &mut World) -> Result<(), Violation> {
    if world.incarnations.is_empty() {
        return Ok(());
    }
    let index = world.random.below(world.incarnations.len() as u64) as usize;
    let serial = world.incarnations.keys().nth(index).copied().unwrap_or_default();
    if world.instances[world.incarnations[&serial].instance].is_paused {
        return Ok(());
    }
    world.let_act(serial, Incarnation::act).map(drop)
}

fn fault(world: &mut World) -> Result<(), Violation> {
    if world.happens(world.plan.tail_lost_once_in) {
        lose_tail(world);
    }
    if world.plan.faults.is_empty() {
        return Ok(());
    }
    let fault = world.plan.faults[world.random.below(world.plan.faults.len() as u64) as usize];
    let instance = world.random.below(INSTANCES as u64) as usize;
    match fault {
        Fault::Crash => crash(world, instance),
        Fault::Pause => {
            world.instances[instance].is_paused ^= true;
            world.count("instance stopped or went on");
            world.tell(|| format!("instance {instance} is stopped or goes on"));
        }
        Fault::Cut => {
            world.instances[instance].is_cut ^= true;
            world.count("instance cut off or came back");
            world.tell(|| format!("instance {instance} is cut off or comes back"));
        }
        Fault::ClockJump => {
            let by_ms = world.random.below(2 * CLOCK_JUMP_MS_MAX as u64) as i64 - CLOCK_JUMP_MS_MAX;
            let skew_ms = &mut world.instances[instance].skew_ms;
            *skew_ms = (*skew_ms + by_ms).clamp(-CLOCK_JUMP_MS_MAX, CLOCK_JUMP_MS_MAX);
            world.tell(|| format!("the clock of instance {instance} jumps by {by_ms} ms"));
        }
        Fault::LeaderChange => change_leader(world),
        Fault::Retention => expire(world),
        Fault::Leave => return leave(world, instance),
    }
    Ok(())
}

/// The power fails at an instance.
fn crash(world: &mut World, instance: usize) {
    world.tell(|| format!("instance {instance} crashes"));
    world.count("instance crashed");
    let here: Vec<u64> = world.incarnations.values().filter(|incarnation| incarnation.instance == instance).map(|incarnation| incarnation.serial).collect();
    here.into_iter().for_each(|serial| world.kill(serial));
    world.instances[instance].is_paused = false;
    if let Assignment::Agreed(seats) = &mut world.assignment {
        seats[instance].lose_memory();
    }
    for task in 0..world.oracle.tasks.len() {
        let disk = world.disk(instance, task);
        if world.happens(world.plan.disk_lost_once_in) {
            disk.lose();
            world.count("disk lost");
            world.tell(|| format!("instance {instance} loses its disk of task {task}"));
            continue;
        }
        let unwritten = disk.unwritten();
        let kept = if world.happens(world.plan.behind_once_in) { world.random.below(unwritten as u64 + 1) as usize } else { unwritten };
        disk.crash(kept);
        if kept < unwritten {
            world.count("store set back");
        }
        world.tell(|| format!("instance {instance} keeps {kept} of {unwritten} unwritten commits of task {task}"));
    }
}

fn change_leader(world: &mut World) {
    let places = unseen(world);
    if places.is_empty() {
        return;
    }
    let place = places[world.random.below(places.len() as u64) as usize];
    let before = world.broker.end(place);
    let end = world.broker.change_leader(place);
    if before > end {
        world.count("unacknowledged records lost by a leader");
    }
    world.tell(|| format!("{place} has another leader and ends at {end}"));
    world.network.forget_landed(place, end);
}

fn expire(world: &mut World) {
    if world.has_lost_tail {
        return;
    }
    let points = world.oracle.tasks.iter().filter_map(|reading| Some((reading.journal, reading.restore_point?.offset)));
    let points: Vec<_> = points.filter(|(journal, offset)| world.broker.offsets(*journal).0 < *offset).collect();
    if points.is_empty() {
        return;
    }
    let (journal, point) = points[world.random.below(points.len() as u64) as usize];
    let offset = point - world.random.below(3) as i64;
    world.broker.expire(journal, offset);
    world.count("journal shortened");
    world.tell(|| format!("{journal} begins at {offset}"));
}

/// An acknowledged tail of a journal is lost.
fn lose_tail(world: &mut World) {
    let task = world.random.below(world.oracle.tasks.len() as u64) as usize;
    let journal = world.oracle.tasks[task].journal;
    let (start, end) = world.broker.offsets(journal);
    if end - start < 2 {
        return;
    }
    let lost = 1 + world.random.below((end - start - 1).min(6) as u64) as i64;
    world.has_lost_tail = true;
    world.broker.lose_tail(journal, end - lost);
    world.network.forget_landed(journal, end - lost);
    world.tell(|| format!("{journal} loses {lost} acknowledged records and ends at {}", end - lost));
}

fn leave(world: &mut World, instance: usize) -> Result<(), Violation> {
    if world.instances[instance].is_paused {
        return Ok(());
    }
    world.tell(|| format!("instance {instance} leaves"));
    world.count("instance left");
    let here: Vec<u64> = world.incarnations.values().filter(|incarnation| incarnation.instance == instance).map(|incarnation| incarnation.serial).collect();
    for serial in here {
        let left = world.incarnations.remove(&serial).map_or(Ok(()), Incarnation::leave);
        left.map_err(|stop: Stop| Violation::new(Law::NoFalseAlarm, stop.to_string()))?;
    }
    for task in 0..world.oracle.tasks.len() {
        world.disk(instance, task).flush();
    }
    assignment::leave(world, instance);
    Ok(())
}
