//! The operator's hand on the breaker: each order to a task has one outcome and the effect of once, and the customers' orders follow.

use fluvio_streams::testing::SeenEvent;
use serde_json::{Value, json};

use crate::support::{COMMANDS_TOPIC, DEAD_LETTERS, PAYMENTS_EVENTS, Place, World, killed_everywhere, touchy, world_of};

fn events(world: &World, kind: &str) -> Vec<SeenEvent> {
    world.driver.distinct_events(PAYMENTS_EVENTS).into_iter().filter(|event| event.kind == kind).collect()
}

fn transitions(world: &World) -> Vec<(Value, Value)> {
    events(world, "BreakerTransitioned").into_iter().map(|event| (event.data["from"].clone(), event.data["to"].clone())).collect()
}

/// Goal: nobody is asked while the breaker is forced open; those who had to wait are asked for at the pace once it is closed; and none of it depends on who dies when.
#[test]
fn forced_open_defers_at_once_and_closed_again_retries_at_the_pace() {
    killed_everywhere(
        || world_of(&touchy(5_000), 1),
        |world| {
            world.send("ForceBreaker", "x", json!({"state": "forced-open", "operator": "lee", "reason": "the provider migrates"}));
            world.driver.run_until_idle();
            assert_eq!(world.driver.total("orders", "payment_breaker_open"), 1);
            for order in ["o-1", "o-2", "o-3"] {
                world.place(order, "kim");
                world.driver.run_until_idle();
                world.assert_status(order, "PaymentDeferred");
                assert_eq!(world.event(order, "PaymentDeferred")["reason"], "PaymentUnavailable");
            }
            // However long: only an operator ends it.
            world.driver.advance(300_000);
            assert!(["o-1", "o-2", "o-3"].iter().all(|order| world.asked(order).is_empty()), "the provider is left alone");
            world.send("ForceBreaker", "x", json!({"state": "closed"}));
            world.driver.advance(100);
            world.assert_status("o-1", "Placed");
            world.assert_status("o-2", "PaymentDeferred");
            world.driver.advance(2_100);
            world.assert_status("o-3", "Placed");
            let forced = events(world, "BreakerForced");
            assert_eq!(forced.len(), 2);
            let expected = json!({
                "name": "payment", "from": "closed", "to": "forced-open", "partition": 0, "reset": false, "operator": "lee", "reason": "the provider migrates",
            });
            assert_eq!(forced[0].data, expected);
            assert_eq!(transitions(world), [("closed".into(), "forced-open".into()), ("forced-open".into(), "closed".into())]);
        },
    );
}

#[test]
fn reset_closes_it_and_forgets_what_was_measured() {
    killed_everywhere(
        || world_of(&touchy(60_000), 1),
        |world| {
            world.place("o-1", "simulate-fail");
            world.driver.advance(100);
            world.send("ResetBreaker", "x", json!({}));
            // One failure was measured before, which does not count any more.
            world.place("o-2", "simulate-fail");
            world.driver.advance(100);
            assert_eq!(transitions(world), []);
            world.place("o-3", "simulate-fail");
            world.driver.advance(100);
            assert_eq!(transitions(world), [("closed".into(), "open".into())]);
            world.send("ResetBreaker", "x", json!({}));
            world.driver.run_until_idle();
            assert_eq!(transitions(world)[1..], [("open".into(), "closed".into())]);
            let told: Vec<Value> = events(world, "BreakerForced").into_iter().map(|event| event.data).collect();
            let expected = |from: &str| json!({"name": "payment", "from": from, "to": "closed", "partition": 0, "reset": true});
            assert_eq!(told, [expected("closed"), expected("open")]);
            for order in ["o-1", "o-2", "o-3"] {
                world.send("CancelOrder", order, json!({}));
            }
            world.driver.run_until_idle();
        },
    );
}

#[test]
fn a_task_obeys_what_stands_in_its_partition_and_no_other_does() {
    let mut world = world_of(&touchy(5_000), 3);
    let order = |state: &str, id: &str| json!({"type": "ForceBreaker", "state": state, "commandId": id}).to_string();
    world.driver.pipe_to(COMMANDS_TOPIC, 1, None, order("forced-open", "f-1").as_bytes());
    world.driver.pipe_to(COMMANDS_TOPIC, 2, None, order("disabled", "f-1").as_bytes());
    world.driver.run_until_idle();
    let forced: Vec<_> =
        events(&world, "BreakerForced").into_iter().map(|event| (event.data["partition"].clone(), event.data["to"].clone(), event.correlation)).collect();
    assert_eq!(forced, [(1.into(), "forced-open".into(), "f-1".to_owned()), (2.into(), "disabled".into(), "f-1".to_owned())]);
    assert_eq!(world.driver.total("orders", "payment_breaker_open"), 1);
}

#[test]
fn an_order_to_the_breaker_that_is_sent_twice_is_obeyed_once() {
    let mut world = world_of(&touchy(5_000), 1);
    world.send_as("once", "ForceBreaker", "x", json!({"state": "forced-open"}));
    world.send_as("later", "ForceBreaker", "x", json!({"state": "closed"}));
    world.send_as("once", "ForceBreaker", "x", json!({"state": "forced-open"}));
    world.driver.run_until_idle();
    assert_eq!(world.driver.total("orders", "payment_breaker_open"), 0, "the second copy does not open it again");
    assert_eq!(world.refusals("once"), ["DuplicateCommand"]);
    world.look();
}

#[test]
fn an_order_to_the_breaker_that_makes_no_sense_is_a_dead_letter_that_says_what_would() {
    for (wrong, said) in [
        (json!({}), "must be one of closed, open, half-open, forced-open, disabled"),
        (json!({"state": "ajar"}), "must be one of closed, open, half-open, forced-open, disabled"),
        (json!({"state": "closed", "operator": 7}), "field `operator` must be a string"),
    ] {
        let mut world = world_of(&touchy(5_000), 1);
        world.send("ForceBreaker", "x", wrong.clone());
        world.driver.run_until_idle();
        let letters = world.driver.events(DEAD_LETTERS);
        assert_eq!(letters.len(), 1, "{wrong}");
        let error = letters[0].data["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{wrong}: {error}");
        assert!(events(&world, "BreakerForced").is_empty());
    }
}
