//! The `orderflow` under siege: a process of its own, as its users run it.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

/// How long it may take to start, and deferred orders to settle: 10 minutes is when the last of them is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const SETTLE_PATIENCE: Duration = Duration::from_secs(660);
const GAUGES_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// A running instance.
pub(super) struct Orderflow {
    child: Child,
    pub(super) http: String,
    metrics: String,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

/// An order at the end of a run, as its view says.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) status: String,
    /// From its request to its last change.
    pub(super) took: Duration,
    pub(super) price: i64,
    pub(super) captured: i64,
    pub(super) refunded: i64,
}

impl Orderflow {
    /// Starts an instance of `program` on an empty directory, whose payments go to the provider at `url`.
    pub(super) async fn start(program: &Path, url: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot create a directory")?;
        let addresses_file = directory.path().join("addresses.json");
        let mut command = Command::new(program);
        command.args([
            "up",
            "--ephemeral",
            "--sc-addr",
            "127.0.0.1:0",
            "--spu-addr",
            "127.0.0.1:0",
            "--http-addr",
            "127.0.0.1:0",
            "--metrics-addr",
            "127.0.0.1:0",
        ]);
        command.arg("--payment-provider-url").arg(url).arg("--addresses-file").arg(&addresses_file);
        command.env("TMPDIR", directory.path()).stdout(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().context("orderflow cannot be started")?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().context("no HTTP client")?;
        let started = Instant::now();
        let addresses: Value = loop {
            ensure!(child.try_wait()?.is_none(), "orderflow ended while it started");
            ensure!(started.elapsed() < PATIENCE, "orderflow did not start within {PATIENCE:?}");
            if let Some(addresses) = fs::read(&addresses_file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                break addresses;
            }
            tokio::time::sleep(POLL).await;
        };
        let address = |name: &str| addresses[name].as_str().map(str::to_owned).with_context(|| format!("orderflow did not say its {name} address"));
        let it = Self { http: address("http")?, metrics: address("metrics")?, child, client, _directory: directory };
        while it.client.get(format!("http://{}/health/ready", it.http)).send().await.is_ok_and(|answer| answer.status() != 200) {
            ensure!(started.elapsed() < PATIENCE, "orderflow is not ready after {PATIENCE:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(it)
    }

    /// Waits until no order waits for its payment any more, and returns all orders.
    pub(super) async fn settle(&self) -> anyhow::Result<Vec<Order>> {
        let started = Instant::now();
        for status in ["PaymentPending", "PaymentDeferred"] {
            while !self.page(&format!("status={status}&limit=1")).await?.0.is_empty() {
                ensure!(started.elapsed() < SETTLE_PATIENCE, "orders are still {status} after {SETTLE_PATIENCE:?}");
                tokio::time::sleep(POLL).await;
            }
        }
        let (mut orders, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let query = cursor.map_or_else(|| "limit=100".to_owned(), |cursor| format!("limit=100&cursor={cursor}"));
            let (page, next) = self.page(&query).await?;
            for document in &page {
                orders.push(read(document).with_context(|| format!("an order cannot be read: {document}"))?);
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(orders),
            }
        }
    }

    async fn page(&self, query: &str) -> anyhow::Result<(Vec<Value>, Option<String>)> {
        let url = format!("http://{}/food-delivery/orders?{query}", self.http);
        let page: Value = self.client.get(&url).send().await?.error_for_status()?.json().await.with_context(|| format!("GET {url}"))?;
        let Some(items) = page["items"].as_array() else { bail!("GET {url} answered {page}") };
        Ok((items.clone(), page["nextCursor"].as_str().map(str::to_owned)))
    }

    /// Returns the money that its gauges show, by account, and by how much they are out of balance. Gauges are told now and then: those of the last charges are waited for, but not for long.
    pub(super) async fn money(&self, captured: i64) -> anyhow::Result<(Vec<(String, i64)>, i64)> {
        let started = Instant::now();
        loop {
            let (accounts, imbalance) = self.gauges().await?;
            let is_level = accounts.iter().any(|(account, won)| account == "captured" && *won == captured);
            if is_level || started.elapsed() >= GAUGES_PATIENCE {
                return Ok((accounts, imbalance));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn gauges(&self) -> anyhow::Result<(Vec<(String, i64)>, i64)> {
        let text = self.client.get(format!("http://{}/metrics", self.metrics)).send().await?.text().await?;
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or_default() as i64;
        let of = |line: &&str| line.contains(r#"application="food-delivery""#);
        let account = |line: &str| line.split(r#"account=""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
        let lines = || text.lines().filter(of);
        let accounts = lines().filter(|line| line.starts_with("orderflow_money_won{")).map(|line| (account(line), value(line))).collect();
        let imbalance = lines().filter(|line| line.starts_with("orderflow_money_imbalance_won{")).map(value).sum();
        Ok((accounts, imbalance))
    }

    /// Returns its resident memory, in MB.
    pub(super) fn resident_mb(&self) -> u64 {
        let status = self.child.id().and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_default() / 1024
    }

    /// Stops it as Ctrl-C does.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            std::process::Command::new("kill").args(["-INT", &pid.to_string()]).status().context("orderflow cannot be stopped")?;
        }
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await.context("orderflow did not stop")??;
        ensure!(ended.success(), "orderflow ended with {ended}");
        Ok(())
    }
}

fn read(document: &Value) -> Option<Order> {
    let time = |name: &str| document[name].as_str().and_then(seconds_of_day);
    let (requested, updated) = (time("requestedAt")?, time("updatedAt")?);
    // A run may go past midnight.
    let took = (updated - requested).rem_euclid(86_400.0);
    Some(Order {
        status: document["status"].as_str()?.to_owned(),
        took: Duration::from_secs_f64(took),
        price: document["price"].as_i64()?,
        captured: document["payment"]["captured"].as_i64()?,
        refunded: document["payment"]["refunded"].as_i64()?,
    })
}

/// Reads the time of `2026-11-21T05:38:35.184Z`.
fn seconds_of_day(text: &str) -> Option<f64> {
    let time = text.split('T').nth(1)?.trim_end_matches('Z');
    time.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_may_cross_midnight() {
        assert_eq!(seconds_of_day("2026-11-21T05:38:35.5Z"), Some(20_315.5));
        let document = serde_json::json!({
            "status": "Placed", "price": 1, "payment": {"captured": 1, "refunded": 0},
            "requestedAt": "2026-11-21T23:59:59.500Z", "updatedAt": "2026-11-22T00:00:01.000Z",
        });
        assert_eq!(read(&document).expect("it is an order").took, Duration::from_millis(1_500));
    }
}
