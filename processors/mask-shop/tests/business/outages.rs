//! Delivery, couriers or inventory down for a minute: orders and cancellations go on as far as they can, and everything catches up by itself.

use serde_json::json;

use mask_shop::Config;

use crate::support::*;

fn world() -> World {
    let mut world = world_of(&Config::default(), 2);
    world.restock("mask", 100);
    world.driver.run_until_idle();
    world
}

#[test]
fn orders_are_cancelled_while_delivery_and_inventory_are_down() {
    let mut world = world();
    world.place("o-1", "kim");
    world.driver.advance(200);
    world.assert_status("o-1", "Placed");
    for processor in ["delivery", "couriers", "inventory"] {
        world.driver.take_down(processor);
    }
    world.send("CancelOrder", "o-1", json!({}));
    world.driver.run_until_idle();
    world.assert_status("o-1", "Cancelled");
    assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced", "OrderCancelled"], "the customer is told at once");
    world.driver.advance(60_000);
    assert_eq!(world.documents("deliveries")["o-1"]["status"], "Registered");
    for processor in ["delivery", "couriers", "inventory"] {
        world.driver.bring_up(processor);
    }
    world.driver.advance(500);
    assert_eq!(world.kinds("o-1").last().map(String::as_str), Some("DeliveryCancelled"));
    assert_eq!(world.documents("deliveries")["o-1"]["status"], "Cancelled");
    assert_eq!(world.stock_kinds("mask"), ["StockReceived", "StockTaken", "StockReturned"]);
    world.look();
    world.every_undoing_is_wanted();
    stock_is_kept(&world);
}

#[test]
fn orders_go_on_while_the_inventory_is_down_and_it_catches_up() {
    killed_everywhere(
        || world_of(&Config::default(), 1),
        |world| {
            world.restock("mask", 2 * QTY);
            world.driver.run_until_idle();
            world.driver.take_down("inventory");
            for order in ["o-1", "o-2", "o-3"] {
                world.place(order, "kim");
                world.driver.advance(1_000);
                world.assert_status(order, "Placed");
            }
            world.send("CancelOrder", "o-1", json!({}));
            world.send("CompleteDelivery", "o-2", json!({}));
            world.driver.advance(60_000);
            assert_eq!(world.stock_kinds("mask"), ["StockReceived"]);
            world.driver.bring_up("inventory");
            world.driver.advance(1_000);
            // It takes and gives back in the order in which it was told.
            assert_eq!(world.stock_kinds("mask"), ["StockReceived", "StockTaken", "StockTaken", "StockShort", "StockReturned"]);
            world.assert_status("o-3", "Cancelled");
            assert_eq!(world.event("o-3", "OrderCancelled")["reason"], "OutOfStock");
        },
    );
}

#[test]
fn while_delivery_is_down_nothing_is_placed_and_orders_are_placed_when_it_returns() {
    let mut world = world();
    world.driver.take_down("delivery");
    let placed = |world: &World| (0..6).filter(|order| world.status(&format!("o-{order}")) == Some("Placed")).count();
    for order in 0..6 {
        world.place(&format!("o-{order}"), "kim");
        world.driver.advance(700);
        world.assert_status(&format!("o-{order}"), "DeliveryDeferred");
    }
    assert_eq!(placed(&world), 0);
    world.driver.bring_up("delivery");
    world.driver.advance(1_000);
    assert_eq!(placed(&world), 6);
    world.look();
    stock_is_kept(&world);
}

#[test]
fn couriers_that_come_back_late_find_what_they_have_to_do() {
    let mut world = world();
    world.driver.take_down("couriers");
    world.place("o-1", "kim");
    world.place("o-2", "kim");
    world.driver.advance(200);
    let complete = world.send("CompleteDelivery", "o-1", json!({}));
    let crossed = world.send("CompleteDelivery", "o-2", json!({}));
    world.send("CancelOrder", "o-2", json!({}));
    world.driver.advance(60_000);
    world.assert_status("o-1", "Placed");
    world.driver.bring_up("couriers");
    world.driver.advance(2_000);
    world.assert_status("o-1", "Delivered");
    world.assert_status("o-2", "Cancelled");
    assert!(world.refusals(&complete).is_empty());
    assert_eq!(world.refusals(&crossed), ["OrderAlreadyCancelled"]);
    let documents = world.documents("deliveries");
    assert_eq!((&documents["o-1"]["status"], &documents["o-2"]["status"]), (&json!("Completed"), &json!("Cancelled")));
    world.look();
    stock_is_kept(&world);
}
