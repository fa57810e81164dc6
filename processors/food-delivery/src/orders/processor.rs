//! Wires the rules of orders to the task: loads an order, lets the rules decide, writes what follows.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::guard::{Deferral, Guard, GuardTotals, Reply, Verdict};
use fluvio_streams::processor::{Context, Failure, Input, Processor, Rejection, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, names};
use serde::Deserialize;
use serde_json::{Value, json};

use super::command::Command;
use super::decide;
use super::event::{Event, Published};
use super::state::{Capture, Money, Order, Status, incarnation};
use super::stray;
use crate::commands::Sent;
use crate::payments::message::{About, RefundRequest, ReplyData};
use crate::{commands, fields, store, topics};

/// Name of the processor.
pub const NAME: &str = "orders";
/// Totals that orders keeps: the four sides of the money law, the refunds for orders that are not known any more, then what the payment guard keeps.
pub const TOTALS: [&str; 9] = [
    "captured_won",
    "refunded_won",
    "live_won",
    "open_won",
    stray::TOTAL,
    GUARD_TOTALS.open_attempts,
    GUARD_TOTALS.queued_keys,
    GUARD_TOTALS.breaker_open,
    GUARD_TOTALS.breaker_half_open,
];
/// Names of the guard's totals.
pub(crate) const GUARD_TOTALS: GuardTotals = GuardTotals {
    open_attempts: "payment_attempts_open",
    queued_keys: "payments_queued",
    breaker_open: "payment_breaker_open",
    breaker_half_open: "payment_breaker_half_open",
};

const STORE: &str = "orders";
const RETENTION_TIMER: &str = "retention";

/// The processor of orders.
#[derive(Debug)]
pub struct Orders {
    guard: Guard,
    retention_ms: i64,
}

/// Returns orders as part of the topology. An ended order is forgotten `retention_ms` after its last change.
pub fn spec(guard: Guard, retention_ms: i64) -> ProcessorSpec {
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![
            // It owns the garbage of the topics that people and other programs write to.
            Source::commands(topics::COMMANDS, "orderId", Routing::Except(names(&store::COMMANDS))),
            Source::commands(topics::PAYMENT_REPLIES, "orderId", Routing::Except(names(&["PaymentVoided"]))),
            Source::events(topics::STORE_EVENTS, &["OrderAccepted", "OrderDeclined", "CookingStarted", "DeliveryStarted", "DeliveryCompleted"]),
        ],
        // The guard announces its breaker among the events of payments.
        sinks: [topics::ORDERS_EVENTS, topics::PAYMENT_REQUESTS, topics::PAYMENTS_EVENTS].map(str::to_owned).to_vec(),
        journal: topics::journal(NAME),
        stores: [vec![STORE.to_owned(), stray::STORE.to_owned()], guard.stores()].concat(),
        calls: Vec::new(),
        rejections: topics::REJECTIONS.to_owned(),
        dead_letters: topics::DEAD_LETTERS.to_owned(),
        logic: std::sync::Arc::new(Orders { guard, retention_ms }),
    }
}

impl Processor for Orders {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == topics::COMMANDS => self.command(message, cx),
            Input::Message(message) if message.position.topic == topics::PAYMENT_REPLIES => self.payment_reply(message, cx),
            Input::Message(message) => self.store_event(message, cx),
            Input::Timer(timer) => self.timer(timer, cx),
            Input::CallResult(_) => Ok(()),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        &TOTALS
    }
}

/// An order on the desk: taken out of the store, changed, put back.
struct Desk<'d, 'c> {
    cx: &'d mut Context<'c>,
    id: &'d str,
    order: Order,
    before: Money,
}

impl<'d, 'c> Desk<'d, 'c> {
    fn open(cx: &'d mut Context<'c>, id: &'d str) -> Result<Option<Self>, StateError> {
        let order: Option<Order> = cx.get(STORE, id)?;
        Ok(order.map(|order| Self { before: order.money(), cx, id, order }))
    }

    /// Folds an event in and publishes it, and the refunds that follow from it.
    fn record(&mut self, event: &Event) {
        let refunding: Vec<u32> = self.order.refunding().collect();
        self.order.apply(event);
        self.cx.emit(topics::ORDERS_EVENTS, event.kind(), self.id, &Published::new(self.id, &self.order, event));
        for attempt in self.order.refunding().filter(|attempt| !refunding.contains(attempt)) {
            let request = RefundRequest::new(self.id, &self.order.customer_id, attempt, &self.order.incarnation, self.order.price);
            self.cx.emit(topics::PAYMENT_REQUESTS, "RefundRequested", self.id, &request);
        }
    }

    /// Notes and publishes what became of the payment.
    fn settle(&mut self, verdict: Verdict, answers_command: bool) {
        if let Verdict::Requested { attempt } | Verdict::Deferred { attempt: Some(attempt), .. } = verdict {
            self.order.attempts = self.order.attempts.max(attempt);
        }
        if let Some(event) = decide::verdict(&self.order, verdict, answers_command) {
            self.record(&event);
        }
    }

    /// Goes on under the correlation of the command that the order last obeyed.
    fn resume(&mut self) {
        self.cx.set_correlation(&self.order.correlation);
    }

    fn close(self, retention_ms: i64) -> Result<(), StateError> {
        let after = self.order.money();
        self.cx.add_total("captured_won", after.captured - self.before.captured)?;
        self.cx.add_total("refunded_won", after.refunded - self.before.refunded)?;
        self.cx.add_total("live_won", after.live - self.before.live)?;
        self.cx.add_total("open_won", after.open - self.before.open)?;
        if self.order.status.is_final() {
            let due_ms = self.cx.now_ms().saturating_add(retention_ms);
            self.cx.set_timer(RETENTION_TIMER, self.id, due_ms)?;
        }
        self.cx.put(STORE, self.id, &self.order);
        Ok(())
    }
}

impl Orders {
    fn command(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let body: Value = message.decode()?;
        let in_words = |error| fields::unreadable(&message.kind, &error);
        let command = Command::read(&message.kind, &body).map_err(in_words)?;
        let command = command.ok_or_else(|| Unreadable(format!("`{}` is no command of {}", message.kind, topics::SYSTEM)))?;
        let command_id = commands::explicit_id(&body).map_err(in_words)?;
        if let (Command::Place { .. }, subject) = (&command, &message.subject) {
            let id = subject.clone().unwrap_or_else(|| cx.assign_id("o"));
            return self.place(cx, &id, command, command_id, message);
        }
        let id = message.subject.as_deref().ok_or_else(|| commands::no_order_id(&message.kind))?;
        let Some(mut desk) = Desk::open(cx, id)? else { return Err(commands::order_unknown(id).into()) };
        commands::refuse_duplicate(&desk.order.command_ids, command_id)?;
        match command {
            Command::Pay => self.pay(&mut desk)?,
            Command::Cancel { reason } => self.cancel(&mut desk, reason)?,
            Command::Place { .. } => {}
        }
        desk.order.remember(command_id);
        desk.close(self.retention_ms)?;
        Ok(())
    }

    fn place(&self, cx: &mut Context<'_>, id: &str, command: Command, command_id: Option<&str>, message: &Message) -> Result<(), Failure> {
        if let Some(order) = cx.get::<Order>(STORE, id)? {
            commands::refuse_duplicate(&order.command_ids, command_id)?;
            return Err(Rejection::new("OrderExists", format!("there is an order `{id}`")).into());
        }
        let Command::Place { customer_id, store_id, items, price, address } = command else { return Ok(()) };
        let order = Order::new(incarnation(&message.position), customer_id, store_id, price, message.correlation.clone());
        let mut desk = Desk { before: order.money(), cx, id, order };
        desk.record(&Event::Requested { items, address });
        let request = json!({"orderId": id, "customerId": desk.order.customer_id, "amount": price});
        let verdict = self.guard.start(desk.cx, id, &desk.order.incarnation, request)?;
        desk.settle(verdict, true);
        desk.order.remember(command_id);
        desk.close(self.retention_ms)?;
        Ok(())
    }

    fn pay(&self, desk: &mut Desk<'_, '_>) -> Result<(), Failure> {
        decide::pay(&desk.order)?;
        let correlation = desk.cx.correlation().to_owned();
        let verdict = self.guard.again(desk.cx, desk.id)?;
        match verdict {
            Verdict::Nothing if desk.order.attempts >= self.guard.config().attempts_max => {
                return Err(Rejection::new("PaymentAttemptsExhausted", "the payment was tried too often").into());
            }
            Verdict::Nothing => return Err(decide::payment_in_progress().into()),
            Verdict::Requested { attempt } => desk.record(&Event::PaymentAttemptStarted { attempt }),
            verdict => desk.settle(verdict, true),
        }
        desk.order.correlation = correlation;
        Ok(())
    }

    fn cancel(&self, desk: &mut Desk<'_, '_>, reason: Option<String>) -> Result<(), Failure> {
        let event = decide::cancel(&desk.order, reason)?;
        let correlation = desk.cx.correlation().to_owned();
        if desk.order.status.is_unpaid() {
            self.guard.close(desk.cx, desk.id)?;
        }
        if desk.order.status == Status::PaymentPending {
            desk.resume();
            desk.record(&Event::PaymentAbandoned { reason: "OrderCancelled" });
            desk.cx.set_correlation(&correlation);
        }
        desk.record(&event);
        desk.order.correlation = correlation;
        Ok(())
    }

    fn payment_reply(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let data: ReplyData = message.decode()?;
        let about = data.about(message)?;
        let reply = match message.kind.as_str() {
            "PaymentApproved" => Reply::Accepted,
            "PaymentDeclined" => Reply::Declined { detail: data.detail() },
            "PaymentFailed" => Reply::Failed { detail: data.detail() },
            "PaymentRefunded" => return self.payment_refunded(&about, cx),
            "RefundRefused" if stray::refused(cx, &about)? => return Ok(()),
            "RefundRefused" => return Err(no_refund(&message.kind, about.attempt).into()),
            kind => return Err(Unreadable(format!("`{kind}` is no reply to a payment request")).into()),
        };
        let approves = reply == Reply::Accepted;
        let order = self.addressed(&about, cx)?;
        if order.is_none() && !approves {
            return Err(Unreadable(format!("{}: there is no order `{}`", message.kind, about.order_id)).into());
        }
        // What the guard does goes on under the correlation of the command that the order last obeyed.
        let correlation = order.as_ref().map_or_else(|| cx.correlation().to_owned(), |order| order.correlation.clone());
        cx.set_correlation(&correlation);
        let verdict = match self.guard.on_reply(cx, &about.order_id, about.attempt, about.incarnation.as_deref(), reply)? {
            Verdict::Stray { .. } => {
                cx.set_correlation(&message.correlation);
                return stray::approved(cx, &about);
            }
            verdict => verdict,
        };
        let Some(mut desk) = Desk::open(cx, &about.order_id)? else { return Ok(()) };
        let verdict = match verdict {
            // The attempt that the customer waits for is lost, but an earlier one is still open and decides: until then the order is deferred.
            Verdict::Nothing if !approves && about.attempt == desk.order.attempts && desk.order.status == Status::PaymentPending => {
                Verdict::Deferred { attempt: Some(about.attempt), reason: Deferral::TimedOut }
            }
            Verdict::Nothing => return Ok(()),
            verdict => verdict,
        };
        desk.settle(verdict, false);
        Ok(desk.close(self.retention_ms)?)
    }

    /// Takes the news that money is back: of the order that has the id, or of one that is not known any more.
    fn payment_refunded(&self, about: &About, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.addressed(about, cx)?.is_some_and(|order| order.captures.contains_key(&about.attempt))
            && let Some(mut desk) = Desk::open(cx, &about.order_id)?
        {
            desk.resume();
            refunded(&mut desk, about.attempt)?;
            return Ok(desk.close(self.retention_ms)?);
        }
        if stray::refunded(cx, about, self.retention_ms)? { Ok(()) } else { Err(no_refund("PaymentRefunded", about.attempt).into()) }
    }

    /// Returns the order that a reply is about, if it is known.
    fn addressed(&self, about: &About, cx: &Context<'_>) -> Result<Option<Order>, StateError> {
        let order: Option<Order> = cx.get(STORE, &about.order_id)?;
        Ok(order.filter(|order| about.incarnation.as_ref().is_none_or(|incarnation| *incarnation == order.incarnation)))
    }

    fn store_event(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Data {
            incarnation: Option<String>,
            reason: Option<String>,
            command: Option<Sent>,
        }
        let id = message.subject.as_deref().ok_or_else(|| commands::no_order_id(&message.kind))?;
        let Data { incarnation, reason, command } = message.decode()?;
        let desk = Desk::open(cx, id)?.filter(|desk| incarnation.is_none_or(|incarnation| incarnation == desk.order.incarnation));
        let event = match &desk {
            Some(desk) => decide::follow_store(&desk.order, &message.kind, reason),
            None => Err(commands::order_unknown(id).into()),
        };
        match (event, desk) {
            (Ok(event), Some(mut desk)) => {
                desk.record(&event);
                desk.order.correlation = message.correlation.clone();
                Ok(desk.close(self.retention_ms)?)
            }
            // The store took the command, but the order's word is final: its sender is told, by the name of what was sent.
            (Err(Failure::Rejected(rejection)), _) if command.is_some() => {
                command.into_iter().for_each(|command| command.refuse(cx, id, &rejection));
                Ok(())
            }
            (Err(failure), _) => Err(failure),
            (Ok(_), None) => Ok(()),
        }
    }

    fn timer(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), Failure> {
        match timer.name.as_str() {
            RETENTION_TIMER => return Ok(self.forget(&timer.key, cx)?),
            stray::TIMER => {
                cx.delete(stray::STORE, &timer.key);
                return Ok(());
            }
            _ => {}
        }
        for (id, verdict) in self.guard.on_timer(cx, timer)?.unwrap_or_default() {
            let Some(mut desk) = Desk::open(cx, &id)? else { continue };
            desk.resume();
            desk.settle(verdict, false);
            desk.close(self.retention_ms)?;
        }
        Ok(())
    }

    /// Forgets an ended order, unless money is still to come back.
    fn forget(&self, id: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
        let Some(desk) = Desk::open(cx, id)? else { return Ok(()) };
        if desk.order.money().open > 0 {
            return desk.close(self.retention_ms);
        }
        cx.delete(STORE, id);
        self.guard.forget(cx, id)
    }
}

fn refunded(desk: &mut Desk<'_, '_>, attempt: u32) -> Result<(), Failure> {
    match desk.order.captures.get(&attempt) {
        Some(Capture::Refunding) => {
            let amount = desk.order.price;
            desk.record(&Event::Refunded { attempt, amount });
            Ok(())
        }
        Some(Capture::Refunded) => Ok(()),
        Some(Capture::Kept) | None => Err(no_refund("PaymentRefunded", attempt).into()),
    }
}

fn no_refund(kind: &str, attempt: u32) -> Unreadable {
    Unreadable(format!("{kind}: no refund of attempt {attempt} was asked for"))
}
