//! Orders per second from command to view.
//!
//! How "every order is in the view" is known without asking for each of them while the clock runs: a task takes a partition's commands in their order, and a view takes its events in
//! theirs. So once the last order of each partition can be read, all orders can; and once the list of orders that wait for their payment is empty, all of them have their outcome.
//! Afterwards, off the clock, every order is read and counted by its status.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use fluvio_streams::partitioner::partition_for;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::produce::{path, place, producer};
use super::{Target, seconds};

/// How long the whole may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Pause between two looks at the view: small against the whole.
const POLL: Duration = Duration::from_millis(5);
/// Reads at once when all orders are counted.
const READS: usize = 64;

pub(super) async fn measure(target: &Target, orders: u64, partitions: u32) -> anyhow::Result<Value> {
    let ids: Vec<String> = (0..orders).map(|order| format!("t-{}-{order}", target.run)).collect();
    let (produced, visible) = place_all(target, &ids, partitions).await?;
    let statuses = count_statuses(target, &ids).await?;
    Ok(json!({
        "orders": orders,
        "ordersPerSecond": (orders as f64 / visible.as_secs_f64()).round(),
        "secondsUntilVisible": seconds(visible),
        "secondsUntilProduced": seconds(produced),
        "statuses": statuses,
    }))
}

/// Places orders as fast as it goes; returns the time until all were acknowledged, and until all can be read with their outcome.
pub(super) async fn place_all(target: &Target, ids: &[String], partitions: u32) -> anyhow::Result<(Duration, Duration)> {
    let producer = producer(&target.sc, Duration::from_millis(5)).await?;
    let mut last = BTreeMap::new();
    for id in ids {
        last.insert(partition_for(id.as_bytes(), partitions), id);
    }
    let started = Instant::now();
    for id in ids {
        producer.send(id.as_str(), place(id)).await?;
    }
    producer.flush().await?;
    let produced = started.elapsed();
    for id in last.values() {
        let document = target.api.wait_for(&path(id), LIMIT, |document| !document.is_null()).await?;
        if document.is_null() {
            bail!("order `{id}` cannot be read after {} s", LIMIT.as_secs());
        }
    }
    loop {
        let (_, waiting) = target.api.get("/food-delivery/orders?status=PaymentPending&limit=1").await?;
        let is_empty = waiting["items"].as_array().is_some_and(Vec::is_empty) && waiting["nextCursor"].is_null();
        if is_empty {
            return Ok((produced, started.elapsed()));
        }
        if started.elapsed() > LIMIT {
            bail!("some orders have no outcome after {} s", LIMIT.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Reads every order and counts them by status.
async fn count_statuses(target: &Target, ids: &[String]) -> anyhow::Result<BTreeMap<String, u64>> {
    let reading = stream::iter(ids).map(|id| async move { target.api.get(&path(id)).await });
    let mut reading = reading.buffer_unordered(READS);
    let mut statuses = BTreeMap::new();
    while let Some(answer) = reading.next().await {
        let (code, document) = answer?;
        let status = document["status"].as_str().map_or_else(|| format!("http {code}"), str::to_owned);
        *statuses.entry(status).or_insert(0) += 1;
    }
    Ok(statuses)
}
