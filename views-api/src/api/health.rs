//! Whether the process is alive, and whether it can serve.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use axum::response::Response;
use fluvio_streams::telemetry::with_sources;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::gateway::Gateway;
use super::problem::{Problem, UNAVAILABLE};
use super::{ApiState, json_response};
use crate::limits::READY_TIMEOUT;
use crate::store::ViewStore;

/// Something else that must work before the process can serve, for example its processors.
#[async_trait]
pub trait ReadyCheck: Send + Sync + 'static {
    /// Returns the name of what is checked, for example `processors`.
    fn name(&self) -> &str;

    /// Returns if it works.
    ///
    /// # Errors
    /// A sentence saying why it does not.
    async fn check(&self) -> Result<(), String>;
}

/// Answers `GET /health/live`.
pub(super) async fn live() -> Response {
    json_response(StatusCode::OK, &json!({ "status": "live" }))
}

/// What must work before a process can serve.
#[derive(Clone)]
pub(super) struct Readiness {
    checks: Vec<Arc<dyn ReadyCheck>>,
    shutdown: CancellationToken,
}

impl Readiness {
    /// Returns what must work for a process that has these checks alone.
    pub(super) fn new(checks: Vec<Arc<dyn ReadyCheck>>, shutdown: CancellationToken) -> Self {
        Self { checks, shutdown }
    }

    /// Returns what must work for the API: its store, its gateways, and its own checks.
    pub(super) fn of(api: &ApiState) -> Self {
        let store: Arc<dyn ReadyCheck> = Arc::new(StoreAnswers(Arc::clone(&api.store)));
        let gateways = api.gateways.iter().map(|gateway| Arc::clone(gateway) as Arc<dyn ReadyCheck>);
        Self::new([store].into_iter().chain(gateways).chain(api.checks.iter().cloned()).collect(), api.shutdown.clone())
    }
}

/// Answers `GET /health/ready`: 200, or 503 with everything that is not ready.
pub(super) async fn ready(readiness: Readiness) -> Result<Response, Problem> {
    let mut missing: Vec<(String, String)> = Vec::new();
    for check in &readiness.checks {
        missing.extend(checked(check).await.err().map(|why| (check.name().to_owned(), why)));
    }
    if readiness.shutdown.is_cancelled() {
        missing.push(("server".to_owned(), "it is stopping".to_owned()));
    }
    if missing.is_empty() {
        return Ok(json_response(StatusCode::OK, &json!({ "status": "ready" })));
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let detail = format!("not ready: {}", names.join(", "));
    let errors: Vec<Value> = missing.iter().map(|(name, why)| json!({ "name": name, "detail": why })).collect();
    Err(Problem::new(UNAVAILABLE, detail).with("notReady", errors))
}

/// Ready while the view store answers.
struct StoreAnswers(Arc<dyn ViewStore>);

#[async_trait]
impl ReadyCheck for StoreAnswers {
    fn name(&self) -> &str {
        "view store"
    }

    async fn check(&self) -> Result<(), String> {
        self.0.ready().await.map_err(|error| with_sources(&error))
    }
}

#[async_trait]
impl ReadyCheck for Gateway {
    fn name(&self) -> &str {
        self.system.name
    }

    async fn check(&self) -> Result<(), String> {
        self.not_ready().map_or(Ok(()), Err)
    }
}

async fn checked(check: &Arc<dyn ReadyCheck>) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {} s", READY_TIMEOUT.as_secs()));
    tokio::time::timeout(READY_TIMEOUT, check.check()).await.unwrap_or_else(late)
}
