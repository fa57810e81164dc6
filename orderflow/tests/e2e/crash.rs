//! Stopped, killed, started again: nothing is lost, nothing happens twice.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::load::{Orders, Senders};
use crate::support::{COMMANDS, EVENTS, Instance, producer, send, until};

const PRICE: i64 = 1_000;

fn place(order: usize) -> String {
    json!({ "type": "PlaceOrder", "orderId": format!("o-{order}"), "item": "chicken", "price": PRICE }).to_string()
}

async fn all_placed(instance: &Instance, orders: usize) {
    for order in 0..orders {
        instance.order(&format!("o-{order}"), "Placed").await;
    }
}

#[tokio::test]
async fn a_signal_stops_it_within_two_seconds_and_the_next_start_continues() {
    let mut instance = Instance::start(&[]).await;
    instance.produce(COMMANDS, Some(b"o-0"), place(0)).await;
    instance.order("o-0", "Placed").await;
    for signal in [Signal::INT, Signal::TERM] {
        let (code, took) = instance.signal(signal).await;
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
        instance.restart().await;
        instance.order("o-0", "Placed").await;
    }
    instance.command("o-0", &json!({ "type": "AcceptOrder", "orderId": "o-0" })).await;
    instance.order("o-0", "Accepted").await;
}

#[tokio::test]
async fn a_signal_stops_it_in_time_also_while_payments_and_requests_wait() {
    let mut instance = Instance::start(&[]).await;
    for order in 0..20 {
        let stalled = json!({ "type": "PlaceOrder", "orderId": format!("s-{order}"), "customerId": "simulate-stall", "item": "chicken" });
        instance.command(&format!("s-{order}"), &stalled).await;
    }
    until("calls wait", async || instance.metric("orderflow_calls_pending", &["processor=\"payments\""]).await >= 20.0).await;
    let (code, took) = instance.signal(Signal::INT).await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
}

#[tokio::test]
async fn a_signal_stops_it_in_time_also_under_load_and_nothing_is_lost() {
    let mut instance = Instance::start(&[]).await;
    let senders = Senders::of(&instance).await;
    let orders = Orders::default();
    let stop = async {
        instance.order("o-0-50", "Placed").await;
        instance.signal(Signal::INT).await
    };
    let (code, took) = tokio::select! {
        stopped = stop => stopped,
        // The client may wait for ever for a broker that has gone, or say that it has.
        never = async { senders.send("o", &orders).await; std::future::pending().await } => never,
    };
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
    drop(senders);
    instance.restart().await;
    orders.are_there_once(&instance).await;
}

#[tokio::test]
async fn killed_in_the_middle_nothing_is_lost_or_doubled() {
    const ORDERS: usize = 400;
    const KILLS: usize = 3;
    let mut instance = Instance::start(&["--payment-profile=default"]).await;
    let mut sent = 0;
    for round in 1..=KILLS + 1 {
        let producer = producer(&instance.client().await, COMMANDS).await;
        while sent < ORDERS * round / (KILLS + 1) {
            send(&producer, Some(format!("o-{sent}").as_bytes()), place(sent)).await;
            sent += 1;
        }
        if round <= KILLS {
            // The payments of the last ones are under way, in all states.
            instance.order(&format!("o-{}", sent - 30), "Placed").await;
            instance.kill().await;
            instance.restart().await;
        }
    }
    all_placed(&instance, ORDERS).await;
    let placed = |events: &[Value]| events.iter().filter(|event| event["type"] == "OrderPlaced").map(|event| event["subject"].to_string()).collect::<Vec<_>>();
    let events = instance.consume(EVENTS, |events| placed(events).into_iter().collect::<std::collections::BTreeSet<_>>().len() == ORDERS).await;
    let mut ids: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["type"] == "OrderPlaced") {
        ids.entry(event["subject"].to_string()).or_default().push(&event["id"]);
    }
    // An outside reader may see a repeat after a crash, which carries the same CloudEvents id.
    for (order, ids) in &ids {
        assert!(ids.iter().all(|id| *id == ids[0]), "order {order} was placed twice: {ids:?}");
    }
    let money = (ORDERS as i64 * PRICE) as f64;
    until("the books are told", async || instance.metric("orderflow_money_won", &["processor=\"orders\"", "account=\"captured\""]).await == money).await;
    until("the orders are worth what was captured", async || {
        instance.metric("orderflow_money_won", &["processor=\"orders\"", "account=\"live\""]).await == money
    })
    .await;
    assert_eq!(instance.metric("orderflow_money_imbalance_won", &[]).await, 0.0);
}

#[tokio::test]
async fn without_its_caches_everything_is_rebuilt_from_the_topics() {
    const ORDERS: usize = 50;
    let mut instance = Instance::start(&[]).await;
    for order in 0..ORDERS {
        instance.produce(COMMANDS, Some(format!("o-{order}").as_bytes()), place(order)).await;
    }
    all_placed(&instance, ORDERS).await;
    let before = instance.get("/food-delivery/orders/o-7").await.1;
    instance.signal(Signal::TERM).await;
    // What is removed are the caches of what the topics say, whatever part of it all the instance runs; the topics and the provider's ledger stay.
    for entry in std::fs::read_dir(instance.data().join("embedded")).expect("the caches are there") {
        let entry = entry.expect("it can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "views" || (name.starts_with("state") && !name.ends_with(".lock")) {
            std::fs::remove_dir_all(entry.path()).expect("it can be removed");
        }
    }
    instance.restart().await;
    all_placed(&instance, ORDERS).await;
    assert_eq!(instance.get("/food-delivery/orders/o-7").await.1, before, "a rebuilt view is the same view");
    let (status, taken) = instance.post("/food-delivery/orders", &json!({ "orderId": "o-7", "item": "chicken" })).await;
    assert_eq!((status, taken["reason"].as_str()), (409, Some("OrderExists")), "the state is the same too");
}
