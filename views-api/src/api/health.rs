//! Whether the process is alive, and whether it can serve.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::problem::{Problem, UNAVAILABLE};
use super::{ApiState, json_response};
use crate::limits::READY_TIMEOUT;

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

/// Answers `GET /health/ready`: 200, or 503 with everything that is not ready.
pub(super) async fn ready(api: ApiState) -> Result<Response, Problem> {
    let mut missing: Vec<(String, String)> = Vec::new();
    match tokio::time::timeout(READY_TIMEOUT, api.store.ready()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => missing.push(("view store".to_owned(), with_sources(&error))),
        Err(_) => missing.push(("view store".to_owned(), format!("no answer within {} s", READY_TIMEOUT.as_secs()))),
    }
    for gateway in &api.gateways {
        missing.extend(gateway.not_ready().map(|why| (gateway.system.name.to_owned(), why)));
    }
    for check in &api.checks {
        missing.extend(checked(check).await.err().map(|why| (check.name().to_owned(), why)));
    }
    if api.shutdown.is_cancelled() {
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

async fn checked(check: &Arc<dyn ReadyCheck>) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {} s", READY_TIMEOUT.as_secs()));
    tokio::time::timeout(READY_TIMEOUT, check.check()).await.unwrap_or_else(late)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
