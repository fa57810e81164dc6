//! `T7`: whoever begins at a restore point ends with the state of whoever began at the beginning; and what there is to read is bounded by what is alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use fluvio_streams::journal::{JournalRecord, RestorePoint};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::task::SnapshotPolicy;
use fluvio_streams::testing::TestDriver;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

const JOURNAL: &str = "keeper-journal";
const KEYS: u32 = 40;

/// Keeps what it is told, forgets it when it is told, and counts.
struct Keeper;

#[derive(Deserialize)]
struct Command {
    key: String,
    #[serde(default)]
    value: String,
}

impl Processor for Keeper {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => {
                let command: Command = message.decode()?;
                match message.kind.as_str() {
                    "Put" => {
                        context.put("kept", &command.key, &command.value);
                        context.set_timer("look", &command.key, context.now_ms() + 60_000)?;
                    }
                    _ => {
                        context.delete("kept", &command.key);
                        context.cancel_timer("look", &command.key)?;
                    }
                }
                context.add_total("commands", 1)?;
                context.emit("keeper-events", "Done", &command.key, &json!({}));
            }
            Input::Timer(timer) => context.emit("keeper-events", "Looked", &timer.key, &json!({})),
            Input::CallResult(_) => {}
        }
        Ok(())
    }
}

fn driver() -> TestDriver {
    let keeper = ProcessorSpec {
        name: "keeper".into(),
        sources: vec![Source::commands("commands", "key", Routing::Except(vec!["Other".into()]))],
        sinks: vec!["keeper-events".into()],
        journal: JOURNAL.into(),
        stores: vec!["kept".into()],
        calls: Vec::new(),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic: Arc::new(Keeper),
    };
    TestDriver::new(Topology { application: "keeping".into(), processors: vec![keeper] }, 1)
}

fn command(driver: &mut TestDriver, number: u64, key: u32, value: Option<&str>) {
    let kind = if value.is_some() { "Put" } else { "Delete" };
    let command = json!({ "type": kind, "commandId": format!("c-{number}"), "key": format!("k-{key}"), "value": value.unwrap_or_default() });
    driver.pipe("commands", &format!("k-{key}"), &command.to_string());
}

/// Returns the restore point that the last record of the journal names.
fn restore_point(driver: &TestDriver) -> Option<RestorePoint> {
    let bounds = driver.log().bounds(JOURNAL, 0).expect("there is a journal");
    let last = driver.log().fetch(JOURNAL, 0, (bounds.end - 1).max(bounds.start), None, 1).expect("it can be read").records.pop()?;
    JournalRecord::decode(&last.value).expect("it is a journal record").restore_point()
}

/// Returns the bytes of journal that a reader without a store has to read.
fn replay_bytes(driver: &TestDriver) -> usize {
    let bounds = driver.log().bounds(JOURNAL, 0).expect("there is a journal");
    let from = restore_point(driver).map_or(bounds.start, |point| point.offset);
    let records = driver.log().fetch(JOURNAL, 0, from, None, usize::MAX).expect("it can be read").records;
    records.iter().map(|record| record.value.len()).sum()
}

fn assert_kept(driver: &TestDriver, model: &BTreeMap<u32, String>, commands: u64) {
    for key in 0..KEYS {
        assert_eq!(driver.state::<String>("keeper", "kept", &format!("k-{key}")).as_ref(), model.get(&key), "k-{key}");
    }
    assert_eq!(driver.total("keeper", "commands"), commands as i64);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, usize),
    Delete(u32),
    /// Everybody rests.
    Rest,
    /// The task is killed and keeps its disk.
    Kill,
    /// It is killed, loses its disk, and the topic what is before the restore point.
    LoseEverythingElse,
    /// Another one takes over, with a disk of its own.
    Usurp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..KEYS, 0_usize..300).prop_map(|(key, length)| Step::Put(key, length)),
        8 => (0..KEYS).prop_map(Step::Delete),
        4 => Just(Step::Rest),
        1 => Just(Step::Kill),
        1 => Just(Step::LoseEverythingElse),
        1 => Just(Step::Usurp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whoever_begins_at_a_restore_point_has_everything_that_is_alive(steps in prop::collection::vec(step(), 1..400), seed in any::<u64>(), crash in 0_u64..600) {
        let mut driver = driver().with_seed(seed);
        driver.crash_at(crash);
        let (mut model, mut commands) = (BTreeMap::new(), 0);
        for step in steps {
            match step {
                Step::Put(key, length) => {
                    commands += 1;
                    let value = "x".repeat(length);
                    command(&mut driver, commands, key, Some(&value));
                    model.insert(key, value);
                }
                Step::Delete(key) => {
                    commands += 1;
                    command(&mut driver, commands, key, None);
                    model.remove(&key);
                }
                Step::Rest => driver.run_until_idle(),
                Step::Kill => driver.kill("keeper", 0),
                Step::LoseEverythingElse => {
                    driver.kill_and_lose_store("keeper", 0);
                    if let Some(point) = restore_point(&driver) {
                        driver.log().expire(JOURNAL, 0, point.offset).expect("there is a journal");
                    }
                }
                Step::Usurp => driver.usurp("keeper", 0),
            }
        }
        driver.run_until_idle();
        assert_kept(&driver, &model, commands);
        driver.kill_and_lose_store("keeper", 0);
        driver.run_until_idle();
        assert_kept(&driver, &model, commands);
        // Every timer is alive too, and fires once: those that fired before were of keys that are set or not, whatever came later.
        driver.advance(120_000);
        driver.run_until_idle();
        let looked: Vec<String> = driver.distinct_events("keeper-events").into_iter().filter(|event| event.kind == "Looked").map(|event| event.subject).collect();
        let expected: Vec<String> = model.keys().map(|key| format!("k-{key}")).collect();
        let sorted = |mut names: Vec<String>| { names.sort(); names };
        prop_assert_eq!(sorted(looked), sorted(expected));
    }
}

/// Goal: ten times the history is as much to read, for a task that is busy; and a task that is idle writes nothing.
#[test]
fn what_a_successor_reads_does_not_grow_with_history() {
    let mut driver = driver();
    let mut number = 0;
    let mut play = |driver: &mut TestDriver, commands: u64| {
        for _ in 0..commands {
            number += 1;
            command(driver, number, (number % u64::from(KEYS)) as u32, Some(&"v".repeat(100)));
            driver.run_until_idle();
        }
        replay_bytes(driver)
    };
    let most_after = |driver: &mut TestDriver, play: &mut dyn FnMut(&mut TestDriver, u64) -> usize, rounds: u64| (0..rounds).map(|_| play(driver, 50)).max();
    let early = most_after(&mut driver, &mut play, 10).expect("it was played");
    let late = most_after(&mut driver, &mut play, 90).expect("it was played");
    assert!(late <= early * 6 / 5, "at most {early} bytes after 500 commands, {late} after 5,000");
    let end = driver.log().bounds(JOURNAL, 0).expect("there is a journal").end;
    driver.run_until_idle();
    driver.advance(1_000);
    assert_eq!(driver.log().bounds(JOURNAL, 0).expect("there is a journal").end, end);
}

/// Goal: retention never reaches what is alive: an idle task writes its state again, in time, and only then.
#[test]
fn what_is_alive_is_written_again_before_retention_reaches_it() {
    let hour_ms = 3_600_000;
    let mut driver = driver().with_snapshots(SnapshotPolicy { every_ms: 6 * hour_ms, ..SnapshotPolicy::default() });
    for key in 0..KEYS {
        command(&mut driver, u64::from(key), key, Some("v"));
    }
    driver.run_until_idle();
    assert_eq!(restore_point(&driver), None, "too little to be worth it");
    let mut named = Vec::new();
    for _ in 0..30 {
        driver.advance(hour_ms);
        driver.run_until_idle();
        named.extend(restore_point(&driver).map(|point| point.offset));
    }
    named.dedup();
    assert!((3..=5).contains(&named.len()), "every six hours: {named:?}");
    driver.log().expire(JOURNAL, 0, named[named.len() - 1]).expect("there is a journal");
    driver.kill_and_lose_store("keeper", 0);
    driver.run_until_idle();
    assert_kept(&driver, &(0..KEYS).map(|key| (key, "v".to_owned())).collect(), u64::from(KEYS));
}
