//! The provider from outside: the simulated one, and a real server over TCP that does everything wrong that can be done wrong with money.

mod server;

use std::collections::BTreeSet;

use fluvio_streams::processor::Call;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::server::{Does, Server};
use super::*;
use crate::config::PaymentEndpoint;
use crate::telemetry::Telemetry;

const MS: Duration = Duration::from_millis(1);
/// How long anything may take; it only decides how long a failing test takes.
const LIMIT: Duration = Duration::from_secs(30);

struct World {
    provider: Arc<PaymentProvider>,
    _directory: TempDir,
}

fn quick() -> PaymentConfig {
    PaymentConfig { call_timeout: 2_000 * MS, try_timeout: 150 * MS, settle: 300 * MS, ..PaymentConfig::default() }
}

fn world(config: &PaymentConfig) -> World {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let telemetry = Telemetry::new(&[], 1).expect("the catalog is right");
    let ledger = directory.path().join("ledger");
    let provider = PaymentProvider::new(config, Profile::Instant, &ledger, Arc::clone(&telemetry.provider)).expect("the settings work");
    World { provider: Arc::new(provider), _directory: directory }
}

fn at(server: &Server, config: PaymentConfig) -> World {
    let endpoint = PaymentEndpoint::new(&server.url(), None, None, Some("s3cret".to_owned())).expect("it is an address");
    world(&PaymentConfig { endpoint: Some(endpoint), ..config })
}

fn call(operation: Operation, customer: &str, order: u32) -> Call {
    let id = format!("o-{order}");
    let request = ProviderRequest {
        operation,
        idempotency_key: format!("food-delivery/{}@0-{order}", ProviderRequest::key(operation, &id, 1)),
        id,
        attempt: 1,
        amount: 100,
        customer_id: customer.to_owned(),
        try_number: 1,
        details: serde_json::Map::new(),
    };
    let request = serde_json::to_string(&request).expect("a request serializes");
    Call { id: format!("{order}"), target: "payment-provider".to_owned(), request, correlation: String::new(), trace: None }
}

fn read(answer: &str) -> ProviderResponse {
    serde_json::from_str(answer).expect("an answer is JSON")
}

impl World {
    async fn outcome(&self, call: &Call) -> ProviderOutcome {
        read(&timeout(LIMIT, self.provider.call(call)).await.expect("it ends")).outcome
    }

    async fn charge(&self, order: u32) -> ProviderOutcome {
        self.outcome(&call(Operation::Accept, "kim", order)).await
    }

    async fn charge_again(&self, order: u32) -> ProviderOutcome {
        read(&timeout(LIMIT, self.provider.call_again(&call(Operation::Accept, "kim", order))).await.expect("it ends")).outcome
    }

    async fn refund(&self, order: u32) -> ProviderOutcome {
        self.outcome(&call(Operation::Undo, "kim", order)).await
    }
}

use ProviderOutcome::{Accepted, Declined, Failed, Undone};

mod simulated {
    use super::*;

    #[tokio::test]
    async fn money_moves_once_for_each_key() {
        let world = world(&quick());
        for _ in 0..3 {
            assert_eq!(world.charge(1).await, Accepted);
            assert_eq!(world.outcome(&call(Operation::Accept, "simulate-decline", 2)).await, Declined);
            assert_eq!(world.refund(1).await, Undone);
        }
        let Endpoint::Simulated(simulated) = &world.provider.endpoint else { panic!("it is simulated") };
        assert_eq!(simulated.moved_won(), (100, 100));
    }

    #[tokio::test]
    async fn a_refund_that_failed_is_tried_again_under_its_key() {
        let world = world(&quick());
        let first = call(Operation::Undo, "simulate-refund-fail-once", 1);
        assert_eq!(world.outcome(&first).await, Failed);
        let second = Call { request: first.request.replace(r#""tryNumber":1"#, r#""tryNumber":2"#), ..first };
        assert_eq!(world.outcome(&second).await, Undone);
    }

    #[tokio::test]
    async fn a_stalled_call_ends_and_gives_its_place_back() {
        let world = world(&PaymentConfig { calls_max: 1, call_timeout: 100 * MS, ..quick() });
        let stalled = call(Operation::Accept, "simulate-stall", 1);
        assert_eq!((world.outcome(&stalled).await, world.charge(2).await), (Failed, Accepted));
        assert_eq!(world.provider.places.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_request_that_is_none_fails_and_disturbs_nobody() {
        let world = world(&quick());
        let garbage = Call { request: "{".to_owned(), ..call(Operation::Accept, "kim", 1) };
        assert_eq!(world.outcome(&garbage).await, Failed);
        assert_eq!(world.charge(1).await, Accepted);
    }

    #[tokio::test]
    async fn calls_keep_to_the_pace_and_those_that_would_wait_too_long_fail_at_once() {
        let World { provider, _directory } = world(&PaymentConfig { rate: Some(50), ..quick() });
        let mut provider = Arc::into_inner(provider).expect("nobody else has it");
        provider.wait_max = 400 * MS;
        let provider = Arc::new(provider);
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for order in 0..60 {
            let provider = Arc::clone(&provider);
            calls.spawn(async move { (read(&provider.call(&call(Operation::Accept, "kim", order)).await).outcome, began.elapsed()) });
        }
        let outcomes = calls.join_all().await;
        let (accepted, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(outcome, _)| *outcome == Accepted);
        // One each 20 ms for 400 ms; a machine that is slow to begin lets a few more in.
        assert!((21..40).contains(&accepted.len()), "{}", accepted.len());
        let last = accepted.iter().map(|(_, after)| *after).max().expect("there are some");
        assert!(last >= (accepted.len() as u32 - 1) * 20 * MS, "{} calls within {last:?}", accepted.len());
        assert!(refused.iter().all(|(outcome, _)| *outcome == Failed));
    }
}

#[tokio::test]
async fn a_charge_is_sent_as_the_contract_says() {
    let server = Server::start(|_| Does::Answer).await;
    let world = at(&server, quick());
    assert_eq!((world.charge(1).await, world.refund(1).await), (Accepted, Undone));
    assert_eq!(server.ledger(), [("food-delivery/o-1/1/accept@0-1".to_owned(), 100), ("food-delivery/o-1/1/undo@0-1".to_owned(), -100)]);
    let requests = server.requests();
    let [charge, refund] = &requests[..] else { panic!("two requests: {requests:?}") };
    assert!(charge.head.starts_with("POST /v1/charges HTTP/1.1\r\n") && refund.head.starts_with("POST /v1/refunds HTTP/1.1\r\n"), "{requests:?}");
    for header in ["authorization: Bearer s3cret", "content-type: application/json", "idempotency-key: food-delivery/o-1/1/accept@0-1"] {
        assert!(charge.head.contains(header), "{header}: {charge:?}");
    }
    let expected = json!({
        "operation": "accept", "id": "o-1", "attempt": 1, "amount": 100, "customerId": "kim", "idempotencyKey": "food-delivery/o-1/1/accept@0-1", "tryNumber": 1,
    });
    assert_eq!(charge.body, expected);
}

/// Each misbehaviour for the first requests of a key, then none: the outcome is found out, and the money moved once.
#[tokio::test]
async fn whatever_happens_to_the_answers_money_moves_once_and_the_outcome_is_known() {
    for does in [
        Does::HangBefore,
        Does::HangAfterCharging,
        Does::HangAfterHead,
        Does::DropBefore,
        Does::DropAfterCharging,
        Does::ResetInBody,
        Does::Status(500),
        Does::ChargeAndStatus(500),
        Does::Status(503),
        Does::Status(409),
        Does::Status(429),
        Does::ChargeAnd("200 OK", "{\"outcome\":\"acc"),
        Does::ChargeAnd("200 OK", "<html>thank you</html>"),
        Does::ChargeAnd("202 Accepted", "{\"outcome\":\"pending\"}"),
        Does::ChargeAndHuge,
        Does::ChargeAndTalkWithoutEnd,
        Does::AnswerTwice,
    ] {
        let server = Server::start(move |number| if number < 2 { does } else { Does::Answer }).await;
        let world = at(&server, quick());
        assert_eq!(world.charge(1).await, Accepted, "{does:?}");
        assert_eq!(server.ledger(), [("food-delivery/o-1/1/accept@0-1".to_owned(), 100)], "{does:?}");
        assert_eq!(world.refund(1).await, Undone, "{does:?}");
        assert_eq!(server.ledger().len(), 2, "{does:?}");
    }
}

/// The server charges, never says so, and is only reached again when nobody waits any more.
#[tokio::test]
async fn a_charge_whose_answers_are_all_lost_is_found_out_by_an_inquiry() {
    let config = PaymentConfig { call_timeout: 200 * MS, ..quick() };
    for (does, outcome, ledger) in [(Does::DropAfterCharging, Accepted, 1), (Does::DropBefore, Failed, 0)] {
        let server = Server::start(move |_| does).await;
        let world = at(&server, config.clone());
        assert_eq!(world.charge(1).await, outcome, "{does:?}");
        assert_eq!(server.ledger().len(), ledger, "{does:?}");
        let last = server.requests().pop().expect("it was asked");
        assert!(last.head.starts_with("GET /v1/charges/food-delivery%2Fo-1%2F1%2Faccept@0-1 HTTP/1.1\r\n"), "{last:?}");
    }
}

/// Goal: what arrives late is not missed. The server takes the money some time after the connection broke, but within the time to settle.
#[tokio::test]
async fn failed_is_not_said_before_the_provider_has_settled() {
    let config = PaymentConfig { call_timeout: 100 * MS, settle: 1_500 * MS, ..quick() };
    let server = Server::start(|_| Does::DropAndChargeLater(600 * MS)).await;
    assert_eq!(at(&server, config).charge(1).await, Accepted);
    assert_eq!(server.ledger().len(), 1);
}

#[tokio::test]
async fn what_certainly_did_nothing_fails_soon_and_is_not_retried_if_it_is_refused() {
    for (does, requests) in [(Does::Status(400), 1), (Does::Status(401), 1), (Does::Status(422), 1), (Does::Redirect, 1), (Does::Status(429), 3)] {
        let server = Server::start(move |_| does).await;
        let world = at(&server, quick());
        assert_eq!(world.charge(1).await, Failed, "{does:?}");
        assert_eq!(server.requests().len(), requests, "{does:?}");
        assert!(server.ledger().is_empty(), "{does:?}");
    }
    let server = Server::start(|_| Does::Status(402)).await;
    assert_eq!(at(&server, quick()).charge(1).await, Declined);
}

#[tokio::test]
async fn a_charge_that_waited_longer_than_anybody_would_is_not_made() {
    let server = Server::start(|_| Does::HangBefore).await;
    let world = at(&server, PaymentConfig { calls_max: 1, call_timeout: 100 * MS, settle: Duration::ZERO, ..quick() });
    let (first, second) = tokio::join!(world.charge(1), world.charge(2));
    assert_eq!((first, second), (Failed, Failed));
    let posts: Vec<_> = server.requests().into_iter().filter(|request| request.head.starts_with("POST")).collect();
    assert_eq!(posts.len(), 1, "{posts:?}");
}

#[tokio::test]
async fn a_provider_that_is_not_there_did_nothing() {
    let server = Server::start(|_| Does::Answer).await;
    let world = at(&server, quick());
    server.stop().await;
    assert_eq!((world.charge(1).await, world.refund(1).await), (Failed, Failed));
}

/// Goal: a process that died may have charged. The one after it, which cannot send the charge, does not say that nothing was done.
#[tokio::test]
async fn a_call_that_is_made_again_is_not_failed_because_this_time_it_is_refused() {
    let server = Server::start(|number| if number == 0 { Does::DropAfterCharging } else { Does::Status(401) }).await;
    let world = at(&server, quick());
    let died = timeout(50 * MS, world.provider.call(&call(Operation::Accept, "kim", 1))).await;
    assert!(died.is_err() && server.ledger().len() == 1, "it charged and has not said so");
    assert_eq!(world.charge_again(1).await, Accepted);
    assert_eq!(server.ledger().len(), 1);
}

#[tokio::test]
async fn many_calls_to_a_provider_in_trouble_keep_to_the_budget_and_each_key_is_charged_once() {
    // Every third request charges and hangs up.
    let server = Server::start(|number| if number % 3 == 0 { Does::DropAfterCharging } else { Does::Answer }).await;
    let world = at(&server, PaymentConfig { call_timeout: 60_000 * MS, calls_max: 8, ..quick() });
    let mut calls = JoinSet::new();
    for order in 0..200 {
        let provider = Arc::clone(&world.provider);
        calls.spawn(async move { read(&provider.call(&call(Operation::Accept, "kim", order)).await).outcome });
    }
    let outcomes = timeout(LIMIT, calls.join_all()).await.expect("they end");
    assert!(outcomes.iter().all(|outcome| *outcome == Accepted));
    let keys: BTreeSet<String> = server.ledger().into_iter().map(|(key, _)| key).collect();
    assert_eq!((keys.len(), server.ledger().len()), (200, 200));
    assert!(server.running_max() <= 8, "{} at once", server.running_max());
}

#[tokio::test]
async fn tls_is_trusted_by_the_given_authority_and_no_other() {
    let (server, ca_file, stranger) = (Server::start_tls(|_| Does::Answer).await, tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
    let (ca_file, stranger) = (ca_file.expect("a temporary file"), stranger.expect("a temporary file"));
    std::fs::write(ca_file.path(), server.ca_pem()).expect("it can be written");
    std::fs::write(stranger.path(), server::Authority::new().pem()).expect("it can be written");
    for (ca_file, outcome) in [(Some(ca_file.path()), Accepted), (Some(stranger.path()), Failed), (None, Failed)] {
        let endpoint = PaymentEndpoint::new(&server.url(), None, ca_file, Some("s3cret".to_owned())).expect("it is an address");
        let world = world(&PaymentConfig { endpoint: Some(endpoint), ..quick() });
        assert_eq!(world.charge(1).await, outcome, "{ca_file:?}");
    }
    assert_eq!(server.ledger().len(), 1);
    std::fs::write(ca_file.path(), "no certificate").expect("it can be written");
    let endpoint = PaymentEndpoint::new(&server.url(), None, Some(ca_file.path()), None).expect("it is an address");
    let error = HttpProvider::new(endpoint, LIMIT).expect_err("there is nothing to trust");
    assert!(error.to_string().contains("--payment-provider-ca-file"), "{error}");
}
