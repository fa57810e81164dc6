//! The mask shop from outside: stock, orders that the delivery desk must take, deliveries, and what is shown and told of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Instance, producer, send, until};

const COMMANDS: &str = "mask-shop-commands";
const ORDERS: &str = "/mask-shop/orders";
const MASKS: &str = "/mask-shop/inventories/kf94";

fn order(id: &str, customer: &str, qty: u32) -> Value {
    json!({ "orderId": id, "customerId": customer, "productId": "kf94", "qty": qty, "address": "Seoul" })
}

/// Returns (on hand, received, taken, returned).
async fn stock(instance: &Instance) -> [Option<i64>; 4] {
    let stock = instance.get(MASKS).await.1;
    ["onHand", "received", "taken", "returned"].map(|member| stock[member].as_i64())
}

async fn until_stock(instance: &Instance, expected: [i64; 4]) {
    until(&format!("the stock is {expected:?}"), async || stock(instance).await == expected.map(Some)).await;
}

async fn until_status(instance: &Instance, path: &str, status: &str) -> Value {
    until(&format!("{path} is {status}"), async || instance.get(path).await.1["status"] == status).await;
    instance.get(path).await.1
}

/// Waits until the customer was told each of these sentences; then each was told once, and nothing else.
async fn until_told(instance: &Instance, customer: &str, sentences: &[&str]) {
    let path = format!("/mask-shop/notifications?customerId={customer}");
    let told = async || {
        let page = instance.get(&path).await.1;
        page["items"].as_array().into_iter().flatten().filter_map(|told| told["message"].as_str().map(str::to_owned)).collect::<BTreeSet<String>>()
    };
    let count = async || instance.get(&path).await.1["items"].as_array().map_or(0, Vec::len);
    let expected: BTreeSet<String> = sentences.iter().map(|sentence| (*sentence).to_owned()).collect();
    until(&format!("{customer} is told {expected:?}"), async || told().await.is_superset(&expected)).await;
    assert_eq!((told().await, count().await), (expected, sentences.len()), "{customer}");
}

#[tokio::test]
async fn an_order_takes_its_pieces_is_delivered_and_one_that_finds_too_few_is_cancelled() {
    let instance = Instance::start(&["--systems=mask-shop"]).await;
    let (status, restocked) = instance.post(&format!("{MASKS}/restock"), &json!({ "qty": 10 })).await;
    assert_eq!((status, &restocked["onHand"], &restocked["received"]), (200, &json!(10), &json!(10)), "{restocked}");

    let (status, placed) = instance.post(ORDERS, &order("o-1", "kim", 3)).await;
    assert_eq!((status, &placed["status"], &placed["qty"]), (201, &json!("Placed"), &json!(3)), "{placed}");
    until_stock(&instance, [7, 10, 3, 0]).await;
    until_status(&instance, "/mask-shop/deliveries/o-1", "Registered").await;
    let (status, completed) = instance.post("/mask-shop/deliveries/o-1/complete", &json!({})).await;
    assert_eq!((status, &completed["status"]), (200, &json!("Completed")), "{completed}");
    until_status(&instance, &format!("{ORDERS}/o-1"), "Delivered").await;
    let (status, late) = instance.post(&format!("{ORDERS}/o-1/cancel"), &json!({})).await;
    assert_eq!((status, &late["reason"]), (409, &json!("OrderAlreadyDelivered")), "{late}");

    // The shelf holds 7. The desk takes the order all the same; the inventory follows, and has the last word.
    let (status, placed) = instance.post(ORDERS, &order("o-2", "lee", 8)).await;
    assert_eq!((status, &placed["status"]), (201, &json!("Placed")), "{placed}");
    let cancelled = until_status(&instance, &format!("{ORDERS}/o-2"), "Cancelled").await;
    assert_eq!(cancelled["cancelReason"], "OutOfStock", "{cancelled}");
    until_status(&instance, "/mask-shop/deliveries/o-2", "Cancelled").await;
    assert_eq!(stock(&instance).await, [7, 10, 3, 0].map(Some), "it took nothing");

    let (status, declined) = instance.post(ORDERS, &order("o-3", "simulate-decline", 1)).await;
    assert_eq!((status, &declined["reason"]), (402, &json!("DeliveryDeclined")), "{declined}");
    let (status, wrong) = instance.post(ORDERS, &json!({ "productId": "kf94" })).await;
    assert_eq!(status, 422, "{wrong}");
    let asked = |id: &str| format!("We received order {id} and are asking the delivery team.");
    until_told(&instance, "kim", &[&asked("o-1"), "Order o-1 is placed.", "Order o-1 was delivered."]).await;
    let out_of_stock = "Order o-2 was cancelled: there are not enough masks.";
    until_told(&instance, "lee", &[&asked("o-2"), "Order o-2 is placed.", out_of_stock, "The delivery of order o-2 was called off."]).await;
    assert_eq!(stock(&instance).await, [7, 10, 3, 0].map(Some), "nobody else touched it");
}

#[tokio::test]
async fn commands_from_the_client_place_and_cancel_an_order_and_its_pieces_come_back() {
    let instance = Instance::start(&["--systems=mask-shop"]).await;
    let producer = producer(&instance.client().await, COMMANDS).await;
    let command = |kind: &str, fields: &Value| {
        let mut command = fields.clone();
        command["type"] = json!(kind);
        command.to_string()
    };
    send(&producer, Some(b"kf94"), command("Restock", &json!({ "productId": "kf94", "qty": 5 }))).await;
    until_stock(&instance, [5, 5, 0, 0]).await;
    // The sender does not know where the product is at home: the key is the order's.
    send(&producer, Some(b"o-1"), command("PlaceOrder", &order("o-1", "kim", 5))).await;
    until_status(&instance, &format!("{ORDERS}/o-1"), "Placed").await;
    until_stock(&instance, [0, 5, 5, 0]).await;
    send(&producer, Some(b"o-2"), command("PlaceOrder", &order("o-2", "lee", 1))).await;
    let cancelled = until_status(&instance, &format!("{ORDERS}/o-2"), "Cancelled").await;
    assert_eq!(cancelled["cancelReason"], "OutOfStock", "{cancelled}");

    send(&producer, Some(b"o-1"), command("CancelOrder", &json!({ "orderId": "o-1" }))).await;
    until_status(&instance, &format!("{ORDERS}/o-1"), "Cancelled").await;
    until_status(&instance, "/mask-shop/deliveries/o-1", "Cancelled").await;
    until_stock(&instance, [5, 5, 5, 5]).await;
    send(&producer, Some(b"o-1"), command("CompleteDelivery", &json!({ "orderId": "o-1" }))).await;
    let rejected = instance.consume("mask-shop-rejections", |rejections| !rejections.is_empty()).await;
    assert_eq!(rejected[0]["subject"], "o-1", "{rejected:#?}");

    let last = |events: &[Value]| events.iter().any(|event| event["type"] == "StockReturned");
    let events = instance.consume("mask-shop-inventory-events", last).await;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["StockReceived", "StockTaken", "StockShort", "StockReturned"]);
    let sentences = [
        "We received order o-1 and are asking the delivery team.",
        "Order o-1 is placed.",
        "Order o-1 was cancelled.",
        "The delivery of order o-1 was called off.",
    ];
    until_told(&instance, "kim", &sentences).await;
}

#[tokio::test]
async fn the_delivery_desk_takes_as_long_as_it_is_told_to() {
    let instance = Instance::start(&["--systems=mask-shop", "--delivery-profile=seed"]).await;
    let began = Instant::now();
    let (status, placed) = instance.post(ORDERS, &order("o-1", "kim", 1)).await;
    // The desk may take longer than a customer waits.
    assert!(matches!(status, 201 | 202), "{placed}");
    until("the order is placed", async || matches!(instance.get(&format!("{ORDERS}/o-1")).await.1["status"].as_str(), Some("Placed" | "Cancelled"))).await;
    assert!(began.elapsed() >= Duration::from_millis(400), "it took {:?}", began.elapsed());
}
