//! Wires the rules of an attempt to the task: state, provider calls, replies, events, totals.

use std::sync::Arc;

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{CallResult, Context, Failure, Input, Processor, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{ProcessorSpec, Source, StoreSpec, names};
use serde_json::Map;

use super::attempt::{Attempt, Next, Phase};
use super::message::{ATTEMPT_KEY, Asked, Reply, attempt_id, of_incarnation};
use super::provider::{Operation, ProviderOutcome, ProviderRequest, ProviderResponse};
use crate::limits::{REPLY_COPIES_MAX, UNDO_BACKOFF_MS, UNDO_BACKOFF_MS_MAX};
use crate::names::{Names, PartnerNames};
use crate::topics;

const UNDO_TIMER: &str = "undo";
const RETENTION_TIMER: &str = "retention";

/// The processor of a partner.
#[derive(Debug)]
pub struct Partner {
    names: Names,
    store: String,
    replies: String,
    events: String,
    retention_ms: i64,
}

/// Returns the partner of a front as part of the topology. An attempt is forgotten `retention_ms` after its last change.
pub fn spec(names: Names, retention_ms: i64) -> ProcessorSpec {
    let Names { system, partner, .. } = names;
    let logic = Partner {
        names,
        store: format!("{}-attempts", partner.pair),
        replies: topics::replies(system, partner.pair),
        events: topics::events(system, partner.processor),
        retention_ms,
    };
    ProcessorSpec {
        name: partner.processor.to_owned(),
        sources: vec![Source::events(&topics::requests(system, partner.pair), &[partner.request, partner.void_request, partner.undo_request])],
        sinks: vec![logic.replies.clone(), logic.events.clone()],
        journal: topics::journal(system, partner.processor),
        stores: vec![StoreSpec::of::<Attempt>(&logic.store).keyed_by(ATTEMPT_KEY)],
        calls: vec![partner.provider.to_owned()],
        rejections: topics::rejections(system),
        dead_letters: topics::dead_letters(system),
        logic: Arc::new(logic),
    }
}

impl Processor for Partner {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => self.request(message, cx),
            Input::CallResult(result) => self.answer(result, cx),
            Input::Timer(timer) => self.timer(timer, cx),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        self.names.partner.totals
    }

    fn timers(&self) -> Option<Vec<String>> {
        Some(names(&[UNDO_TIMER, RETENTION_TIMER]))
    }
}

impl Partner {
    fn request(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let PartnerNames { request, void_request, undo_request, processor, .. } = self.names.partner;
        let kind = message.kind.as_str();
        if ![request, void_request, undo_request].contains(&kind) {
            return Err(Unreadable(format!("`{kind}` is no request to {processor}")).into());
        }
        let asked = Asked::read(&self.names, message)?;
        let is_expired = asked.give_up_ms.is_some_and(|give_up_ms| give_up_ms <= cx.now_ms());
        let unverified = asked.unverified;
        // An attempt that is to be undone and is not known here was accepted by a stand-in, or long ago.
        let phase = if kind == undo_request { Phase::Accepted } else { Phase::Asking };
        let (mut attempt, is_new) = self.load(cx, asked, phase)?;
        let next = match kind {
            kind if kind == request => attempt.request(is_new, is_expired),
            kind if kind == void_request => attempt.void(is_new),
            _ if unverified => attempt.undo_unverified(is_new),
            _ => attempt.undo()?,
        };
        Ok(self.go_on(&mut attempt, next, cx)?)
    }

    fn answer(&self, result: &CallResult, cx: &mut Context<'_>) -> Result<(), Failure> {
        let request: ProviderRequest = serde_json::from_str(&result.call.request).map_err(|error| Unreadable(format!("call `{}`: {error}", result.call.id)))?;
        let name = self.key(request.operation, &request.id, request.attempt);
        let incarnation = result.call.id.strip_prefix(&name).and_then(|rest| rest.strip_prefix('@')).unwrap_or_default();
        let Some(mut attempt) = cx.get::<Attempt>(&self.store, &attempt_id(&request.id, request.attempt, incarnation))? else { return Ok(()) };
        // What the provider says in no words that we know is a failure: who asked must not wait for ever.
        let response = serde_json::from_str(&result.response)
            .unwrap_or_else(|error| ProviderResponse::new(ProviderOutcome::Failed, Some(&format!("the provider's answer is unreadable: {error}"))));
        let next = attempt.answered(request.operation, response);
        Ok(self.go_on(&mut attempt, next, cx)?)
    }

    fn timer(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(mut attempt) = cx.get::<Attempt>(&self.store, &timer.key)? else { return Ok(()) };
        match timer.name.as_str() {
            UNDO_TIMER if attempt.phase == Phase::Undoing => Ok(self.go_on(&mut attempt, Next::Call(Operation::Undo), cx)?),
            RETENTION_TIMER if attempt.is_over() => {
                cx.delete(&self.store, &timer.key);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes the attempt and what follows for the outside.
    fn go_on(&self, attempt: &mut Attempt, next: Next, cx: &mut Context<'_>) -> Result<(), StateError> {
        let key = attempt_id(&attempt.id, attempt.attempt, &attempt.incarnation);
        let [_, _, retrying] = *self.names.partner.totals;
        match next {
            Next::Call(operation) => self.call(attempt, operation, cx),
            Next::Announce { copies } => {
                self.count(attempt, cx)?;
                self.emit(attempt, &self.events, cx);
                for _ in 0..copies.clamp(1, REPLY_COPIES_MAX) {
                    self.emit(attempt, &self.replies, cx);
                }
                cx.set_timer(RETENTION_TIMER, &key, cx.now_ms().saturating_add(self.retention_ms))?;
            }
            Next::Repeat => self.emit(attempt, &self.replies, cx),
            Next::RetryUndo => {
                cx.add_total(retrying, i64::from(attempt.undo_failures == 1))?;
                cx.set_timer(UNDO_TIMER, &key, cx.now_ms().saturating_add(backoff_ms(attempt.undo_failures)))?;
            }
            Next::RefuseUndo(detail) => {
                for topic in [&self.events, &self.replies] {
                    self.emit_as(self.names.partner.undo_refused, attempt, Some(detail), topic, cx);
                }
                // Nothing has changed, and of an attempt that was not known nothing is kept.
                return Ok(());
            }
            Next::Nothing => {}
        }
        cx.put(&self.store, &key, attempt);
        Ok(())
    }

    /// Returns the attempt as it is remembered, or what was asked as one in `phase`; and whether it is new.
    ///
    /// To whoever wants it undone, one of which nothing is remembered but that it was dropped says nothing: a front that was away for longer than attempts are remembered here first drops what
    /// it gives up, and only then reads that it was accepted. What it asks for then rests on the request alone, as if nothing were known.
    fn load(&self, cx: &Context<'_>, asked: Asked, phase: Phase) -> Result<(Attempt, bool), StateError> {
        let known: Option<Attempt> = cx.get(&self.store, &attempt_id(&asked.id, asked.attempt, &asked.incarnation))?;
        if let Some(known) = known.filter(|known| phase == Phase::Asking || !known.unasked) {
            return Ok((known, false));
        }
        let Asked { id, attempt, incarnation, customer_id, amount, details, .. } = asked;
        let details = if phase == Phase::Asking { details } else { Map::new() };
        Ok((Attempt { id, attempt, incarnation, customer_id, amount, phase, void: false, unasked: false, undo_failures: 0, detail: None, details }, true))
    }

    /// Returns what an operation is called among those of all systems: they may share a provider.
    fn key(&self, operation: Operation, id: &str, attempt: u32) -> String {
        format!("{}/{}", self.names.system, ProviderRequest::key(operation, id, attempt))
    }

    fn call(&self, attempt: &Attempt, operation: Operation, cx: &mut Context<'_>) {
        let name = self.key(operation, &attempt.id, attempt.attempt);
        let request = ProviderRequest {
            operation,
            id: attempt.id.clone(),
            attempt: attempt.attempt,
            amount: attempt.amount,
            customer_id: attempt.customer_id.clone(),
            try_number: attempt.undo_failures.saturating_add(1),
            idempotency_key: of_incarnation(name, &attempt.incarnation),
            details: attempt.details.clone(),
        };
        cx.call(self.names.partner.provider, &request.idempotency_key, &request);
    }

    /// Keeps the totals when a phase is reached.
    fn count(&self, attempt: &Attempt, cx: &mut Context<'_>) -> Result<(), StateError> {
        let [accepted, undone, retrying] = *self.names.partner.totals;
        match attempt.phase {
            Phase::Accepted => cx.add_total(accepted, attempt.amount),
            Phase::Undone => {
                cx.add_total(retrying, -i64::from(attempt.undo_failures > 0))?;
                cx.add_total(undone, attempt.amount)
            }
            _ => Ok(()),
        }
    }

    fn emit(&self, attempt: &Attempt, topic: &str, cx: &mut Context<'_>) {
        if let Some(kind) = attempt.phase.kind(&self.names.partner) {
            self.emit_as(kind, attempt, attempt.detail.as_deref(), topic, cx);
        }
    }

    fn emit_as(&self, kind: &str, attempt: &Attempt, detail: Option<&str>, topic: &str, cx: &mut Context<'_>) {
        let Attempt { id, attempt, incarnation, customer_id, amount, .. } = attempt;
        let reply = Reply { names: &self.names, id, attempt: *attempt, incarnation, customer_id, amount: *amount, detail };
        cx.emit(topic, kind, id, &reply);
    }
}

fn backoff_ms(failures: u32) -> i64 {
    UNDO_BACKOFF_MS.saturating_mul(1 << failures.saturating_sub(1).min(32)).min(UNDO_BACKOFF_MS_MAX)
}
