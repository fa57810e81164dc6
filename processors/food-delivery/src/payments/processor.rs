//! Wires the rules of a payment attempt to the task: state, provider calls, replies, events, totals.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{CallResult, Context, Failure, Input, Processor, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::time::parse_rfc3339;
use fluvio_streams::topology::{ProcessorSpec, Source};

use super::attempt::{Attempt, Next, Phase};
use super::message::{PaymentRequest, RefundRequest, Reply, VoidRequest, attempt_id, check_incarnation, correlation_id, of_incarnation};
use super::provider::{Operation, ProviderOutcome, ProviderRequest, ProviderResponse};
use crate::limits::{REFUND_BACKOFF_MS, REFUND_BACKOFF_MS_MAX, REPLY_COPIES_MAX};
use crate::topics;

/// Name of the processor.
pub const NAME: &str = "payments";
/// Name of the outside system that it calls.
pub const PROVIDER: &str = "payment-provider";
/// Totals that payments keeps: money taken and given back, as the provider said, and attempts whose refund has failed and is tried again.
pub const TOTALS: [&str; 3] = ["captured_won", "refunded_won", "refunds_retrying"];

const STORE: &str = "payment-attempts";
const REFUND_TIMER: &str = "refund";
const RETENTION_TIMER: &str = "retention";

/// The processor of payments.
#[derive(Debug)]
pub struct Payments {
    retention_ms: i64,
}

/// Returns payments as part of the topology. An attempt is forgotten `retention_ms` after its last change.
pub fn spec(retention_ms: i64) -> ProcessorSpec {
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![Source::events(topics::PAYMENT_REQUESTS, &["PaymentRequested", "PaymentVoidRequested", "RefundRequested"])],
        sinks: vec![topics::PAYMENT_REPLIES.to_owned(), topics::PAYMENTS_EVENTS.to_owned()],
        journal: topics::journal(NAME),
        stores: vec![STORE.to_owned()],
        calls: vec![PROVIDER.to_owned()],
        rejections: topics::REJECTIONS.to_owned(),
        dead_letters: topics::DEAD_LETTERS.to_owned(),
        logic: std::sync::Arc::new(Payments { retention_ms }),
    }
}

impl Processor for Payments {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => self.request(message, cx),
            Input::CallResult(result) => self.answer(result, cx),
            Input::Timer(timer) => self.timer(timer, cx),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        &TOTALS
    }
}

impl Payments {
    fn request(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let (mut attempt, next) = match message.kind.as_str() {
            "PaymentRequested" => {
                let request: PaymentRequest = message.decode()?;
                check_incarnation(&message.kind, &request.incarnation)?;
                let is_expired = request.give_up_at.as_deref().and_then(parse_rfc3339).is_some_and(|give_up_ms| give_up_ms <= cx.now_ms());
                let unknown = new(request.order_id, request.attempt, request.incarnation, request.customer_id, request.amount, Phase::Authorizing);
                let (mut attempt, is_new) = load(cx, unknown)?;
                let next = attempt.request(is_new, is_expired);
                (attempt, next)
            }
            "PaymentVoidRequested" => {
                let request: VoidRequest = message.decode()?;
                check_incarnation(&message.kind, &request.incarnation)?;
                let unknown = new(request.order_id, request.attempt, request.incarnation, request.customer_id, request.amount, Phase::Authorizing);
                let (mut attempt, is_new) = load(cx, unknown)?;
                let next = attempt.void(is_new);
                (attempt, next)
            }
            "RefundRequested" => {
                let request: RefundRequest = message.decode()?;
                check_incarnation(&message.kind, &request.incarnation)?;
                // An attempt that is not known here was taken by a stand-in, or long ago.
                let unknown = new(request.order_id, request.attempt, request.incarnation, request.customer_id, request.amount, Phase::Approved);
                let (mut attempt, is_new) = load(cx, unknown)?;
                let next = if request.unverified { attempt.refund_unverified(is_new) } else { attempt.refund()? };
                (attempt, next)
            }
            kind => return Err(Unreadable(format!("`{kind}` is no payment request")).into()),
        };
        Ok(self.go_on(&mut attempt, next, cx)?)
    }

    fn answer(&self, result: &CallResult, cx: &mut Context<'_>) -> Result<(), Failure> {
        let request: ProviderRequest = serde_json::from_str(&result.call.request).map_err(|error| Unreadable(format!("call `{}`: {error}", result.call.id)))?;
        let name = ProviderRequest::key(request.operation, &request.order_id, request.attempt);
        let incarnation = result.call.id.strip_prefix(&name).and_then(|rest| rest.strip_prefix('@')).unwrap_or_default();
        let Some(mut attempt) = cx.get::<Attempt>(STORE, &attempt_id(&request.order_id, request.attempt, incarnation))? else { return Ok(()) };
        // What the provider says in no words that we know is a failure: who asked must not wait for ever.
        let response = serde_json::from_str(&result.response)
            .unwrap_or_else(|error| ProviderResponse::new(ProviderOutcome::Failed, Some(&format!("the provider's answer is unreadable: {error}"))));
        let next = attempt.answered(request.operation, response);
        Ok(self.go_on(&mut attempt, next, cx)?)
    }

    fn timer(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(mut attempt) = cx.get::<Attempt>(STORE, &timer.key)? else { return Ok(()) };
        match timer.name.as_str() {
            REFUND_TIMER if attempt.phase == Phase::Refunding => Ok(self.go_on(&mut attempt, Next::Call(Operation::Refund), cx)?),
            RETENTION_TIMER if attempt.is_over() => {
                cx.delete(STORE, &timer.key);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes the attempt and what follows for the outside.
    fn go_on(&self, attempt: &mut Attempt, next: Next, cx: &mut Context<'_>) -> Result<(), StateError> {
        let key = attempt_id(&attempt.order_id, attempt.attempt, &attempt.incarnation);
        match next {
            Next::Call(operation) => call(attempt, operation, cx),
            Next::Announce { copies } => {
                count(attempt, cx)?;
                emit(attempt, topics::PAYMENTS_EVENTS, cx);
                for _ in 0..copies.clamp(1, REPLY_COPIES_MAX) {
                    emit(attempt, topics::PAYMENT_REPLIES, cx);
                }
                cx.set_timer(RETENTION_TIMER, &key, cx.now_ms().saturating_add(self.retention_ms))?;
            }
            Next::Repeat => emit(attempt, topics::PAYMENT_REPLIES, cx),
            Next::RetryRefund => {
                cx.add_total("refunds_retrying", i64::from(attempt.refund_failures == 1))?;
                cx.set_timer(REFUND_TIMER, &key, cx.now_ms().saturating_add(backoff_ms(attempt.refund_failures)))?;
            }
            Next::RefuseRefund(detail) => {
                for topic in [topics::PAYMENTS_EVENTS, topics::PAYMENT_REPLIES] {
                    emit_as("RefundRefused", attempt, Some(detail), topic, cx);
                }
                // Nothing has changed, and of an attempt that was not known nothing is kept.
                return Ok(());
            }
            Next::Nothing => {}
        }
        cx.put(STORE, &key, attempt);
        Ok(())
    }
}

fn new(order_id: String, attempt: u32, incarnation: String, customer_id: String, amount: i64, phase: Phase) -> Attempt {
    Attempt { order_id, attempt, incarnation, customer_id, amount, phase, void: false, refund_failures: 0, detail: None }
}

/// Returns the attempt as it is remembered, or `unknown`; and whether it is new.
fn load(cx: &Context<'_>, unknown: Attempt) -> Result<(Attempt, bool), StateError> {
    let known: Option<Attempt> = cx.get(STORE, &attempt_id(&unknown.order_id, unknown.attempt, &unknown.incarnation))?;
    Ok(known.map_or((unknown, true), |known| (known, false)))
}

fn call(attempt: &Attempt, operation: Operation, cx: &mut Context<'_>) {
    let name = ProviderRequest::key(operation, &attempt.order_id, attempt.attempt);
    let request = ProviderRequest {
        operation,
        order_id: attempt.order_id.clone(),
        attempt: attempt.attempt,
        amount: attempt.amount,
        customer_id: attempt.customer_id.clone(),
        try_number: attempt.refund_failures.saturating_add(1),
        idempotency_key: of_incarnation(name, &attempt.incarnation),
    };
    cx.call(PROVIDER, &request.idempotency_key, &request);
}

/// Keeps the totals when a phase is reached.
fn count(attempt: &Attempt, cx: &mut Context<'_>) -> Result<(), StateError> {
    match attempt.phase {
        Phase::Approved => cx.add_total("captured_won", attempt.amount),
        Phase::Refunded => {
            cx.add_total("refunds_retrying", -i64::from(attempt.refund_failures > 0))?;
            cx.add_total("refunded_won", attempt.amount)
        }
        _ => Ok(()),
    }
}

fn emit(attempt: &Attempt, topic: &str, cx: &mut Context<'_>) {
    if let Some(kind) = attempt.phase.kind() {
        emit_as(kind, attempt, attempt.detail.as_deref(), topic, cx);
    }
}

fn emit_as(kind: &str, attempt: &Attempt, detail: Option<&str>, topic: &str, cx: &mut Context<'_>) {
    let Attempt { order_id, attempt, incarnation, amount, .. } = attempt;
    let reply = Reply { order_id, attempt: *attempt, correlation_id: correlation_id(order_id, *attempt), incarnation, amount: *amount, detail };
    cx.emit(topic, kind, order_id, &reply);
}

fn backoff_ms(failures: u32) -> i64 {
    REFUND_BACKOFF_MS.saturating_mul(1 << failures.saturating_sub(1).min(32)).min(REFUND_BACKOFF_MS_MAX)
}
