//! The HTTP API as demo and bench use it: like any program from outside.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::time::Instant;

/// Pause between two questions while something is waited for.
const POLL: Duration = Duration::from_millis(5);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A client of one instance.
#[derive(Debug, Clone)]
pub(super) struct Api {
    base: String,
    http: reqwest::Client,
}

impl Api {
    /// Returns a client of the API at `base`, for example `http://127.0.0.1:8088`.
    ///
    /// # Errors
    /// If there is no HTTP client to be had.
    pub(super) fn new(base: &str) -> anyhow::Result<Self> {
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).tcp_nodelay(true).no_proxy().build().context("cannot make an HTTP client")?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// Sends a command; returns status and body. `command_id` makes a repeat harmless.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn post(&self, path: &str, command_id: Option<&str>, body: &Value) -> anyhow::Result<(u16, Value)> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some(command_id) = command_id {
            request = request.header("idempotency-key", command_id);
        }
        self.answer(request, path).await
    }

    /// Reads; returns status and body.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        self.answer(self.http.get(format!("{}{path}", self.base)), path).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<(u16, Value)> {
        let no_answer = || format!("no answer from {}{path}", self.base);
        let response = request.send().await.with_context(no_answer)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.with_context(no_answer)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Waits until the instance says that it is ready.
    ///
    /// # Errors
    /// If it does not within `limit`, with what it said last.
    pub(super) async fn wait_ready(&self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let said = match self.get("/health/ready").await {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() >= deadline {
                bail!("instance at {} is not ready after {} s: {said}", self.base, limit.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Reads a document until `is_it` or `limit`; returns what was read last, null if there is none.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn wait_for(&self, path: &str, limit: Duration, is_it: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let (status, body) = self.get(path).await?;
            let document = if status == 200 { body } else { Value::Null };
            if is_it(&document) || Instant::now() >= deadline {
                return Ok(document);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Returns a few letters that make the ids of one run different from those of the runs before it.
pub(super) fn run_id() -> String {
    use fluvio_streams::time::{Clock as _, SystemClock};
    format!("{:x}-{:x}", SystemClock.now_ms(), std::process::id())
}
