//! The payment provider as an outside system: bounded calls to the simulator, each idempotency key once.
//!
//! What a simulated provider answers, and when, is a pure plan of `business`; here is the waiting, the bulkhead and the ledger. A real provider is another [`CallHandler`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use business::partner::provider::{Operation, ProviderOutcome, ProviderRequest, ProviderResponse};
use business::partner::simulator::{Profile, Simulator};
use fluvio_streams::processor::Call;
use fluvio_streams::runtime::CallHandler;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::config::PaymentProfile;
use crate::limits::{PROVIDER_ANSWERS_MAX, PROVIDER_CALL_TIMEOUT, PROVIDER_CALLS_MAX};
use crate::telemetry::ProviderMeters;

/// A simulated payment provider.
pub(crate) struct PaymentProvider {
    simulator: Simulator,
    places: Semaphore,
    places_max: usize,
    call_timeout: Duration,
    ledger: Mutex<Ledger>,
    meters: Arc<ProviderMeters>,
}

/// What the provider has done. Bounded: the oldest keys are forgotten, and would be answered alike, since the plan depends on the request alone.
#[derive(Debug, Default)]
struct Ledger {
    answers: HashMap<String, ProviderResponse>,
    oldest: VecDeque<String>,
    captured_won: i64,
    refunded_won: i64,
}

impl PaymentProvider {
    /// Returns a provider of this profile.
    pub(crate) fn new(profile: PaymentProfile, meters: Arc<ProviderMeters>) -> Self {
        let profile = match profile {
            PaymentProfile::Instant => Profile::Instant,
            PaymentProfile::Default => Profile::Default,
            PaymentProfile::Seed => Profile::Seed,
        };
        Self::with(Simulator::new(profile), PROVIDER_CALLS_MAX, PROVIDER_CALL_TIMEOUT, meters)
    }

    fn with(simulator: Simulator, places_max: usize, call_timeout: Duration, meters: Arc<ProviderMeters>) -> Self {
        Self { simulator, places: Semaphore::new(places_max), places_max, call_timeout, ledger: Mutex::default(), meters }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: &ProviderRequest) -> ProviderResponse {
        if let Some(known) = self.ledger().answers.get(&request.idempotency_key) {
            return known.clone();
        }
        // The semaphore is never closed; a place is given back however the call ends.
        let _place = self.places.acquire().await;
        self.meters.running(self.places_max - self.places.available_permits());
        let plan = self.simulator.plan(request);
        if plan.delay_ms > 0 {
            sleep(Duration::from_millis(plan.delay_ms)).await;
        }
        let mut ledger = self.ledger();
        let answer = ledger.enter(request, plan.answer);
        self.meters.money(ledger.captured_won, ledger.refunded_won);
        answer
    }
}

impl Ledger {
    /// Enters an answer, or returns the one that was entered for this key before. A failure has done nothing, so it may be tried again.
    fn enter(&mut self, request: &ProviderRequest, answer: ProviderResponse) -> ProviderResponse {
        let key = &request.idempotency_key;
        if let Some(known) = self.answers.get(key) {
            return known.clone();
        }
        match answer.outcome {
            ProviderOutcome::Accepted => self.captured_won = self.captured_won.saturating_add(request.amount),
            ProviderOutcome::Undone => self.refunded_won = self.refunded_won.saturating_add(request.amount),
            ProviderOutcome::Declined => {}
            ProviderOutcome::Failed => return answer,
        }
        if self.oldest.len() >= PROVIDER_ANSWERS_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.oldest.push_back(key.clone());
        self.answers.insert(key.clone(), answer.clone());
        answer
    }
}

#[async_trait]
impl CallHandler for PaymentProvider {
    async fn call(&self, call: &Call) -> String {
        let started = Instant::now();
        let (operation, response) = match serde_json::from_str::<ProviderRequest>(&call.request) {
            Ok(request) => {
                let answered = timeout(self.call_timeout, self.answer(&request)).await;
                self.meters.running(self.places_max - self.places.available_permits());
                (name_of(request.operation), answered.unwrap_or_else(|_| failed("the provider did not answer in time")))
            }
            Err(error) => ("unreadable", failed(&format!("the provider cannot read the request: {error}"))),
        };
        self.meters.answered(operation, outcome_of(&response), started.elapsed());
        serde_json::to_string(&response).unwrap_or_else(|_| String::from(r#"{"outcome":"failed"}"#))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    fn provider(places_max: usize, call_timeout: Duration) -> PaymentProvider {
        let telemetry = Telemetry::new(&[], 1).expect("the catalog is right");
        PaymentProvider::with(Simulator::new(Profile::Instant), places_max, call_timeout, Arc::clone(&telemetry.provider))
    }

    fn call(operation: Operation, customer: &str, order: u32, try_number: u32) -> Call {
        let id = format!("o-{order}");
        let idempotency_key = ProviderRequest::key(operation, &id, 1);
        let request = ProviderRequest {
            operation,
            id,
            attempt: 1,
            amount: 100,
            customer_id: customer.to_owned(),
            idempotency_key,
            try_number,
            details: serde_json::Map::new(),
        };
        let request = serde_json::to_string(&request).expect("a request serializes");
        Call { id: format!("{order}"), target: "payment-provider".to_owned(), request, correlation: String::new() }
    }

    async fn outcome(provider: &PaymentProvider, call: &Call) -> ProviderOutcome {
        serde_json::from_str::<ProviderResponse>(&provider.call(call).await).expect("an answer is JSON").outcome
    }

    #[tokio::test]
    async fn money_moves_once_for_each_key() {
        let provider = provider(8, Duration::from_secs(5));
        for _ in 0..3 {
            assert_eq!(outcome(&provider, &call(Operation::Accept, "kim", 1, 1)).await, ProviderOutcome::Accepted);
            assert_eq!(outcome(&provider, &call(Operation::Accept, "simulate-decline", 2, 1)).await, ProviderOutcome::Declined);
            assert_eq!(outcome(&provider, &call(Operation::Undo, "kim", 1, 1)).await, ProviderOutcome::Undone);
        }
        let ledger = provider.ledger();
        assert_eq!((ledger.captured_won, ledger.refunded_won), (100, 100));
    }

    #[tokio::test]
    async fn a_refund_that_failed_is_tried_again_under_its_key() {
        let provider = provider(8, Duration::from_secs(5));
        assert_eq!(outcome(&provider, &call(Operation::Undo, "simulate-refund-fail-once", 1, 1)).await, ProviderOutcome::Failed);
        assert_eq!(outcome(&provider, &call(Operation::Undo, "simulate-refund-fail-once", 1, 2)).await, ProviderOutcome::Undone);
        assert_eq!(provider.ledger().refunded_won, 100);
    }

    #[tokio::test]
    async fn a_stalled_call_ends_and_gives_its_place_back() {
        let provider = provider(1, Duration::from_millis(100));
        let (stalled, waiting) = (call(Operation::Accept, "simulate-stall", 1, 1), call(Operation::Accept, "kim", 2, 1));
        let (first, second) = tokio::join!(outcome(&provider, &stalled), outcome(&provider, &waiting));
        // The one that waited had as much time as the one that held the place.
        assert_eq!(first, ProviderOutcome::Failed);
        assert!(matches!(second, ProviderOutcome::Failed | ProviderOutcome::Accepted));
        assert_eq!(outcome(&provider, &waiting).await, ProviderOutcome::Accepted);
        assert_eq!(provider.places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_request_that_is_none_fails_and_disturbs_nobody() {
        let provider = provider(1, Duration::from_secs(5));
        let garbage = Call { id: "1".to_owned(), target: "payment-provider".to_owned(), request: "{".to_owned(), correlation: String::new() };
        assert_eq!(outcome(&provider, &garbage).await, ProviderOutcome::Failed);
        assert_eq!(outcome(&provider, &call(Operation::Accept, "kim", 1, 1)).await, ProviderOutcome::Accepted);
    }

    #[test]
    fn the_ledger_forgets_the_oldest() {
        let mut ledger = Ledger::default();
        for order in 0..PROVIDER_ANSWERS_MAX as u32 + 10 {
            let request: ProviderRequest = serde_json::from_str(&call(Operation::Accept, "kim", order, 1).request).expect("it is one");
            ledger.enter(&request, ProviderResponse::new(ProviderOutcome::Accepted, None));
        }
        assert_eq!(ledger.answers.len(), PROVIDER_ANSWERS_MAX);
        assert!(!ledger.answers.contains_key("o-0/1/accept"));
    }
}
