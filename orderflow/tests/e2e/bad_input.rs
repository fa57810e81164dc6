//! What people send by mistake: each ends as the contract says, and the next record is processed.

use serde_json::{Value, json};

use crate::support::{COMMANDS, DEAD_LETTERS, EVENTS, Instance, REJECTIONS, producer, send};

/// Keys that all go to one partition under the default partitioner, so that what comes next comes after.
const KEY: &[u8] = b"o-1";

#[tokio::test]
async fn what_nobody_can_read_becomes_a_dead_letter_and_the_next_record_is_processed() {
    let instance = Instance::start(&[]).await;
    let producer = producer(&instance.client().await, COMMANDS).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let large = json!({ "type": "PlaceOrder", "orderId": "o-large", "item": "x".repeat(700_000) }).to_string();
    let unreadable: Vec<Vec<u8>> = vec![
        b"chicken, please".to_vec(),
        b"".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"null".to_vec(),
        b"[1,2]".to_vec(),
        b"{\"type\":\"PlaceOrder\"".to_vec(),
        deep.into_bytes(),
        br#"{"orderId":"o-1","item":"chicken"}"#.to_vec(),
        br#"{"type":7,"orderId":"o-1"}"#.to_vec(),
        br#"{"type":"BuyPizza","orderId":"o-1"}"#.to_vec(),
        br#"{"type":"PlaceOrder","orderId":"o-1"}"#.to_vec(),
        br#"{"type":"PlaceOrder","orderId":"o-1","item":7}"#.to_vec(),
        br#"{"type":"PlaceOrder","orderId":"o-1","item":"chicken","price":"much"}"#.to_vec(),
        br#"{"type":"PlaceOrder","orderId":"o-1","item":"chicken","price":1e30}"#.to_vec(),
        br#"{"type":"PlaceOrder","orderId":"o-1","item":"chicken","quantity":-3}"#.to_vec(),
        br#"{"type":"PlaceOrder","orderId":{"a":1},"item":"chicken"}"#.to_vec(),
        large.into_bytes(),
    ];
    for value in &unreadable {
        send(&producer, Some(KEY), value.clone()).await;
    }
    send(&producer, Some(KEY), json!({ "type": "PlaceOrder", "orderId": "o-1", "item": "chicken" }).to_string()).await;
    instance.order("o-1", "Placed").await;

    let wanted = unreadable.len();
    let dead = instance.consume(DEAD_LETTERS, |letters| letters.len() >= wanted).await;
    let mut offsets: Vec<i64> = dead.iter().filter_map(|letter| letter["data"]["offset"].as_i64()).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..wanted as i64).collect::<Vec<_>>(), "each record has one dead letter");
    for letter in &dead {
        let data = &letter["data"];
        assert_eq!(letter["type"], "DeadLetter");
        assert_eq!(data["topic"], COMMANDS);
        assert!(data["partition"].is_number() && data["error"].as_str().is_some_and(|error| !error.is_empty()), "{data}");
    }
    assert!(instance.consume(EVENTS, |events| events.len() >= 2).await.iter().all(|event| event["subject"] == "o-1"), "nothing came of what could not be read");
    assert_eq!(instance.get("/health/ready").await.0, 200);
}

#[tokio::test]
async fn what_a_rule_refuses_becomes_a_rejection_with_its_reason() {
    let instance = Instance::start(&[]).await;
    let producer = producer(&instance.client().await, COMMANDS).await;
    let command = |kind: &str, id: &str| json!({ "type": kind, "orderId": "o-1", "commandId": id, "item": "chicken" });
    let sent = [
        // (command, the reason why it is refused)
        (json!({ "type": "CancelOrder", "orderId": "nobody", "commandId": "a" }), Some("OrderUnknown")),
        (json!({ "type": "AcceptOrder", "orderId": "nobody", "commandId": "b" }), Some("OrderUnknown")),
        (command("PlaceOrder", "c"), None),
        (command("PlaceOrder", "d"), Some("OrderExists")),
        (command("PlaceOrder", "c"), Some("DuplicateCommand")),
    ];
    for (command, _) in &sent {
        send(&producer, Some(KEY), command.to_string()).await;
    }
    instance.order("o-1", "Placed").await;
    // Out of order: each refused by the store, and the order is untouched.
    for (kind, id) in
        [("StartCooking", "e"), ("AcceptOrder", "f"), ("StartDelivery", "g"), ("StartCooking", "h"), ("CompleteDelivery", "i"), ("AcceptOrder", "j")]
    {
        send(&producer, Some(KEY), command(kind, id).to_string()).await;
    }
    let rejected = instance.consume(REJECTIONS, |rejections| rejections.len() >= 8).await;
    let reason = |id: &str| {
        let found: Vec<&Value> = rejected.iter().filter(|rejection| rejection["correlationid"] == id).collect();
        assert_eq!(found.len(), 1, "command {id} has one rejection: {rejected:#?}");
        assert_eq!(found[0]["type"], "CommandRejected");
        found[0]["data"]["reason"].as_str().unwrap_or_default().to_owned()
    };
    for (command, refused) in &sent {
        let id = command["commandId"].as_str().expect("an id");
        if let Some(refused) = refused {
            assert_eq!(reason(id), *refused, "{command}");
        }
    }
    assert_eq!(reason("e"), "OrderNotAccepted");
    assert_eq!(reason("g"), "CookingNotStarted");
    assert_eq!(reason("i"), "DeliveryNotStarted");
    assert_eq!(reason("j"), "OrderAlreadyAccepted");
    instance.order("o-1", "Cooking").await;
}

#[tokio::test]
async fn keys_that_are_no_text_do_no_harm() {
    let instance = Instance::start(&[]).await;
    let producer = producer(&instance.client().await, COMMANDS).await;
    let keys: [&[u8]; 3] = [b"\xff\xfe\xfd", b"\0\0", b""];
    for (index, key) in keys.into_iter().enumerate() {
        let id = format!("o-{index}");
        send(&producer, Some(key), json!({ "type": "PlaceOrder", "orderId": id, "item": "chicken" }).to_string()).await;
        instance.order(&id, "Placed").await;
    }
}

#[tokio::test]
async fn the_same_command_sent_twice_has_the_effect_of_once() {
    let instance = Instance::start(&[]).await;
    let producer = producer(&instance.client().await, COMMANDS).await;
    let place = json!({ "type": "PlaceOrder", "orderId": "o-1", "commandId": "c-1", "item": "chicken", "price": 18_000 }).to_string();
    for _ in 0..3 {
        send(&producer, Some(KEY), place.clone()).await;
    }
    let rejected = instance.consume(REJECTIONS, |rejections| rejections.len() >= 2).await;
    assert!(rejected.iter().all(|rejection| rejection["data"]["reason"] == "DuplicateCommand"), "{rejected:#?}");
    let order = instance.order("o-1", "Placed").await;
    assert_eq!(order["payment"]["captured"], 18_000, "{order}");
}
