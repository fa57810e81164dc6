//! What the HTTP layer and senders of commands rely on: which field is wrong, what an event means to a sender, and why the store refuses an order that is not established.

use fluvio_streams::system::{FieldError, Outcome, System};
use fluvio_streams::testing::{SeenEvent, TestDriver};
use food_delivery::{Config, system};
use serde_json::{Value, json};

fn food_delivery() -> System {
    system(&Config::default()).expect("the default settings work")
}

/// Checks a command as the HTTP layer does before it is sent.
#[track_caller]
fn check(body: &Value) -> Result<(), FieldError> {
    let kind = body["type"].as_str().expect("a type");
    let commands = food_delivery().commands;
    let spec = commands.iter().find(|spec| spec.kind == kind).unwrap_or_else(|| panic!("`{kind}` is a command"));
    (spec.check)(body)
}

fn place(fields: Value) -> Value {
    let mut body = json!({"type": "PlaceOrder", "orderId": "o-1"});
    body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    body
}

#[test]
fn little_is_enough_to_place_an_order() {
    let items = vec![json!({"item": "chicken", "quantity": 1_000, "price": 10_000_000}); 100];
    for fields in [
        json!({"item": "chicken"}),
        json!({"item": "chicken", "quantity": null, "price": null, "address": null, "customerId": null}),
        json!({"item": "치킨", "quantity": 1_000, "price": 1_000_000_000, "nobody": {"asks": "for this"}}),
        json!({"items": [{"item": "chicken"}]}),
        json!({"items": items}),
        json!({"item": "x".repeat(512), "address": "y".repeat(512), "customerId": "z".repeat(256), "commandId": "c-1"}),
    ] {
        assert_eq!(check(&place(fields.clone())), Ok(()), "{fields}");
    }
    assert_eq!(check(&json!({"type": "PlaceOrder", "item": "tea"})), Ok(()), "the id may be assigned");
}

#[test]
fn the_field_that_is_wrong_is_named() {
    let line = |line: Value| json!({"items": [{"item": "tea"}, line]});
    for (fields, field) in [
        (json!({}), "item"),
        (json!({"item": ""}), "item"),
        (json!({"item": " "}), "item"),
        (json!({"item": 7}), "item"),
        (json!({"item": "x".repeat(513)}), "item"),
        (json!({"item": "tea", "quantity": 0}), "quantity"),
        (json!({"item": "tea", "quantity": -1}), "quantity"),
        (json!({"item": "tea", "quantity": 1.5}), "quantity"),
        (json!({"item": "tea", "quantity": "2"}), "quantity"),
        (json!({"item": "tea", "quantity": 1_001}), "quantity"),
        (json!({"item": "tea", "price": -1}), "price"),
        (json!({"item": "tea", "price": 1e300}), "price"),
        (json!({"item": "tea", "price": u64::MAX}), "price"),
        (json!({"item": "tea", "quantity": 2, "price": 1_000_000_000_000_i64}), "price"),
        (json!({"items": []}), "items"),
        (json!({"items": "tea"}), "items"),
        (json!({"items": vec![json!({"item": "tea"}); 101]}), "items"),
        (json!({"items": [{"item": "tea"}], "item": "tea"}), "item"),
        (json!({"items": [{"item": "tea"}], "quantity": 2}), "quantity"),
        (line(json!("tea")), "items[1]"),
        (line(json!({"price": 1})), "items[1].item"),
        (line(json!({"item": "tea", "quantity": false})), "items[1].quantity"),
        (line(json!({"item": "tea", "price": []})), "items[1].price"),
        (json!({"item": "tea", "address": "y".repeat(513)}), "address"),
        (json!({"item": "tea", "customerId": ""}), "customerId"),
        (json!({"item": "tea", "customerId": "a\u{0}b"}), "customerId"),
        (json!({"item": "tea", "storeId": 1}), "storeId"),
        (json!({"item": "tea", "orderId": "x".repeat(257)}), "orderId"),
        (json!({"item": "tea", "commandId": 1}), "commandId"),
    ] {
        let error = check(&place(fields.clone())).expect_err(&format!("{fields} is refused"));
        assert_eq!(error.field, field, "{fields}: {}", error.detail);
    }
    for kind in ["PayOrder", "CancelOrder", "AcceptOrder", "DeclineOrder", "StartCooking", "StartDelivery", "CompleteDelivery"] {
        assert_eq!(check(&json!({"type": kind, "orderId": "o-1"})), Ok(()), "{kind}");
        assert_eq!(check(&json!({"type": kind})).expect_err(kind).field, "orderId", "{kind}");
    }
    for kind in ["CancelOrder", "DeclineOrder"] {
        let body = json!({"type": kind, "orderId": "o-1", "reason": "x".repeat(513)});
        assert_eq!(check(&body).expect_err(kind).field, "reason", "{kind}");
    }
}

#[test]
fn what_happens_means_one_thing_to_the_sender() {
    let outcome = food_delivery().outcome;
    let (place, store) = ("PlaceOrder", "StartCooking");
    for (command, event, reason, expected) in [
        (place, "OrderRequested", None, None),
        (place, "OrderPlaced", None, Some(Outcome::Done)),
        (place, "PaymentDeferred", Some("PaymentTimedOut"), Some(Outcome::Deferred)),
        (place, "OrderRejected", Some("PaymentDeclined"), Some(Outcome::Declined)),
        (place, "OrderRejected", Some("PaymentUnavailable"), Some(Outcome::Refused)),
        (place, "PaymentAbandoned", Some("OrderCancelled"), Some(Outcome::Refused)),
        (place, "OrderStatusChanged", None, None),
        ("PayOrder", "PaymentAttemptStarted", None, None),
        ("PayOrder", "OrderPlaced", None, Some(Outcome::Done)),
        ("CancelOrder", "OrderCancelled", None, Some(Outcome::Done)),
        ("CancelOrder", "OrderRefunded", None, None),
        ("DeclineOrder", "OrderRejected", Some("StoreDeclined"), Some(Outcome::Done)),
        (store, "OrderStatusChanged", None, Some(Outcome::Done)),
        (store, "CommandRejected", Some("OrderUnknown"), Some(Outcome::Unknown)),
        (store, "CommandRejected", Some("DuplicateCommand"), Some(Outcome::Repeated)),
        (store, "CommandRejected", Some("OrderNotAccepted"), Some(Outcome::Refused)),
        (store, "CommandRejected", Some(food_delivery::names::STORE.overloaded), Some(Outcome::Overloaded)),
        (store, "DeadLetter", None, Some(Outcome::Refused)),
    ] {
        let found = outcome(command, event, &json!({"reason": reason})).map(|(outcome, _)| outcome);
        assert_eq!(found, expected, "{event} {reason:?} to {command}");
    }
}

fn pipe(driver: &mut TestDriver, body: Value) {
    driver.pipe("food-delivery-commands", "o-1", &body.to_string());
    driver.run_until_idle();
}

/// Returns the reasons for which commands were refused.
fn refusals(driver: &TestDriver) -> Vec<String> {
    let of = |event: &SeenEvent| event.data["reason"].as_str().unwrap_or_default().to_owned();
    driver.events("food-delivery-rejections").iter().map(of).collect()
}

/// Goal: an order that exists but is not established is not unknown: its store commands are refused for what they are.
#[test]
fn the_store_says_why_it_does_not_take_an_order_that_is_not_paid() {
    let accept = || json!({"type": "AcceptOrder", "orderId": "o-1"});
    let mut driver = TestDriver::new(food_delivery().topology, 1);
    pipe(&mut driver, json!({"type": "PlaceOrder", "orderId": "o-1", "item": "tea"}));
    driver.advance(500);
    pipe(&mut driver, accept());
    assert_eq!(refusals(&driver), [""; 0], "it waits, for the payment may still be approved");
    driver.advance(200);
    assert_eq!(refusals(&driver), ["OrderNotPlaced"], "the deadline has passed");
    pipe(&mut driver, accept());
    assert_eq!(refusals(&driver), ["OrderNotPlaced"; 2], "known to be deferred, it is refused at once");
    driver.advance(30_000);
    pipe(&mut driver, accept());
    assert_eq!(refusals(&driver)[2..], ["OrderAlreadyRejected"], "nobody paid until the give-up time");
    assert_eq!(driver.events("food-delivery-store-events"), []);
}

#[test]
fn a_cancelled_order_that_was_never_paid_leaves_nothing_to_undo_in_the_store() {
    let mut driver = TestDriver::new(food_delivery().topology, 1);
    pipe(&mut driver, json!({"type": "PlaceOrder", "orderId": "o-1", "item": "tea"}));
    pipe(&mut driver, json!({"type": "AcceptOrder", "orderId": "o-1"}));
    pipe(&mut driver, json!({"type": "CancelOrder", "orderId": "o-1"}));
    assert_eq!(refusals(&driver), ["OrderAlreadyCancelled"], "the waiting command is answered");
    assert_eq!(driver.events("food-delivery-store-events"), []);
}
