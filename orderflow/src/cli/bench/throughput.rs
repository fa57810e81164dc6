//! Orders per second from command to view.
//!
//! A closed loop: a bounded number of orders is under way. All at once would measure how deferral works, since an order that waits in a queue for longer than the deadline of its payment
//! is deferred, as it should be.
//!
//! How it is known that orders are in the view without asking for each of them while the clock runs: a task takes a partition's commands in their order, and a view takes its events in
//! theirs. So once the last order of each partition has its outcome in the view, and the list of orders that wait for their payment is empty, all orders have theirs. Afterwards, off the
//! clock, every order is read and counted by its status.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::bail;
use fluvio_streams::partitioner::partition_for;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::produce::{path, place, producer};
use super::{Arguments, Target, seconds};

/// How long the whole may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Pause between two looks at the view: small against the whole.
const POLL: Duration = Duration::from_millis(5);
/// Parts of the orders under way: while one is waited for, the others keep everything busy.
const CHUNKS_IN_FLIGHT: usize = 4;
/// Reads at once when all orders are counted.
const READS: usize = 64;

pub(super) async fn measure(target: &Target, orders: u64, arguments: &Arguments) -> anyhow::Result<Value> {
    let ids: Vec<String> = (0..orders).map(|order| format!("t-{}-{order}", target.run)).collect();
    let visible = place_all(target, &ids, arguments).await?;
    let statuses = count_statuses(target, &ids).await?;
    Ok(json!({
        "orders": orders,
        "ordersInFlight": arguments.in_flight,
        "ordersPerSecond": (orders as f64 / visible.as_secs_f64()).round(),
        "secondsUntilVisible": seconds(visible),
        "statuses": statuses,
    }))
}

/// Places orders as fast as it goes with a bounded number under way; returns the time until all can be read with their outcome.
pub(super) async fn place_all(target: &Target, ids: &[String], arguments: &Arguments) -> anyhow::Result<Duration> {
    let producer = producer(&target.sc, Duration::from_millis(1)).await?;
    let started = Instant::now();
    let mut under_way = VecDeque::new();
    for chunk in ids.chunks((arguments.in_flight / CHUNKS_IN_FLIGHT).max(1)) {
        if under_way.len() == CHUNKS_IN_FLIGHT
            && let Some(last) = under_way.pop_front()
        {
            decided(target, last).await?;
        }
        for id in chunk {
            producer.send(id.as_str(), place(id)).await?;
        }
        under_way.push_back(last_of_partitions(chunk, arguments.partitions));
    }
    producer.flush().await?;
    for last in under_way {
        decided(target, last).await?;
    }
    loop {
        let (_, waiting) = target.api.get("/food-delivery/orders?status=PaymentPending&limit=1").await?;
        let is_empty = waiting["items"].as_array().is_some_and(Vec::is_empty) && waiting["nextCursor"].is_null();
        if is_empty {
            return Ok(started.elapsed());
        }
        if started.elapsed() > LIMIT {
            bail!("some orders have no outcome after {} s", LIMIT.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns the last order of each partition.
fn last_of_partitions(ids: &[String], partitions: u32) -> Vec<String> {
    let last: BTreeMap<u32, &String> = ids.iter().map(|id| (partition_for(id.as_bytes(), partitions), id)).collect();
    last.into_values().cloned().collect()
}

/// Waits until these orders have their outcome in the view.
async fn decided(target: &Target, ids: Vec<String>) -> anyhow::Result<()> {
    for id in ids {
        let document = target.api.wait_for(&path(&id), LIMIT, |document| !document.is_null() && document["status"] != "PaymentPending").await?;
        if document.is_null() {
            bail!("order `{id}` cannot be read after {} s", LIMIT.as_secs());
        }
    }
    Ok(())
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
