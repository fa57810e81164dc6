//! What people do with an order once the payment is no question: in order, out of order, at the wrong time, twice, and wrongly written.

use fluvio_streams::partitioner::partition_for;
use serde_json::json;

use food_delivery::Config;

use crate::support::*;

const PARTITIONS: u32 = 3;
/// The store's commands in the order of an evening, with the status that each leads to.
const EVENING: [(&str, &str); 4] =
    [("AcceptOrder", "Accepted"), ("StartCooking", "Cooking"), ("StartDelivery", "Delivering"), ("CompleteDelivery", "Delivered")];

fn world() -> World {
    world_of(&Config::default(), PARTITIONS)
}

/// Returns a world in which order `o-1` has come as far as `status`.
fn world_at(status: &str) -> World {
    let mut world = world();
    world.place("o-1", "kim");
    world.driver.advance(100);
    for (command, reached) in EVENING {
        if world.status("o-1") == Some(status) {
            break;
        }
        world.send(command, "o-1", json!({}));
        world.driver.run_until_idle();
        world.assert_status("o-1", reached);
    }
    world.assert_status("o-1", status);
    world
}

#[test]
fn an_order_is_cooked_and_delivered() {
    let world = world_at("Delivered");
    let changes = ["OrderStatusChanged"; 4];
    assert_eq!(world.kinds("o-1"), [&["OrderRequested", "OrderPlaced"][..], &changes].concat());
    let document = &world.documents("orders")["o-1"];
    assert_eq!((&document["status"], &document["customerId"], &document["price"]), (&json!("Delivered"), &json!("kim"), &json!(PRICE_WON)));
    assert_eq!(world.driver.total("orders", "live_won"), PRICE_WON, "a delivered order stays paid");
    world.look();
}

/// Whoever sends the whole evening at once need not know that the store learns of an order only when it is paid.
#[test]
fn commands_sent_in_one_go_wait_for_their_order() {
    killed_everywhere(
        || world_of(&Config::default(), 1),
        |world| {
            world.place("o-1", "kim");
            for (command, _) in EVENING {
                world.send(command, "o-1", json!({}));
            }
            world.driver.advance(500);
            world.assert_status("o-1", "Delivered");
            assert_eq!(world.driver.total("store", "store_commands_parked"), 0);
        },
    );
}

#[test]
fn a_command_waits_a_second_for_its_order_and_not_for_its_payment() {
    let mut world = world();
    world.place("o-1", "simulate-stall");
    let accept = world.send("AcceptOrder", "o-1", json!({}));
    let unknown = world.send("AcceptOrder", "o-404", json!({}));
    world.driver.advance(609);
    assert_eq!(world.driver.total("store", "store_commands_parked"), 2);
    world.driver.advance(1);
    assert_eq!(world.refusals(&accept), ["OrderNotPlaced"], "as soon as the payment is deferred");
    world.driver.advance(389);
    assert_eq!(world.driver.total("store", "store_commands_parked"), 1);
    world.driver.advance(1);
    assert_eq!(world.refusals(&unknown), ["OrderUnknown"]);
    assert_eq!(world.driver.total("store", "store_commands_parked"), 0);
    world.look();
}

#[test]
fn commands_parked_in_the_wrong_order_are_refused_one_by_one() {
    let mut world = world();
    world.place("o-1", "kim");
    let deliver = world.send("StartDelivery", "o-1", json!({}));
    world.send("AcceptOrder", "o-1", json!({}));
    world.driver.advance(500);
    assert_eq!(world.refusals(&deliver), ["OrderNotAccepted"]);
    world.assert_status("o-1", "Accepted");
    world.look();
}

#[test]
fn more_than_a_few_commands_do_not_wait_for_one_order() {
    let mut world = world();
    let commands: Vec<String> = (0..20).map(|_| world.send("AcceptOrder", "o-1", json!({}))).collect();
    world.driver.run_until_idle();
    let overloaded = commands.iter().filter(|command| world.refusals(command) == ["StoreOverloaded"]).count();
    assert_eq!(overloaded, 20 - business::limits::PARKED_COMMANDS_PER_AGGREGATE_MAX);
    world.driver.advance(2_000);
    world.look();
}

#[test]
fn an_order_that_the_store_declines_is_refunded() {
    killed_everywhere(
        || world_of(&Config::default(), 1),
        |world| {
            world.place("o-1", "kim");
            world.driver.advance(200);
            world.send("DeclineOrder", "o-1", json!({"reason": "no chicken left"}));
            world.driver.advance(500);
            world.assert_status("o-1", "Rejected");
            let rejected = world.event("o-1", "OrderRejected");
            assert_eq!((&rejected["reason"], &rejected["detail"]), (&json!("StoreDeclined"), &json!("no chicken left")));
            assert_eq!(world.event("o-1", "OrderRefunded")["amount"], PRICE_WON);
            assert_eq!(world.books().undone.len(), 1);
        },
    );
}

#[test]
fn cancelling_is_possible_until_the_delivery_starts() {
    for status in ["Placed", "Accepted", "Cooking", "Delivering", "Delivered"] {
        let mut world = world_at(status);
        let cancel = world.send("CancelOrder", "o-1", json!({"reason": "late"}));
        world.driver.advance(500);
        match status {
            "Delivering" | "Delivered" => {
                let reason = if status == "Delivering" { "DeliveryAlreadyStarted" } else { "OrderAlreadyDelivered" };
                assert_eq!(world.refusals(&cancel), [reason]);
                world.assert_status("o-1", status);
                assert_eq!(world.books().undone.len(), 0);
            }
            _ => {
                world.assert_status("o-1", "Cancelled");
                assert_eq!(world.books().undone.len(), 1, "cancelled at {status:?}");
                assert_eq!(world.documents("orders")["o-1"]["cancelReason"], "late");
                let store = world.driver.kinds(STORE_EVENTS, "o-1");
                assert!(store.ends_with(&["StoreOrderCancelled".to_owned(), "DeliveryCancelled".to_owned()]), "{store:?}");
                let again = world.send("CancelOrder", "o-1", json!({}));
                let accept = world.send("AcceptOrder", "o-1", json!({}));
                world.driver.run_until_idle();
                assert_eq!(
                    (world.refusals(&again), world.refusals(&accept)),
                    (vec!["OrderAlreadyCancelled".to_owned()], vec!["OrderAlreadyCancelled".to_owned()])
                );
            }
        }
        world.look();
    }
}

/// The customer cancels while the rider sets off: whoever comes first at orders, both end in agreement.
#[test]
fn a_cancellation_that_crosses_the_delivery_is_settled_once() {
    for cancel_first in [true, false] {
        killed_everywhere(
            || world_of(&Config::default(), 1),
            |world| {
                world.place("o-1", "kim");
                world.driver.advance(200);
                for command in ["AcceptOrder", "StartCooking"] {
                    world.send(command, "o-1", json!({}));
                }
                world.driver.run_until_idle();
                // The store reads its command before it hears of the cancellation.
                let commands = if cancel_first { ["CancelOrder", "StartDelivery"] } else { ["StartDelivery", "CancelOrder"] };
                for command in commands {
                    world.send(command, "o-1", json!({}));
                }
                world.driver.advance(500);
                world.assert_status("o-1", "Cancelled");
                let store = world.driver.kinds(STORE_EVENTS, "o-1");
                assert_eq!(store, ["OrderAccepted", "CookingStarted", "DeliveryStarted", "StoreOrderCancelled", "DeliveryCancelled"]);
                assert_eq!(world.books().undone.len(), 1);
            },
        );
    }
}

/// The store took the command before it heard of the cancellation, and orders refuses it: the sender is told of what was sent, not of what the store made of it.
#[test]
fn a_command_that_crosses_a_cancellation_is_refused_by_its_own_name() {
    for (command_id, before) in [(Some("c-accept"), "AcceptOrder"), (None, "AcceptOrder"), (None, "DeclineOrder")] {
        let mut world = world_of(&Config::default(), 1);
        world.place("o-1", "kim");
        world.driver.advance(200);
        world.send("CancelOrder", "o-1", json!({}));
        world.driver.pipe(COMMANDS_TOPIC, "o-1", &json!({"type": before, "orderId": "o-1", "commandId": command_id}).to_string());
        world.driver.advance(500);
        let rejections = world.driver.distinct_events(REJECTIONS);
        let position = format!("{COMMANDS_TOPIC}/0/2");
        let id = command_id.unwrap_or(&position);
        let told: Vec<_> = rejections.iter().map(|event| (event.subject.as_str(), event.correlation.as_str(), event.data.clone())).collect();
        let expected = json!({
            "commandType": before, "commandId": id, "subject": "o-1", "position": position,
            "reason": "OrderAlreadyCancelled", "detail": "the order was cancelled",
        });
        assert_eq!(told, [("o-1", id, expected)]);
        world.look();
    }
}

/// A command that has to find its partition first is refused under the id that its sender knows.
#[test]
fn a_forwarded_command_that_waits_in_vain_is_refused_by_its_own_id() {
    let mut world = world();
    let owner = partition_for(b"o-404", PARTITIONS);
    let sent_to = (owner + 1) % PARTITIONS;
    world.driver.pipe_to(COMMANDS_TOPIC, sent_to, None, br#"{"type":"AcceptOrder","orderId":"o-404"}"#);
    world.driver.advance(2_000);
    let rejections = world.driver.distinct_events(REJECTIONS);
    let told: Vec<_> = rejections.iter().map(|event| (text(&event.data, "commandType"), text(&event.data, "commandId"))).collect();
    assert_eq!(told, [("AcceptOrder".to_owned(), format!("{COMMANDS_TOPIC}/{sent_to}/0"))]);
}

#[test]
fn commands_out_of_order_are_refused_and_change_nothing() {
    for (status, command, reason) in [
        ("Placed", "StartCooking", "OrderNotAccepted"),
        ("Placed", "CompleteDelivery", "OrderNotAccepted"),
        ("Placed", "PayOrder", "OrderAlreadyPaid"),
        ("Accepted", "AcceptOrder", "OrderAlreadyAccepted"),
        ("Accepted", "DeclineOrder", "OrderAlreadyAccepted"),
        ("Accepted", "StartDelivery", "CookingNotStarted"),
        ("Cooking", "StartCooking", "CookingAlreadyStarted"),
        ("Cooking", "CompleteDelivery", "DeliveryNotStarted"),
        ("Delivering", "StartDelivery", "DeliveryAlreadyStarted"),
        ("Delivered", "CompleteDelivery", "OrderAlreadyDelivered"),
    ] {
        let mut world = world_at(status);
        let command = world.send(command, "o-1", json!({}));
        world.driver.run_until_idle();
        assert_eq!(world.refusals(&command), [reason], "at {status:?}");
        world.assert_status("o-1", status);
        world.look();
    }
}

#[test]
fn commands_for_unknown_orders_are_refused() {
    let mut world = world();
    let commands: Vec<String> = ["PayOrder", "CancelOrder", "AcceptOrder", "CompleteDelivery"].map(|kind| world.send(kind, "o-404", json!({}))).to_vec();
    world.driver.advance(2_000);
    for command in commands {
        assert_eq!(world.refusals(&command), ["OrderUnknown"]);
    }
    world.look();
}

#[test]
fn a_command_that_is_sent_twice_takes_effect_once() {
    let mut world = world_at("Placed");
    let place = json!({"customerId": "kim", "item": "chicken", "price": PRICE_WON});
    world.send_as("c-1", "PlaceOrder", "o-1", place.clone());
    let other = world.send("PlaceOrder", "o-1", place);
    let accept = world.send("AcceptOrder", "o-1", json!({}));
    world.send_as(&accept, "AcceptOrder", "o-1", json!({}));
    world.driver.run_until_idle();
    let cancel = world.send("CancelOrder", "o-1", json!({}));
    world.driver.run_until_idle();
    world.send_as(&cancel, "CancelOrder", "o-1", json!({}));
    world.driver.advance(500);
    assert_eq!(world.refusals("c-1"), ["DuplicateCommand"]);
    assert_eq!(world.refusals(&other), ["OrderExists"]);
    assert_eq!((world.refusals(&accept), world.refusals(&cancel)), (vec!["DuplicateCommand".to_owned()], vec!["DuplicateCommand".to_owned()]));
    assert_eq!((world.books().accepted.len(), world.books().undone.len()), (1, 1));
    world.look();
}

#[test]
fn a_field_that_is_wrong_is_named_in_the_dead_letter() {
    let long = "x".repeat(600);
    let cases = [
        (json!({"type": "PlaceOrder"}), "item"),
        (json!({"type": "PlaceOrder", "item": ""}), "item"),
        (json!({"type": "PlaceOrder", "item": 7}), "item"),
        (json!({"type": "PlaceOrder", "item": long}), "item"),
        (json!({"type": "PlaceOrder", "item": "tea", "quantity": 0}), "quantity"),
        (json!({"type": "PlaceOrder", "item": "tea", "quantity": 1.5}), "quantity"),
        (json!({"type": "PlaceOrder", "item": "tea", "price": -1}), "price"),
        (json!({"type": "PlaceOrder", "item": "tea", "price": "18000"}), "price"),
        (json!({"type": "PlaceOrder", "item": "tea", "price": 1_000_000_000_001_i64}), "price"),
        (json!({"type": "PlaceOrder", "items": []}), "items"),
        (json!({"type": "PlaceOrder", "items": [{"item": "tea"}], "item": "tea"}), "item"),
        (json!({"type": "PlaceOrder", "items": [{"item": "tea"}, {"item": "rice", "price": -1}]}), "items[1].price"),
        (json!({"type": "PlaceOrder", "item": "tea", "customerId": ""}), "customerId"),
        (json!({"type": "PlaceOrder", "item": "tea", "storeId": 1}), "storeId"),
        (json!({"type": "PlaceOrder", "item": "tea", "address": long}), "address"),
        (json!({"type": "PlaceOrder", "item": "tea", "orderId": 1}), "orderId"),
        (json!({"type": "PlaceOrder", "item": "tea", "commandId": 1}), "commandId"),
        (json!({"type": "CancelOrder", "reason": 1}), "reason"),
        (json!({"type": "AcceptOrder", "reason": 1}), "reason"),
        (json!({"type": "AcceptOrder", "commandId": ""}), "commandId"),
        (json!({"type": "EatOrder"}), "EatOrder"),
        (json!({"item": "tea"}), "type"),
    ];
    for (command, field) in cases {
        let mut world = world();
        world.driver.pipe(COMMANDS_TOPIC, "o-1", &command.to_string());
        world.place("o-1", "kim");
        world.driver.advance(2_000);
        let letters = world.driver.distinct_events(DEAD_LETTERS);
        assert_eq!(letters.len(), 1, "{command} is dead-lettered once");
        let error = text(&letters[0].data, "error");
        assert!(error.contains(&format!("`{field}`")), "{command}: {error}");
        assert_eq!(letters[0].data["topic"], COMMANDS_TOPIC);
        world.assert_status("o-1", "Placed");
        world.look();
    }
}

#[test]
fn commands_find_their_order_without_key_and_from_any_partition() {
    let mut world = world();
    for partition in 0..PARTITIONS {
        let command = json!({"type": "PlaceOrder", "orderId": format!("o-{partition}"), "commandId": format!("p-{partition}"), "item": "tea"});
        world.driver.pipe_to(
            COMMANDS_TOPIC,
            (partition_for(format!("o-{partition}").as_bytes(), PARTITIONS) + 1) % PARTITIONS,
            None,
            command.to_string().as_bytes(),
        );
    }
    world.driver.advance(200);
    for partition in 0..PARTITIONS {
        let order = format!("o-{partition}");
        world.assert_status(&order, "Placed");
        let accept = json!({"type": "AcceptOrder", "orderId": order});
        world.driver.pipe_to(COMMANDS_TOPIC, partition, Some(b"\xff not utf-8"), accept.to_string().as_bytes());
    }
    world.driver.advance(200);
    for partition in 0..PARTITIONS {
        world.assert_status(&format!("o-{partition}"), "Accepted");
    }
    world.look();
}

/// `{"type":"PlaceOrder","item":"chicken"}` is enough; the id that the system assigns leads every later command to the order.
#[test]
fn an_order_without_an_id_gets_one_in_its_own_partition() {
    let mut world = world();
    for partition in 0..PARTITIONS {
        world.driver.pipe_to(COMMANDS_TOPIC, partition, None, br#"{"type":"PlaceOrder","item":"chicken"}"#);
    }
    world.driver.advance(200);
    let events = world.driver.distinct_events(ORDERS_EVENTS);
    let placed: Vec<_> = events.iter().filter(|event| event.kind == "OrderPlaced").collect();
    assert_eq!(placed.len(), PARTITIONS as usize);
    for event in placed {
        assert_eq!(partition_for(event.subject.as_bytes(), PARTITIONS), event.partition);
        assert_eq!(event.data["customerId"], "guest");
    }
    world.look();
}

/// Without payments, any program may answer: a plain JSON object with the correlation id is enough, and nonsense is told.
#[test]
fn a_stand_in_for_payments_answers_in_plain_json() {
    let mut world = world_without_payments(&Config::default(), PARTITIONS);
    for order in ["o-1", "o-2", "o-3"] {
        world.place(order, "kim");
    }
    world.driver.run_until_idle();
    let request = world.driver.distinct_events(PAYMENT_REQUESTS).into_iter().find(|event| event.subject == "o-1").expect("a request for o-1");
    assert_eq!((&request.data["correlationId"], &request.data["amount"]), (&json!("o-1/1"), &json!(PRICE_WON)));
    for (order, reply) in [
        ("o-1", json!({"type": "PaymentApproved", "correlationId": "o-1/1"})),
        ("o-2", json!({"type": "PaymentDeclined", "orderId": "o-2", "attempt": 1, "detail": "no credit"})),
        ("o-3", json!({"type": "PaymentApproved", "orderId": "o-3", "attempt": 7})),
        ("o-3", json!({"type": "PaymentApproved", "orderId": "o-3"})),
        ("o-404", json!({"type": "PaymentApproved", "orderId": "o-404", "attempt": 1})),
        ("o-3", json!({"type": "PaymentRefunded", "orderId": "o-3", "attempt": 1})),
        ("o-3", json!({"type": "PaymentShrugged", "orderId": "o-3", "attempt": 1})),
        ("o-3", json!("PaymentApproved")),
    ] {
        world.driver.pipe(PAYMENT_REPLIES, order, &reply.to_string());
    }
    world.driver.run_until_idle();
    world.assert_status("o-1", "Placed");
    world.assert_status("o-2", "Rejected");
    assert_eq!(world.event("o-2", "OrderRejected")["detail"], "no credit");
    world.assert_status("o-3", "PaymentPending");
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS).len(), 4);
    // Approvals that nobody waits for are asked back.
    assert_eq!(
        (world.asked("o-3"), world.asked("o-404")),
        (vec!["PaymentRequested".to_owned(), "RefundRequested".to_owned()], vec!["RefundRequested".to_owned()])
    );
    world.driver.advance(610);
    world.assert_status("o-3", "PaymentDeferred");
    world.look();
}

/// A finished order leaves the state after its retention; its topics and views keep it.
#[test]
fn an_ended_order_leaves_the_state_after_its_retention() {
    let config = Config { retention_ms: 60_000, ..Config::default() };
    let mut world = world_of(&config, PARTITIONS);
    world.place("o-1", "kim");
    world.place("o-2", "kim");
    world.driver.advance(100);
    world.send("CancelOrder", "o-1", json!({}));
    world.driver.advance(30_000);
    assert!(world.aggregate("o-1").is_some());
    world.driver.advance(40_000);
    assert!(world.aggregate("o-1").is_none(), "forgotten");
    world.assert_status("o-2", "Placed");
    assert_eq!(world.documents("orders")["o-1"]["status"], "Cancelled");
    world.look();
}

/// An id is any short text: nothing that is built from ids may confuse two orders.
#[test]
fn ids_of_any_shape_are_kept_apart() {
    let mut world = world();
    let longest = "o".repeat(256);
    let orders = ["o", "o/1", "o/1/1", "o/1/refund", "주문 7", "\"quoted\"", "o,1", "50%", ".", longest.as_str()];
    for order in orders {
        world.place(order, "kim");
    }
    world.driver.advance(200);
    for (index, order) in orders.into_iter().enumerate() {
        world.assert_status(order, "Placed");
        world.send(if index % 2 == 0 { "CancelOrder" } else { "AcceptOrder" }, order, json!({}));
    }
    world.driver.advance(200);
    for (index, order) in orders.into_iter().enumerate() {
        world.assert_status(order, if index % 2 == 0 { "Cancelled" } else { "Accepted" });
        assert_eq!(world.documents("orders")[order]["status"], json!(if index % 2 == 0 { "Cancelled" } else { "Accepted" }));
    }
    assert_eq!((world.books().accepted.len(), world.books().undone.len()), (orders.len(), orders.len() / 2));
    world.look();
}

/// Payments has long forgotten the attempt when the store, late, says no.
#[test]
fn an_attempt_that_payments_has_forgotten_is_still_refunded_once() {
    let mut world = world_of(&Config { retention_ms: 60_000, ..Config::default() }, PARTITIONS);
    world.place("o-1", "kim");
    world.driver.advance(100_000);
    world.assert_status("o-1", "Placed");
    world.send("DeclineOrder", "o-1", json!({}));
    world.driver.advance(1_000);
    world.assert_status("o-1", "Rejected");
    assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced", "OrderRejected", "OrderRefunded"]);
    assert_eq!(world.books().undone.len(), 1);
    world.look();
}
