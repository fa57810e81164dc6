//! What becomes of the money when orders is away for longer than payments remembers an attempt. When it comes back, it gives up or cancels before it reads that the attempt was accepted; the
//! dropping is then the first that payments hears of it, as far as it knows. What is to be given back stands in the request itself.

use serde_json::{Value, json};

use food_delivery::Config;

use crate::support::*;

const RETENTION_MS: i64 = 1_000;
const ATTEMPT: &str = "o-1/1@0-0";

fn forgetful() -> World {
    world_of(&Config { retention_ms: RETENTION_MS, ..Config::default() }, 1)
}

/// Orders is away; payments takes the money, says so, and forgets it.
fn away_until_forgotten(world: &mut World, away_ms: i64, meanwhile: impl Fn(&mut World)) {
    world.driver.take_down("orders");
    meanwhile(world);
    world.driver.advance(away_ms);
    let totals = |name| world.driver.total("payments", name);
    assert_eq!((totals("captured_won"), totals("refunded_won")), (PRICE_WON, 0));
    assert_eq!(world.driver.state::<Value>("payments", "payment-attempts", ATTEMPT), None, "forgotten");
    world.driver.bring_up("orders");
}

fn refunded_once(world: &mut World) {
    world.driver.advance(500);
    let books = world.books();
    assert_eq!(books.undone, [("food-delivery/o-1/1/undo@0-0".to_owned(), PRICE_WON)].into(), "{:?}", world.asked("o-1"));
    assert_eq!(["captured_won", "refunded_won", "live_won", "open_won"].map(|name| world.total(name)), [PRICE_WON, PRICE_WON, 0, 0]);
    assert_eq!(world.kinds("o-1").last().map(String::as_str), Some("OrderRefunded"));
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS), []);
    world.every_undoing_is_wanted();
}

#[test]
fn what_is_given_up_before_the_approval_is_read_is_refunded() {
    killed_everywhere(forgetful, |world| {
        world.place("o-1", "simulate-late");
        world.driver.advance(1_000);
        world.assert_status("o-1", "PaymentDeferred");
        away_until_forgotten(world, 60_000, |_| {});
        world.driver.run_until_idle();
        world.assert_status("o-1", "Rejected");
        assert_eq!(world.asked("o-1"), ["PaymentRequested", "PaymentVoidRequested", "RefundRequested"], "the dropping comes first");
        refunded_once(world);
        // Nor is it asked for again when the last of it is forgotten.
        world.driver.advance(60_000);
        assert_eq!((world.aggregate("o-1"), world.books().undone.len()), (None, 1));
    });
}

#[test]
fn what_is_cancelled_before_the_approval_is_read_is_refunded() {
    killed_everywhere(forgetful, |world| {
        world.place("o-1", "kim");
        world.driver.run_until_idle();
        away_until_forgotten(world, 20_000, |world| drop(world.send("CancelOrder", "o-1", json!({}))));
        world.driver.run_until_idle();
        world.assert_status("o-1", "Cancelled");
        refunded_once(world);
    });
}

#[test]
fn what_is_placed_late_and_cancelled_later_is_refunded() {
    killed_everywhere(forgetful, |world| {
        world.place("o-1", "kim");
        world.driver.run_until_idle();
        away_until_forgotten(world, 20_000, |_| {});
        world.driver.advance(100);
        world.assert_status("o-1", "Placed");
        assert_eq!(world.event("o-1", "OrderPlaced")["late"], true);
        world.send("CancelOrder", "o-1", json!({}));
        refunded_once(world);
    });
}

/// A stand-in took the money while payments and orders were away; payments itself drops what is too old.
#[test]
fn what_a_stand_in_accepted_and_payments_dropped_unasked_is_refunded() {
    let mut world = world_of(&Config::default(), 1);
    world.driver.take_down("payments");
    world.place("o-1", "kim");
    world.driver.advance(1_000);
    world.driver.take_down("orders");
    world.driver.advance(60_000);
    world.driver.bring_up("payments");
    world.driver.run_until_idle();
    assert_eq!(world.driver.kinds(PAYMENTS_EVENTS, "o-1").last().map(String::as_str), Some("PaymentVoided"));
    world.driver.pipe(PAYMENT_REPLIES, "o-1", r#"{"type":"PaymentApproved","orderId":"o-1","attempt":1}"#);
    world.driver.bring_up("orders");
    world.driver.advance(500);
    world.assert_status("o-1", "Rejected");
    assert_eq!(world.books().undone.len(), 1);
    assert_eq!(["captured_won", "refunded_won", "live_won", "open_won"].map(|name| world.total(name)), [PRICE_WON, PRICE_WON, 0, 0]);
    assert_eq!(world.driver.distinct_events(DEAD_LETTERS), []);
}
