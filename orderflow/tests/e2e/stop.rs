//! How a process ends that others send requests to: it says so first, serves on, and then goes.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Instance, until};

/// Goal: whoever is told to stop loses no request. It is not ready any more, serves on, and each answer sends its client elsewhere.
#[tokio::test]
async fn who_is_told_to_stop_serves_on_until_everybody_has_gone_elsewhere() {
    let mut instance = Instance::start(&["--drain-ms=60000"]).await;
    let order = |id: &str| json!({ "orderId": id, "item": "chicken" });
    let calm = instance.request_json(Method::POST, "/food-delivery/orders", &order("o-1")).await;
    assert_eq!((calm.status().as_u16(), calm.headers().get("connection")), (201, None), "a connection is used again");
    instance.tell(Signal::TERM);
    until("it is not ready any more", async || instance.get("/health/ready").await.0 == 503).await;
    let (_, why) = instance.get("/health/ready").await;
    assert!(why["detail"].as_str().is_some_and(|detail| detail.contains("process")), "{why}");
    assert_eq!(instance.get("/health/live").await.0, 200, "it is not to be killed either");
    let draining = instance.request_json(Method::POST, "/food-delivery/orders", &order("o-2")).await;
    let closes = draining.headers().get("connection").is_some_and(|value| value == "close");
    assert!(draining.status() == 201 && closes, "{draining:?}");
    let (code, took) = instance.signal(Signal::INT).await;
    assert_eq!(code, Some(0), "{}", instance.said());
    assert!(took.as_secs() < 30, "a second signal cuts it short: {took:?}");
    instance.restart().await;
    instance.order("o-2", "Placed").await;
}

/// Goal: who serves nobody does not wait for clients: its tasks are with others as soon as it is told to stop.
#[tokio::test]
async fn who_takes_no_requests_goes_at_once() {
    let broker = Instance::start(&["--roles=broker"]).await;
    let mut processors = Instance::start(&["--roles=processors", &format!("--fluvio={}", broker.address("sc")), "--drain-ms=60000"]).await;
    let (code, took) = processors.signal(Signal::TERM).await;
    assert_eq!(code, Some(0), "{}", processors.said());
    assert!(took.as_secs() < 30, "{took:?}");
}
