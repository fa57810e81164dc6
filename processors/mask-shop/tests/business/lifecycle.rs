//! What people do with an order once the delivery team has taken it: in order, too early, too late, twice, and wrongly written.

use serde_json::json;

use mask_shop::Config;

use crate::support::*;

const PARTITIONS: u32 = 3;

fn world() -> World {
    let mut world = world_of(&Config::default(), PARTITIONS);
    world.restock("mask", 100);
    world.driver.run_until_idle();
    world
}

/// Returns a world in which order `o-1` has this status.
fn world_at(status: &str) -> World {
    let mut world = world();
    let customer = if status == "Rejected" { "simulate-decline" } else { "kim" };
    world.place("o-1", if status == "DeliveryDeferred" { "simulate-stall" } else { customer });
    if status == "DeliveryPending" {
        world.driver.run_until_idle();
    } else {
        world.driver.advance(if status == "DeliveryDeferred" { 700 } else { 200 });
    }
    match status {
        "Delivered" => drop(world.send("CompleteDelivery", "o-1", json!({}))),
        "Cancelled" => drop(world.send("CancelOrder", "o-1", json!({}))),
        _ => {}
    }
    world.driver.run_until_idle();
    world.assert_status("o-1", status);
    world
}

#[test]
fn an_order_is_placed_and_delivered() {
    killed_everywhere(
        || world_of(&Config::default(), 1),
        |world| {
            world.restock("mask", 10);
            world.place("o-1", "kim");
            world.driver.advance(200);
            world.send("CompleteDelivery", "o-1", json!({}));
            world.driver.advance(200);
            world.assert_status("o-1", "Delivered");
            assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced", "OrderStatusChanged"]);
            assert_eq!(world.driver.kinds(DELIVERY_EVENTS, "o-1"), ["DeliveryRegistered", "DeliveryCompleted"]);
            let order = &world.documents("orders")["o-1"];
            assert_eq!((&order["productId"], &order["qty"], &order["customerId"]), (&json!("mask"), &json!(QTY), &json!("kim")));
            assert_eq!(order["delivery"], json!({"attempts": 1, "registered": 1, "cancelled": 0}));
            let delivery = &world.documents("deliveries")["o-1"];
            assert_eq!((&delivery["status"], &delivery["customerId"]), (&json!("Completed"), &json!("kim")));
            assert_eq!(world.total("orders_live"), 1, "a delivered order stays one");
        },
    );
}

/// Goal: one table says what every command means at every status. Read a row as: at this status, `PlaceOrder` again, `CancelOrder`, `CompleteDelivery`; a status is where it leads.
#[test]
fn every_command_at_every_status_has_one_outcome() {
    for (status, expected) in [
        ("DeliveryPending", ["OrderExists", "Cancelled", "Delivered"]),
        ("DeliveryDeferred", ["OrderExists", "Cancelled", "OrderNotPlaced"]),
        ("Placed", ["OrderExists", "Cancelled", "Delivered"]),
        ("Delivered", ["OrderExists", "OrderAlreadyDelivered", "OrderAlreadyDelivered"]),
        ("Cancelled", ["OrderExists", "OrderAlreadyCancelled", "OrderAlreadyCancelled"]),
        ("Rejected", ["OrderExists", "OrderAlreadyRejected", "OrderAlreadyRejected"]),
    ] {
        for (command, expected) in ["PlaceOrder", "CancelOrder", "CompleteDelivery"].into_iter().zip(expected) {
            let mut world = world_at(status);
            let id = if command == "PlaceOrder" { world.place("o-1", "kim") } else { world.send(command, "o-1", json!({})) };
            world.driver.advance(300);
            let outcome = world.refusals(&id).pop().unwrap_or_else(|| world.status("o-1").unwrap_or_default().to_owned());
            assert_eq!(outcome, expected, "{command} at {status}");
            world.driver.advance(120_000);
            world.look();
            world.every_undoing_is_wanted();
            stock_is_kept(&world);
        }
    }
}

#[test]
fn a_cancelled_order_gives_back_delivery_and_stock() {
    killed_everywhere(
        || world_of(&Config::default(), 1),
        |world| {
            world.restock("mask", 10);
            world.place("o-1", "simulate-refund-fail-once");
            world.driver.advance(200);
            world.send("CancelOrder", "o-1", json!({"reason": "found one"}));
            world.driver.advance(10_000);
            assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced", "OrderCancelled", "DeliveryCancelled"]);
            assert_eq!(world.driver.kinds(DELIVERY_EVENTS, "o-1"), ["DeliveryRegistered", "DeliveryCancelled"]);
            assert_eq!(world.stock_kinds("mask"), ["StockReceived", "StockTaken", "StockReturned"]);
            assert_eq!(world.documents("orders")["o-1"]["cancelReason"], "found one");
            assert_eq!(world.stock("mask"), [10, 10, QTY, QTY]);
            assert_eq!((world.total("orders_live"), world.total("deliveries_open")), (0, 0));
        },
    );
}

/// The customer cancels while the courier is at the door: whoever comes first at orders, both end in agreement.
#[test]
fn a_cancellation_that_crosses_the_completion_is_settled_once() {
    for cancel_first in [true, false] {
        killed_everywhere(
            || world_of(&Config::default(), 1),
            |world| {
                world.restock("mask", 10);
                world.place("o-1", "kim");
                world.driver.advance(200);
                let commands = if cancel_first { ["CancelOrder", "CompleteDelivery"] } else { ["CompleteDelivery", "CancelOrder"] };
                let [first, second] = commands.map(|command| world.send(command, "o-1", json!({})));
                world.driver.advance(500);
                let complete = if cancel_first { second } else { first };
                world.assert_status("o-1", "Cancelled");
                assert_eq!(world.refusals(&complete), ["OrderAlreadyCancelled"]);
                assert_eq!(world.documents("deliveries")["o-1"]["status"], "Cancelled");
                assert_eq!(world.stock("mask"), [10, 10, QTY, QTY]);
            },
        );
    }
}

#[test]
fn commands_sent_in_one_go_wait_for_their_order() {
    killed_everywhere(
        || world_of(&Config::default(), 1),
        |world| {
            world.restock("mask", 10);
            world.place("o-1", "kim");
            world.send("CompleteDelivery", "o-1", json!({}));
            world.driver.advance(500);
            world.assert_status("o-1", "Delivered");
        },
    );
}

#[test]
fn a_command_that_is_sent_twice_takes_effect_once() {
    let mut world = world();
    let place = world.place("o-1", "kim");
    world.send_as(&place, "PlaceOrder", "o-1", json!({"customerId": "kim", "productId": "mask", "qty": QTY}));
    world.driver.advance(200);
    let complete = world.send("CompleteDelivery", "o-1", json!({}));
    world.send_as(&complete, "CompleteDelivery", "o-1", json!({}));
    world.place("o-2", "kim");
    world.driver.advance(200);
    let cancel = world.send("CancelOrder", "o-2", json!({}));
    world.send_as(&cancel, "CancelOrder", "o-2", json!({}));
    world.driver.advance(500);
    for command in [place, complete, cancel] {
        assert_eq!(world.refusals(&command), ["DuplicateCommand"]);
    }
    assert_eq!(world.stock("mask"), [100 - QTY, 100, 2 * QTY, QTY]);
    world.look();
    stock_is_kept(&world);
}

#[test]
fn commands_for_unknown_orders_are_refused() {
    let mut world = world();
    let commands = ["CancelOrder", "CompleteDelivery"].map(|kind| world.send(kind, "o-404", json!({})));
    world.driver.advance(2_000);
    for command in commands {
        assert_eq!(world.refusals(&command), ["OrderUnknown"]);
    }
    world.look();
}

#[test]
fn an_order_without_an_id_is_given_one() {
    let mut world = world();
    world.driver.pipe(COMMANDS_TOPIC, "o-9", r#"{"type":"PlaceOrder","productId":"mask","qty":1}"#);
    for partition in 0..PARTITIONS {
        world.driver.pipe_to(COMMANDS_TOPIC, partition, None, br#"{"type":"PlaceOrder","productId":"mask","qty":1}"#);
    }
    world.driver.advance(500);
    let orders = world.documents("orders");
    assert_eq!(orders.len(), 1 + PARTITIONS as usize);
    assert!(orders.iter().all(|(id, order)| id.starts_with("o-") && order["status"] == "Placed" && order["customerId"] == "guest"), "{orders:?}");
    stock_is_kept(&world);
}

#[test]
fn a_field_that_is_wrong_is_named_in_the_dead_letter() {
    let long = "x".repeat(600);
    for (command, field) in [
        (json!({"type": "PlaceOrder", "qty": 1}), "productId"),
        (json!({"type": "PlaceOrder", "productId": "", "qty": 1}), "productId"),
        (json!({"type": "PlaceOrder", "productId": "mask"}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 0}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": "2"}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1_000_001}), "qty"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1, "address": long}), "address"),
        (json!({"type": "PlaceOrder", "productId": "mask", "qty": 1, "customerId": 1}), "customerId"),
        (json!({"type": "CancelOrder", "reason": 1}), "reason"),
        (json!({"type": "CompleteDelivery", "commandId": ""}), "commandId"),
        (json!({"type": "Restock", "productId": "mask"}), "qty"),
        (json!({"type": "Restock", "productId": "mask", "qty": -1}), "qty"),
        (json!({"type": "Restock", "productId": 1, "qty": 1}), "productId"),
        (json!({"type": "PayOrder"}), "PayOrder"),
        (json!({"qty": 1}), "type"),
    ] {
        let mut world = world();
        world.driver.pipe(COMMANDS_TOPIC, "o-1", &command.to_string());
        world.place("o-1", "kim");
        world.driver.advance(2_000);
        let letters = world.driver.distinct_events(DEAD_LETTERS);
        assert_eq!(letters.len(), 1, "{command} is dead-lettered once");
        let error = text(&letters[0].data, "error");
        assert!(error.contains(&format!("`{field}`")), "{command}: {error}");
        world.assert_status("o-1", "Placed");
        world.look();
        stock_is_kept(&world);
    }
}
