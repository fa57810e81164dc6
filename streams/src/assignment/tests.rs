//! Groups of members over one list of records, with a clock each, under whatever happens to them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const HEARTBEAT_MS: u64 = 300;
const SESSION_MS: u64 = 1_200;
const RELEASE_MS: u64 = 1_000;

fn application() -> Vec<(String, u32)> {
    vec![("orders".to_owned(), 4), ("payments".to_owned(), 4), ("store".to_owned(), 3)]
}

/// A member with its process.
struct Instance {
    name: String,
    processors: BTreeSet<String>,
    member: Member,
    read: usize,
    /// Duties as the process has carried them out: what it runs.
    runs: BTreeMap<TaskId, Duty>,
    is_up: bool,
    /// It neither reads nor writes.
    is_cut_off: bool,
    /// How much faster its clock is, in percent.
    clock_percent: u64,
}

struct World {
    log: Vec<Announcement>,
    instances: Vec<Instance>,
    now_ms: u64,
    standbys: usize,
    born: u32,
}

impl World {
    fn new(standbys: usize) -> Self {
        Self { log: Vec::new(), instances: Vec::new(), now_ms: 1_000, standbys, born: 0 }
    }

    fn start(&mut self, name: &str, processors: &[&str]) {
        self.born += 1;
        let able: BTreeSet<String> = match processors.is_empty() {
            true => application().into_iter().map(|(processor, _)| processor).collect(),
            false => processors.iter().map(|processor| (*processor).to_owned()).collect(),
        };
        let config = MemberConfig {
            instance: name.to_owned(),
            processors: application().into_iter().filter(|(processor, _)| able.contains(processor)).collect(),
            standbys: self.standbys,
            heartbeat_ms: HEARTBEAT_MS,
            session_ms: SESSION_MS,
            release_ms: RELEASE_MS,
            lifeline: None,
        };
        let member = Member::new(&format!("{name}-{}", self.born), config, true);
        let fresh =
            Instance { name: name.to_owned(), processors: able, member, read: 0, runs: BTreeMap::new(), is_up: true, is_cut_off: false, clock_percent: 100 };
        match self.instances.iter_mut().find(|instance| instance.name == name) {
            Some(instance) => *instance = fresh,
            None => self.instances.push(fresh),
        }
    }

    fn instance(&mut self, name: &str) -> &mut Instance {
        self.instances.iter_mut().find(|instance| instance.name == name).expect("it was started")
    }

    fn kill(&mut self, name: &str) {
        let instance = self.instance(name);
        instance.is_up = false;
        instance.runs.clear();
    }

    fn leave(&mut self, name: &str) {
        let instance = self.instance(name);
        let left = instance.member.leave();
        instance.is_up = false;
        instance.runs.clear();
        self.log.extend(left);
    }

    /// Lets everybody act, then 50 ms pass.
    fn turn(&mut self) {
        for instance in &mut self.instances {
            if !instance.is_up || instance.is_cut_off {
                continue;
            }
            let now_ms = self.now_ms * instance.clock_percent / 100;
            while let Some(announcement) = self.log.get(instance.read) {
                instance.member.admit(instance.read as i64, announcement, now_ms);
                instance.read += 1;
            }
            for (processor, partitions) in application() {
                for task in (0..partitions).map(|partition| TaskId::new(&processor, partition)) {
                    let duty = instance.member.duty(&task, now_ms);
                    if instance.runs.insert(task.clone(), duty) == Some(Duty::Owner) && duty != Duty::Owner {
                        instance.member.finished(&task);
                    }
                }
            }
            // Whoever follows a task has come to its end by the next turn.
            let warm = instance.runs.iter().filter(|(_, duty)| **duty == Duty::Standby).map(|(task, _)| task.clone()).collect();
            instance.member.set_warm(warm);
            self.log.extend(instance.member.tick(now_ms));
        }
        self.now_ms += 50;
    }

    fn run(&mut self, ms: u64) {
        (0..ms / 50).for_each(|_| self.turn());
    }

    /// Returns who runs each task.
    fn owners(&self) -> BTreeMap<TaskId, Vec<String>> {
        let mut owners: BTreeMap<TaskId, Vec<String>> = BTreeMap::new();
        for instance in self.instances.iter().filter(|instance| instance.is_up) {
            for (task, _) in instance.runs.iter().filter(|(_, duty)| **duty == Duty::Owner) {
                owners.entry(task.clone()).or_default().push(instance.name.clone());
            }
        }
        owners
    }

    fn count(&self, name: &str, duty: Duty) -> usize {
        let instance = self.instances.iter().find(|instance| instance.name == name).expect("it was started");
        instance.runs.values().filter(|runs| **runs == duty).count()
    }

    /// Every task that somebody up can run has one owner, each processor's tasks are even, and all agree.
    fn assert_at_rest(&self) {
        let up: Vec<&Instance> = self.instances.iter().filter(|instance| instance.is_up && !instance.is_cut_off).collect();
        let owners = self.owners();
        for (processor, partitions) in application() {
            let able: Vec<&&Instance> = up.iter().filter(|instance| instance.processors.contains(&processor)).collect();
            if able.is_empty() {
                continue;
            }
            let mut counts: BTreeMap<&str, usize> = able.iter().map(|instance| (instance.name.as_str(), 0)).collect();
            for task in (0..partitions).map(|partition| TaskId::new(&processor, partition)) {
                let owner = owners.get(&task).unwrap_or_else(|| panic!("{task} is run by nobody: {:#?}", self.log.last()));
                assert_eq!(owner.len(), 1, "{task}");
                *counts.get_mut(owner[0].as_str()).expect("its owner is able") += 1;
            }
            let (most, least) = (counts.values().max().unwrap_or(&0), counts.values().min().unwrap_or(&0));
            assert!(most - least <= 1, "{processor}: {counts:?}");
        }
        for instance in &up {
            assert_eq!(told(instance), told(up[0]), "all read the same");
            assert!(instance.member.is_settled(), "{} is settled", instance.name);
        }
    }
}

/// What an instance knows of the group, but for what is on its way.
fn told(instance: &Instance) -> (u64, i64, Vec<&str>, &BTreeMap<TaskId, String>) {
    let group = instance.member.group();
    (group.generation(), group.changed_at(), group.members().iter().map(|seen| seen.listed.member.as_str()).collect(), group.owners())
}

#[test]
fn the_first_has_everything_at_once_and_says_nothing_more() {
    let mut world = World::new(0);
    world.start("a", &[]);
    world.run(200);
    world.assert_at_rest();
    assert_eq!(world.count("a", Duty::Owner), 11);
    let said = world.log.len();
    world.run(60_000);
    assert_eq!(world.log.len(), said, "nobody listens");
}

#[test]
fn a_second_one_gets_its_share_once_it_follows_and_nothing_else_moves() {
    let mut world = World::new(0);
    world.start("a", &[]);
    world.run(500);
    world.start("b", &[]);
    let mut seen = Vec::new();
    for _ in 0..60 {
        world.turn();
        let owners = world.owners();
        assert!(owners.values().all(|owners| owners.len() == 1), "{owners:?}");
        seen.push(owners.len());
    }
    world.assert_at_rest();
    assert!(seen.iter().filter(|count| **count < 11).count() <= 3, "tasks on their way are run by nobody for a turn or two: {seen:?}");
    assert_eq!(world.count("b", Duty::Owner), 5);
}

#[test]
fn what_a_dead_one_had_is_taken_over_after_its_session_and_by_who_follows_it() {
    let mut world = World::new(1);
    for name in ["a", "b", "c"] {
        world.start(name, &[]);
        world.run(1_000);
    }
    world.run(2_000);
    world.assert_at_rest();
    let followed: BTreeSet<TaskId> = world.instances[1].runs.iter().filter(|(_, duty)| **duty == Duty::Standby).map(|(task, _)| task.clone()).collect();
    let before = world.owners();
    world.kill("a");
    world.run(SESSION_MS + HEARTBEAT_MS + 200);
    for (task, owner) in before {
        let now = &world.owners()[&task];
        match owner[0].as_str() {
            "a" if followed.contains(&task) => assert_eq!(now[0], "b", "{task}"),
            "a" => assert_eq!(now[0], "c", "{task}"),
            _ => assert_eq!(now.len(), 1, "{task}"),
        }
    }
    world.run(2_000);
    world.assert_at_rest();
}

/// Goal: nobody waits for the silence of a process that is known to have ended, even if it had written something at the last moment.
#[test]
fn what_a_dead_one_had_is_taken_over_at_once_by_who_knows_that_it_is_dead() {
    let mut world = World::new(1);
    for name in ["a", "b", "c"] {
        world.start(name, &[]);
    }
    world.run(2_000);
    let (dead, tasks) = (world.instance("a").member.id(), world.count("a", Duty::Owner));
    assert!(tasks > 0);
    world.kill("a");
    for name in ["b", "c"] {
        world.instance(name).member.ended(&dead);
    }
    // It stands in the topic, and they have not read it.
    world.log.push(Announcement::Alive { member: dead.clone(), warm: BTreeSet::new() });
    let evictions = world.log.len();
    world.run(200);
    assert_eq!(world.count("b", Duty::Owner) + world.count("c", Duty::Owner), 11, "all tasks run again after 200 ms");
    assert!(world.log[evictions..].iter().any(|said| matches!(said, Announcement::Evicted { member, .. } if *member == dead)));
    // One that comes again is somebody else.
    world.start("a", &[]);
    world.run(3_000);
    world.assert_at_rest();
    assert!(world.count("a", Duty::Owner) >= 3);
}

#[test]
fn whoever_comes_back_under_its_name_takes_its_place_at_once() {
    let mut world = World::new(0);
    world.start("a", &[]);
    world.run(500);
    world.kill("a");
    world.start("a", &[]);
    world.run(200);
    world.assert_at_rest();
}

#[test]
fn whoever_leaves_is_replaced_at_once() {
    let mut world = World::new(0);
    world.start("a", &[]);
    world.start("b", &[]);
    world.run(3_000);
    world.leave("a");
    world.run(200);
    world.assert_at_rest();
    assert_eq!(world.count("b", Duty::Owner), 11);
}

#[test]
fn more_members_than_partitions_wait() {
    let mut world = World::new(0);
    for name in ["a", "b", "c", "d", "e", "f"] {
        world.start(name, &["orders"]);
    }
    world.run(5_000);
    let counts: Vec<usize> = ["a", "b", "c", "d", "e", "f"].iter().map(|name| world.count(name, Duty::Owner)).collect();
    assert_eq!(counts.iter().sum::<usize>(), 4);
    assert!(counts.iter().all(|count| *count <= 1), "{counts:?}");
}

#[test]
fn one_that_was_cut_off_comes_again_as_somebody_new() {
    let mut world = World::new(0);
    world.start("a", &[]);
    world.start("b", &[]);
    world.run(3_000);
    world.instance("a").is_cut_off = true;
    world.run(3_000);
    assert_eq!(world.count("b", Duty::Owner), 11);
    world.instance("a").is_cut_off = false;
    world.run(5_000);
    world.assert_at_rest();
    assert!(world.count("a", Duty::Owner) >= 5);
}

#[test]
fn who_begins_in_the_middle_sees_the_same_group() {
    let mut world = World::new(1);
    for name in ["a", "b", "c"] {
        world.start(name, &[]);
        world.run(700);
    }
    world.kill("c");
    world.run(5_000);
    let from = world.log.iter().rposition(|record| matches!(record, Announcement::Assigned { .. })).expect("something was assigned");
    let (mut whole, mut rest) = (group::Group::new(true), group::Group::new(false));
    for (offset, record) in world.log.iter().enumerate() {
        whole.admit(offset as i64, record);
        if offset >= from {
            rest.admit(offset as i64, record);
        }
    }
    assert_eq!(
        (whole.members().len(), whole.owners(), whole.standbys(), whole.leader()),
        (rest.members().len(), rest.owners(), rest.standbys(), rest.leader())
    );
    assert_eq!(whole.changed_at(), rest.changed_at());
}

#[derive(Debug, Clone)]
enum Event {
    Start(usize),
    Kill(usize),
    Leave(usize),
    CutOff(usize),
    Reconnect(usize),
    Clock(usize, u64),
    /// All others believe that its process has ended, whether or not it has.
    Ended(usize),
    Run(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_usize..5).prop_map(Event::Start),
        1 => (0_usize..5).prop_map(Event::Kill),
        1 => (0_usize..5).prop_map(Event::Leave),
        1 => (0_usize..5).prop_map(Event::CutOff),
        1 => (0_usize..5).prop_map(Event::Reconnect),
        1 => (0_usize..5).prop_map(Event::Ended),
        1 => (0_usize..5, 70_u64..140).prop_map(|(who, percent)| Event::Clock(who, percent)),
        4 => (50_u64..3_000).prop_map(Event::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever happened: once nothing more happens, all who are there agree, every task has one owner, evenly, and then nothing moves any more.
    #[test]
    fn groups_come_to_rest(events in prop::collection::vec(event(), 0..60), standbys in 0_usize..3) {
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
        let mut world = World::new(standbys);
        world.start("a", &[]);
        for event in events {
            let is_up = |world: &World, who: usize| world.instances.iter().any(|instance| instance.name == NAMES[who] && instance.is_up);
            match event {
                Event::Start(who) if !is_up(&world, who) => world.start(NAMES[who], &[]),
                Event::Kill(who) if is_up(&world, who) => world.kill(NAMES[who]),
                Event::Leave(who) if is_up(&world, who) => world.leave(NAMES[who]),
                Event::CutOff(who) if is_up(&world, who) => world.instance(NAMES[who]).is_cut_off = true,
                Event::Reconnect(who) if is_up(&world, who) => world.instance(NAMES[who]).is_cut_off = false,
                // A clock runs at its own speed from the start of its member, or it would run back.
                Event::Clock(who, percent) if is_up(&world, who) && percent >= world.instance(NAMES[who]).clock_percent => {
                    world.instance(NAMES[who]).clock_percent = percent;
                }
                Event::Ended(who) if world.instances.iter().any(|instance| instance.name == NAMES[who]) => {
                    let id = world.instance(NAMES[who]).member.id();
                    world.instances.iter_mut().filter(|instance| instance.name != NAMES[who]).for_each(|instance| instance.member.ended(&id));
                }
                Event::Run(ms) => world.run(ms),
                _ => {}
            }
        }
        for name in NAMES {
            if world.instances.iter().any(|instance| instance.name == name) {
                world.instance(name).is_cut_off = false;
            }
        }
        if !world.instances.iter().any(|instance| instance.is_up) {
            world.start("a", &[]);
        }
        world.run(30_000);
        world.assert_at_rest();
        let owners = world.owners();
        world.run(10_000);
        prop_assert_eq!(world.owners(), owners);
        if standbys > 0 && world.instances.iter().filter(|instance| instance.is_up).count() > standbys {
            let following: usize = world.instances.iter().filter(|instance| instance.is_up).map(|instance| world.count(&instance.name, Duty::Standby)).sum();
            prop_assert_eq!(following, 11 * standbys);
        }
    }
}
