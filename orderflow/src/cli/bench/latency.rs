//! Milliseconds from command to view at a steady rate.
//!
//! An open loop: orders are sent when they are due, whether or not the ones before are through, and the time counts from when an order was due, so that a stall shows in all the orders
//! that it delays. Nothing is polled, which would cost the machine more than the orders do: the official client consumes the events, and for each `OrderPlaced` the order is read over
//! HTTP with the position of that event, an answer that comes once the view includes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fluvio::consumer::{ConsumerConfigExtBuilder, Record as ConsumerRecord};
use fluvio::{Fluvio, FluvioClusterConfig, Offset};
use futures_util::{Stream, StreamExt as _};
use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::produce::{EVENTS, path, place, producer};
use super::{Target, milliseconds};
use crate::cli::client::Api;

/// How long one order may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Seconds before the clock runs: connections are made, caches are warm.
const WARM_UP_SECONDS: u32 = 2;

/// When each order was due.
type Due = Arc<Mutex<HashMap<String, Instant>>>;

/// What is read of an event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    subject: String,
}

pub(super) async fn measure(target: &Target, rate: u32, for_seconds: u32) -> anyhow::Result<Value> {
    let rate = rate.max(1);
    let (warm_up, orders) = (rate * WARM_UP_SECONDS, rate * for_seconds);
    let due = Due::default();
    // Where the events end is found out before the first order is sent: none is missed.
    let fluvio = Fluvio::connect_with_config(&FluvioClusterConfig::new(&target.sc)).await.context("the official client cannot connect")?;
    let config = ConsumerConfigExtBuilder::default().topic(EVENTS).offset_start(Offset::end()).build()?;
    let events = fluvio.consumer_with_config(config).await.context("the official client cannot consume")?;
    let watching = tokio::spawn(watch(events, target.api.clone(), Arc::clone(&due), (warm_up + orders) as usize));
    let producer = producer(&target.sc, Duration::ZERO).await?;
    let (interval, begin) = (Duration::from_secs(1) / rate, Instant::now());
    let mut moments = moments(begin, interval, warm_up + orders)?;
    for order in 0..warm_up + orders {
        let moment = moments.recv().await.context("nobody says when an order is due")?;
        let id = format!("l-{}-{order}", target.run);
        due.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), moment);
        producer.send(id.as_str(), place(&id)).await.context("an order cannot be produced")?;
    }
    let times = tokio::time::timeout(LIMIT, watching).await.context("some orders are not placed")?.context("the watch ended early")??;
    let placed = times.len();
    let histogram = || Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).context("the histogram cannot be made");
    let (mut published, mut visible) = (histogram()?, histogram()?);
    for times in times.iter().filter(|times| times.due >= begin + interval * warm_up) {
        published.record(times.published_us.max(1))?;
        visible.record(times.visible_us.max(1))?;
    }
    let quantiles = |histogram: &Histogram<u64>| {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": milliseconds(histogram.max()) })
    };
    Ok(json!({
        "ordersPerSecond": rate,
        "orders": visible.len(),
        "ordersNotPlaced": (warm_up + orders) as usize - placed,
        "visibleMilliseconds": quantiles(&visible),
        "publishedMilliseconds": quantiles(&published),
    }))
}

/// Returns the moments at which orders are due, each when it has come. A thread waits for them: a timer of the async runtime is up to 1 ms late, which would count as the system's.
fn moments(begin: Instant, interval: Duration, count: u32) -> anyhow::Result<UnboundedReceiver<Instant>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tell = move || {
        for moment in (0..count).map(|number| begin + interval * number) {
            std::thread::sleep(moment.saturating_duration_since(Instant::now()));
            if sender.send(moment).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("bench-pace".to_owned()).spawn(tell).context("no thread can be started")?;
    Ok(receiver)
}

struct Times {
    due: Instant,
    /// Until the event `OrderPlaced` reached a consumer.
    published_us: u64,
    /// Until a GET showed the order `Placed`.
    visible_us: u64,
}

/// Follows the events until this many orders have their outcome; returns the times of those that were placed.
async fn watch<S, E>(mut events: S, api: Api, due: Due, orders: usize) -> anyhow::Result<Vec<Times>>
where
    S: Stream<Item = Result<ConsumerRecord, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let (mut reads, mut times, mut others) = (JoinSet::new(), Vec::with_capacity(orders), 0);
    while times.len() + others < orders {
        tokio::select! {
            event = events.next() => {
                let record = event.context("the stream of events ended")?.context("an event cannot be consumed")?;
                let event: Event = serde_json::from_slice(record.value()).context("an event is not one")?;
                if event.kind == "OrderRequested" {
                    continue;
                }
                // Orders of others are none of ours.
                let Some(due) = due.lock().unwrap_or_else(PoisonError::into_inner).remove(&event.subject) else { continue };
                if event.kind != "OrderPlaced" {
                    others += 1;
                    continue;
                }
                let (api, published_us) = (api.clone(), due.elapsed().as_micros() as u64);
                reads.spawn(async move {
                    let (status, document) = api.get(&format!("{}?min_offset={}", path(&event.subject), record.offset())).await?;
                    if status != 200 || document["status"] != "Placed" {
                        bail!("order `{}` is not shown as placed: {status} {document}", event.subject);
                    }
                    Ok(Times { due, published_us, visible_us: due.elapsed().as_micros() as u64 })
                });
            }
            Some(read) = reads.join_next(), if !reads.is_empty() => times.push(read.context("a read ended early")??),
        }
    }
    Ok(times)
}
