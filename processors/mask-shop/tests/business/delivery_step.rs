//! The rows of the synchronous step, with a delivery team in place of a payment: what the customer is told, whatever the desk does; and each row again with a kill at every place where a task
//! can die.

use serde_json::json;

use mask_shop::Config;

use crate::support::*;

fn world() -> World {
    let mut world = world_of(&Config::default(), 1);
    world.restock("mask", 100);
    world
}

#[test]
fn a_registration_in_time_places_the_order() {
    killed_everywhere(world, |world| {
        world.place("o-1", "kim");
        world.driver.run_until_idle();
        world.assert_status("o-1", "DeliveryPending");
        world.driver.advance(200);
        world.assert_status("o-1", "Placed");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderPlaced"]);
        assert_eq!(world.event("o-1", "OrderPlaced")["late"], false);
        assert_eq!(world.total("orders_live"), 1);
        assert_eq!(world.driver.kinds(DELIVERY_EVENTS, "o-1"), ["DeliveryRegistered"]);
        assert_eq!(world.stock("mask"), [97, 100, 3, 0], "the stock follows");
    });
}

/// Goal: the delivery team knows what to bring where, and nobody else is told where the customer lives.
#[test]
fn the_delivery_team_is_told_what_to_bring_where() {
    let mut world = world();
    world.place("o-1", "kim");
    world.driver.advance(200);
    let requests = world.driver.distinct_events("mask-shop-delivery-requests");
    let told = &requests[0].data;
    assert_eq!((&told["orderId"], &told["customerId"], &told["productId"]), (&json!("o-1"), &json!("kim"), &json!("mask")));
    assert_eq!((&told["qty"], &told["address"], told.get("amount")), (&json!(QTY), &json!("Seoul"), None));
    for topic in [ORDERS_EVENTS, DELIVERY_EVENTS, INVENTORY_EVENTS, STOCK_REQUESTS] {
        for event in world.driver.distinct_events(topic).iter().filter(|event| event.kind != "OrderRequested") {
            assert!(!event.data.to_string().contains("Seoul"), "{event:?}");
        }
    }
    assert_eq!(world.documents("orders")["o-1"]["address"], "Seoul", "the customer sees it");
}

#[test]
fn a_declined_delivery_rejects_the_order() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-decline");
        world.driver.advance(200);
        world.assert_status("o-1", "Rejected");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "OrderRejected"]);
        assert_eq!(world.event("o-1", "OrderRejected")["reason"], "DeliveryDeclined");
        assert_eq!(world.stock_kinds("mask"), ["StockReceived"], "nothing was taken");
    });
}

#[test]
fn silence_defers_and_giving_up_rejects_the_order() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-stall");
        world.driver.advance(609);
        world.assert_status("o-1", "DeliveryPending");
        world.driver.advance(1);
        world.assert_status("o-1", "DeliveryDeferred");
        assert_eq!(world.event("o-1", "DeliveryDeferred")["reason"], "DeliveryTimedOut");
        world.driver.advance(29_389);
        world.assert_status("o-1", "DeliveryDeferred");
        world.driver.advance(1);
        world.assert_status("o-1", "Rejected");
        assert_eq!(world.event("o-1", "OrderRejected")["reason"], "DeliveryTimedOut");
        world.driver.advance(120_000);
        assert_eq!(world.asked("o-1"), ["DeliveryRequested", "DeliveryVoidRequested"]);
        assert_eq!(world.driver.kinds(DELIVERY_EVENTS, "o-1"), ["DeliveryVoided"]);
        assert_eq!(world.stock_kinds("mask"), ["StockReceived"]);
    });
}

#[test]
fn a_registration_after_the_deadline_places_the_order_late() {
    killed_everywhere(world, |world| {
        world.place("o-1", "simulate-late");
        world.driver.advance(5_000);
        world.assert_status("o-1", "Placed");
        assert_eq!(world.kinds("o-1"), ["OrderRequested", "DeliveryDeferred", "OrderPlaced"]);
        assert_eq!(world.event("o-1", "OrderPlaced")["late"], true);
        assert_eq!(world.documents("orders")["o-1"]["late"], true);
    });
}

#[test]
fn a_registration_that_nobody_wants_any_more_is_cancelled_once() {
    // After the give-up time; and after a cancellation while waiting, also if the desk answers twice or fails to cancel at first.
    for (customer, cancel_after_ms) in [("simulate-too-late", None), ("kim", Some(5)), ("simulate-twice", Some(5)), ("simulate-refund-fail-once", Some(5))] {
        killed_everywhere(world, |world| {
            world.place("o-1", customer);
            if let Some(cancel_after_ms) = cancel_after_ms {
                world.driver.advance(cancel_after_ms);
                world.send("CancelOrder", "o-1", json!({}));
            }
            world.driver.advance(120_000);
            let kinds = world.kinds("o-1");
            assert!(kinds.ends_with(&["DeliveryUnwanted".to_owned(), "DeliveryCancelled".to_owned()]), "{kinds:?}");
            assert_eq!(world.driver.kinds(DELIVERY_EVENTS, "o-1"), ["DeliveryRegistered", "DeliveryCancelled"]);
            assert_eq!((world.books().accepted.len(), world.books().undone.len()), (1, 1));
            assert_eq!(world.documents("deliveries")["o-1"]["status"], "Cancelled");
            assert_eq!(world.stock_kinds("mask"), ["StockReceived"], "an order that was never placed takes nothing");
        });
    }
}

#[test]
fn an_open_breaker_defers_at_once_and_retries_when_it_lets_calls_through() {
    let world = || {
        let mut world = world_of(&touchy(5_000), 1);
        world.restock("mask", 100);
        world
    };
    killed_everywhere(world, |world| {
        for order in ["o-8", "o-9"] {
            world.place(order, "simulate-fail");
        }
        world.driver.advance(100);
        for order in ["o-8", "o-9"] {
            world.assert_status(order, "DeliveryDeferred");
            world.send("CancelOrder", order, json!({}));
        }
        world.driver.run_until_idle();
        assert_eq!(world.total("delivery_breaker_open"), 1);
        world.place("o-1", "kim");
        world.driver.run_until_idle();
        world.assert_status("o-1", "DeliveryDeferred");
        assert_eq!(world.event("o-1", "DeliveryDeferred")["reason"], "DeliveryUnavailable");
        assert!(world.asked("o-1").is_empty(), "nobody is asked");
        world.driver.advance(7_000);
        world.assert_status("o-1", "Placed");
        assert_eq!(world.total("delivery_breaker_open"), 0);
    });
}

#[test]
fn a_topic_that_nobody_consumes_opens_the_breaker() {
    killed_everywhere(
        || world_without_delivery(&touchy(3_600_000)),
        |world| {
            for order in ["o-8", "o-9"] {
                world.place(order, "kim");
            }
            world.driver.advance(610);
            world.assert_status("o-9", "DeliveryDeferred");
            world.place("o-1", "kim");
            world.driver.run_until_idle();
            assert_eq!(world.event("o-1", "DeliveryDeferred")["reason"], "DeliveryUnavailable");
            world.driver.advance(600_000);
            for (order, reason) in [("o-8", "DeliveryTimedOut"), ("o-1", "DeliveryUnavailable")] {
                world.assert_status(order, "Rejected");
                assert_eq!(world.event(order, "OrderRejected")["reason"], reason);
            }
        },
    );
}

/// Any program in any language can stand in for the delivery team: a plain object is reply enough.
#[test]
fn a_stand_in_may_answer_for_the_delivery_team() {
    let mut world = world_without_delivery(&Config::default());
    world.restock("mask", 5);
    world.place("o-1", "kim");
    world.driver.run_until_idle();
    world.driver.pipe(DELIVERY_REPLIES, "o-1", r#"{"type":"DeliveryRegistered","orderId":"o-1","attempt":1}"#);
    world.place("o-2", "kim");
    world.driver.run_until_idle();
    world.driver.pipe(DELIVERY_REPLIES, "o-2", r#"{"type":"DeliveryDeclined","correlationId":"o-2/1","detail":"too far away"}"#);
    world.driver.advance(100);
    world.assert_status("o-1", "Placed");
    world.assert_status("o-2", "Rejected");
    assert_eq!(world.event("o-2", "OrderRejected")["detail"], "too far away");
    world.send("CompleteDelivery", "o-1", json!({}));
    world.driver.run_until_idle();
    world.assert_status("o-1", "Delivered");
    assert_eq!(world.documents("deliveries")["o-1"]["status"], "Completed");
    world.look();
    stock_is_kept(&world);
}
