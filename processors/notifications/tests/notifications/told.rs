//! What customers are told: each change once and each refund once, however often a task dies.

use std::collections::BTreeMap;

use business::Config;
use business::testing::evening::{CUSTOMERS, Drawn, Evenings, pick};
use business::testing::{World, killed_everywhere};
use fluvio_streams::testing::TestDriver;
use serde_json::{Value, json};

use crate::support::*;

fn silent() -> notifications::Config {
    notifications::Config::default()
}

fn with_webhook(config: &Config) -> notifications::Config {
    notifications::Config { webhook: true, retention_ms: config.retention_ms, ..notifications::Config::default() }
}

fn world(told: &notifications::Config) -> World<TeaHouse> {
    World::new(tea_house(&Config::default(), told), 2, None)
}

fn serve(world: &mut World<TeaHouse>) {
    world.send("OrderCup", "c-1", json!({"customerId": "kim", "price": 7}));
    world.driver.advance(100);
    world.send("ServeCup", "c-1", json!({}));
    world.driver.advance(100);
    world.assert_status("c-1", "Served");
}

#[test]
fn without_a_webhook_a_change_is_told_in_plain_words_and_nothing_of_a_delivery() {
    let mut world = world(&silent());
    serve(&mut world);
    world.look();
    let told: Vec<_> = world.driver.distinct_events(NOTIFICATIONS_EVENTS).into_iter().map(|event| (event.kind, event.data)).collect();
    let notified = |status: &str, about: &str, message: &str| {
        let data = json!({"cupId": "c-1", "customerId": "kim", "status": status, "about": about, "message": message});
        ("CustomerNotified".to_owned(), data)
    };
    let expected = [
        notified("PaymentPending", "CupRequested", "Cup c-1: payment pending."),
        notified("Ordered", "CupOrdered", "Cup c-1: ordered."),
        notified("Served", "CupStatusChanged", "Cup c-1: served."),
    ];
    assert_eq!(told, expected);
    let documents = world.documents("notifications");
    for (id, document) in &documents {
        assert_eq!(document["notificationId"], json!(id));
        assert!(document["notifiedAt"].as_str().is_some_and(|at| at.starts_with("2026-01-01T")), "{document}");
        assert!(document.get("delivery").is_none() && document.get("attempts").is_none(), "{document}");
    }
    assert_eq!(documents.len(), 3);
}

#[test]
fn with_a_webhook_each_is_delivered() {
    let mut world = world(&with_webhook(&Config::default()));
    serve(&mut world);
    world.look();
    each_is_delivered_once(&world);
    assert_eq!(world.documents("notifications").len(), 3);
}

#[test]
fn a_kill_anywhere_changes_nothing_for_a_customer() {
    killed_everywhere(
        || world(&silent()),
        |world| {
            world.send("OrderCup", "c-1", json!({"customerId": "simulate-late", "price": 7}));
            world.send("OrderCup", "c-2", json!({"customerId": "kim", "price": 7}));
            // Long enough for a call that is made again after a kill.
            world.driver.advance(5_000);
            world.send("CancelCup", "c-1", json!({}));
            world.send("ServeCup", "c-2", json!({}));
            world.driver.advance(2_000);
            world.assert_status("c-1", "Cancelled");
            world.assert_status("c-2", "Served");
        },
    );
}

/// The front has forgotten the cup, and somebody else has its id; the money comes back all the same, and whose it is hears of it.
#[test]
fn a_refund_for_what_is_forgotten_is_told_once() {
    for customer in ["simulate-twice", "simulate-refund-fail-once", "simulate-late"] {
        killed_everywhere(
            || World::<TeaHouse>::new(tea_house(&Config { retention_ms: 10, ..Config::default() }, &silent()), 2, None),
            |world| {
                world.send("OrderCup", "c-1", json!({"customerId": customer, "price": 7}));
                world.driver.run_until_idle();
                world.send("CancelCup", "c-1", json!({}));
                world.driver.advance(15);
                assert_eq!(world.aggregate("c-1"), None, "forgotten");
                world.driver.advance(60_000);
                assert_eq!(world.books().undone.len(), 1);
                let told = world.driver.distinct_events(NOTIFICATIONS_EVENTS).into_iter().filter(|event| event.kind == "ReversalNotified");
                let told: Vec<Value> = told.map(|event| event.data).collect();
                let message = "Cup c-1: cup refunded.";
                let expected = json!({"cupId": "c-1", "customerId": customer, "about": "ForgottenCupRefunded", "message": message});
                assert_eq!(told, [expected]);
            },
        );
    }
}

/// An id may be used again: what was told of the first cup is not taken for told of the second.
#[test]
fn cups_of_one_id_are_told_of_apart() {
    let mut topology = tea_house(&Config::default(), &silent()).topology;
    topology.processors.retain(|processor| processor.name == notifications::NAME);
    let mut driver = TestDriver::new(topology, 1);
    let mut happens = 0;
    for incarnation in ["0-0", "0-5"] {
        let story =
            [("CupOrdered", "Ordered"), ("CupOrdered", "Ordered"), ("CupCancelled", "Cancelled"), ("CupRefunded", "Cancelled"), ("CupRefunded", "Cancelled")];
        for (kind, status) in story {
            happens += 1;
            let data = json!({"cupId": "c-1", "incarnation": incarnation, "customerId": "kim", "status": status, "attempt": 1});
            let event = json!({"specversion": "1.0", "type": kind, "id": format!("e-{happens}"), "subject": "c-1", "data": data});
            driver.pipe(CUPS_EVENTS, "c-1", &event.to_string());
            driver.run_until_idle();
        }
    }
    let told: Vec<_> = driver.distinct_events(NOTIFICATIONS_EVENTS).into_iter().map(|event| event.data["about"].clone()).collect();
    let each = ["CupOrdered", "CupCancelled", "CupRefunded"];
    assert_eq!(told, [each, each].concat(), "each change and each refund once");
    // And what has ended is forgotten.
    assert!(driver.state::<Value>(notifications::NAME, "notified", "c-1").is_some());
    driver.advance(silent().retention_ms);
    assert_eq!(driver.state::<Value>(notifications::NAME, "notified", "c-1"), None);
}

#[test]
fn the_laws_hold_on_any_evening() {
    let evenings = Evenings::<TeaHouse> {
        system: |config| tea_house(config, &with_webhook(config)),
        command: |random| {
            let kind = pick(random, &["OrderCup", "OrderCup", "PayCup", "CancelCup", "ServeCup"]);
            let id = format!("c-{}", random.below(4));
            let fields = if kind == "OrderCup" { json!({"price": random.below(9), "customerId": pick(random, &CUSTOMERS)}) } else { json!({}) };
            Drawn { kind, id_field: "cupId", id, fields }
        },
        law: each_is_delivered_once,
    };
    let spent = evenings.laws_hold(60);
    assert!(spent.crashes > 60 && spent.statuses.len() == 6, "{spent:?}");
    evenings.replays_exactly(3);
}

/// Each notification is delivered once, under its own id, and its document says so.
fn each_is_delivered_once(world: &World<TeaHouse>) {
    let events = world.driver.distinct_events(NOTIFICATIONS_EVENTS);
    let of = |kind: &str| events.iter().filter(|event| event.kind == kind).collect::<Vec<_>>();
    let notified: BTreeMap<String, &str> =
        [of("CustomerNotified"), of("ReversalNotified")].concat().into_iter().map(|event| (event.id.clone(), event.subject.as_str())).collect();
    let delivered = of("NotificationDelivered");
    let by_key: BTreeMap<String, &str> =
        delivered.iter().map(|event| (event.data["notificationId"].as_str().unwrap_or_default().to_owned(), event.subject.as_str())).collect();
    assert_eq!(by_key, notified);
    assert_eq!(delivered.len(), notified.len(), "none is delivered twice");
    assert_eq!(world.driver.total("notifications", "notification_deliveries_open"), 0);
    for (id, document) in world.documents("notifications") {
        assert_eq!((&document["delivery"], &document["attempts"]), (&json!("Delivered"), &json!(1)), "{id}: {document}");
        assert!(document["message"].is_string(), "{document}");
    }
}
