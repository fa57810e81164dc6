//! The disk gets full under load: everybody hears of it, nothing that was acknowledged is lost, and nobody pays twice.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::load::{Orders, Senders};
use crate::support::{Instance, LIMIT, until};

/// Sends orders, fills the disk once they flow, and waits until every sender has been refused.
async fn fill_disk_under_load(instance: &Instance, prefix: &str, orders: &Orders) {
    let senders = Senders::of(instance).await;
    let filling = async {
        instance.order(&format!("{prefix}-0-20"), "Placed").await;
        instance.limit_files(Some(0));
    };
    timeout(LIMIT, async { tokio::join!(senders.send(prefix, orders), filling) }).await.expect("every sender is refused");
}

/// Returns what `/health/ready` says is wrong with the disk.
async fn disk_problem(instance: &Instance) -> Option<String> {
    let (_, answer) = instance.get("/health/ready").await;
    let disk = answer["notReady"].as_array()?.iter().find(|problem| problem["name"] == "disk")?;
    Some(disk["detail"].as_str().expect("it says what is wrong").to_owned())
}

async fn a_full_disk_is_told(instance: &Instance) {
    until("it says that the disk is the reason", async || disk_problem(instance).await.is_some()).await;
    let problem = disk_problem(instance).await.expect("the disk is still full");
    assert!(problem.contains("--data-dir") && problem.contains("File too large"), "{problem}");
    assert_eq!(instance.get("/health/live").await.0, 200);
    assert_eq!(instance.get("/food-delivery/orders?limit=1").await.0, 200, "what is known is served");
    for path in ["/food-delivery/orders", "/health/ready"] {
        let method = if path.starts_with("/health") { reqwest::Method::GET } else { reqwest::Method::POST };
        let answer = instance.request_json(method, path, &json!({ "item": "chicken" })).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
}

#[tokio::test]
async fn a_disk_that_gets_full_under_load_loses_nothing_and_charges_nobody_twice() {
    let mut instance = Instance::start(&[]).await;
    let orders = Orders::default();
    for round in 0..2 {
        fill_disk_under_load(&instance, &format!("o-{round}"), &orders).await;
        a_full_disk_is_told(&instance).await;
        let refusals = "records are refused";
        until("its log says so too", async || instance.said().matches(refusals).count() > round).await;
        assert_eq!(instance.said().matches(refusals).count(), round + 1, "it says so once: {}", instance.said());
        if round == 0 {
            let (code, took) = instance.signal(Signal::INT).await;
            assert_eq!(code, Some(0));
            assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
        } else {
            instance.kill().await;
        }
        instance.restart().await;
        orders.are_there_once(&instance).await;
    }
}

#[tokio::test]
async fn a_disk_that_has_room_again_takes_commands_again() {
    let instance = Instance::start(&[]).await;
    let orders = Orders::default();
    fill_disk_under_load(&instance, "o", &orders).await;
    a_full_disk_is_told(&instance).await;
    instance.limit_files(None);
    until("it says nothing about the disk any more", async || disk_problem(&instance).await.is_none()).await;
    until("its log says so too", async || instance.said().contains("the disk takes records again")).await;
    // The local stores and the views are opened anew, and everything goes on without a restart.
    until("it is ready", async || instance.get("/health/ready").await.0 == 200).await;
    orders.are_there_once(&instance).await;
    let answer = instance.request_json(reqwest::Method::POST, "/food-delivery/orders", &json!({ "orderId": "o-late", "item": "chicken" })).await;
    assert_eq!(answer.status(), 201);
}
