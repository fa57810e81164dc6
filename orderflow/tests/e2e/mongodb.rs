//! Views in a real MongoDB.

use orderflow_testkit::Mongod;
use serde_json::json;

use crate::support::{Instance, until};

#[tokio::test]
async fn orders_are_served_from_mongodb() {
    let mongod = tokio::task::spawn_blocking(Mongod::start_owned).await.expect("a server");
    let mut instance = Instance::start(&[&format!("--mongodb={}", mongod.uri())]).await;
    let (status, order) = instance.post("/food-delivery/orders", &json!({ "orderId": "o-1", "customerId": "kim", "item": "chicken", "price": 18_000 })).await;
    assert_eq!((status, order["status"].as_str()), (201, Some("Placed")), "{order}");
    assert_eq!(instance.get("/food-delivery/orders?customerId=kim").await.1["items"][0], order);
    // The views outlive the process and its directory's caches.
    instance.signal(rustix::process::Signal::TERM).await;
    instance.restart().await;
    assert_eq!(instance.order("o-1", "Placed").await, order);
}

#[tokio::test]
async fn orders_go_on_while_mongodb_is_down_and_are_seen_when_it_is_back() {
    let mut mongod = tokio::task::spawn_blocking(Mongod::start_owned).await.expect("a server");
    let instance = Instance::start(&[&format!("--mongodb={}", mongod.uri())]).await;
    mongod.kill().expect("it can be killed");
    until("it says that it is not ready", async || instance.get("/health/ready").await.0 == 503).await;
    instance.command("o-1", &json!({ "type": "PlaceOrder", "orderId": "o-1", "item": "chicken" })).await;
    instance.consume(crate::support::EVENTS, |events| events.iter().any(|event| event["type"] == "OrderPlaced")).await;
    mongod.restart().expect("it can be started again");
    instance.order("o-1", "Placed").await;
    instance.ready().await;
}
