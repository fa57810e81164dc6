//! The simulated provider: what it answers, and when, is a pure plan of `business`; here is the waiting, and the ledger.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use business::partner::provider::{ProviderOutcome, ProviderRequest, ProviderResponse};
use business::partner::simulator::Simulator;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::answer::Heard;
use super::ledger::{self, Ledger};
use crate::telemetry::ProviderMeters;

/// A simulated provider.
pub(super) struct Simulated {
    simulator: Simulator,
    ledger: Mutex<Ledger>,
    call_timeout: Duration,
    meters: Arc<ProviderMeters>,
}

impl Simulated {
    /// Returns a provider that keeps its ledger in this file.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub(super) fn open(simulator: Simulator, path: &Path, call_timeout: Duration, meters: Arc<ProviderMeters>) -> anyhow::Result<Self> {
        let ledger = Ledger::open(path).with_context(|| format!("--data-dir: the simulated provider cannot keep its ledger in `{}`", path.display()))?;
        Ok(Self { simulator, ledger: Mutex::new(ledger), call_timeout, meters })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is asked, as planned. What it says is never in doubt: what it does and what it enters is one step.
    pub(super) async fn post(&self, request: &ProviderRequest) -> Heard {
        let answered = timeout(self.call_timeout, self.answer(request)).await;
        Heard::Answer(answered.unwrap_or_else(|_| ProviderResponse::new(ProviderOutcome::Failed, Some("the provider did not answer in time"))))
    }

    async fn answer(&self, request: &ProviderRequest) -> ProviderResponse {
        if let Some(known) = self.ledger().answer(&request.idempotency_key) {
            return known.clone();
        }
        let plan = self.simulator.plan(request);
        if plan.delay_ms > 0 {
            sleep(Duration::from_millis(plan.delay_ms)).await;
        }
        let mut ledger = self.ledger();
        let entered = ledger.enter(request, plan.answer);
        let (captured_won, refunded_won) = ledger.moved_won();
        self.meters.money(captured_won, refunded_won);
        entered.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the simulated provider cannot write its ledger and does nothing");
            ProviderResponse::new(ProviderOutcome::Failed, Some("the provider cannot write its ledger"))
        })
    }

    /// Says what is known of a key.
    pub(super) fn inquire(&self, key: &str) -> Heard {
        self.ledger().answer(key).map_or(Heard::Unknown, |answer| Heard::Answer(answer.clone()))
    }

    /// Returns what was captured and refunded since the start, in won.
    #[cfg(test)]
    pub(super) fn moved_won(&self) -> (i64, i64) {
        self.ledger().moved_won()
    }

    /// Returns the router of its ledger: `GET /ledger?cursor=`, as a real provider answers it.
    pub(super) fn router(&self) -> Router {
        let path = self.ledger().path().to_owned();
        Router::new().route("/ledger", get(move |query: Query<LedgerQuery>| ledger_page(path.clone(), query.cursor.unwrap_or_default())))
    }
}

#[derive(Debug, Deserialize)]
struct LedgerQuery {
    cursor: Option<u64>,
}

async fn ledger_page(path: PathBuf, cursor: u64) -> Response {
    match tokio::task::spawn_blocking(move || ledger::page(&path, cursor)).await {
        Ok(Ok(page)) => axum::Json(page).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the ledger cannot be read: {error}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
