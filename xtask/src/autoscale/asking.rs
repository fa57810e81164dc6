//! Asks Prometheus for one number.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks a Prometheus.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    client: reqwest::Client,
    url: String,
}

impl Asking {
    pub(crate) fn of(address: std::net::SocketAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().context("no HTTP client")?;
        Ok(Self { client, url: format!("http://{address}/api/v1/query") })
    }

    /// Returns the value of a query that has one; none if it has none.
    ///
    /// # Errors
    /// If it has more than one, or Prometheus refuses it.
    pub(crate) async fn number(&self, query: &str) -> anyhow::Result<Option<f64>> {
        let answer = self.client.get(&self.url).query(&[("query", query)]).send().await.context("Prometheus does not answer")?;
        let answer: Value = answer.json().await.context("Prometheus does not answer with JSON")?;
        ensure!(answer["status"] == "success", "Prometheus refuses `{query}`: {}", answer["error"]);
        let found = answer.pointer("/data/result").and_then(Value::as_array).context("Prometheus answers without a result")?;
        ensure!(found.len() <= 1, "`{query}` has {} values", found.len());
        Ok(found.first().and_then(|found| found.pointer("/value/1")?.as_str()?.parse().ok()))
    }
}
