//! The promises of a task, proved on the production code under kills, takeovers, repeats and reordering.
//!
//! Goal of every test here: whatever happens to the tasks, the world outside ends up as if nothing had happened. The method is a small business of two processors (money comes in at
//! `till`, is counted by `audit`, a receipt is printed by an outside system, and a reminder fires later), run once undisturbed and then with one disturbance at every possible place.

#[path = "../support/business.rs"]
mod business;
mod golden;
mod loss;
mod snapshots;
mod upgrades;

use business::{World, run};
use fluvio_streams::testing::TestDriver;

/// `T1`-`T4`: a kill at any crash point changes nothing that anybody can see.
#[test]
fn a_kill_at_every_step_leaves_every_effect_once() {
    let undisturbed = run(&mut business::driver(), |_| {});
    let mut step = 1;
    loop {
        let mut driver = business::driver();
        driver.crash_at(step);
        let world = run(&mut driver, |_| {});
        assert_eq!(world, undisturbed, "killed at step {step}");
        if driver.crashes() == 0 {
            break;
        }
        step += 1;
    }
    assert!(step > 100, "the story has many crash points, this one had {step}");
}

/// A lost disk is no loss: the journal holds everything.
#[test]
fn every_store_can_be_deleted_and_comes_back() {
    let undisturbed = run(&mut business::driver(), |_| {});
    let lose = |driver: &mut TestDriver| {
        for processor in ["till", "audit"] {
            for partition in 0..business::PARTITIONS {
                driver.kill_and_lose_store(processor, partition);
            }
        }
    };
    assert_eq!(run(&mut business::driver(), lose), undisturbed);
}

/// A second owner on another machine, while the first believes that it still owns: fencing alone keeps them apart.
#[test]
fn a_zombie_has_no_effect_on_anything() {
    let undisturbed = run(&mut business::driver(), |_| {});
    let usurp = |driver: &mut TestDriver| {
        for processor in ["till", "audit"] {
            for partition in 0..business::PARTITIONS {
                driver.usurp(processor, partition);
            }
        }
    };
    assert_eq!(run(&mut business::driver(), usurp), undisturbed);
}

/// Seeds vary the order of turns, the size of runs, delays of effects, doubled effects, the place of the kill, and takeovers.
#[test]
fn random_schedules_with_kills_and_takeovers_end_alike() {
    let undisturbed = run(&mut business::driver(), |_| {});
    for seed in 0..400 {
        let mut driver = business::driver().with_seed(seed);
        driver.crash_at(1 + seed * 7 % 900);
        let world = run(&mut driver, |driver| {
            if seed % 3 == 0 {
                driver.usurp("audit", (seed % u64::from(business::PARTITIONS)) as u32);
            }
            if seed % 4 == 1 {
                driver.usurp("till", (seed % u64::from(business::PARTITIONS)) as u32);
            }
        });
        assert_eq!(world, undisturbed, "seed {seed}");
    }
}

/// The same seed is the same story, or a failing seed could not be looked into.
#[test]
fn a_seed_replays_exactly() {
    let trace = |seed| {
        let mut driver = business::driver().with_seed(seed);
        driver.crash_at(40);
        run(&mut driver, |_| {});
        (driver.steps(), driver.events("audit-events"), driver.events("till-events"))
    };
    assert_eq!(trace(7), trace(7));
}

/// A command in the wrong partition reaches its owner; one that is repeated there is taken once.
#[test]
fn a_misrouted_command_is_forwarded_to_its_owner() {
    let mut driver = business::driver();
    for partition in 0..business::PARTITIONS {
        driver.pipe_to("commands", partition, None, br#"{"type":"Deposit","account":"a-1","amount":5}"#);
    }
    driver.run_until_idle();
    assert_eq!(driver.state::<i64>("till", "accounts", "a-1"), Some(5 * i64::from(business::PARTITIONS)));
}

/// What nobody can read ends in the dead letters with its place, what the business refuses in the rejections with its reason; the next record is taken.
#[test]
fn bad_records_are_told_and_the_next_one_is_taken() {
    let mut driver = business::driver();
    let garbage: [&[u8]; 7] = [
        b"not json",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        br#"{"type":"Deposit","account":"a-1"}"#,
        br#"{"type":"Nonsense","account":"a-1"}"#,
        br#"{"type":"Deposit","account":7,"amount":1}"#,
    ];
    let partition = fluvio_streams::partitioner::partition_for(b"a-1", business::PARTITIONS);
    for value in garbage {
        driver.pipe_to("commands", partition, Some(b"\xff not utf-8"), value);
    }
    driver.pipe_to("commands", partition, Some(b"a-1"), &vec![b'x'; fluvio_streams::limits::RECORD_BYTES_MAX + 1]);
    driver.pipe("commands", "a-1", r#"{"type":"Deposit","account":"a-1","amount":-3}"#);
    driver.pipe("commands", "a-1", r#"{"type":"Deposit","account":"a-1","amount":3}"#);
    driver.run_until_idle();
    let letters = driver.events("dead-letters");
    let offsets: Vec<i64> = letters.iter().map(|letter| letter.data["offset"].as_i64().unwrap_or(-1)).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(letters.iter().all(|letter| letter.data["topic"] == "commands" && !letter.data["error"].as_str().unwrap_or_default().is_empty()));
    assert!(letters[4].data["error"].as_str().is_some_and(|error| error.contains("amount")), "{}", letters[4].data["error"]);
    let rejections = driver.events("rejections");
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].data["reason"], "AmountNotPositive");
    assert_eq!(driver.state::<i64>("till", "accounts", "a-1"), Some(3));
}

/// The world of the undisturbed run is what the story says, so that the comparisons above compare with something.
#[test]
fn the_undisturbed_story_ends_as_written() {
    let world = run(&mut business::driver(), |_| {});
    let World { balances, counted, receipts, reminders } = world;
    assert_eq!(balances, counted, "what came in was counted");
    assert_eq!(balances.values().sum::<i64>(), (1..=business::DEPOSITS).sum::<i64>());
    assert_eq!(receipts.len(), business::DEPOSITS as usize);
    assert_eq!(reminders.len(), balances.len(), "one reminder an account");
}
