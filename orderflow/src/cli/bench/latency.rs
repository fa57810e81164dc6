//! Milliseconds from command to view at a steady rate.
//!
//! An open loop: orders are sent when they are due, whether or not the ones before are through, and the time counts from when an order was due, so that a stall shows in all the orders
//! that it delays.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::produce::{path, place, producer};
use super::{Target, milliseconds};
use crate::cli::client::Api;

/// How long one order may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Orders before the clock runs: connections are made, caches are warm.
const WARM_UP: u32 = 100;

pub(super) async fn measure(target: &Target, rate: u32, for_seconds: u32) -> anyhow::Result<Value> {
    let producer = producer(&target.sc, Duration::ZERO).await?;
    let interval = Duration::from_secs(1) / rate.max(1);
    let orders = rate.max(1) * for_seconds;
    let mut watches = JoinSet::new();
    let begin = Instant::now();
    for order in 0..WARM_UP + orders {
        let due = begin + interval * order;
        tokio::time::sleep_until(due).await;
        let id = format!("l-{}-{order}", target.run);
        producer.send(id.as_str(), place(&id)).await.context("an order cannot be produced")?;
        let api = target.api.clone();
        watches.spawn(async move { watch(&api, &id, due).await.map(|times| (order >= WARM_UP).then_some(times)) });
    }
    let histogram = || Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).context("the histogram cannot be made");
    let (mut seen, mut placed) = (histogram()?, histogram()?);
    let mut reads = 0_u64;
    while let Some(watched) = watches.join_next().await {
        if let Some(times) = watched.context("a watch ended early")?? {
            seen.record(times.seen_us.max(1))?;
            placed.record(times.placed_us.max(1))?;
            reads += times.reads;
        }
    }
    let quantiles = |histogram: &Histogram<u64>| {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": milliseconds(histogram.max()) })
    };
    Ok(json!({
        "ordersPerSecond": rate,
        "orders": orders,
        "placedMilliseconds": quantiles(&placed),
        "firstSeenMilliseconds": quantiles(&seen),
        "readsPerOrder": (reads as f64 / f64::from(orders.max(1)) * 10.0).round() / 10.0,
    }))
}

struct Times {
    /// Until the order could be read at all.
    seen_us: u64,
    /// Until it was `Placed`.
    placed_us: u64,
    /// Reads that this took.
    reads: u64,
}

async fn watch(api: &Api, id: &str, due: Instant) -> anyhow::Result<Times> {
    let path = path(id);
    let (mut seen, mut reads) = (None, 0);
    loop {
        let (status, document) = api.get(&path).await?;
        reads += 1;
        let elapsed = due.elapsed();
        if status == 200 {
            let seen_us = *seen.get_or_insert(elapsed.as_micros() as u64);
            if document["status"] == "Placed" {
                return Ok(Times { seen_us, placed_us: elapsed.as_micros() as u64, reads });
            }
        }
        if elapsed > LIMIT {
            bail!("order `{id}` is not placed after {} s: {status} {document}", LIMIT.as_secs());
        }
    }
}
