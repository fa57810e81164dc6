//! The stock, which is keyed by product: what orders take and give back, across partitions, in whichever order things come.

use fluvio_streams::partitioner::partition_for;
use serde_json::json;

use mask_shop::Config;

use crate::support::*;

const PARTITIONS: u32 = 4;

fn one_partition() -> World {
    world_of(&Config::default(), 1)
}

#[test]
fn what_comes_in_is_there() {
    killed_everywhere(one_partition, |world| {
        for _ in 0..4 {
            world.restock("mask", 5);
            world.restock("kf94", 1);
            world.driver.run_until_idle();
        }
        assert_eq!((world.stock("mask"), world.stock("kf94")), ([20, 20, 0, 0], [4, 4, 0, 0]));
        assert_eq!(world.stock_kinds("mask"), ["StockReceived"; 4]);
    });
}

/// Goal: orders and products live in different partitions, and every order finds its product.
#[test]
fn many_orders_of_many_products_find_their_stock_across_partitions() {
    let products: Vec<String> = (0..8).map(|product| format!("mask-{product}")).collect();
    let orders: Vec<String> = (0..40).map(|order| format!("o-{order}")).collect();
    let pairs = orders.iter().zip(products.iter().cycle());
    let partition = |id: &str| partition_for(id.as_bytes(), PARTITIONS);
    assert!(pairs.clone().filter(|(order, product)| partition(order) != partition(product)).count() > 20, "they cross partitions");
    let mut world = world_of(&Config::default(), PARTITIONS);
    for product in &products {
        world.restock(product, 20);
    }
    for (order, product) in pairs.clone() {
        world.place_of(order, product, 2);
    }
    world.driver.advance(500);
    for product in &products {
        assert_eq!(world.stock(product), [10, 20, 10, 0]);
    }
    for order in &orders[..20] {
        world.send("CancelOrder", order, json!({}));
    }
    for order in &orders[20..] {
        world.send("CompleteDelivery", order, json!({}));
    }
    world.driver.advance(500);
    for (index, order) in orders.iter().enumerate() {
        world.assert_status(order, if index < 20 { "Cancelled" } else { "Delivered" });
    }
    let back: i64 = products.iter().map(|product| world.stock(product)[3]).sum();
    assert_eq!(back, 40, "what was taken for the cancelled half is back");
    world.look();
    stock_is_kept(&world);
}

#[test]
fn an_order_that_finds_too_little_is_cancelled_and_its_delivery_with_it() {
    killed_everywhere(one_partition, |world| {
        world.restock("mask", QTY - 1);
        world.place("o-1", "kim");
        world.driver.advance(500);
        world.assert_status("o-1", "Cancelled");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced", "OrderCancelled", "DeliveryCancelled"]);
        assert_eq!(world.event("o-1", "OrderCancelled")["reason"], "OutOfStock");
        assert_eq!(world.documents("orders")["o-1"]["cancelReason"], "OutOfStock");
        assert_eq!(world.documents("deliveries")["o-1"]["status"], "Cancelled");
        assert_eq!(world.stock_kinds("mask"), ["StockReceived", "StockShort"]);
        assert_eq!(world.stock("mask"), [QTY - 1, QTY - 1, 0, 0], "nothing was taken, and nothing is given back");
        assert_eq!(world.books().undone.len(), 1);
    });
}

#[test]
fn a_product_that_never_came_in_is_out_of_stock_and_no_product() {
    let mut world = world_of(&Config::default(), PARTITIONS);
    world.place_of("o-1", "nothing", 1);
    world.driver.advance(500);
    world.assert_status("o-1", "Cancelled");
    assert!(world.documents("inventories").is_empty());
    world.look();
    stock_is_kept(&world);
}

#[test]
fn the_last_piece_goes_to_one_order() {
    let mut world = world_of(&Config::default(), PARTITIONS);
    world.restock("mask", QTY);
    for order in ["o-1", "o-2", "o-3", "o-4"] {
        world.place(order, "kim");
    }
    world.driver.advance(500);
    let statuses: Vec<_> = ["o-1", "o-2", "o-3", "o-4"].map(|order| world.status(order).unwrap_or_default()).to_vec();
    assert_eq!(statuses.iter().filter(|status| **status == "Placed").count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == "Cancelled").count(), 3, "{statuses:?}");
    assert_eq!(world.stock("mask"), [0, QTY, QTY, 0]);
    world.look();
    stock_is_kept(&world);
}

#[test]
fn what_a_cancelled_order_took_is_there_for_the_next() {
    killed_everywhere(one_partition, |world| {
        world.restock("mask", QTY);
        world.place("o-1", "kim");
        world.driver.advance(200);
        world.send("CancelOrder", "o-1", json!({"reason": "OutOfStock"}));
        world.driver.advance(200);
        assert_eq!(world.stock("mask"), [QTY, QTY, QTY, QTY], "it is back, whatever the customer gives for a reason");
        world.place("o-2", "kim");
        world.driver.advance(200);
        world.assert_status("o-2", "Placed");
        assert_eq!(world.stock_kinds("mask"), ["StockReceived", "StockTaken", "StockReturned", "StockTaken"]);
    });
}

/// The customer cancels in the same moment in which the delivery team takes the order: take and return come in this order, or neither.
#[test]
fn a_cancellation_that_races_the_take_leaves_nothing_out() {
    let mut taken = 0;
    for (partitions, ms) in (1..=PARTITIONS).flat_map(|partitions| (18..45).map(move |ms| (partitions, ms))) {
        let mut world = World::new(system_of(&Config::default()), partitions, Some(u64::from(partitions) * 100 + ms as u64));
        world.restock("mask", 10);
        world.place("o-1", "kim");
        world.driver.advance(ms);
        world.send("CancelOrder", "o-1", json!({}));
        world.driver.advance(1_000);
        world.assert_status("o-1", "Cancelled");
        let [on_hand, received, _, _] = world.stock("mask");
        assert_eq!((on_hand, received), (10, 10));
        taken += usize::from(world.stock_kinds("mask").contains(&"StockTaken".to_owned()));
        world.look();
        stock_is_kept(&world);
    }
    assert!(taken > 0, "some were taken first");
}

/// The courier is at the door before the inventory has looked: the delivery stands, and the shortage is told.
#[test]
fn a_delivery_that_was_completed_before_the_stock_was_found_short_stands() {
    let mut world = one_partition();
    world.driver.take_down("inventory");
    world.place("o-1", "kim");
    world.driver.advance(200);
    world.send("CompleteDelivery", "o-1", json!({}));
    world.driver.advance(200);
    world.driver.bring_up("inventory");
    world.driver.advance(200);
    world.assert_status("o-1", "Delivered");
    assert_eq!(world.stock_kinds("mask"), ["StockShort"]);
    world.look();
    stock_is_kept(&world);
}

#[test]
fn the_same_restock_counts_once() {
    let mut world = one_partition();
    let first = world.restock("mask", 5);
    world.send_about(&first, "Restock", "productId", "mask", json!({"qty": 5}));
    // The same id for another product is another command.
    world.driver.pipe(COMMANDS_TOPIC, "kf94", &json!({"type": "Restock", "productId": "kf94", "commandId": first, "qty": 1}).to_string());
    // Without an id of its own, a command is where it stands.
    for _ in 0..2 {
        world.driver.pipe(COMMANDS_TOPIC, "mask", r#"{"type":"Restock","productId":"mask","qty":1}"#);
    }
    world.driver.advance(100);
    assert_eq!(world.refusals(&first), ["DuplicateCommand"]);
    assert_eq!((world.stock("mask"), world.stock("kf94")), ([7, 7, 0, 0], [1, 1, 0, 0]));
}

#[test]
fn a_restock_finds_its_product_by_its_key_and_from_any_partition() {
    let mut world = world_of(&Config::default(), PARTITIONS);
    for partition in 0..PARTITIONS {
        world.driver.pipe_to(COMMANDS_TOPIC, partition, None, br#"{"type":"Restock","productId":"mask","qty":2}"#);
    }
    world.driver.pipe(COMMANDS_TOPIC, "mask", r#"{"type":"Restock","qty":1}"#);
    world.driver.advance(100);
    assert_eq!(world.stock("mask"), [9, 9, 0, 0]);
    stock_is_kept(&world);
}

/// Orders ask once; what somebody else writes to the pair of topics, or writes again, takes and gives back nothing twice.
#[test]
fn requests_that_are_repeated_or_make_no_sense_move_nothing() {
    let mut world = one_partition();
    world.restock("mask", 10);
    world.place("o-1", "kim");
    world.driver.advance(200);
    let incarnation = world.aggregate("o-1").map(|order| order.incarnation).unwrap_or_default();
    let mut sent = 0;
    let mut request = |world: &mut World, kind: &str, product: &str, data: serde_json::Value| {
        sent += 1;
        let event = json!({"specversion": "1.0", "type": kind, "id": format!("x-{sent}"), "source": "/test", "subject": product, "data": data});
        world.driver.pipe(STOCK_REQUESTS, product, &event.to_string());
        world.driver.advance(100);
    };
    let of = |order: &str, qty: i64| json!({"orderId": order, "incarnation": incarnation, "qty": qty});
    request(&mut world, "TakeStock", "mask", of("o-1", QTY));
    assert_eq!(world.stock("mask"), [7, 10, 3, 0], "taken once");
    request(&mut world, "ReturnStock", "mask", of("o-2", QTY));
    request(&mut world, "SettleStock", "mask", of("o-2", QTY));
    assert_eq!(world.stock("mask"), [7, 10, 3, 0], "nothing was taken for it");
    for wrong in [of("o-3", 0), of("o-3", -5), json!({"orderId": "o-3"}), json!({})] {
        request(&mut world, "TakeStock", "mask", wrong);
    }
    request(&mut world, "ReturnStock", "kf94", of("o-1", QTY));
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS).len(), 5, "what cannot be is put aside");
    for _ in 0..2 {
        request(&mut world, "ReturnStock", "mask", of("o-1", 1_000));
    }
    assert_eq!(world.stock("mask"), [10, 10, 3, 3], "what was taken is back, once, and no more than was taken");
    request(&mut world, "TakeStock", "mask", of("o-1", QTY));
    assert_eq!(world.stock("mask"), [10, 10, 3, 3], "a late repeat takes nothing for an order that has ended");
}

/// What was taken is remembered while it may come back, and a while longer; then it is forgotten.
#[test]
fn takes_are_forgotten_when_their_order_has_ended() {
    let mut world = world_of(&Config { retention_ms: 10_000, ..Config::default() }, 1);
    world.restock("mask", 7);
    for order in ["o-cancelled", "o-delivered", "o-short", "o-live"] {
        let qty = if order == "o-short" { 100 } else { 1 };
        world.place_of(order, "mask", qty);
    }
    world.driver.advance(500);
    let remembered = |world: &World| {
        let takes: Vec<(String, serde_json::Value)> =
            world.driver.with_context("inventory", 0, |cx| cx.scan("takes", "", None, 100).unwrap_or_else(|error| panic!("{error}")));
        takes.into_iter().map(|(key, _)| key.split('@').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    world.send("CancelOrder", "o-cancelled", json!({}));
    world.send("CompleteDelivery", "o-delivered", json!({}));
    world.driver.advance(9_000);
    assert_eq!(remembered(&world), ["o-cancelled", "o-delivered", "o-live", "o-short"]);
    world.driver.advance(2_000);
    assert_eq!(remembered(&world), ["o-live"]);
    world.driver.advance(20_000);
    world.send("CancelOrder", "o-live", json!({}));
    world.driver.advance(500);
    assert_eq!(world.stock("mask"), [6, 7, 3, 2], "however late it is");
    stock_is_kept(&world);
}

/// An id may be used again when the order that had it is forgotten: it is another order, which takes for itself.
#[test]
fn an_order_id_that_is_used_again_takes_again() {
    let mut world = world_of(&Config { retention_ms: 1_000, ..Config::default() }, 2);
    world.restock("mask", 10);
    for _ in 0..3 {
        world.place("o-1", "kim");
        world.driver.advance(200);
        world.assert_status("o-1", "Placed");
        world.send("CompleteDelivery", "o-1", json!({}));
        world.driver.advance(2_000);
    }
    assert_eq!(world.stock("mask"), [1, 10, 9, 0]);
    let document = &world.documents("deliveries")["o-1"];
    assert_eq!((&document["status"], &document["registered"]), (&json!("Completed"), &json!([1])));
    world.look();
    stock_is_kept(&world);
}

/// The inventory may be behind by more than one order of an id: each takes for itself.
#[test]
fn an_inventory_that_is_behind_keeps_the_orders_of_one_id_apart() {
    let mut world = world_of(&Config { retention_ms: 1_000, ..Config::default() }, 2);
    world.restock("mask", 10);
    world.driver.advance(100);
    world.driver.take_down("inventory");
    world.place("o-1", "kim");
    world.driver.advance(200);
    world.send("CancelOrder", "o-1", json!({}));
    world.driver.advance(2_000);
    world.place("o-1", "kim");
    world.driver.advance(200);
    world.driver.bring_up("inventory");
    world.driver.advance(200);
    world.assert_status("o-1", "Placed");
    assert_eq!(world.stock("mask"), [10 - QTY, 10, 2 * QTY, QTY]);
    world.look();
    stock_is_kept(&world);
}
