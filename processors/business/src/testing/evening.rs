//! Any evening: random commands on a few aggregates with troublesome customers, in random order of work, with kills, takeovers, and processors that are down for a while. Only the laws are
//! checked, and they hold at every rest.

use std::collections::BTreeSet;

use fluvio_streams::system::System;
use fluvio_streams::testing::Random;
use fluvio_streams::time::format_rfc3339;
use serde_json::{Value, json};

use super::contract::Kinds;
use super::{World, status_names, touchy};
use crate::config::Config;
use crate::front::commands::{FORCE_BREAKER, RESET_BREAKER};
use crate::names::Names;
use crate::rules::Business;
use crate::schema::records::{REDRIVE_STARTED, REDRIVEN};
use crate::topics;

/// Partitions of each topic.
pub const PARTITIONS: u32 = 2;

/// The longest wait of all: ten minutes for a provider that is not available, and a call that is made again after a kill.
const LONGEST_WAIT_MS: i64 = 900_000;

/// Customers with whom a provider has every kind of trouble, and some with none.
pub const CUSTOMERS: [&str; 10] = [
    "kim",
    "kim",
    "kim",
    "simulate-decline",
    "simulate-fail",
    "simulate-late",
    "simulate-too-late",
    "simulate-stall",
    "simulate-twice",
    "simulate-refund-fail-once",
];

/// A command that is to be sent.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Command type.
    pub kind: &'static str,
    /// Field that names what it is about.
    pub id_field: &'static str,
    /// What it is about.
    pub id: String,
    /// Its other fields.
    pub fields: Value,
}

/// The evenings of a business. One seed is one evening, on every machine.
#[derive(Debug)]
pub struct Evenings<B: Business> {
    /// Wires the business.
    pub system: fn(&Config) -> System,
    /// Draws a command.
    pub command: fn(&mut Random) -> Drawn,
    /// Checks what only this business promises. The topology is at rest.
    pub law: fn(&World<B>),
}

/// What has happened.
#[derive(Debug, Default)]
pub struct Spent {
    /// Types of the front's events.
    pub kinds: BTreeSet<String>,
    /// Statuses of its aggregates.
    pub statuses: BTreeSet<String>,
    /// Types of records that were seen, by topic.
    pub records: Kinds,
    /// Types of records that the contract names.
    pub promised: Kinds,
    /// How many tasks died.
    pub crashes: u64,
}

impl Spent {
    /// Returns the types of records that the contract names and that were not seen, as `<topic> <type>`: what is promised must happen.
    pub fn unseen(&self) -> Vec<String> {
        self.promised.difference(&self.records).map(|(topic, kind)| format!("{topic} {kind}")).collect()
    }
}

/// Returns one of a list.
pub fn pick<'l, T: ?Sized>(random: &mut Random, list: &[&'l T]) -> &'l T {
    list[random.below(list.len() as u64) as usize]
}

impl<B: Business> Evenings<B> {
    /// Spends so many evenings and returns what has happened.
    ///
    /// # Panics
    /// If a law is broken; the seed is printed before.
    pub fn laws_hold(&self, evenings: u64) -> Spent {
        let mut spent = Spent { records: self.what_is_rare().contract_holds(), ..Spent::default() };
        for seed in 0..evenings {
            println!("evening {seed}");
            let world = self.spend(seed);
            spent.crashes += world.driver.crashes();
            spent.records.extend(world.contract_holds());
            spent.promised = world.contract_kinds();
            for event in world.driver.distinct_events(&world.front_events()) {
                spent.statuses.extend(event.data["status"].as_str().map(str::to_owned));
                spent.kinds.insert(event.kind);
            }
        }
        spent
    }

    /// Spends so many evenings, and checks that on them happens whatever can: what never happens is not tested.
    ///
    /// # Panics
    /// If a law is broken, or if an event, a status, or a type that the contract names was not seen.
    pub fn everything_happens(&self, evenings: u64) {
        let (names, spent) = (&B::NAMES, self.laws_hold(evenings));
        // Where no command asks for a new attempt, none is started.
        let kinds =
            names.words.events().into_iter().chain([names.words.stray_undone]).filter(|kind| names.retry.is_some() || *kind != names.words.attempt_started);
        assert_eq!(spent.kinds, kinds.map(str::to_owned).collect::<BTreeSet<_>>(), "kinds of events");
        assert_eq!(spent.statuses.len(), status_names(names).len(), "{:?}", spent.statuses);
        assert_eq!(spent.unseen(), [""; 0], "types that the contract names and nobody saw");
        assert!(spent.crashes > evenings, "{} tasks died", spent.crashes);
    }

    /// Does what no evening does: an operator's orders and notes, a record that nobody can read, an answer about something that is not known.
    fn what_is_rare(&self) -> World<B> {
        let Names { system, id_field, partner, .. } = B::NAMES;
        let mut world = World::new((self.system)(&Config::default()), PARTITIONS, None);
        for order in [json!({"type": FORCE_BREAKER, "state": "forced-open"}), json!({"type": RESET_BREAKER}), json!({"type": "NobodyTakesThis"})] {
            world.driver.pipe_to(&topics::commands(system), 0, None, order.to_string().as_bytes());
        }
        let note = |kind: &str, place: &str| json!({"type": kind, "letter": format!("{system}/0/0"), "after": 0, "topic": topics::commands(system), "partition": 0, (place): 1, "redrives": 1, "at": format_rfc3339(0)});
        for note in [note(REDRIVE_STARTED, "from"), note(REDRIVEN, "offset")] {
            world.driver.pipe_to(&topics::dead_letters(system), 0, None, note.to_string().as_bytes());
        }
        let forged = json!({"type": partner.accepted, (id_field): "nobody", "attempt": 1});
        world.driver.pipe(&topics::replies(system, partner.pair), "nobody", &forged.to_string());
        world.driver.advance(LONGEST_WAIT_MS);
        world.look();
        world
    }

    /// A failing seed can be looked into only if it fails again.
    ///
    /// # Panics
    /// If an evening is another the second time.
    pub fn replays_exactly(&self, seed: u64) {
        let trace = || {
            let world = self.spend(seed);
            (world.driver.steps(), world.look())
        };
        assert_eq!(trace(), trace());
    }

    fn spend(&self, seed: u64) -> World<B> {
        let config = config(seed);
        let system = (self.system)(&config);
        let processors: Vec<String> = system.topology.processors.iter().map(|processor| processor.name.clone()).collect();
        let processors: Vec<&str> = processors.iter().map(String::as_str).collect();
        let mut world = World::new(system, PARTITIONS, Some(seed));
        let mut random = Random::new(seed ^ 0x5eed);
        world.driver.crash_at(1 + random.below(1_500));
        for _ in 0..20 + random.below(20) {
            let Drawn { kind, id_field, id, fields } = (self.command)(&mut random);
            let command_id = world.send_new(kind, id_field, &id, fields.clone());
            if random.once_in(8) {
                world.send_about(&command_id, kind, id_field, &id, fields);
            }
            match random.below(8) {
                0..=2 => {}
                3..=5 => world.driver.advance(random.below(100) as i64),
                6 => world.driver.advance(random.below(1_500) as i64),
                _ => world.driver.advance(random.below(35_000) as i64),
            }
            if random.once_in(6) {
                // Nobody may be down for longer than the others remember.
                let kinds = if config.retention_ms < LONGEST_WAIT_MS { 3 } else { 5 };
                disturb(&mut world, &mut random, &processors, kinds);
            }
            world.account_balances();
        }
        for processor in processors {
            world.driver.bring_up(processor);
        }
        world.driver.advance(LONGEST_WAIT_MS);
        world.look();
        world.every_undoing_is_wanted();
        (self.law)(&world);
        world
    }
}

/// Every third evening the breaker opens early, every second one what has ended is soon forgotten, and its id used again.
fn config(seed: u64) -> Config {
    let config = if seed.is_multiple_of(3) { touchy(4_000) } else { Config::default() };
    if seed.is_multiple_of(2) { Config { retention_ms: 300, ..config } } else { config }
}

/// Does one of so many kinds of mischief.
fn disturb<B: Business>(world: &mut World<B>, random: &mut Random, processors: &[&str], kinds: u64) {
    let processor = pick(random, processors);
    let partition = random.below(u64::from(PARTITIONS)) as u32;
    match random.below(kinds) {
        0 => world.driver.kill(processor, partition),
        1 => world.driver.kill_and_lose_store(processor, partition),
        2 => world.driver.usurp(processor, partition),
        3 => world.driver.take_down(processor),
        _ => processors.iter().for_each(|processor| world.driver.bring_up(processor)),
    }
}
