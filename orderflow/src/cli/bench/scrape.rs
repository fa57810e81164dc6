//! What it costs to be looked at: the time of a scrape, from the request to the last byte of the answer.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Scrapes that are measured.
const SCRAPES: usize = 50;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Scrapes the endpoint at `HOST:PORT` again and again.
pub(super) async fn measure(endpoint: &str) -> anyhow::Result<Value> {
    let http = reqwest::Client::builder().timeout(LIMIT).tcp_nodelay(true).no_proxy().build().context("cannot make an HTTP client")?;
    let (mut times_ms, mut text) = (Vec::new(), String::new());
    for _ in 0..SCRAPES {
        let began = Instant::now();
        text = http.get(format!("http://{endpoint}/metrics")).send().await.context("no answer to a scrape")?.text().await.context("a scrape broke off")?;
        times_ms.push((began.elapsed().as_secs_f64() * 100_000.0).round() / 100.0);
    }
    times_ms.sort_by(f64::total_cmp);
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    Ok(json!({ "series": series, "bytes": text.len(), "p50Ms": times_ms[SCRAPES / 2], "maxMs": times_ms[SCRAPES - 1] }))
}
