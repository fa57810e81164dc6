//! Random interleavings of commands, answers and time; what must hold between two steps is checked by the harness, what must hold over the life of a key here.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::harness::{Said, World};
use super::*;
use crate::breaker::WindowKind;
use crate::limits::RETRY_CATCH_UP_MS;

#[derive(Debug, Clone)]
enum Act {
    Start(u8),
    Again(u8),
    Close(u8),
    /// To the attempt that many before the newest.
    Answer(u8, u32, Answer),
    /// To an attempt that was never made.
    Stray(u8),
    Wait(i64),
    /// Time passes while the task is down: answers are read before the timers that were due.
    Sleep(i64),
    Force(State),
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Yes,
    No,
    Error,
}

fn act() -> impl Strategy<Value = Act> {
    let answer = prop_oneof![3 => Just(Answer::Yes), 1 => Just(Answer::No), 3 => Just(Answer::Error)];
    let state =
        prop_oneof![4 => Just(State::Closed), 1 => Just(State::Open), 1 => Just(State::HalfOpen), 1 => Just(State::ForcedOpen), 1 => Just(State::Disabled)];
    prop_oneof![
        8 => (0u8..6).prop_map(Act::Start),
        4 => (0u8..6).prop_map(Act::Again),
        1 => (0u8..6).prop_map(Act::Close),
        8 => (0u8..6, 0u32..3, answer).prop_map(|(key, back, answer)| Act::Answer(key, back, answer)),
        1 => (0u8..6).prop_map(Act::Stray),
        8 => prop_oneof![0i64..120, 0i64..1_200].prop_map(Act::Wait),
        1 => (0i64..1_200).prop_map(Act::Sleep),
        1 => state.prop_map(Act::Force),
    ]
}

fn hasty(kind: WindowKind, minimum: u32, queue_max: u32) -> GuardConfig {
    let breaker = BreakerConfig {
        minimum_number_of_calls: minimum,
        permitted_calls_in_half_open: 2,
        window_kind: kind,
        window_size: 4,
        wait_duration_in_open_ms: 500,
        ..BreakerConfig::default()
    };
    GuardConfig {
        deadline_ms: 100,
        give_up_ms: 1_000,
        unavailable_give_up_ms: 5_000,
        retries_per_second: 20,
        backoff_ms: 30,
        backoff_ms_max: 200,
        attempts_max: 5,
        queue_max,
        breaker,
        ..config()
    }
}

/// What the partner has done, to be compared with what the guard said.
#[derive(Default)]
struct Outside {
    /// Attempts that the partner accepted.
    taken: BTreeSet<(String, u32)>,
    /// Keys that the business closed after it had started them, and how much had been said by then.
    closed: BTreeMap<String, usize>,
}

fn perform(world: &mut World, outside: &mut Outside, act: &Act) {
    let name = |key: &u8| format!("o-{key}");
    match act {
        Act::Start(key) => drop(world.start(&name(key))),
        Act::Again(key) => drop(world.again(&name(key))),
        Act::Close(key) => {
            world.close(&name(key));
            if world.records().contains_key(&name(key)) {
                outside.closed.entry(name(key)).or_insert(world.said.len());
            }
        }
        Act::Answer(key, back, answer) => {
            let key = name(key);
            let made = world.records().get(&key).map_or(0, |record| record.attempts.len() as u32);
            let Some(attempt) = made.checked_sub(*back).filter(|attempt| *attempt > 0) else { return };
            match answer {
                Answer::Yes => {
                    let verdict = world.accept(&key, attempt);
                    let first = outside.taken.insert((key, attempt));
                    let reported = matches!(verdict, Verdict::Accepted { .. } | Verdict::Unwanted { .. });
                    assert_eq!(first, reported, "{verdict:?}");
                }
                Answer::No => drop(world.decline(&key, attempt)),
                Answer::Error => drop(world.fail(&key, attempt)),
            }
        }
        Act::Stray(key) => {
            assert_eq!(world.accept(&name(key), 1_000), Verdict::Stray { attempt: 1_000 });
            // Nor does an answer to an earlier incarnation mean anything to this one.
            assert_eq!(world.reply_as(&name(key), 1, Some("0th"), &Reply::Accepted), Verdict::Stray { attempt: 1 });
            assert_eq!(world.reply_as(&name(key), 1, Some("0th"), &Reply::Declined { detail: None }), Verdict::Nothing);
        }
        Act::Wait(ms) => drop(world.wait_until(world.now_ms + ms)),
        Act::Sleep(ms) => world.now_ms += ms,
        Act::Force(state) => world.force(*state),
    }
}

fn check_life(world: &World, outside: &Outside, key: &str) {
    let is_nothing = |verdict: &Verdict| matches!(verdict, Verdict::Nothing | Verdict::Stray { .. });
    let of_key = |verdicts: &[Said]| verdicts.iter().filter(|said| said.key == key).map(|said| said.verdict.clone()).collect::<Vec<_>>();
    let said: Vec<Verdict> = of_key(&world.said).into_iter().filter(|verdict| !is_nothing(verdict)).collect();
    let is_final = |verdict: &Verdict| matches!(verdict, Verdict::Accepted { .. } | Verdict::Declined { .. } | Verdict::GaveUp { .. });
    let is_unwanted = |verdict: &Verdict| matches!(verdict, Verdict::Unwanted { .. });
    if let Some(end) = said.iter().position(is_final) {
        assert!(said[end + 1..].iter().all(is_unwanted), "{key}: {said:?}");
    }
    if let Some(from) = outside.closed.get(key) {
        let after = of_key(&world.said[*from..]);
        assert!(after.iter().all(|verdict| is_unwanted(verdict) || is_nothing(verdict)), "{key} was closed: {after:?}");
    }
    let mut numbers = said.iter().filter_map(|verdict| match verdict {
        Verdict::Requested { attempt } => Some(*attempt),
        _ => None,
    });
    assert!((1..).zip(&mut numbers).all(|(expected, number)| expected == number), "{key}: {said:?}");
    for (taken, attempt) in outside.taken.iter().filter(|(taken, _)| taken == key) {
        let reports = said
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Accepted { attempt: number, .. } | Verdict::Unwanted { attempt: number } if number == attempt));
        assert_eq!(reports.count(), 1, "{taken}/{attempt} was accepted by the partner: {said:?}");
    }
}

proptest! {
    #[test]
    fn every_key_ends_well(
        acts in prop::collection::vec(act(), 1..120),
        time_based in any::<bool>(),
        minimum in 1u32..6,
        queue_max in prop_oneof![Just(2u32), Just(100u32)],
    ) {
        let kind = if time_based { WindowKind::TimeBased } else { WindowKind::CountBased };
        let mut world = World::new(hasty(kind, minimum, queue_max));
        let mut outside = Outside::default();
        for act in &acts {
            perform(&mut world, &mut outside, act);
        }
        let steps = world.steps;
        world.wait_until(world.now_ms + 20_000);
        prop_assert!(world.steps - steps < 2_000, "{} steps in 20 s of silence", world.steps - steps);
        let records = world.records();
        prop_assert!(records.values().all(|record| record.settled), "a key is left in the air: {records:?}");
        prop_assert_eq!(world.timers(), []);
        for key in records.keys() {
            check_life(&world, &outside, key);
        }
        let retried: Vec<i64> = world.said.iter().filter(|said| said.by_timer && matches!(said.verdict, Verdict::Requested { .. })).map(|said| said.at_ms).collect();
        // Over any span, so many turns and those that are made up for.
        let is_paced = |from: usize, to: usize| (to - from) as i64 * 50 <= retried[to] - retried[from] + RETRY_CATCH_UP_MS;
        prop_assert!((0..retried.len()).all(|to| (0..to).all(|from| is_paced(from, to))), "not paced: {retried:?}");
    }
}
