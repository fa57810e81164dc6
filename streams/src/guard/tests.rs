//! The synchronous step row by row, then its queue, its breaker and its bounds. Every reply is delivered three times, see [`harness`].

mod harness;
mod pacing;
mod random;

use serde_json::json;

use super::*;
use crate::breaker::BreakerConfig;
use harness::{World, config, data};

const TIMED_OUT: Verdict = Verdict::Deferred { attempt: Some(1), reason: Deferral::TimedOut };
const UNAVAILABLE: Verdict = Verdict::Deferred { attempt: None, reason: Deferral::Unavailable };

fn requested(attempt: u32) -> Verdict {
    Verdict::Requested { attempt }
}

fn accepted(attempt: u32, late: bool) -> Verdict {
    Verdict::Accepted { attempt, late }
}

fn said(key: &str, verdict: Verdict) -> Vec<(String, Verdict)> {
    vec![(key.to_owned(), verdict)]
}

/// A world whose breaker is open since `now_ms`, by four failures of keys that were then closed.
fn broken(config: GuardConfig) -> World {
    let mut world = World::new(config);
    for key in ["x-1", "x-2", "x-3", "x-4"] {
        assert_eq!(world.start(key), requested(1));
        assert_eq!(world.fail(key, 1), Verdict::Deferred { attempt: Some(1), reason: Deferral::Unavailable });
        world.close(key);
    }
    assert_eq!(world.partner().breaker.state(), State::Open);
    world.sent.clear();
    world.said.clear();
    world
}

#[test]
fn row_1_accepted_before_the_deadline() {
    let mut world = World::new(config());
    assert_eq!(world.start("o-1"), requested(1));
    let request = &world.sent[0];
    assert_eq!((request.topic.as_str(), request.event.kind.as_str(), request.event.subject.as_str()), ("requests", "PaymentRequested", "o-1"));
    assert_eq!(
        data(request),
        json!({
            "orderId": "o-1", "amount": 18_000, "attempt": 1, "correlationId": "o-1/1", "incarnation": "1st",
            "deadlineAt": "1970-01-01T00:00:00.610Z", "giveUpAt": "1970-01-01T00:00:30.000Z",
        })
    );
    assert_eq!(world.wait_until(609), []);
    assert_eq!(world.accept("o-1", 1), accepted(1, false));
    assert_eq!(world.wait_until(9_999_999), []);
    assert_eq!(world.sent.len(), 1, "nothing is left to do");
}

#[test]
fn row_2_declined() {
    let mut world = World::new(config());
    world.start("o-1");
    assert_eq!(world.decline("o-1", 1), Verdict::Declined { attempt: 1, detail: Some("no funds".to_owned()) });
    assert_eq!(world.partner().breaker.counts(0).failed, 0, "a no is an answer");
    assert_eq!(world.again("o-1"), Verdict::Nothing);
    assert_eq!(world.wait_until(9_999_999), []);
}

#[test]
fn row_3_no_answer_at_the_deadline() {
    let mut world = World::new(config());
    world.start("o-1");
    assert_eq!(world.wait_until(609), []);
    assert_eq!(world.wait_until(610), said("o-1", TIMED_OUT));
    assert_eq!(world.partner().breaker.counts(610).failed, 1);
    assert_eq!(world.wait_until(29_999), [], "the attempt stays open");
}

#[test]
fn row_4_accepted_after_the_deadline() {
    let mut world = World::new(config());
    world.start("o-1");
    world.wait_until(29_999);
    assert_eq!(world.accept("o-1", 1), accepted(1, true));
    let counts = world.partner().breaker.counts(world.now_ms);
    assert_eq!((counts.calls, counts.failed), (1, 1), "its deadline was counted, its answer is not");
    assert_eq!(world.wait_until(9_999_999), []);
    assert_eq!(world.sent("PaymentVoidRequested").len(), 0);
}

#[test]
fn row_4_also_if_the_answer_is_read_before_the_timer_fires() {
    let mut world = World::new(config());
    world.start("o-1");
    world.now_ms = 610;
    assert_eq!(world.accept("o-1", 1), accepted(1, true));
    assert_eq!(world.partner().breaker.counts(610).failed, 1);
}

#[test]
fn row_4_declined_or_failed_after_the_deadline() {
    let mut world = World::new(config());
    world.start("o-1");
    world.start("o-2");
    world.wait_until(1_000);
    assert!(matches!(world.decline("o-1", 1), Verdict::Declined { attempt: 1, .. }));
    assert_eq!(world.fail("o-2", 1), Verdict::Deferred { attempt: Some(1), reason: Deferral::Unavailable });
    assert_eq!(world.wait_until(2_000), said("o-2", requested(2)), "the partner cannot accept the first any more");
    assert_eq!(world.partner().breaker.counts(2_000).calls, 2);
}

#[test]
fn row_5_the_give_up_time_passes() {
    let mut world = World::new(config());
    world.start("o-1");
    world.wait_until(29_999);
    assert_eq!(world.wait_until(30_000), said("o-1", Verdict::GaveUp { reason: Deferral::TimedOut }));
    assert_eq!(world.sent("PaymentVoidRequested"), ["o-1/1"]);
    let void = world.sent.last().unwrap();
    assert_eq!(data(void), json!({ "orderId": "o-1", "amount": 18_000, "attempt": 1, "correlationId": "o-1/1", "incarnation": "1st" }));
    assert_eq!(world.again("o-1"), Verdict::Nothing);
    assert_eq!(world.wait_until(9_999_999), []);
}

#[test]
fn row_6_accepted_after_giving_up_or_cancelling() {
    let mut world = World::new(config());
    world.start("o-1");
    world.wait_until(31_000);
    assert_eq!(world.accept("o-1", 1), Verdict::Unwanted { attempt: 1 });

    world.start("o-2");
    world.close("o-2");
    assert_eq!(world.sent("PaymentVoidRequested"), ["o-1/1", "o-2/1"]);
    assert_eq!(world.accept("o-2", 1), Verdict::Unwanted { attempt: 1 });

    world.start("o-3");
    assert_eq!(world.accept("o-3", 1), accepted(1, false));
    world.close("o-3");
    assert_eq!(world.accept("o-3", 1), Verdict::Nothing, "it was reported: undoing it is the business's");
    assert_eq!(world.decline("o-2", 1), Verdict::Nothing);
    assert_eq!(world.wait_until(9_999_999), []);
}

#[test]
fn row_7_the_breaker_is_open() {
    let mut world = broken(config());
    assert_eq!(world.start("o-1"), UNAVAILABLE);
    assert_eq!(world.again("o-1"), UNAVAILABLE, "it keeps its place");
    assert_eq!(world.sent, [], "the partner is left alone");
    assert_eq!(world.wait_until(60_000), []);
    assert_eq!(world.wait_until(60_001), said("o-1", requested(1)), "retried as soon as the breaker lets a call through");
    assert_eq!(world.accept("o-1", 1), accepted(1, false));
    assert_eq!(world.wait_until(9_999_999), []);
}

#[test]
fn row_7_or_paid_again_by_hand() {
    let mut world = broken(config());
    world.start("o-1");
    // Nobody waits for the timer: the customer pays at the very moment that it becomes possible.
    world.now_ms = 60_001;
    assert_eq!(world.again("o-1"), requested(1));
    assert_eq!(world.again("o-1"), Verdict::Nothing, "one at a time");
    assert_eq!(world.accept("o-1", 1), accepted(1, false));
}

#[test]
fn row_7_or_given_up_after_ten_minutes() {
    let mut world = broken(config());
    world.force(State::ForcedOpen);
    world.wait_until(1_000);
    assert_eq!(world.start("o-1"), UNAVAILABLE);
    assert_eq!(world.wait_until(600_999), []);
    assert_eq!(world.wait_until(601_000), said("o-1", Verdict::GaveUp { reason: Deferral::Unavailable }));
    assert_eq!(world.sent("PaymentRequested").len(), 0);
    assert_eq!(world.timers(), []);
}

#[test]
fn row_8_nobody_consumes_the_requests() {
    let mut world = World::new(config());
    for key in ["o-1", "o-2", "o-3", "o-4"] {
        assert_eq!(world.start(key), requested(1));
    }
    assert!(world.wait_until(610).iter().all(|(_, verdict)| *verdict == TIMED_OUT));
    assert_eq!(world.start("o-5"), UNAVAILABLE, "four silent calls opened the breaker");
    assert_eq!(world.sent("PaymentRequested").len(), 4);
    // Probes that time out do not cost the order its ten minutes.
    let later = world.wait_until(600_609);
    let of_fifth: Vec<&Verdict> = later.iter().filter(|(key, _)| key == "o-5").map(|(_, verdict)| verdict).collect();
    assert_eq!(of_fifth[0], &requested(1));
    assert!(of_fifth.iter().all(|verdict| !matches!(verdict, Verdict::GaveUp { .. })), "{of_fifth:?}");
    assert_eq!(world.wait_until(600_610), said("o-5", Verdict::GaveUp { reason: Deferral::Unavailable }));
    assert_eq!(world.accept("o-5", 1), Verdict::Unwanted { attempt: 1 });
}

#[test]
fn a_failed_attempt_is_retried_with_growing_pauses() {
    let mut world = World::new(GuardConfig { breaker: BreakerConfig::default(), ..config() });
    world.start("o-1");
    let mut pauses = Vec::new();
    for attempt in 1..=7 {
        let failed_ms = world.now_ms;
        assert_eq!(world.fail("o-1", attempt), Verdict::Deferred { attempt: Some(attempt), reason: Deferral::Unavailable });
        while world.records()["o-1"].queued_from_ms.is_some() {
            world.wait_until(world.now_ms + 1);
        }
        pauses.push(world.now_ms - failed_ms);
    }
    assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert_eq!(world.accept("o-1", 8), accepted(8, false));
}

#[test]
fn only_one_attempt_of_a_key_is_ever_accepted() {
    let mut world = World::new(config());
    world.start("o-1");
    assert_eq!(world.again("o-1"), Verdict::Nothing, "younger than its deadline");
    world.wait_until(5_000);
    assert_eq!(world.again("o-1"), requested(2));
    assert_eq!(world.accept("o-1", 1), accepted(1, true), "the first may still come");
    assert_eq!(world.sent("PaymentVoidRequested"), ["o-1/2"]);
    assert_eq!(world.accept("o-1", 2), Verdict::Unwanted { attempt: 2 });
    assert_eq!(world.wait_until(9_999_999), []);
}

#[test]
fn each_attempt_has_its_own_give_up_time() {
    let mut world = World::new(config());
    world.start("o-1");
    world.wait_until(5_000);
    world.again("o-1");
    assert!(matches!(world.wait_until(29_000)[..], [(_, Verdict::Deferred { attempt: Some(2), reason: Deferral::TimedOut })]));
    assert_eq!(world.wait_until(30_000), [], "the second is still open");
    assert_eq!(world.sent("PaymentVoidRequested"), ["o-1/1"]);
    assert_eq!(world.accept("o-1", 1), Verdict::Unwanted { attempt: 1 });
    assert_eq!(world.wait_until(35_000), said("o-1", Verdict::GaveUp { reason: Deferral::TimedOut }));
}

#[test]
fn a_no_to_one_attempt_leaves_the_other() {
    let mut world = World::new(config());
    world.start("o-1");
    world.wait_until(5_000);
    world.again("o-1");
    assert_eq!(world.decline("o-1", 1), Verdict::Nothing);
    assert_eq!(world.accept("o-1", 2), accepted(2, false));
    assert_eq!(world.accept("o-1", 1), Verdict::Unwanted { attempt: 1 }, "a partner that says no and then yes is undone");
}

#[test]
fn the_queue_drains_one_by_one_in_order() {
    let mut world = broken(GuardConfig { retries_per_second: 10, ..config() });
    for index in 0..30 {
        world.wait_until(index * 10);
        assert_eq!(world.start(&format!("o-{index:02}")), UNAVAILABLE);
    }
    world.wait_until(60_001);
    world.wait_until(60_500);
    assert_eq!(world.sent("PaymentRequested"), ["o-00/1", "o-01/1"], "half-open lets two through");
    assert_eq!(world.accept("o-00", 1), accepted(1, false));
    assert_eq!(world.accept("o-01", 1), accepted(1, false));
    assert_eq!(world.partner().breaker.state(), State::Closed);
    for now_ms in (60_510..62_500).step_by(10) {
        for (key, verdict) in world.wait_until(now_ms) {
            assert_eq!(verdict, requested(1));
            assert_eq!(world.accept(&key, 1), accepted(1, false));
        }
    }
    assert_eq!(world.sent("PaymentRequested").len(), 22, "then ten a second");
    let retried: Vec<i64> = world.said.iter().filter(|said| said.by_timer && said.verdict == requested(1)).map(|said| said.at_ms).collect();
    assert!(retried.windows(2).all(|pair| pair[1] - pair[0] >= 100), "{retried:?}");
    assert_eq!(world.start("fresh"), requested(1), "a new key does not wait behind the queue");
}

#[test]
fn a_failed_probe_opens_the_breaker_again() {
    let mut world = broken(config());
    world.start("o-1");
    world.start("o-2");
    world.wait_until(60_200);
    assert_eq!(world.sent("PaymentRequested"), ["o-1/1", "o-2/1"]);
    world.fail("o-1", 1);
    world.fail("o-2", 1);
    assert_eq!(world.partner().breaker.state(), State::Open);
    assert_eq!(world.wait_until(120_200), []);
    assert_eq!(world.wait_until(120_201), said("o-1", requested(2)));
}

#[test]
fn a_cancelled_probe_gives_its_permission_back() {
    let mut world = broken(config());
    for key in ["o-1", "o-2", "o-3"] {
        world.start(key);
    }
    world.wait_until(60_200);
    assert_eq!(world.sent("PaymentRequested"), ["o-1/1", "o-2/1"]);
    world.close("o-1");
    assert_eq!(world.wait_until(60_300), said("o-3", requested(1)), "otherwise half-open could wait for ever");
}

#[test]
fn operators_decide() {
    let mut world = World::new(config());
    world.force(State::ForcedOpen);
    assert_eq!(world.step(None, |guard, cx| guard.breaker_state(cx)), State::ForcedOpen);
    assert_eq!(world.start("o-1"), UNAVAILABLE);
    assert_eq!(world.wait_until(300_000), []);
    world.force(State::Closed);
    assert_eq!(world.wait_until(300_000), said("o-1", requested(1)), "at once");
    world.force(State::Disabled);
    for index in 0..20 {
        let key = format!("x-{index}");
        assert_eq!(world.start(&key), requested(1));
        world.fail(&key, 1);
    }
    assert_eq!(world.step(None, |guard, cx| guard.breaker_state(cx)), State::Disabled);
}

#[test]
fn changes_of_the_breaker_are_told() {
    let mut world = World::new(config());
    for key in ["o-1", "o-2", "o-3", "o-4"] {
        world.start(key);
    }
    world.wait_until(610);
    let told: Vec<_> = world.sent.iter().filter(|effect| effect.topic == "events").collect();
    let [effect] = told[..] else { panic!("{told:?}") };
    assert_eq!((effect.event.kind.as_str(), effect.event.subject.as_str(), effect.partition), ("BreakerTransitioned", "payment", 0));
    let expected = json!({
        "name": "payment", "from": "closed", "to": "open", "partition": 0, "at": "1970-01-01T00:00:00.610Z",
        "calls": 4, "failedCalls": 4, "slowCalls": 0,
    });
    assert_eq!(data(effect), expected);
}

#[test]
fn a_breaker_that_moves_by_time_needs_no_calls() {
    let breaker = BreakerConfig { automatic_half_open: true, max_wait_duration_in_half_open_ms: 5_000, ..config().breaker };
    let mut world = broken(GuardConfig { breaker, ..config() });
    world.wait_until(60_000);
    assert_eq!(world.partner().breaker.state(), State::HalfOpen);
    world.wait_until(65_000);
    assert_eq!(world.partner().breaker.state(), State::Open);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn whatever_is_done_for_a_key_carries_its_correlation() {
    let mut world = broken(config());
    world.step(Some("command-1"), |guard, cx| guard.start(cx, "o-1", "", json!({})));
    world.step(Some("command-2"), |guard, cx| guard.start(cx, "o-2", "", json!({})));
    world.wait_until(61_000);
    world.step(Some("stand-in"), |guard, cx| guard.on_reply(cx, "o-1", 1, None, Reply::Failed { detail: None }));
    world.close("o-1");
    world.wait_until(200_000);
    let wrong: Vec<_> =
        world.sent.iter().filter(|effect| effect.topic == "requests" && effect.event.correlation != effect.event.subject.replace("o-", "command-")).collect();
    assert!(wrong.is_empty() && world.sent.len() >= 3, "{wrong:?}");
}

#[test]
fn what_is_unknown_changes_nothing() {
    let mut world = World::new(config());
    assert_eq!(world.accept("o-1", 1), Verdict::Stray { attempt: 1 });
    assert_eq!((world.decline("o-1", 1), world.fail("o-1", 1)), (Verdict::Nothing, Verdict::Nothing));
    assert_eq!(world.again("o-1"), Verdict::Nothing);
    world.close("o-1");
    world.start("o-1");
    for attempt in [0, 2, u32::MAX] {
        assert_eq!(world.accept("o-1", attempt), Verdict::Stray { attempt });
    }
    assert_eq!(world.start("o-1"), Verdict::Nothing, "a key is started once");
    let foreign = Timer { name: "retention".to_owned(), key: "o-1".to_owned(), due_ms: 0, correlation: String::new(), trace: None };
    assert_eq!(world.step(None, |guard, cx| guard.on_timer(cx, &foreign)), None);
    for name in ["payment-attempt", "payment-unavailable"] {
        let stray = Timer { name: name.to_owned(), key: "?".to_owned(), due_ms: 0, correlation: String::new(), trace: None };
        assert_eq!(world.step(None, |guard, cx| guard.on_timer(cx, &stray)), Some(Vec::new()));
    }
    assert_eq!(world.accept("o-1", 1), accepted(1, false));
}

#[test]
fn a_forgotten_key_leaves_nothing_behind() {
    let mut world = World::new(config());
    world.start("o-1");
    world.step(None, |guard, cx| guard.forget(cx, "o-1"));
    assert!(world.records().is_empty());
    assert_eq!((world.sent("PaymentVoidRequested"), world.timers()), (vec!["o-1/1".to_owned()], Vec::new()));
}

/// Goal: an id that is used again is another key: nothing that was said about the first settles the second.
#[test]
fn a_key_that_is_started_again_is_another() {
    let mut world = World::new(config());
    world.start_as("o-1", "1st");
    world.step(None, |guard, cx| guard.forget(cx, "o-1"));
    assert_eq!(world.reply_as("o-1", 1, Some("1st"), &Reply::Accepted), Verdict::Stray { attempt: 1 }, "forgotten");
    assert_eq!(world.start_as("o-1", "2nd"), requested(1));
    assert_eq!(world.reply_as("o-1", 1, Some("1st"), &Reply::Accepted), Verdict::Stray { attempt: 1 });
    for reply in [Reply::Declined { detail: None }, Reply::Failed { detail: None }] {
        assert_eq!(world.reply_as("o-1", 1, Some("1st"), &reply), Verdict::Nothing);
    }
    assert_eq!(world.reply_as("o-1", 1, Some("2nd"), &Reply::Accepted), accepted(1, false));
    assert_eq!(world.reply_as("o-1", 1, Some("1st"), &Reply::Accepted), Verdict::Stray { attempt: 1 }, "also when the second is settled");
    let told: Vec<_> = world.sent.iter().filter(|effect| effect.topic == "requests").map(|effect| data(effect)["incarnation"].clone()).collect();
    assert_eq!(told, ["1st", "1st", "2nd"], "a request, its void, a request");
}

#[test]
fn keys_may_contain_what_separates_attempts() {
    let mut world = broken(config());
    world.start("a/b/7");
    assert_eq!(world.wait_until(60_001), said("a/b/7", requested(1)));
    assert!(matches!(&world.wait_until(61_000)[..], [(key, Verdict::Deferred { attempt: Some(1), .. })] if key == "a/b/7"));
    assert_eq!(world.accept("a/b/7", 1), accepted(1, true));
}

#[test]
fn the_queue_is_bounded() {
    let mut world = broken(GuardConfig { queue_max: 2, ..config() });
    assert_eq!((world.start("o-1"), world.start("o-2")), (UNAVAILABLE, UNAVAILABLE));
    assert_eq!(world.start("o-3"), Verdict::GaveUp { reason: Deferral::Unavailable });
    world.close("o-1");
    assert_eq!(world.start("o-4"), UNAVAILABLE);
}

#[test]
fn attempts_are_bounded() {
    let mut world = World::new(GuardConfig { attempts_max: 2, breaker: BreakerConfig::default(), ..config() });
    world.start("o-1");
    world.fail("o-1", 1);
    assert_eq!(world.again("o-1"), requested(2));
    assert_eq!(world.fail("o-1", 2), Verdict::GaveUp { reason: Deferral::Unavailable });
    world.start("o-2");
    world.wait_until(1_000);
    world.again("o-2");
    world.wait_until(2_000);
    assert_eq!(world.again("o-2"), Verdict::Nothing);
    assert_eq!(world.fail("o-2", 2), Verdict::Nothing, "the first may still be accepted");
    assert_eq!(world.accept("o-2", 1), accepted(1, true));
}

#[test]
fn what_every_input_writes_is_small() {
    let mut world = World::new(GuardConfig { breaker: BreakerConfig::default(), ..config() });
    for index in 0..200 {
        let key = format!("o-{index}");
        world.start(&key);
        if index % 3 == 0 {
            world.fail(&key, 1);
            world.close(&key);
        } else {
            world.accept(&key, 1);
        }
    }
    let size = serde_json::to_vec(&world.partner()).unwrap().len();
    assert!(size < 200, "{size} bytes");
}

#[test]
fn settings_out_of_range_are_named() {
    let setting = |config: GuardConfig| match Guard::new(config) {
        Err(GuardConfigError::Setting { setting, .. }) => setting,
        Err(GuardConfigError::Breaker { source, .. }) => source.setting,
        Ok(_) => "none",
    };
    assert_eq!(setting(config()), "none");
    assert_eq!(setting(GuardConfig { deadline_ms: 0, ..config() }), "deadline_ms");
    assert_eq!(setting(GuardConfig { give_up_ms: 610, ..config() }), "give_up_ms");
    assert_eq!(setting(GuardConfig { unavailable_give_up_ms: 0, ..config() }), "unavailable_give_up_ms");
    assert_eq!(setting(GuardConfig { retries_per_second: 0, ..config() }), "retries_per_second");
    assert_eq!(setting(GuardConfig { backoff_ms: 0, ..config() }), "backoff_ms");
    assert_eq!(setting(GuardConfig { backoff_ms_max: 999, ..config() }), "backoff_ms_max");
    assert_eq!(setting(GuardConfig { attempts_max: 0, ..config() }), "attempts_max");
    assert_eq!(setting(GuardConfig { queue_max: 0, ..config() }), "queue_max");
    assert_eq!(setting(GuardConfig { breaker: BreakerConfig { window_size: 0, ..config().breaker }, ..config() }), "windowSize");
}
