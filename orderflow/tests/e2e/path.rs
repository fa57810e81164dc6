//! The spine: a record from the official client becomes an order in the view, and lives its life.

use serde_json::{Value, json};

use crate::support::{COMMANDS, EVENTS, Instance, producer, send, until};

fn types_of<'a>(events: &'a [Value], order: &str) -> Vec<&'a str> {
    events.iter().filter(|event| event["subject"] == order).filter_map(|event| event["type"].as_str()).collect()
}

#[tokio::test]
async fn an_order_goes_from_the_client_to_the_view_and_on_to_its_delivery() {
    let instance = Instance::start(&[]).await;
    let place = r#"{"type":"PlaceOrder","orderId":"o-1","item":"chicken","quantity":1,"address":"Seoul","price":18000}"#;
    instance.produce(COMMANDS, Some(b"o-1"), place).await;
    let order = instance.order("o-1", "Placed").await;
    assert_eq!(order["price"], 18_000);
    assert_eq!(order["address"], "Seoul");
    for (command, status) in [("AcceptOrder", "Accepted"), ("StartCooking", "Cooking"), ("StartDelivery", "Delivering"), ("CompleteDelivery", "Delivered")] {
        instance.command("o-1", &json!({ "type": command, "orderId": "o-1" })).await;
        instance.order("o-1", status).await;
    }
    let delivered = |events: &[Value]| events.iter().any(|event| event["data"]["status"] == "Delivered");
    let events = instance.consume(EVENTS, delivered).await;
    assert_eq!(
        types_of(&events, "o-1"),
        ["OrderRequested", "OrderPlaced", "OrderStatusChanged", "OrderStatusChanged", "OrderStatusChanged", "OrderStatusChanged"]
    );
    let placed = &events[1];
    assert_eq!(placed["specversion"], "1.0");
    assert_eq!(placed["subject"], "o-1");
    assert!(placed["id"].is_string() && placed["time"].is_string() && placed["causationid"].is_string() && placed["correlationid"].is_string(), "{placed}");
    let told = instance.get("/food-delivery/notifications?customerId=guest").await.1;
    let statuses: Vec<&str> = told["items"].as_array().expect("notifications are listed").iter().filter_map(|told| told["status"].as_str()).collect();
    for status in ["Placed", "Accepted", "Cooking", "Delivering", "Delivered"] {
        assert_eq!(statuses.iter().filter(|told| **told == status).count(), 1, "the customer is told once of {status}: {statuses:?}");
    }
}

#[tokio::test]
async fn a_cancelled_order_is_refunded() {
    let instance = Instance::start(&[]).await;
    instance.command("o-1", &json!({ "type": "PlaceOrder", "orderId": "o-1", "item": "chicken", "price": 18_000 })).await;
    instance.order("o-1", "Placed").await;
    instance.command("o-1", &json!({ "type": "CancelOrder", "orderId": "o-1", "reason": "not hungry" })).await;
    instance.order("o-1", "Cancelled").await;
    until("the money is back", async || instance.order("o-1", "Cancelled").await["payment"]["refunded"] == 18_000).await;
    let cancelled = instance.consume("food-delivery-store-events", |events| events.iter().any(|event| event["type"] == "DeliveryCancelled")).await;
    assert_eq!(cancelled.iter().filter(|event| event["type"] == "DeliveryCancelled").count(), 1);
    until("the books are balanced", async || {
        let metrics = instance.metrics().await;
        let account = |name: &str| crate::support::sum(&metrics, "orderflow_money_won", &["processor=\"orders\"", &format!("account=\"{name}\"")]);
        (account("captured"), account("refunded"), account("live"), account("open")) == (18_000.0, 18_000.0, 0.0, 0.0)
    })
    .await;
}

#[tokio::test]
async fn commands_that_are_piped_in_one_go_find_their_order() {
    let instance = Instance::start(&[]).await;
    let producer = producer(&instance.client().await, COMMANDS).await;
    for kind in ["PlaceOrder", "AcceptOrder", "StartCooking", "StartDelivery", "CompleteDelivery"] {
        let command = json!({ "type": kind, "orderId": "o-1", "item": "chicken" });
        send(&producer, Some(b"o-1"), command.to_string()).await;
    }
    instance.order("o-1", "Delivered").await;
}

#[tokio::test]
async fn an_order_without_an_id_gets_one() {
    let instance = Instance::start(&[]).await;
    instance.produce(COMMANDS, None, r#"{"type":"PlaceOrder","item":"chicken"}"#).await;
    let events = instance.consume(EVENTS, |events| events.iter().any(|event| event["type"] == "OrderPlaced")).await;
    let id = events[0]["data"]["orderId"].as_str().expect("the event tells the id").to_owned();
    instance.order(&id, "Placed").await;
    // Later commands that are keyed by that id reach the same partition under the default partitioner.
    instance.command(&id, &json!({ "type": "CancelOrder", "orderId": id })).await;
    instance.order(&id, "Cancelled").await;
}

#[tokio::test]
async fn a_program_in_any_language_sees_only_the_events_that_it_asks_for() {
    use fluvio::consumer::ConsumerConfigExtBuilder;
    use fluvio::{Offset, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind};
    use futures_util::StreamExt as _;

    let instance = Instance::start(&[]).await;
    for order in ["o-1", "o-2"] {
        instance.command(order, &json!({ "type": "PlaceOrder", "orderId": order, "item": "chicken" })).await;
        instance.order(order, "Placed").await;
    }
    let filter = SmartModuleInvocation {
        wasm: SmartModuleInvocationWasm::Predefined("event-filter".to_owned()),
        kind: SmartModuleKind::Filter,
        name: None,
        params: std::collections::BTreeMap::from([("types".to_owned(), "OrderPlaced".to_owned())]).into(),
    };
    let config =
        ConsumerConfigExtBuilder::default().topic(EVENTS).offset_start(Offset::beginning()).smartmodule(vec![filter]).build().expect("settings are right");
    let mut stream = instance.client().await.consumer_with_config(config).await.expect("the topic can be consumed");
    let mut subjects = Vec::new();
    while subjects.len() < 2 {
        let record =
            tokio::time::timeout(crate::support::LIMIT, stream.next()).await.expect("an event comes").expect("the stream goes on").expect("it can be read");
        let event: Value = serde_json::from_slice(record.value()).expect("events are JSON");
        assert_eq!(event["type"], "OrderPlaced");
        subjects.push(event["subject"].clone());
    }
    subjects.sort_by_key(Value::to_string);
    assert_eq!(subjects, ["o-1", "o-2"]);
}
