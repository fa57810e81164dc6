//! `orderflow why`: the whole story of an order, from causes to effects, whoever asks and however the order went.

use serde_json::{Value, json};

use crate::support::{ALL_SYSTEMS, COMMANDS, Instance, run, until};

const ORDERS: &str = "/food-delivery/orders";

/// Runs `orderflow why --json`; returns its exit code and the stories.
async fn why(instance: &Instance, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = run(&[&["why", "--json", "--fluvio", &instance.address("sc")], arguments].concat()).await;
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), told)
}

/// Waits until the story of an order has this many notifications, which come last; returns what happened besides, as `topic:type`.
async fn story(instance: &Instance, id: &str, notifications: usize) -> (Value, Vec<String>) {
    let is_notification = |line: &Value| line["type"] == "CustomerNotified";
    let told = std::cell::RefCell::default();
    until(&format!("the customer of {id} is told everything"), async || {
        let (_, stories) = why(instance, &["food-delivery", id]).await;
        let count = stories.first().map_or(0, |story| lines(story).iter().filter(|line| is_notification(line)).count());
        *told.borrow_mut() = stories;
        count >= notifications
    })
    .await;
    let mut stories: Vec<Value> = told.into_inner();
    let story = stories.remove(0);
    assert!(stories.is_empty(), "of one system");
    let times: Vec<i64> = lines(&story).iter().filter_map(|line| line["afterMs"].as_i64()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let seen = lines(&story).iter().filter(|line| !is_notification(line)).map(|line| {
        let topic = line["topic"].as_str().unwrap_or_default().trim_start_matches("food-delivery-");
        format!("{topic}:{}", line["type"].as_str().unwrap_or_default())
    });
    let seen = seen.collect();
    (story, seen)
}

fn lines(story: &Value) -> &[Value] {
    story["happened"].as_array().map_or(&[], Vec::as_slice)
}

fn line<'s>(story: &'s Value, kind: &str) -> &'s Value {
    lines(story).iter().find(|line| line["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {story:#}"))
}

/// The answer of a partner stands in two topics; which of them is told first is of no interest.
fn assert_told(seen: &[String], expected: &[&str]) {
    let seen: Vec<&str> = seen.iter().map(String::as_str).filter(|seen| !seen.starts_with("payments-events:Payment")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn late_declined_and_cancelled_orders_tell_their_stories() {
    let instance = Instance::start(&[]).await;
    let order = |id: &str, customer: &str| json!({ "orderId": id, "customerId": customer, "item": "chicken", "price": 18_000 });
    let statuses = [("late", "simulate-late", 202), ("declined", "simulate-decline", 402), ("cancelled", "kim", 201)];
    for (id, customer, expected) in statuses {
        assert_eq!(instance.post(ORDERS, &order(id, customer)).await.0, expected);
    }
    instance.post("/food-delivery/orders/cancelled/cancel", &json!({ "reason": "no hunger" })).await;
    assert_eq!(instance.post("/food-delivery/orders/cancelled/cancel", &json!({})).await.0, 409);

    let (late, seen) = story(&instance, "late", 3).await;
    assert_told(
        &seen,
        &[
            "commands:PlaceOrder",
            "orders-events:OrderRequested",
            "payment-requests:PaymentRequested",
            "orders-events:PaymentDeferred",
            "payment-replies:PaymentApproved",
            "orders-events:OrderPlaced",
        ],
    );
    assert_eq!(line(&late, "OrderPlaced")["data"]["late"], true);
    let (deferred, approved) = (line(&late, "PaymentDeferred"), line(&late, "PaymentApproved"));
    assert!(deferred["afterMs"].as_i64() >= Some(600) && approved["afterMs"].as_i64() >= Some(1_500), "{late:#}");

    let (declined, seen) = story(&instance, "declined", 2).await;
    assert_told(
        &seen,
        &[
            "commands:PlaceOrder",
            "orders-events:OrderRequested",
            "payment-requests:PaymentRequested",
            "payment-replies:PaymentDeclined",
            "orders-events:OrderRejected",
        ],
    );
    assert_eq!(line(&declined, "OrderRejected")["data"]["reason"], "PaymentDeclined");

    let (cancelled, seen) = story(&instance, "cancelled", 4).await;
    for kind in ["orders-events:OrderPlaced", "store-events:StoreOrderCancelled", "payment-replies:PaymentRefunded", "orders-events:OrderRefunded"] {
        assert!(seen.iter().any(|seen| seen == kind), "{kind} in {seen:?}");
    }
    assert_eq!(seen.iter().filter(|seen| *seen == "commands:CancelOrder").count(), 2);
    assert_eq!(line(&cancelled, "CommandRejected")["data"]["reason"], "OrderAlreadyCancelled");
    let owner = &cancelled["partition"];
    assert!(lines(&cancelled).iter().all(|line| line["partition"] == *owner), "everything about an order meets in one partition");

    // For people, too.
    let text = run(&["why", "late", "--fluvio", &instance.address("sc")]).await;
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.starts_with("food-delivery late (partition "), "{text}");
    assert!(text.contains("OrderPlaced") && text.contains("late true, payment.captured 18000, status Placed"), "{text}");
}

/// Goal: also what is not keyed by the order's id belongs to its story: a command without an id or under another key, what nobody could read, other partitions, and the breaker.
#[tokio::test]
async fn a_story_finds_what_is_not_keyed_by_the_order() {
    let instance = Instance::start(&[ALL_SYSTEMS]).await;
    let sc = instance.address("sc");
    let open = run(&["breaker", "force", "food-delivery", "open", "--reason", "trial", "--fluvio", &sc]).await;
    assert!(open.status.success());
    instance.produce(COMMANDS, None, json!({ "type": "PlaceOrder", "customerId": "kim", "item": "chicken" }).to_string()).await;
    let events = instance.consume("food-delivery-orders-events", |events| events.iter().any(|event| event["type"] == "PaymentDeferred")).await;
    let id = events[0]["subject"].as_str().expect("an order has an id").to_owned();
    instance.produce(COMMANDS, Some(b"another-key"), json!({ "type": "PayOrder", "orderId": id }).to_string()).await;
    instance.produce(COMMANDS, Some(id.as_bytes()), "garbage").await;
    instance.consume("food-delivery-dead-letters", |letters| !letters.is_empty()).await;
    // It waits for the partner, but not for ever.
    let (_, waits) = why(&instance, &["food-delivery", &id]).await;
    let pending = waits[0]["pending"].as_array().expect("there is a list");
    let unavailable = pending.iter().find(|pending| pending["name"] == "payment-unavailable").unwrap_or_else(|| panic!("{pending:?}"));
    assert_eq!((&unavailable["processor"], &unavailable["key"]), (&json!("orders"), &json!(id)));
    assert!(unavailable["dueAt"].is_string(), "{pending:?}");
    let text = run(&["why", &id, "--fluvio", &sc]).await;
    assert!(String::from_utf8_lossy(&text.stdout).contains("timer, due "), "{text:?}");
    let close = run(&["breaker", "force", "food-delivery", "closed", "--fluvio", &sc]).await;
    assert!(close.status.success());
    instance.order(&id, "Placed").await;

    let (told, seen) = story(&instance, &id, 3).await;
    assert!(told["pending"].as_array().is_some_and(|pending| pending.iter().all(|pending| pending["name"] != "payment-unavailable")), "{told:#}");
    let count = |what: &str| seen.iter().filter(|seen| *seen == what).count();
    assert_eq!(count("commands:PlaceOrder"), 1, "although its id is not in it: {seen:?}");
    assert!(count("commands:PayOrder") >= 1, "{seen:?}");
    assert_eq!((count("commands:"), count("dead-letters:DeadLetter")), (1, 1), "{seen:?}");
    let breaker: Vec<&str> = lines(&told).iter().filter_map(|line| line["data"]["to"].as_str()).collect();
    assert_eq!(breaker, ["forced-open", "closed", "closed"], "as it stood before, and what it did: {seen:?}");
    assert!(lines(&told)[0]["afterMs"].as_i64() < Some(0) && lines(&told)[0]["data"]["reason"] == "trial", "{told:#}");

    // Seats are keyed by their showing; the booking is searched in all systems.
    let booking = json!({ "bookingId": "b-1", "movieName": "Parasite", "seats": ["1A", "2B"], "totalPrice": 20_000 });
    let (status, booked) = instance.post("/movie-booking/bookings", &booking).await;
    assert_eq!(status, 201, "{booked}");
    until("the seats are sold", async || {
        let (code, stories) = why(&instance, &["b-1"]).await;
        let sold = |story: &Value| lines(story).iter().filter(|line| line["type"] == "SeatSold").count();
        code == Some(0) && stories.len() == 1 && stories[0]["system"] == "movie-booking" && sold(&stories[0]) == 2
    })
    .await;
    assert_eq!(why(&instance, &["nobody"]).await, (Some(1), Vec::new()));
}
