//! The disk gets full under load: everybody hears of it, nothing that was acknowledged is lost, and nobody pays twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fluvio::TopicProducerPool;
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{COMMANDS, EVENTS, Instance, LIMIT, REJECTIONS, producer, until};

const PRICE: i64 = 1_000;
const SENDERS: usize = 4;

/// What was sent, and of it what the senders were promised.
#[derive(Default)]
struct Orders {
    sent: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
}

/// Sends orders through the official client until one is refused.
async fn send_until_refused(instance: &Instance, round: usize, sender: usize) -> Orders {
    let producer = producer(&instance.client().await, COMMANDS).await;
    let mut orders = Orders::default();
    loop {
        let id = format!("o-{round}-{sender}-{}", orders.sent.len());
        let command = json!({ "type": "PlaceOrder", "orderId": id, "item": "chicken", "price": PRICE }).to_string();
        orders.sent.insert(id.clone());
        if !is_acknowledged(&producer, &id, command).await {
            return orders;
        }
        orders.acknowledged.insert(id);
    }
}

async fn is_acknowledged(producer: &TopicProducerPool, key: &str, value: String) -> bool {
    let Ok(sent) = producer.send(key.to_owned(), value).await else { return false };
    producer.flush().await.is_ok() && sent.wait().await.is_ok()
}

/// Sends orders, and fills the disk once they flow.
async fn fill_disk_under_load(instance: &Instance, round: usize) -> Orders {
    let filling = async {
        instance.order(&format!("o-{round}-0-20"), "Placed").await;
        instance.limit_files(Some(0));
    };
    let sending = join_all((0..SENDERS).map(|sender| send_until_refused(instance, round, sender)));
    let (found, ()) = timeout(LIMIT, async { tokio::join!(sending, filling) }).await.expect("a full disk takes nothing");
    let mut orders = Orders::default();
    for Orders { sent, acknowledged } in found {
        orders.sent.extend(sent);
        orders.acknowledged.extend(acknowledged);
    }
    orders
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
    assert_eq!(instance.get("/health/ready").await.0, 503);
    assert_eq!(instance.get("/health/live").await.0, 200);

    let order = json!({ "item": "chicken" });
    let (status, _) = instance.post("/food-delivery/orders", &order).await;
    assert_eq!(status, 503);
    let answer = instance.request(reqwest::Method::GET, "/health/ready").await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(instance.get("/food-delivery/orders?limit=1").await.0, 200, "what is known is served");
}

/// Returns the order once it has its outcome.
async fn decided(instance: &Instance, id: &str) -> Value {
    let path = format!("/food-delivery/orders/{id}");
    let is_decided = |order: &Value| {
        let payment = &order["payment"];
        order["status"] == "Placed" || (order["status"] == "Rejected" && payment["captured"] == payment["refunded"])
    };
    until(&format!("{id} is decided"), async || is_decided(&instance.get(&path).await.1)).await;
    instance.get(&path).await.1
}

/// Checks that every order that was acknowledged has one outcome, and that the books agree with the orders.
async fn everything_is_there_once(instance: &Instance, orders: &Orders) {
    for id in &orders.acknowledged {
        let order = decided(instance, id).await;
        let captured = order["payment"]["captured"].as_i64().expect("what was captured is known");
        assert!(captured <= PRICE && (order["status"] != "Placed" || captured == PRICE), "{order}");
    }
    let subject = |event: &Value| event["subject"].as_str().unwrap_or_default().to_owned();
    let is_outcome = |event: &&Value| event["type"] == "OrderPlaced" || event["type"] == "OrderRejected";
    let outcomes = |events: &[Value]| {
        let mut outcomes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for event in events.iter().filter(is_outcome) {
            // An outside reader may see a repeat after a crash, which carries the same CloudEvents id.
            outcomes.entry(subject(event)).or_default().insert(event["id"].to_string());
        }
        outcomes
    };
    let events = instance.consume(EVENTS, |events| orders.acknowledged.is_subset(&outcomes(events).into_keys().collect())).await;
    for (id, outcomes) in outcomes(&events) {
        assert_eq!(outcomes.len(), 1, "{id} has one outcome: {outcomes:?}");
    }
    // A sender that was not answered may have been heard; it must not have been heard twice.
    let marker = json!({ "type": "CancelOrder", "orderId": "nobody" });
    instance.command("nobody", &marker).await;
    let rejections = instance.consume(REJECTIONS, |rejections| rejections.iter().any(|rejection| subject(rejection) == "nobody")).await;
    assert!(rejections.iter().all(|rejection| !orders.sent.contains(&subject(rejection))), "{rejections:#?}");

    let placed = async |account: &str| instance.metric("orderflow_money_won", &["processor=\"orders\"", &format!("account=\"{account}\"")]).await;
    until("what was captured and not refunded is in live orders", async || {
        placed("captured").await > 0.0 && placed("captured").await - placed("refunded").await == placed("live").await
    })
    .await;
    assert_eq!(instance.metric("orderflow_money_imbalance_won", &[]).await, 0.0);
}

#[tokio::test]
async fn a_disk_that_gets_full_under_load_loses_nothing_and_charges_nobody_twice() {
    let mut instance = Instance::start(&[]).await;
    let mut orders = Orders::default();
    for round in 0..2 {
        let found = fill_disk_under_load(&instance, round).await;
        orders.sent.extend(found.sent);
        orders.acknowledged.extend(found.acknowledged);
        a_full_disk_is_told(&instance).await;
        let refusals = "records are refused";
        until("its log says so too", async || instance.said().matches(refusals).count() > round).await;
        let said = instance.said();
        assert_eq!(said.matches(refusals).count(), round + 1, "it says so once: {said}");
        if round == 0 {
            let (code, took) = instance.signal(Signal::INT).await;
            assert_eq!(code, Some(0));
            assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
        } else {
            instance.kill().await;
        }
        instance.restart().await;
        everything_is_there_once(&instance, &orders).await;
    }
}

#[tokio::test]
async fn a_disk_that_has_room_again_takes_commands_again() {
    let instance = Instance::start(&[]).await;
    fill_disk_under_load(&instance, 0).await;
    a_full_disk_is_told(&instance).await;
    instance.limit_files(None);
    until("it says nothing about the disk any more", async || disk_problem(&instance).await.is_none()).await;
    until("its log says so too", async || instance.said().contains("the disk takes records again")).await;
    // Through the client, since the local stores need a restart: the broker does not.
    instance.command("o-late", &json!({ "type": "PlaceOrder", "orderId": "o-late", "item": "chicken" })).await;
}
