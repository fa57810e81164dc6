//! Seconds until an instance is ready again whose local stores are gone.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::process::Subject;
use super::produce::path;
use super::throughput::place_all;
use super::{Arguments, seconds};

/// How long the views may take to be rebuilt.
const REBUILD_LIMIT: Duration = Duration::from_secs(600);

pub(super) async fn measure(arguments: &Arguments) -> anyhow::Result<Value> {
    let subject = Subject::start(arguments).await?;
    subject.target.api.wait_ready(super::READY_LIMIT).await?;
    let ids: Vec<String> = (0..arguments.restore_orders).map(|order| format!("r-{}-{order}", subject.target.run)).collect();
    place_all(&subject.target, &ids, arguments).await?;
    let memory_after_load = subject.memory()?;
    let (subject, warm) = subject.restart().await?;
    let (subject, without_state) = subject.restart_without(&["state"]).await?;
    let memory_after_restore = subject.memory()?;
    let (subject, without_anything) = subject.restart_without(&["state", "views"]).await?;
    let rebuilding = Instant::now();
    // The last order of each partition is among the last ones; a view takes a partition in its order.
    for id in ids.iter().rev().take(64) {
        subject.target.api.wait_for(&path(id), REBUILD_LIMIT, |document| document["status"] == "Placed").await?;
    }
    let rebuilt = without_anything + rebuilding.elapsed();
    let stopped = subject.stop().await?;
    Ok(json!({
        "orders": arguments.restore_orders,
        "readySecondsWithStores": seconds(warm),
        "readySecondsWithoutStores": seconds(without_state),
        "readySecondsWithoutStoresAndViews": seconds(without_anything),
        "viewsRebuiltSeconds": seconds(rebuilt),
        "stopSeconds": stopped,
        "memoryAfterLoad": memory_after_load,
        "memoryAfterRestore": memory_after_restore,
    }))
}
