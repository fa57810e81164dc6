//! What happens to those who waited when the partner is back: they are asked for one after the other, oldest first, never faster than agreed, and nobody is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::{World, config};
use super::*;

const KEYS: u32 = 10_000;
const PERMITTED: u32 = 3;
/// Does not divide the second.
const RETRIES_PER_SECOND: u32 = 30;
const PARTNER_MS: i64 = 300;

fn slow_pace() -> GuardConfig {
    let breaker = BreakerConfig { permitted_calls_in_half_open: PERMITTED, ..config().breaker };
    GuardConfig { retries_per_second: RETRIES_PER_SECOND, unavailable_give_up_ms: 3_600_000, breaker, ..config() }
}

/// The attempts made by retrying: when, of which key, which, and in which state and stay of the breaker.
struct Retry {
    at_ms: i64,
    key: String,
    attempt: u32,
    state: State,
    stay: u64,
}

/// A partner that answers each request some time later, and what it was asked.
#[derive(Default)]
struct Answering {
    retries: Vec<Retry>,
    /// When to answer which attempts.
    answers: BTreeMap<i64, Vec<(String, u32)>>,
    accepted: BTreeSet<String>,
    answered: usize,
}

impl Answering {
    /// Does what comes next, a timer or an answer; returns false if nothing will ever come.
    fn next(&mut self, world: &mut World, fails: impl Fn(usize) -> bool) -> bool {
        let answer_ms = self.answers.keys().next().copied();
        let timer_ms = world.next_timer().map(|timer| timer.due_ms);
        let Some(now_ms) = answer_ms.into_iter().chain(timer_ms).min() else { return false };
        let said = world.wait_until(now_ms);
        let breaker = world.partner().breaker;
        for (key, verdict) in said {
            let Verdict::Requested { attempt } = verdict else { panic!("{key} at {now_ms} ms: {verdict:?}") };
            self.answers.entry(now_ms + PARTNER_MS).or_default().push((key.clone(), attempt));
            self.retries.push(Retry { at_ms: now_ms, key, attempt, state: breaker.state(), stay: breaker.generation() });
        }
        for (key, attempt) in self.answers.remove(&now_ms).unwrap_or_default() {
            self.answered += 1;
            if fails(self.answered) {
                assert!(matches!(world.fail(&key, attempt), Verdict::Deferred { .. }));
            } else {
                assert_eq!(world.accept(&key, attempt), accepted(attempt, false));
                assert!(self.accepted.insert(key.clone()), "{key} is accepted twice");
            }
        }
        true
    }
}

#[test]
fn ten_thousand_who_waited_are_asked_for_one_after_the_other() {
    let mut world = broken(slow_pace());
    world.check_every = 10_000;
    // One a millisecond, in an order that is not that of their names.
    let waiting: Vec<String> = (0..KEYS).map(|index| format!("o-{:05}", index * 7_919 % KEYS)).collect();
    for (now_ms, key) in (1..).zip(&waiting) {
        world.wait_until(now_ms);
        assert_eq!(world.start(key), UNAVAILABLE);
    }
    let mut partner = Answering::default();
    // In the middle the partner breaks down again, and once more when it is tried.
    while partner.next(&mut world, |answered| (5_000..5_020).contains(&answered)) {}

    assert_eq!(partner.accepted.len() as u32, KEYS, "nobody is forgotten");
    assert!(world.records().values().all(|record| record.settled));
    let first: Vec<&String> = partner.retries.iter().filter(|retry| retry.attempt == 1).map(|retry| &retry.key).collect();
    assert!(first.iter().eq(waiting.iter().collect::<Vec<_>>().iter()), "the oldest comes first");

    let (rate, retries) = (RETRIES_PER_SECOND as usize, &partner.retries);
    let too_fast = retries.windows(rate + 1).find(|pair| pair[rate].at_ms - pair[0].at_ms < 1_000);
    assert!(too_fast.is_none_or(|pair| panic!("{} in the second from {} ms", pair.len(), pair[0].at_ms)));

    let mut tried: BTreeMap<u64, u32> = BTreeMap::new();
    for retry in retries {
        match retry.state {
            State::HalfOpen => *tried.entry(retry.stay).or_default() += 1,
            State::Closed => {}
            state => panic!("{} is asked for while the breaker is {state:?}", retry.key),
        }
    }
    assert!(tried.len() >= 3, "tried after the first breakdown, and at least twice after the second: {tried:?}");
    assert!(tried.values().all(|calls| *calls <= PERMITTED), "{tried:?}");

    // Nor does it take longer than it must: a pace, the waits in open, and the answers in between.
    let pauses = tried.len() as i64 * (config().breaker.wait_duration_in_open_ms + 2 * PARTNER_MS);
    let longest_ms = retries.len() as i64 * 34 + pauses + 1_000;
    assert!(world.now_ms < longest_ms, "{} ms, at most {longest_ms}", world.now_ms);
}

#[test]
fn the_pace_is_a_limit_whatever_the_number() {
    for retries_per_second in [1, 3, 7, 10, 30, 300, 501, 600, 999, 1_000] {
        let mut world = broken(GuardConfig { retries_per_second, ..config() });
        for index in 0..20 {
            world.start(&format!("o-{index:02}"));
        }
        world.force(State::Disabled);
        world.wait_until(30_000);
        let retried: Vec<i64> = world.said.iter().filter(|said| said.by_timer && said.verdict == requested(1)).map(|said| said.at_ms).collect();
        assert_eq!(retried.len(), 20, "{retries_per_second} a second");
        assert!(retried.windows(2).all(|pair| (pair[1] - pair[0]) * i64::from(retries_per_second) >= 1_000), "{retries_per_second} a second: {retried:?}");
    }
}

/// Goal: a queue that is longer than what can be retried in time ends with an answer for everybody.
#[test]
fn whose_turn_does_not_come_in_time_is_told() {
    let mut world = broken(GuardConfig { retries_per_second: 10, unavailable_give_up_ms: 60_000, ..config() });
    world.check_every = 100;
    let keys: Vec<String> = (0..300).map(|index| format!("o-{index:03}")).collect();
    for key in &keys {
        assert_eq!(world.start(key), UNAVAILABLE);
    }
    world.wait_until(50_050);
    world.force(State::Closed);
    // Less than ten seconds are left, in which a hundred have their turn.
    for now_ms in (50_050..60_000).step_by(50) {
        for (key, verdict) in world.wait_until(now_ms) {
            assert_eq!(verdict, requested(1));
            world.accept(&key, 1);
        }
    }
    let told = world.wait_until(60_000);
    assert!(told.iter().all(|(_, verdict)| *verdict == Verdict::GaveUp { reason: Deferral::Unavailable }));
    assert!(told.iter().map(|(key, _)| key).eq(&keys[100..]), "all but the first hundred: {} keys", told.len());
    assert_eq!(world.timers(), []);
}

/// Goal: the queue is through in the time that the rate promises, also where a transaction takes much longer than a turn; and who was away for long does not come back with everything at once.
#[test]
fn timers_that_fire_late_do_not_slow_the_pace_down() {
    let mut world = broken(GuardConfig { retries_per_second: 50, ..config() });
    world.check_every = 100;
    for index in 0..200 {
        world.start(&format!("o-{index:03}"));
    }
    world.force(State::Disabled);
    let began_ms = world.now_ms;
    while world.now_ms < began_ms + 2_000 {
        world.now_ms += 90;
        world.wait_until(world.now_ms);
    }
    let retried = |world: &World| world.said.iter().filter(|said| said.by_timer && said.verdict == requested(1)).count();
    let in_two_seconds = retried(&world);
    assert!((95..=104).contains(&in_two_seconds), "{in_two_seconds} instead of 100");
    world.now_ms += 3_600_000;
    world.said.clear();
    let mut late = 0;
    while world.next_timer().is_some_and(|timer| timer.due_ms <= world.now_ms) && late < 1_000 {
        late += 1;
        world.wait_until(world.now_ms);
    }
    assert!(retried(&world) <= 13, "{} at once", retried(&world));
}
