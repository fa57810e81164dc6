//! What people and programs outside rely on: which field is wrong, what an event means to a sender, which topics and views there are, and what the view of deliveries makes of events that come
//! in any order.

use fluvio_streams::envelope::Message;
use fluvio_streams::projection::Projection as _;
use fluvio_streams::record::Position;
use fluvio_streams::system::{FieldError, Outcome, System};
use fluvio_streams::trace::TraceContext;
use mask_shop::deliveries::View;
use mask_shop::names::COURIERS;
use mask_shop::{Config, system};
use serde_json::{Value, json};

fn mask_shop() -> System {
    system(&Config::default()).expect("the default settings work")
}

/// Checks a command as the HTTP layer does before it is sent.
#[track_caller]
fn check(body: &Value) -> Result<(), FieldError> {
    let kind = body["type"].as_str().expect("a type");
    let commands = mask_shop().commands;
    let spec = commands.iter().find(|spec| spec.kind == kind).unwrap_or_else(|| panic!("`{kind}` is a command"));
    (spec.check)(body)
}

#[test]
fn commands_are_sent_where_the_contract_says() {
    let commands: Vec<_> = mask_shop().commands.iter().map(|spec| (spec.kind, spec.collection, spec.verb, spec.subject_field)).collect();
    assert_eq!(
        commands,
        [
            ("PlaceOrder", "orders", None, "orderId"),
            ("CancelOrder", "orders", Some("cancel"), "orderId"),
            ("CompleteDelivery", "deliveries", Some("complete"), "orderId"),
            ("Restock", "inventories", Some("restock"), "productId"),
        ]
    );
    let views: Vec<_> = mask_shop().views.iter().map(|view| (view.collection, view.by_id)).collect();
    assert_eq!(views, [("orders", true), ("deliveries", true), ("inventories", true)]);
    let topics = mask_shop().topology.topics();
    for name in ["commands", "orders-events", "delivery-events", "inventory-events", "delivery-requests", "delivery-replies", "rejections", "dead-letters"] {
        assert!(topics.contains(&format!("mask-shop-{name}")), "{name} in {topics:?}");
    }
}

#[test]
fn the_field_that_is_wrong_is_named() {
    for body in [
        json!({"type": "PlaceOrder", "productId": "mask", "qty": 1}),
        json!({"type": "PlaceOrder", "orderId": "o-1", "customerId": "kim", "productId": "마스크", "qty": 1_000_000, "address": "y".repeat(512), "commandId": "c-1"}),
        json!({"type": "PlaceOrder", "productId": "mask", "qty": 1, "address": null, "customerId": null, "nobody": ["asks"]}),
        json!({"type": "Restock", "productId": "mask", "qty": 1_000_000, "commandId": "c-1"}),
        json!({"type": "CancelOrder", "orderId": "o-1", "reason": "found one"}),
        json!({"type": "CompleteDelivery", "orderId": "o-1"}),
    ] {
        assert_eq!(check(&body), Ok(()), "{body}");
    }
    for (body, field) in [
        (json!({"type": "PlaceOrder", "qty": 1}), "productId"),
        (json!({"type": "PlaceOrder", "productId": "x".repeat(257), "qty": 1}), "productId"),
        (json!({"type": "PlaceOrder", "productId": "mask"}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1.5}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": u64::MAX}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1, "orderId": ""}), "orderId"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1, "address": 1}), "address"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1, "customerId": "a\u{0}b"}), "customerId"),
        (json!({"type": "CancelOrder"}), "orderId"),
        (json!({"type": "CompleteDelivery", "orderId": 1}), "orderId"),
        (json!({"type": "Restock", "qty": 1}), "productId"),
        (json!({"type": "Restock", "productId": "mask"}), "qty"),
        (json!({"type": "Restock", "productId": "mask", "qty": 0}), "qty"),
        (json!({"type": "Restock", "productId": "mask", "qty": 1_000_001}), "qty"),
        (json!({"type": "Restock", "productId": "mask", "qty": 1, "commandId": 1}), "commandId"),
    ] {
        let error = check(&body).expect_err(&format!("{body} is refused"));
        assert_eq!(error.field, field, "{body}: {}", error.detail);
    }
}

#[test]
fn what_happens_means_one_thing_to_the_sender() {
    let outcome = mask_shop().outcome;
    let (place, cancel, complete, restock) = ("PlaceOrder", "CancelOrder", "CompleteDelivery", "Restock");
    for (command, event, reason, expected) in [
        (place, "OrderRequested", None, None),
        (place, "OrderPlaced", None, Some(Outcome::Done)),
        (place, "DeliveryDeferred", Some("DeliveryUnavailable"), Some(Outcome::Deferred)),
        (place, "OrderRejected", Some("DeliveryDeclined"), Some(Outcome::Declined)),
        (place, "OrderRejected", Some("DeliveryTimedOut"), Some(Outcome::Refused)),
        (place, "DeliveryAbandoned", Some("OrderCancelled"), Some(Outcome::Refused)),
        // What comes of the stock later is news, not an outcome.
        (place, "StockTaken", None, None),
        (place, "StockShort", None, None),
        (place, "OrderCancelled", Some("OutOfStock"), None),
        (cancel, "OrderCancelled", None, Some(Outcome::Done)),
        (cancel, "DeliveryCancelled", None, None),
        (cancel, "StockReturned", None, None),
        (cancel, "CommandRejected", Some("OrderUnknown"), Some(Outcome::Unknown)),
        (cancel, "CommandRejected", Some("OrderAlreadyDelivered"), Some(Outcome::Refused)),
        (complete, "OrderStatusChanged", None, Some(Outcome::Done)),
        (complete, "CommandRejected", Some(COURIERS.overloaded), Some(Outcome::Overloaded)),
        (restock, "StockReceived", None, Some(Outcome::Done)),
        (restock, "CommandRejected", Some("DuplicateCommand"), Some(Outcome::Repeated)),
        (restock, "DeadLetter", None, Some(Outcome::Refused)),
    ] {
        let found = outcome(command, event, &json!({"reason": reason})).map(|(outcome, _)| outcome);
        assert_eq!(found, expected, "{event} {reason:?} to {command}");
    }
}

/// (event type, attempt, incarnation)
type Told = (&'static str, u32, &'static str);

/// Returns the document of a delivery after these events.
fn delivery(events: &[Told]) -> Value {
    let fold = |document: Option<Value>, (offset, (kind, attempt, incarnation)): (usize, &Told)| {
        let event = Message {
            position: Position { topic: View.topic(), partition: 0, offset: offset as i64 },
            kind: (*kind).to_owned(),
            subject: Some("o-1".to_owned()),
            id: offset.to_string(),
            id_is_explicit: true,
            correlation: String::new(),
            provenance: None,
            trace: TraceContext::of(""),
            time_ms: 1_767_225_600_000 + offset as i64,
            data: json!({"orderId": "o-1", "attempt": attempt, "incarnation": incarnation}).to_string(),
        };
        Some(View.fold(document, &event).expect("an event folds"))
    };
    events.iter().enumerate().fold(None, fold).expect("there are events")
}

/// Goal: the delivery team and the couriers write to one topic, each in its own order; in whichever way the two are merged, the delivery ends as the order does.
#[test]
fn a_delivery_ends_alike_in_whichever_order_its_events_come() {
    let (registered, cancelled, completed) = (("DeliveryRegistered", 1, "0-5"), ("DeliveryCancelled", 1, "0-5"), ("DeliveryCompleted", 0, "0-5"));
    assert_eq!(delivery(&[registered])["status"], "Registered");
    for merged in [[registered, completed], [completed, registered]] {
        assert_eq!(delivery(&merged)["status"], "Completed");
    }
    // The courier was at the door when the customer cancelled: the front's word is final.
    for merged in [[registered, cancelled, completed], [registered, completed, cancelled], [completed, registered, cancelled]] {
        assert_eq!(delivery(&merged)["status"], "Cancelled");
    }
    let second = ("DeliveryRegistered", 2, "0-5");
    for merged in [[registered, cancelled, second], [registered, second, cancelled], [second, registered, cancelled]] {
        assert_eq!(delivery(&merged)["status"], "Registered", "another attempt stands");
    }
    for repeated in [vec![registered, registered], vec![registered, cancelled, registered, cancelled]] {
        assert_eq!(delivery(&repeated)["status"], if repeated.len() == 2 { "Registered" } else { "Cancelled" });
    }
}

#[test]
fn a_delivery_is_that_of_the_latest_order_of_its_id() {
    let before = [("DeliveryRegistered", 1, "0-5"), ("DeliveryCompleted", 0, "0-5")];
    let latest = ("DeliveryRegistered", 1, "0-10");
    assert_eq!(delivery(&[before[0], before[1], latest])["status"], "Registered");
    let late = delivery(&[before[0], latest, before[1], ("DeliveryCancelled", 1, "0-5")]);
    assert_eq!((&late["status"], &late["incarnation"]), (&json!("Registered"), &json!("0-10")), "what was before changes nothing");
    // A stand-in that names no incarnation means the latest.
    assert_eq!(delivery(&[latest, ("DeliveryCancelled", 1, "")])["status"], "Cancelled");
}
