//! The rows of the payment step: what the customer is told, whatever the provider does; and each row again with a kill at every place where a task can die.

use serde_json::json;

use business::front::state::Capture;
use food_delivery::Config;

use crate::support::*;

fn world() -> World {
    world_of(&Config::default(), 1)
}

#[test]
fn an_approval_in_time_places_the_order() {
    killed_everywhere(world, |world| {
        world.place("o-1", "kim");
        world.driver.run_until_idle();
        world.assert_status("o-1", "PaymentPending");
        world.driver.advance(200);
        world.assert_status("o-1", "Placed");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced"]);
        assert_eq!(world.event("o-1", "OrderPlaced")["late"], false);
        assert_eq!(world.driver.total("orders", "live_won"), PRICE_WON);
    });
}

#[test]
fn a_declined_payment_rejects_the_order() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-decline");
        world.driver.advance(200);
        world.assert_status("o-1", "Rejected");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderRejected"]);
        assert_eq!(world.event("o-1", "OrderRejected")["reason"], "PaymentDeclined");
        assert_eq!(world.books().accepted.len(), 0);
    });
}

#[test]
fn silence_at_the_deadline_defers_the_payment() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-stall");
        world.driver.advance(609);
        world.assert_status("o-1", "PaymentPending");
        world.driver.advance(1);
        world.assert_status("o-1", "PaymentDeferred");
        assert_eq!(world.event("o-1", "PaymentDeferred")["reason"], "PaymentTimedOut");
        assert_eq!(world.driver.total("orders", "payment_attempts_open"), 1, "the attempt stays open");
        assert_eq!(world.asked("o-1"), ["PaymentRequested"]);
    });
}

#[test]
fn an_approval_after_the_deadline_places_the_order_late() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-late");
        world.driver.advance(1_000);
        world.assert_status("o-1", "PaymentDeferred");
        world.driver.advance(4_000);
        world.assert_status("o-1", "Placed");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "PaymentDeferred", "OrderPlaced"]);
        assert_eq!(world.event("o-1", "OrderPlaced")["late"], true);
    });
}

#[test]
fn giving_up_rejects_the_order_and_voids_the_attempt() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-stall");
        world.driver.advance(29_999);
        world.assert_status("o-1", "PaymentDeferred");
        world.driver.advance(1);
        world.assert_status("o-1", "Rejected");
        assert_eq!(world.event("o-1", "OrderRejected")["reason"], "PaymentTimedOut");
        world.driver.advance(120_000);
        assert_eq!(world.asked("o-1"), ["PaymentRequested", "PaymentVoidRequested"]);
        assert_eq!(world.driver.kinds("food-delivery-payments-events", "o-1"), ["PaymentVoided"]);
        assert_eq!(world.driver.total("orders", "payment_attempts_open"), 0);
    });
}

#[test]
fn an_approval_after_giving_up_is_refunded_once() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-too-late");
        world.driver.advance(120_000);
        world.assert_status("o-1", "Rejected");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "PaymentDeferred", "OrderRejected", "PaymentUnwanted", "OrderRefunded"]);
        assert_refunded_once(world, "o-1");
    });
}

#[test]
fn an_approval_after_a_cancellation_is_refunded_once() {
    // The customer cancels while waiting; the same with an approval that is published twice; and after being told to wait.
    for (customer, cancel_after_ms) in [("kim", 5), ("simulate-twice", 5), ("simulate-late", 1_000), ("simulate-refund-fail-once", 5)] {
        killed_everywhere(world, |world| {
            world.place("o-1", customer);
            world.driver.advance(cancel_after_ms);
            world.send("CancelOrder", "o-1", json!({"reason": "not hungry"}));
            world.driver.advance(10_000);
            world.assert_status("o-1", "Cancelled");
            let told = if cancel_after_ms < 610 { "PaymentAbandoned" } else { "PaymentDeferred" };
            assert_eq!(world.kinds("o-1"), ["OrderRequested", told, "OrderCancelled", "PaymentUnwanted", "OrderRefunded"]);
            assert_refunded_once(world, "o-1");
        });
    }
}

#[test]
fn a_second_approval_of_one_order_is_refunded_once() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-late");
        world.driver.advance(700);
        world.send("PayOrder", "o-1", json!({}));
        world.driver.run_until_idle();
        world.assert_status("o-1", "PaymentPending");
        world.driver.advance(20_000);
        world.assert_status("o-1", "Placed");
        let captures = world.aggregate("o-1").map(|order| order.captures.into_values().collect::<Vec<_>>());
        assert_eq!(captures, Some(vec![Capture::Kept, Capture::Undone]));
        assert_eq!((world.books().accepted.len(), world.books().undone.len()), (2, 1));
    });
}

#[test]
fn an_open_breaker_defers_at_once_and_retries_when_it_lets_calls_through() {
    killed_everywhere(
        || world_of(&touchy(5_000), 1),
        |world| {
            open_the_breaker(world);
            world.place("o-1", "kim");
            assert_unavailable_at_once(world, "o-1");
            world.driver.advance(4_900);
            world.assert_status("o-1", "PaymentDeferred");
            assert!(world.asked("o-1").is_empty(), "the provider is left alone");
            world.driver.advance(2_000);
            world.assert_status("o-1", "Placed");
            assert_eq!(world.kinds("o-1"), ["OrderRequested", "PaymentDeferred", "OrderPlaced"]);
            assert_eq!(world.driver.total("orders", "payment_breaker_open"), 0);
        },
    );
}

#[test]
fn a_customer_need_not_wait_for_the_paced_retry() {
    killed_everywhere(
        || world_of(&touchy(5_000), 1),
        |world| {
            open_the_breaker(world);
            for order in ["o-1", "o-2", "o-3"] {
                world.place(order, "kim");
                assert_unavailable_at_once(world, order);
            }
            let while_open = world.send("PayOrder", "o-3", json!({}));
            world.driver.advance(100);
            assert!(world.asked("o-3").is_empty());
            assert!(world.refusals(&while_open).is_empty(), "it is told to wait, not refused");
            // Half-open lets the head of the queue through, which closes the breaker; the rest follow one a second.
            world.driver.advance(5_300);
            world.assert_status("o-1", "Placed");
            world.assert_status("o-3", "PaymentDeferred");
            world.send("PayOrder", "o-3", json!({}));
            world.driver.advance(200);
            world.assert_status("o-3", "Placed");
            world.assert_status("o-2", "PaymentDeferred");
            world.driver.advance(3_000);
            world.assert_status("o-2", "Placed");
        },
    );
}

#[test]
fn a_breaker_that_stays_open_ends_the_order_after_ten_minutes() {
    killed_everywhere(
        || world_of(&touchy(3_600_000), 1),
        |world| {
            open_the_breaker(world);
            world.place("o-1", "kim");
            assert_unavailable_at_once(world, "o-1");
            world.driver.advance(599_999);
            world.assert_status("o-1", "PaymentDeferred");
            world.driver.advance(1);
            world.assert_status("o-1", "Rejected");
            assert_eq!(world.event("o-1", "OrderRejected")["reason"], "PaymentUnavailable");
            assert!(world.asked("o-1").is_empty());
            assert_eq!(world.driver.total("orders", "payments_queued"), 0);
        },
    );
}

#[test]
fn a_topic_that_nobody_consumes_opens_the_breaker() {
    killed_everywhere(
        || world_without_payments(&touchy(3_600_000), 1),
        |world| {
            for order in ["o-8", "o-9"] {
                world.place(order, "kim");
            }
            world.driver.advance(610);
            world.assert_status("o-9", "PaymentDeferred");
            assert_eq!(world.event("o-9", "PaymentDeferred")["reason"], "PaymentTimedOut");
            world.place("o-1", "kim");
            assert_unavailable_at_once(world, "o-1");
            world.driver.advance(600_000);
            assert!(world.asked("o-1").is_empty());
            for (order, reason) in [("o-8", "PaymentTimedOut"), ("o-1", "PaymentUnavailable")] {
                world.assert_status(order, "Rejected");
                assert_eq!(world.event(order, "OrderRejected")["reason"], reason);
            }
        },
    );
}

/// Two customers with a failing provider open the breaker and go away.
fn open_the_breaker(world: &mut World) {
    for order in ["o-8", "o-9"] {
        world.place(order, "simulate-fail");
    }
    world.driver.advance(100);
    for order in ["o-8", "o-9"] {
        world.assert_status(order, "PaymentDeferred");
        assert_eq!(world.event(order, "PaymentDeferred")["reason"], "PaymentUnavailable");
        world.send("CancelOrder", order, json!({}));
    }
    world.driver.run_until_idle();
    assert_eq!(world.driver.total("orders", "payment_breaker_open"), 1);
}

/// The answer is there in the same millisecond, and nobody was asked.
fn assert_unavailable_at_once(world: &mut World, order: &str) {
    world.driver.run_until_idle();
    world.assert_status(order, "PaymentDeferred");
    assert_eq!(world.event(order, "PaymentDeferred")["reason"], "PaymentUnavailable");
    assert!(world.asked(order).is_empty());
}

fn assert_refunded_once(world: &World, order: &str) {
    let books = world.books();
    assert_eq!(books.undone.keys().collect::<Vec<_>>(), [&format!("food-delivery/{order}/1/undo@0-0")]);
    assert_eq!(books.accepted.values().sum::<i64>(), books.undone.values().sum::<i64>());
    let refunds = world.asked(order).into_iter().filter(|kind| kind == "RefundRequested").count();
    assert_eq!(refunds, 1, "asked for once");
    assert_eq!(world.driver.total("orders", "open_won"), 0);
}
