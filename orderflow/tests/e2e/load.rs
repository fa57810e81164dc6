//! Orders that are sent as fast as they are acknowledged, and what their senders were promised.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fluvio::TopicProducerPool;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{COMMANDS, EVENTS, Instance, REJECTIONS, producer, until};

/// What every order costs.
const PRICE: i64 = 1_000;
const SENDERS: usize = 4;

/// What was sent, and of it what was acknowledged.
#[derive(Default)]
pub(crate) struct Orders {
    sent: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<BTreeSet<String>>,
}

/// Several senders with the official client, each with a connection of its own.
pub(crate) struct Senders {
    producers: Vec<TopicProducerPool>,
}

impl Senders {
    pub(crate) async fn of(instance: &Instance) -> Self {
        let connect = |_| async { producer(&instance.client().await, COMMANDS).await };
        Self { producers: join_all((0..SENDERS).map(connect)).await }
    }

    /// Sends orders until every sender has met an error. Their ids begin with `prefix`; the first is `<prefix>-0-0`.
    pub(crate) async fn send(&self, prefix: &str, orders: &Orders) {
        join_all(self.producers.iter().enumerate().map(|(sender, producer)| send_until_refused(producer, format!("{prefix}-{sender}"), orders))).await;
    }
}

async fn send_until_refused(producer: &TopicProducerPool, prefix: String, orders: &Orders) {
    for number in 0.. {
        let id = format!("{prefix}-{number}");
        let command = json!({ "type": "PlaceOrder", "orderId": id, "item": "chicken", "price": PRICE }).to_string();
        ids(&orders.sent).insert(id.clone());
        if !is_acknowledged(producer, &id, command).await {
            return;
        }
        ids(&orders.acknowledged).insert(id);
    }
}

fn ids(ids: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    ids.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn is_acknowledged(producer: &TopicProducerPool, key: &str, value: String) -> bool {
    let Ok(sent) = producer.send(key.to_owned(), value).await else { return false };
    producer.flush().await.is_ok() && sent.wait().await.is_ok()
}

impl Orders {
    /// Checks that every order that was acknowledged has one outcome, and that the books agree with the orders.
    pub(crate) async fn are_there_once(&self, instance: &Instance) {
        let (sent, acknowledged) = (ids(&self.sent).clone(), ids(&self.acknowledged).clone());
        for id in &acknowledged {
            let order = decided(instance, id).await;
            let captured = order["payment"]["captured"].as_i64().expect("what was captured is known");
            assert!(captured <= PRICE && (order["status"] != "Placed" || captured == PRICE), "{order}");
        }
        let undecided = RefCell::new(acknowledged);
        let all_are_decided = |events: &[Value]| {
            let mut undecided = undecided.borrow_mut();
            // It is asked after every record.
            if let Some(event) = events.last().filter(|event| is_outcome(event)) {
                undecided.remove(&subject(event));
            }
            undecided.is_empty()
        };
        let events = instance.consume(EVENTS, all_are_decided).await;
        for (id, outcomes) in outcomes(&events) {
            assert_eq!(outcomes.len(), 1, "{id} has one outcome: {outcomes:?}");
        }
        // Whoever was not answered may have been heard, but not twice.
        instance.command("nobody", &json!({ "type": "CancelOrder", "orderId": "nobody" })).await;
        let rejections = instance.consume(REJECTIONS, |rejections| rejections.iter().any(|rejection| subject(rejection) == "nobody")).await;
        assert!(rejections.iter().all(|rejection| !sent.contains(&subject(rejection))), "{rejections:#?}");

        let money = async |account: &str| instance.metric("orderflow_money_won", &["processor=\"orders\"", &format!("account=\"{account}\"")]).await;
        until("what was captured and not refunded is in live orders", async || {
            let captured = money("captured").await;
            captured > 0.0 && captured - money("refunded").await == money("live").await
        })
        .await;
        assert_eq!(instance.metric("orderflow_money_imbalance_won", &[]).await, 0.0);
    }
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

/// Returns the ids of the outcomes of each order. A reader may see a repeat after a crash, which carries the same CloudEvents id.
fn outcomes(events: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut outcomes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| is_outcome(event)) {
        outcomes.entry(subject(event)).or_default().insert(event["id"].to_string());
    }
    outcomes
}

fn is_outcome(event: &Value) -> bool {
    event["type"] == "OrderPlaced" || event["type"] == "OrderRejected"
}

fn subject(event: &Value) -> String {
    event["subject"].as_str().unwrap_or_default().to_owned()
}
