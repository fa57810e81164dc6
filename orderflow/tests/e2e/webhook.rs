//! Notifications reach a receiver that misbehaves, though the instance is killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::support::{COMMANDS, DEAD_LETTERS, Instance, producer, send, until};

const NOTIFICATIONS: &str = "food-delivery-notifications-events";
/// Customer whose notifications the receiver will not have.
const UNWANTED: &str = "nobody";

/// By key: the bodies that came, each as often as it came.
type Mail = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Takes every third notification at once; of the others the first try fails: with an error, or with silence.
async fn receive(State(mail): State<Mail>, headers: HeaderMap, body: String) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).expect("there is a key").to_owned();
    let (number, is_first) = {
        let mut mail = mail.lock().expect("nobody panicked");
        let number = mail.keys().position(|known| *known == key).unwrap_or(mail.len());
        let bodies = mail.entry(key).or_default();
        bodies.push(body.clone());
        (number, bodies.len() == 1)
    };
    if body.contains(&format!("\"{UNWANTED}\"")) {
        return StatusCode::NOT_FOUND;
    }
    match number % 3 {
        1 if is_first => StatusCode::INTERNAL_SERVER_ERROR,
        2 if is_first => {
            sleep(Duration::from_secs(3_600)).await;
            StatusCode::OK
        }
        _ => StatusCode::OK,
    }
}

fn of<'e>(events: &'e [Value], kind: &str) -> BTreeMap<&'e str, &'e Value> {
    events.iter().filter(|event| event["type"] == kind).map(|event| (event["id"].as_str().unwrap_or_default(), event)).collect()
}

#[tokio::test]
async fn killed_in_the_middle_each_notification_reaches_the_receiver_under_one_key() {
    const ORDERS: usize = 40;
    const KILLS: usize = 3;
    // So many that one page of a list holds all notifications of one.
    const CUSTOMERS: usize = 4;
    let mail = Mail::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let url = format!("--webhook-url=http://{}/notifications?token=s3cret", listener.local_addr().expect("it has an address"));
    let receiver = Router::new().route("/notifications", post(receive)).with_state(Arc::clone(&mail));
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let mut instance = Instance::start(&[&url, "--webhook-timeout-ms=300", "--log=info"]).await;
    let mut sent = 0;
    for round in 1..=KILLS + 1 {
        let producer = producer(&instance.client().await, COMMANDS).await;
        while sent < ORDERS * round / (KILLS + 1) {
            let customer = if sent % 20 == 7 { UNWANTED.to_owned() } else { format!("kim-{}", sent % CUSTOMERS) };
            let order = json!({"type": "PlaceOrder", "orderId": format!("o-{sent}"), "customerId": customer, "item": "chicken", "price": 1_000});
            send(&producer, Some(format!("o-{sent}").as_bytes()), order.to_string()).await;
            sent += 1;
        }
        if round <= KILLS {
            // Deliveries are under way and wait for another try.
            instance.order(&format!("o-{}", sent - 3), "Placed").await;
            instance.kill().await;
            instance.restart().await;
        }
    }
    // That an order is placed is the last that is told of it; a kill may defer its payment before.
    let ended = |events: &[Value]| {
        let told = of(events, "CustomerNotified");
        let placed = told.values().filter(|event| event["data"]["status"] == "Placed").count();
        placed == ORDERS && of(events, "NotificationDelivered").len() + of(events, "NotificationUndeliverable").len() == told.len()
    };
    let events = instance.consume(NOTIFICATIONS, ended).await;
    let told = of(&events, "CustomerNotified");
    let unwanted = told.values().filter(|event| event["data"]["customerId"] == UNWANTED).count();
    let mail = mail.lock().expect("nobody panicked").clone();
    assert_eq!(mail.keys().map(String::as_str).collect::<BTreeSet<_>>(), told.keys().copied().collect(), "the receiver saw every notification under its id");
    for (key, bodies) in &mail {
        assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), 1, "{key} has one body: {bodies:?}");
        let body: Value = serde_json::from_str(&bodies[0]).expect("it is JSON");
        assert_eq!(body["notificationId"], json!(key));
    }
    let letters = instance.consume(DEAD_LETTERS, |letters| of(letters, "DeadLetter").len() == unwanted).await;
    assert!(of(&letters, "DeadLetter").values().all(|letter| letter["data"]["error"].to_string().contains("404")), "{letters:#?}");
    until("the view tells what was delivered", async || {
        let mut items = Vec::new();
        for customer in 0..CUSTOMERS {
            let list = instance.get(&format!("/food-delivery/notifications?customerId=kim-{customer}&limit=100")).await.1;
            items.extend(list["items"].as_array().cloned().unwrap_or_default());
        }
        items.len() == told.len() - unwanted && items.iter().all(|item| item["delivery"] == "Delivered" && item["attempts"].as_u64() >= Some(1))
    })
    .await;
    let list = instance.get(&format!("/food-delivery/notifications?customerId={UNWANTED}")).await.1;
    assert!(list["items"].as_array().is_some_and(|items| items.iter().all(|item| item["delivery"] == "Undeliverable")), "{list}");
    assert!(!instance.said().contains("s3cret"), "the address may hold a secret: {}", instance.said());
}
