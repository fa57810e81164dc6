//! The payment provider as an outside system: a simulated one, or one behind an HTTP endpoint (`docs/payment-provider.md`).
//!
//! What it is: a [`CallHandler`] that pursues each call until its outcome is known, and keeps the provider from being called too much: places (how many calls at once), pace (how many a
//! second), budget (how many retries). What it is not: it decides nothing about orders, and it remembers nothing: the keys do. Start reading at [`PaymentProvider::carry_out`], then
//! `pursuit` (what follows from what was heard) and `answer` (what an answer means).

mod answer;
mod budget;
mod http;
mod ledger;
mod pace;
mod pursuit;
mod simulated;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use business::partner::provider::{Operation, ProviderOutcome, ProviderRequest, ProviderResponse};
use business::partner::simulator::{Profile, Simulator};
use fluvio_streams::processor::Call;
use fluvio_streams::runtime::CallHandler;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use self::answer::Heard;
use self::budget::RetryBudget;
pub(crate) use self::http::HttpProvider;
use self::pace::Pace;
use self::pursuit::{Next, Pursuit, Times};
use self::simulated::Simulated;
use crate::config::PaymentConfig;
use crate::limits::{PROVIDER_RETRIES_PER_SECOND, PROVIDER_WAIT_MAX};
use crate::telemetry::{InDoubt, ProviderMeters};

/// A payment provider, as all systems of an instance share it.
pub(crate) struct PaymentProvider {
    endpoint: Endpoint,
    places: Semaphore,
    places_max: usize,
    pace: Option<Mutex<Pace>>,
    budget: Mutex<RetryBudget>,
    times: Times,
    /// How long a request may wait for its turn.
    wait_max: Duration,
    began: Instant,
    meters: Arc<ProviderMeters>,
}

enum Endpoint {
    Simulated(Simulated),
    Http(HttpProvider),
}

/// A request could not be sent in time.
struct NoTurn;

impl PaymentProvider {
    /// Returns the provider behind the configured endpoint; without one, a simulated provider of this profile, which keeps its ledger in the file at `ledger`.
    ///
    /// # Errors
    /// If the endpoint's certificates or the ledger cannot be used.
    pub(crate) fn new(config: &PaymentConfig, profile: Profile, ledger: &Path, meters: Arc<ProviderMeters>) -> anyhow::Result<Self> {
        let endpoint = match &config.endpoint {
            Some(endpoint) => Endpoint::Http(HttpProvider::new(endpoint.clone(), config.try_timeout)?),
            None => Endpoint::Simulated(Simulated::open(Simulator::new(profile), ledger, config.call_timeout, Arc::clone(&meters))?),
        };
        Ok(Self {
            endpoint,
            places: Semaphore::new(config.calls_max),
            places_max: config.calls_max,
            pace: config.rate.map(|rate| Mutex::new(Pace::new(rate))),
            budget: Mutex::new(RetryBudget::new(config.retry_percent, PROVIDER_RETRIES_PER_SECOND)),
            times: Times { call: config.call_timeout, settle: config.settle },
            wait_max: PROVIDER_WAIT_MAX,
            began: Instant::now(),
            meters,
        })
    }

    /// Returns the router of the provider's ledger, if it is simulated.
    pub(crate) fn router(&self) -> Router {
        match &self.endpoint {
            Endpoint::Simulated(simulated) => simulated.router(),
            Endpoint::Http(_) => Router::new(),
        }
    }

    async fn answer(&self, call: &Call, again: bool) -> String {
        let started = Instant::now();
        let (operation, response) = match serde_json::from_str::<ProviderRequest>(&call.request) {
            Ok(request) => (name_of(request.operation), self.carry_out(&request, &call.span().to_string(), again).await),
            Err(error) => ("unreadable", failed(&format!("the provider cannot read the request: {error}"))),
        };
        self.meters.answered(operation, outcome_of(&response), started.elapsed());
        serde_json::to_string(&response).unwrap_or_else(|_| String::from(r#"{"outcome":"failed"}"#))
    }

    /// Pursues a request until its outcome is known, however long that takes: who asks can do nothing with "perhaps".
    async fn carry_out(&self, request: &ProviderRequest, traceparent: &str, again: bool) -> ProviderResponse {
        let key = &request.idempotency_key;
        let mut pursuit = Pursuit::new(request.operation, key, again, self.times, self.now());
        let mut in_doubt: Option<InDoubt<'_>> = None;
        let mut next = Next::Post(Duration::ZERO);
        self.budget().call();
        loop {
            next = match next {
                Next::Answer(response) => {
                    if let Some(in_doubt) = in_doubt {
                        in_doubt.settled();
                    }
                    return response;
                }
                Next::Post(wait) => {
                    sleep(wait).await;
                    let heard = self.post(request, traceparent, &pursuit).await;
                    pursuit.posted(heard, self.now())
                }
                Next::Inquire(wait) => {
                    sleep(wait).await;
                    pursuit.inquired(self.inquire(key).await, self.now())
                }
            };
            if matches!(next, Next::Answer(_)) {
                continue;
            }
            if pursuit.is_in_doubt() {
                in_doubt.get_or_insert_with(|| self.meters.in_doubt(key)).lasts();
                let wait = self.budget().reserve(self.now());
                sleep(wait).await;
            } else if !self.budget().take(self.now()) {
                return failed("the provider did nothing, and is not tried again because too many calls are");
            }
            self.meters.retried();
        }
    }

    async fn post(&self, request: &ProviderRequest, traceparent: &str, pursuit: &Pursuit) -> Heard {
        let not_sent = |detail: &str| Heard::NotDone { detail: detail.to_owned(), may_retry: false, after: None };
        match (self.turn().await, &self.endpoint) {
            (Ok(_place), _) if pursuit.is_too_late(self.now()) => not_sent("the provider was not asked in time"),
            (Ok(_place), Endpoint::Simulated(simulated)) => simulated.post(request).await,
            (Ok(_place), Endpoint::Http(http)) => http.post(request, traceparent).await,
            (Err(NoTurn), _) => not_sent("the provider has too many calls to answer already"),
        }
    }

    async fn inquire(&self, key: &str) -> Heard {
        match (self.turn().await, &self.endpoint) {
            (Ok(_place), Endpoint::Simulated(simulated)) => simulated.inquire(key),
            (Ok(_place), Endpoint::Http(http)) => http.inquire(key).await,
            (Err(NoTurn), _) => Heard::InDoubt { detail: "the provider was not asked".to_owned() },
        }
    }

    /// Waits for a place and for the pace.
    async fn turn(&self) -> Result<Place<'_>, NoTurn> {
        let since = self.now();
        // The semaphore is never closed.
        let Ok(Ok(permit)) = timeout(self.wait_max, self.places.acquire()).await else { return Err(NoTurn) };
        let place = Place { provider: self, permit: Some(permit) };
        self.show_places();
        if let Some(pace) = &self.pace {
            let now = self.now();
            let wait_max = self.wait_max.saturating_sub(now - since);
            let wait = pace.lock().unwrap_or_else(PoisonError::into_inner).reserve(now, wait_max).ok_or(NoTurn)?;
            sleep(wait).await;
        }
        Ok(place)
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn show_places(&self) {
        self.meters.running(self.places_max - self.places.available_permits());
    }
}

/// A place among the calls that run. Given back however the call ends.
struct Place<'a> {
    provider: &'a PaymentProvider,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.provider.show_places();
    }
}

#[async_trait]
impl CallHandler for PaymentProvider {
    async fn call(&self, call: &Call) -> String {
        self.answer(call, false).await
    }

    async fn call_again(&self, call: &Call) -> String {
        self.answer(call, true).await
    }
}

fn failed(detail: &str) -> ProviderResponse {
    ProviderResponse::new(ProviderOutcome::Failed, Some(detail))
}

fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Accept => "authorize",
        Operation::Undo => "refund",
    }
}

fn outcome_of(response: &ProviderResponse) -> &'static str {
    match response.outcome {
        ProviderOutcome::Accepted => "approved",
        ProviderOutcome::Declined => "declined",
        ProviderOutcome::Failed => "failed",
        ProviderOutcome::Undone => "refunded",
    }
}
