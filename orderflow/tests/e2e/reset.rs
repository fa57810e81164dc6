//! Making the state of followers again: the same comes out, nothing leaves, and what was forgotten comes back.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Instance, REJECTIONS, run};

const PROCESSOR: &str = "food-delivery/store";
const STORE_EVENTS: &str = "food-delivery-store-events";
const PARTITIONS: usize = 4;

/// A shop whose store is a process of its own.
struct Shop {
    front: Instance,
    store: Instance,
}

impl Shop {
    async fn open() -> Self {
        let front = Instance::start(&["--without=store"]).await;
        let store = Instance::start(&["--roles=processors", "--only=store", &format!("--fluvio={}", front.address("sc"))]).await;
        Self { front, store }
    }

    async fn close_store(&mut self) {
        self.store.signal(Signal::TERM).await;
    }

    /// Runs `orderflow reset --json`; returns its exit code and what it printed.
    async fn reset(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = run(&[&["reset", "--json", "--fluvio", &self.front.address("sc"), PROCESSOR], arguments].concat()).await;
        let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), told)
    }

    async fn step(&self, order: &str, kind: &str, status: &str) {
        self.front.command(order, &json!({"type": kind, "orderId": order})).await;
        self.front.order(order, status).await;
    }
}

fn sum(told: &[Value], member: &str) -> u64 {
    told.iter().map(|told| told[member].as_u64().unwrap_or_default()).sum()
}

#[tokio::test]
async fn a_reset_makes_the_same_state_again_and_what_was_forgotten_comes_back_with_nothing_leaving_twice() {
    let mut shop = Shop::open().await;
    let orders: Vec<String> = (0..12).map(|number| format!("o-{number}")).collect();
    for order in &orders {
        shop.front.command(order, &json!({"type": "PlaceOrder", "orderId": order, "item": "chicken", "price": 18_000})).await;
        shop.front.order(order, "Placed").await;
    }
    for order in &orders[..8] {
        shop.step(order, "AcceptOrder", "Accepted").await;
    }
    for order in &orders[..4] {
        shop.step(order, "CancelOrder", "Cancelled").await;
        shop.front.consume(STORE_EVENTS, |events| events.iter().any(|event| event["type"] == "StoreOrderCancelled" && event["subject"] == **order)).await;
    }
    shop.close_store().await;

    let (code, told) = shop.reset(&["--to-beginning", "--dry-run"]).await;
    assert_eq!((code, told.len()), (Some(0), PARTITIONS), "{told:?}");
    assert!(sum(&told, "records") > 0 && sum(&told, "entries") > 0, "{told:?}");
    assert_eq!(sum(&told, "changes"), 0, "the same inputs in the same order at the same times: {told:?}");

    // As if nothing had ever been heard of.
    let (code, forgotten) = shop.reset(&["--to-time", "2100-01-01T00:00:00Z"]).await;
    assert_eq!((code, sum(&forgotten, "records")), (Some(0), 0), "{forgotten:?}");
    assert_eq!(sum(&forgotten, "changes"), sum(&told, "entries"), "{forgotten:?}");
    shop.store.restart().await;
    shop.front.command("o-8", &json!({"type": "AcceptOrder", "orderId": "o-8"})).await;
    let rejected = shop.front.consume(REJECTIONS, |rejections| !rejections.is_empty()).await;
    assert_eq!((rejected[0]["subject"].as_str(), rejected[0]["data"]["commandType"].as_str()), (Some("o-8"), Some("AcceptOrder")));
    shop.close_store().await;

    let (code, told) = shop.reset(&["--to-beginning"]).await;
    assert_eq!(code, Some(0), "{told:?}");
    assert!(sum(&told, "changes") > 0, "{told:?}");
    shop.store.restart().await;
    for order in &orders[9..] {
        shop.step(order, "AcceptOrder", "Accepted").await;
    }
    for order in &orders[4..8] {
        shop.step(order, "StartCooking", "Cooking").await;
    }
    let told = |events: &[Value], kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    let all = ["OrderAccepted", "StoreOrderCancelled", "CookingStarted"];
    let events = shop.front.consume(STORE_EVENTS, |events| all.iter().map(|kind| told(events, kind)).sum::<usize>() >= 11 + 4 + 4).await;
    assert_eq!(all.map(|kind| told(&events, kind)), [11, 4, 4], "nothing is said again");
}

#[tokio::test]
async fn a_task_that_runs_is_not_reset_behind_its_back_and_money_is_left_alone() {
    let instance = Instance::start(&[]).await;
    let sc = instance.address("sc");
    for (arguments, said) in [
        (&["food-delivery/payments", "--to-beginning"][..], "food-delivery-payment-requests"),
        (&["food-delivery/orders", "--to-beginning"], "cannot be reset: it asks or answers others"),
        (&["food-delivery/notifications", "--to-beginning"], "the answers of notification-webhook"),
        (&["food-delivery/oven", "--to-beginning"], "it has orders, payments"),
        (&["flower-shop", "--to-beginning"], "there is no system `flower-shop`"),
        (&["food-delivery/store"], "--to-beginning"),
        (&["food-delivery/store", "--to-beginning", "--to-offset", "3"], "cannot be used with"),
        (&["food-delivery/store", "--to-time", "yesterday"], "this is no time"),
    ] {
        let output = run(&[&["reset", "--fluvio", &sc], arguments].concat()).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{arguments:?}: {stderr}");
    }
    instance.command("o-1", &json!({"type": "PlaceOrder", "orderId": "o-1", "item": "chicken"})).await;
    instance.order("o-1", "Placed").await;
    let output = run(&["reset", "--fluvio", &sc, PROCESSOR, "--to-beginning"]).await;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && said.contains("stop the instance"), "{said}");
    instance.command("o-1", &json!({"type": "AcceptOrder", "orderId": "o-1"})).await;
    instance.order("o-1", "Accepted").await;
}
