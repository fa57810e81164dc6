//! The end of a run: faults stop, everything arrives, every timer fires, and all laws are checked.

use std::collections::BTreeMap;

use fluvio_streams::assignment::Duty;

use crate::assignment;
use crate::broker::{Place, TOPICS};
use crate::business::Account;
use crate::incarnation::Incarnation;
use crate::invariants::{Law, Violation};
use crate::limits::{CALM_PASSES_MAX, INSTANCES, PARTITIONS};
use crate::network::Cargo;
use crate::oracle::Oracle;
use crate::world::World;

/// Lets the world come to rest, loses every disk, lets it come to rest again, and judges.
pub(crate) fn run(world: &mut World) -> Result<(), Violation> {
    for instance in &mut world.instances {
        (instance.is_paused, instance.is_cut) = (false, false);
    }
    let judged = |world: &World, violation| if world.has_lost_tail { silent(violation) } else { violation };
    assignment::settle(world).and_then(|()| settle(world)).map_err(|violation| judged(world, violation))?;
    if world.is_loss_told {
        return Ok(());
    }
    if !world.has_lost_tail {
        world.oracle.rest()?;
    }
    world.tell(|| "every instance crashes and every disk is lost".to_owned());
    world.incarnations.clear();
    for instance in 0..INSTANCES {
        for task in 0..world.oracle.tasks.len() {
            world.disk(instance, task).lose();
        }
    }
    settle(world).map_err(|violation| judged(world, violation))?;
    match world.has_lost_tail {
        true if world.is_loss_told => Ok(()),
        true => {
            let mut oracle = Oracle::reread(world.topology.clone(), &world.broker).map_err(silent)?;
            oracle.agree().and_then(|()| oracle.rest()).map_err(silent)?;
            money(world, &oracle).map_err(silent)
        }
        false => {
            world.oracle.agree()?;
            world.oracle.rest()?;
            money(world, &world.oracle)?;
            outcomes(world)
        }
    }
}

fn silent(violation: Violation) -> Violation {
    Violation::new(Law::LossIsTold, format!("a tail was lost, nobody said so, and {violation}"))
}

/// Goes on until nothing moves any more.
fn settle(world: &mut World) -> Result<(), Violation> {
    for _ in 0..CALM_PASSES_MAX {
        world.steps += 1;
        if world.is_loss_told {
            return Ok(());
        }
        if !pass(world)? && !advance(world) {
            return at_rest(world);
        }
    }
    Err(Violation::new(Law::ComesToRest, format!("it still moves after {CALM_PASSES_MAX} passes")))
}

/// Lets everything happen that can; returns false if nothing did.
pub(crate) fn pass(world: &mut World) -> Result<bool, Violation> {
    let mut is_busy = false;
    while let Some((place, record)) = world.workload.next() {
        world.land(place, &[record])?;
        is_busy = true;
    }
    for index in (0..world.network.parcels.len()).rev() {
        let is_awaited = is_awaited(world, index);
        // What nobody waits for may still land, or never.
        if !is_awaited && world.random.once_in(2) {
            world.network.parcels.swap_remove(index);
            is_busy = true;
            continue;
        }
        is_busy |= world.move_parcel(index, true)?;
    }
    for place in Place::all() {
        is_busy |= world.show(place, i64::MAX)?;
    }
    let serials: Vec<u64> = world.incarnations.keys().copied().collect();
    for serial in serials {
        is_busy |= world.let_act(serial, Incarnation::act_on_all)?;
        let lost = world.incarnations.get(&serial).map(Incarnation::awaited).unwrap_or_default();
        for parcel in lost {
            if !world.network.carries(parcel) {
                is_busy |= world.let_act(serial, |incarnation, world| incarnation.timed_out(parcel, world.bug).map(|()| true))?;
            }
        }
    }
    for task in 0..world.oracle.tasks.len() {
        is_busy |= see_to_owner(world, task)?;
    }
    Ok(is_busy)
}

fn is_awaited(world: &World, index: usize) -> bool {
    let parcel = &world.network.parcels[index];
    let lands = matches!(&parcel.cargo, Cargo::Append { landed, .. } if !landed.is_empty());
    // Announcements of the group are of no incarnation.
    lands || parcel.incarnation == 0 || world.incarnations.get(&parcel.incarnation).is_some_and(|incarnation| incarnation.awaited().contains(&parcel.id))
}

/// Has somebody take a task over that nobody runs or is about to.
fn see_to_owner(world: &mut World, task: usize) -> Result<bool, Violation> {
    if world.has_lost_tail {
        // The checker does not follow any more: whoever is last owns.
        let reread = Oracle::reread_owners(world.topology.clone(), &world.broker);
        reread.into_iter().zip(&mut world.oracle.tasks).for_each(|(owner, reading)| reading.owner = owner);
    }
    let is_alive = |incarnation: &Incarnation| {
        let takes_over = !incarnation.is_running() && world.duty(incarnation.instance, task) == Duty::Owner;
        incarnation.task == task && (takes_over || (incarnation.is_running() && world.is_owner(incarnation)))
    };
    if world.incarnations.values().any(is_alive) {
        return Ok(false);
    }
    let heir = assignment::heir(world, task);
    if world.duty(heir, task) != Duty::Owner {
        return Ok(false);
    }
    // Whoever still believes that it runs the task there is in the way: it is gone.
    let zombie = world.incarnations.values().find(|incarnation| incarnation.task == task && incarnation.instance == heir).map(|zombie| zombie.serial);
    if let Some(serial) = zombie {
        world.kill(serial);
        world.disk(heir, task).flush();
    }
    world.start(heir, task).map(|()| true)
}

/// Lets time pass until the next timer is due; returns false if none is.
fn advance(world: &mut World) -> bool {
    let owners = world.incarnations.values().filter(|incarnation| world.is_owner(incarnation));
    let waits = owners.filter_map(|incarnation| Some(incarnation.next_timer_due_ms()? - world.now_ms(incarnation.instance)));
    let Some(wait_ms) = waits.min() else { return false };
    world.time_ms += wait_ms.max(1);
    world.tell(|| "nothing moves; time passes".to_owned());
    true
}

fn at_rest(world: &World) -> Result<(), Violation> {
    for task in 0..world.oracle.tasks.len() {
        let owner = world.incarnations.values().find(|incarnation| incarnation.task == task && incarnation.is_running() && world.is_owner(incarnation));
        let unfinished = owner.map_or_else(|| Some("has no owner".to_owned()), |owner| owner.unfinished(world));
        if let Some(unfinished) = unfinished {
            return Err(Violation::new(Law::ComesToRest, format!("task {task} {unfinished}")));
        }
        let end = world.broker.offsets(world.oracle.tasks[task].journal).1;
        if let Some(owner) = owner {
            world.check_state(task, &world.disk(owner.instance, task), end - 1, Law::StateIsReplay)?;
        }
    }
    Ok(())
}

/// Checks the money at rest.
fn money(world: &World, oracle: &Oracle) -> Result<(), Violation> {
    let (mut balances, mut confirmed, mut counted) = (0, 0, 0);
    for reading in &oracle.tasks {
        for (key, value) in &reading.state {
            if key.starts_with(b"uaccounts\0") {
                let account: Account = serde_json::from_slice(value).unwrap_or_else(|error| panic!("account reads: {error}"));
                if account.balance < 0 {
                    return Err(Violation::new(Law::MoneyConserved, format!("{} holds {}", String::from_utf8_lossy(&key[10..]), account.balance)));
                }
                balances += account.balance;
                confirmed += account.confirmed;
            } else if key.starts_with(b"ucounted\0") {
                counted += serde_json::from_slice::<i64>(value).unwrap_or_else(|error| panic!("count reads: {error}"));
            }
        }
    }
    let live = world.provider.live();
    match balances == live && confirmed == live && counted == live {
        true => Ok(()),
        false => {
            let detail = format!("the provider has {live}, balances are {balances}, counted were {counted}, confirmed {confirmed}");
            Err(Violation::new(Law::MoneyConserved, detail))
        }
    }
}

/// Checks that every command had one outcome.
fn outcomes(world: &World) -> Result<(), Violation> {
    let mut outcomes: BTreeMap<&str, i64> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    let mut sent: BTreeMap<String, i64> = BTreeMap::new();
    for place in Place::all().filter(|place| !place.is_journal()) {
        for offset in 0..world.broker.offsets(place).1 {
            let stored = world.broker.archived(place, offset);
            if TOPICS[place.topic] == "commands" {
                if stored.label.provenance.is_none() {
                    *sent.entry(command_id(&stored.value).unwrap_or_else(|| format!("{place}/{offset}"))).or_default() += 1;
                }
                continue;
            }
            let is_final = matches!(stored.label.kind.as_deref(), Some("Captured" | "Declined" | "Refunded" | "Sent" | "CommandRejected" | "DeadLetter"));
            if is_final && ids.insert(&stored.label.id) {
                *outcomes.entry(&stored.label.correlation).or_default() += 1;
            }
        }
    }
    for (command, count) in &sent {
        let had = outcomes.remove(command.as_str()).unwrap_or_default();
        if had != *count {
            return Err(Violation::new(Law::OneOutcome, format!("command {command} was sent {count} times and had {had} outcomes")));
        }
    }
    match outcomes.first_key_value() {
        None => Ok(()),
        Some((stranger, _)) => Err(Violation::new(Law::OneOutcome, format!("{stranger} has an outcome and was never sent"))),
    }
}

fn command_id(value: &[u8]) -> Option<String> {
    Some(serde_json::from_slice::<serde_json::Value>(value).ok()?["commandId"].as_str()?.to_owned())
}

const _: () = assert!(PARTITIONS > 1, "keys must cross partitions");
