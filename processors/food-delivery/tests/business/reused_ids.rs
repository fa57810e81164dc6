//! What happens when orders has forgotten an order: its id is used again, or the provider answers at last. Money is taken once for each order and comes back once, also with a kill at every
//! place where a task can die; and nobody who makes something up is paid.

use fluvio_streams::testing::TestDriver;
use serde_json::{Value, json};

use food_delivery::{Config, system};

use crate::support::*;

/// A world that forgets what has ended after so many milliseconds.
fn forgetful(retention_ms: i64) -> World {
    world_of(&Config { retention_ms, ..Config::default() }, 1)
}

/// Places order `o-1`, cancels it before the provider has answered, and waits until it is forgotten.
fn place_cancel_and_forget(world: &mut World, customer: &str, wait_ms: i64) {
    world.place("o-1", customer);
    world.driver.run_until_idle();
    world.send("CancelOrder", "o-1", json!({}));
    world.driver.advance(wait_ms);
    assert_eq!(world.aggregate("o-1"), None, "forgotten");
}

/// Publishes a reply as a program that stands in for payments does.
fn reply(world: &mut World, reply: &Value) {
    world.driver.pipe(PAYMENT_REPLIES, reply["orderId"].as_str().unwrap_or("o-1"), &reply.to_string());
    world.driver.run_until_idle();
}

fn refunds_asked(world: &World) -> usize {
    world.asked("o-1").iter().filter(|kind| *kind == "RefundRequested").count()
}

#[test]
fn an_order_with_the_id_of_a_forgotten_one_is_charged_once() {
    killed_everywhere(
        || forgetful(1_000),
        |world| {
            world.place("o-1", "kim");
            world.driver.advance(200);
            world.assert_status("o-1", "Placed");
            world.send("CancelOrder", "o-1", json!({"reason": "not hungry"}));
            world.driver.advance(3_000);
            assert_eq!(world.aggregate("o-1"), None, "forgotten");
            world.place("o-1", "lee");
            world.driver.advance(200);
            world.assert_status("o-1", "Placed");
            let books = world.books();
            assert_eq!(books.accepted.keys().collect::<Vec<_>>(), ["food-delivery/o-1/1/accept@0-0", "food-delivery/o-1/1/accept@0-2"], "each is charged once");
            assert_eq!(books.undone.keys().collect::<Vec<_>>(), ["food-delivery/o-1/1/undo@0-0"], "the first is paid back");
            // Outsiders still know the attempt by order id and number.
            let requests = world.driver.distinct_events(PAYMENT_REQUESTS);
            assert!(requests.iter().all(|request| request.data["correlationId"] == "o-1/1"), "{requests:?}");
            let document = &world.documents("orders")["o-1"];
            assert_eq!((&document["customerId"], &document["status"], document.get("cancelReason")), (&json!("lee"), &json!("Placed"), None));
            world.send("AcceptOrder", "o-1", json!({}));
            world.driver.advance(3_000);
            world.assert_status("o-1", "Accepted");
        },
    );
}

#[test]
fn an_answer_to_a_forgotten_order_does_not_settle_the_one_that_has_its_id_now() {
    // The first is approved while the second waits for its own answer, or is placed.
    for (second, waits_as) in [("simulate-stall", "PaymentPending"), ("kim", "Placed")] {
        killed_everywhere(
            || forgetful(200),
            |world| {
                place_cancel_and_forget(world, "simulate-late", 1_300);
                world.place("o-1", second);
                world.driver.advance(180);
                world.assert_status("o-1", waits_as);
                assert_eq!(refunds_asked(world), 0, "the first is not approved yet");
                world.driver.advance(300);
                world.assert_status("o-1", waits_as);
                // Killed while it waits for the provider, a call is made again, and the wait begins anew.
                world.driver.advance(200_000);
                let (captured, is_kept) = if second == "kim" { (2, true) } else { (1, false) };
                assert_eq!(world.status("o-1"), is_kept.then_some("Placed"));
                let books = world.books();
                assert_eq!(books.accepted.len(), captured);
                assert_eq!(books.undone.keys().collect::<Vec<_>>(), ["food-delivery/o-1/1/undo@0-0"]);
            },
        );
    }
}

#[test]
fn an_approval_of_a_forgotten_order_is_refunded_once() {
    for customer in ["simulate-twice", "simulate-refund-fail-once", "simulate-too-late"] {
        killed_everywhere(
            || forgetful(10),
            |world| {
                place_cancel_and_forget(world, customer, 15);
                assert_eq!(world.driver.total("orders", "captured_won"), 0, "the provider has not answered");
                world.driver.advance(100_000);
                assert_eq!(world.books().undone.keys().collect::<Vec<_>>(), ["food-delivery/o-1/1/undo@0-0"]);
                assert_eq!((refunds_asked(world), world.driver.total("orders", "stray_refunds_open")), (1, 0));
                let totals = ["captured_won", "refunded_won", "live_won", "open_won"].map(|name| world.driver.total("orders", name));
                assert_eq!(totals, [PRICE_WON, PRICE_WON, 0, 0]);
                let told = world.kinds("o-1").into_iter().filter(|kind| kind == "ForgottenOrderRefunded").count();
                assert_eq!(told, 1, "whose money is back hears of it, once");
                let expected = json!({"orderId": "o-1", "incarnation": "0-0", "customerId": customer, "attempt": 1, "amount": PRICE_WON});
                assert_eq!(world.event("o-1", "ForgottenOrderRefunded"), expected);
                let document = &world.documents("orders")["o-1"];
                assert_eq!((&document["status"], document.get("attempt")), (&json!("Cancelled"), None), "no view takes it for a change of an order");
            },
        );
    }
}

/// The money law holds at every moment on the way, not only at the end.
#[test]
fn money_of_forgotten_orders_is_counted_when_it_is_back() {
    let mut world = forgetful(10);
    place_cancel_and_forget(&mut world, "simulate-refund-fail-once", 15);
    let mut waited = 0;
    while let Some(due_ms) = world.driver.next_due_ms() {
        world.driver.advance(due_ms - world.driver.now_ms());
        world.account_balances();
        let open = world.driver.total("orders", "stray_refunds_open");
        assert_eq!(world.driver.total("orders", "refunded_won"), if open == 0 && waited > 0 { PRICE_WON } else { 0 });
        waited += open;
    }
    assert!(waited > 1, "the first try of the refund failed");
    world.look();
}

#[test]
fn nobody_is_paid_for_an_approval_that_was_made_up() {
    let mut world = forgetful(60_000);
    world.place("o-1", "kim");
    world.driver.advance(100);
    for made_up in [
        json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 1}),
        json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 1}),
        json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 2, "amount": 1_000_000, "incarnation": "7-7"}),
        json!({"type": "PaymentApproved", "orderId": "o-1", "attempt": 7, "amount": 1_000_000}),
        json!({"type": "PaymentApproved", "orderId": "o-1", "attempt": 1, "incarnation": "7-7"}),
    ] {
        reply(&mut world, &made_up);
    }
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS), []);
    let refused = world.driver.distinct_events(PAYMENTS_EVENTS).into_iter().filter(|event| event.kind == "RefundRefused").count();
    assert_eq!(refused, 5, "and it is told");
    assert_eq!(world.books().undone.len(), 0);
    assert_eq!(["captured_won", "refunded_won", "stray_refunds_open"].map(|name| world.driver.total("orders", name)), [PRICE_WON, 0, 0]);
    world.assert_status("o-1", "Placed");
    assert!(world.driver.distinct_events(ORDERS_EVENTS).iter().all(|event| event.kind != "ForgottenOrderRefunded"), "nor is anybody told of a refund");
    // What cannot be is not even asked.
    for absurd in [
        json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 1, "amount": -1}),
        json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 1, "amount": i64::MAX}),
        json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 1, "incarnation": "a/1"}),
        json!({"type": "PaymentRefunded", "orderId": "o-404", "attempt": 1, "amount": 1}),
        json!({"type": "RefundRefused", "orderId": "o-404", "attempt": 1}),
        json!({"type": "PaymentDeclined", "orderId": "o-404", "attempt": 1}),
    ] {
        reply(&mut world, &absurd);
    }
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS).len(), 6);
    world.look();
}

/// Somebody says that the provider has approved before it has: that is refused, and the approval itself is refunded all the same.
#[test]
fn a_refund_that_was_refused_too_early_is_made_when_it_is_due() {
    let mut world = forgetful(200);
    place_cancel_and_forget(&mut world, "simulate-late", 500);
    let approval = json!({"type": "PaymentApproved", "orderId": "o-1", "attempt": 1, "incarnation": "0-0"});
    reply(&mut world, &approval);
    assert_eq!((refunds_asked(&world), world.books().undone.len()), (1, 0));
    world.driver.advance(2_000);
    assert_eq!((refunds_asked(&world), world.books().undone.len()), (2, 1));
    reply(&mut world, &approval);
    world.driver.advance(2_000);
    assert_eq!(world.books().undone.len(), 1, "once");
    world.look();
}

/// A stand-in is asked to look into its own books, and may answer in plain JSON.
#[test]
fn a_stand_in_is_asked_for_the_money_of_a_forgotten_order() {
    let mut world = world_without_payments(&Config { retention_ms: 1_000, ..Config::default() }, 1);
    place_cancel_and_forget(&mut world, "kim", 1_500);
    for _ in 0..2 {
        reply(&mut world, &json!({"type": "PaymentApproved", "orderId": "o-1", "attempt": 1}));
    }
    let requests = world.driver.distinct_events(PAYMENT_REQUESTS);
    let asked = requests.iter().rfind(|request| request.kind == "RefundRequested").map(|request| request.data.clone());
    assert_eq!(
        asked,
        Some(json!({"orderId": "o-1", "customerId": "", "attempt": 1, "amount": 0, "correlationId": "o-1/1", "incarnation": "", "unverified": true}))
    );
    for _ in 0..2 {
        reply(&mut world, &json!({"type": "PaymentRefunded", "correlationId": "o-1/1", "amount": PRICE_WON}));
    }
    assert_eq!(refunds_asked(&world), 1);
    let told = world.kinds("o-1").into_iter().filter(|kind| kind == "ForgottenOrderRefunded").count();
    let expected = json!({"orderId": "o-1", "incarnation": "", "attempt": 1, "amount": PRICE_WON});
    assert_eq!((told, world.event("o-1", "ForgottenOrderRefunded")), (1, expected), "nobody said whose");
    assert_eq!(["captured_won", "refunded_won", "stray_refunds_open"].map(|name| world.driver.total("orders", name)), [PRICE_WON, PRICE_WON, 0]);
    world.look();
}

/// Followers may be behind: what they still remember of the first order is not taken for the second.
#[test]
fn followers_keep_orders_of_one_id_apart() {
    let mut topology = system(&Config::default()).unwrap_or_else(|error| panic!("{error}")).topology;
    topology.processors.retain(|processor| processor.name == "store");
    let mut driver = TestDriver::new(topology, 1);
    let mut happens = 0;
    let mut tell = |driver: &mut TestDriver, kind: &str, incarnation: &str, status: &str| {
        happens += 1;
        let data = json!({"orderId": "o-1", "incarnation": incarnation, "customerId": "kim", "status": status, "attempt": 1});
        let event = json!({"specversion": "1.0", "type": kind, "id": format!("e-{happens}"), "subject": "o-1", "data": data});
        driver.pipe(ORDERS_EVENTS, "o-1", &event.to_string());
        driver.run_until_idle();
    };
    for (incarnation, ending) in [("0-0", true), ("0-5", false)] {
        tell(&mut driver, "OrderPlaced", incarnation, "Placed");
        driver.pipe(COMMANDS_TOPIC, "o-1", r#"{"type":"AcceptOrder","orderId":"o-1"}"#);
        driver.run_until_idle();
        if ending {
            tell(&mut driver, "OrderCancelled", incarnation, "Cancelled");
            tell(&mut driver, "OrderRefunded", incarnation, "Cancelled");
        }
    }
    driver.advance(2 * Config::default().retention_ms);
    driver.pipe(COMMANDS_TOPIC, "o-1", r#"{"type":"StartCooking","orderId":"o-1"}"#);
    driver.run_until_idle();
    assert_eq!(driver.kinds(STORE_EVENTS, "o-1"), ["OrderAccepted", "StoreOrderCancelled", "DeliveryCancelled", "OrderAccepted", "CookingStarted"]);
    tell(&mut driver, "OrderCancelled", "0-5", "Cancelled");
    tell(&mut driver, "OrderRefunded", "0-5", "Cancelled");
    assert_eq!(driver.distinct_events(REJECTIONS), []);
    assert_eq!(driver.distinct_events(DEAD_LETTERS), []);
}
