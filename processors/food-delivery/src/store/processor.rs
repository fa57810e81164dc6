//! Wires the rules of the store to the task.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor, Rejection, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, names};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decide::decide;
use super::parking;
use super::state::{Parked, Progress, StoreOrder};
use crate::commands::Sent;
use crate::fields::Fields;
use crate::limits::COMMAND_IDS_MAX;
use crate::{commands, fields, topics};

/// Name of the processor.
pub const NAME: &str = "store";
/// Totals that the store keeps.
pub const TOTALS: [&str; 1] = [parking::TOTAL];

const STORE: &str = "store-orders";
const RETENTION_TIMER: &str = "retention";

/// What is needed of an event of orders.
#[derive(Deserialize)]
struct Followed {
    #[serde(default)]
    incarnation: String,
}

/// Payload of the store's events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    order_id: &'a str,
    /// Which order of this id it is.
    #[serde(skip_serializing_if = "str::is_empty")]
    incarnation: &'a str,
    /// Why, as the store said.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The command that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a Sent>,
}

/// The processor of the store and its riders.
#[derive(Debug)]
pub struct Store {
    park_ms: i64,
    retention_ms: i64,
}

/// Returns the store as part of the topology. A command waits `park_ms` for its order; an ended order is forgotten after `retention_ms`.
pub fn spec(park_ms: i64, retention_ms: i64) -> ProcessorSpec {
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![
            Source::commands(topics::COMMANDS, "orderId", Routing::Types(names(&super::COMMANDS))),
            // Orders that are not, or never, established are followed to refuse their commands for the right reason.
            Source::events(topics::ORDERS_EVENTS, &["OrderPlaced", "PaymentDeferred", "OrderRejected", "OrderCancelled"]),
        ],
        sinks: vec![topics::STORE_EVENTS.to_owned()],
        journal: topics::journal(NAME),
        stores: vec![STORE.to_owned(), parking::STORE.to_owned()],
        calls: Vec::new(),
        rejections: topics::REJECTIONS.to_owned(),
        dead_letters: topics::DEAD_LETTERS.to_owned(),
        logic: std::sync::Arc::new(Store { park_ms, retention_ms }),
    }
}

impl Processor for Store {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == topics::COMMANDS => self.command(message, cx),
            Input::Message(message) => self.order_event(message, cx),
            Input::Timer(timer) => Ok(timer_fired(timer, cx)?),
            Input::CallResult(_) => Ok(()),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        &TOTALS
    }
}

impl Store {
    fn command(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let body: Value = message.decode()?;
        let in_words = |error| fields::unreadable(&message.kind, &error);
        let reason = Fields::of(&body, "").and_then(|fields| fields.text("reason")).map_err(in_words)?;
        let command_id = commands::explicit_id(&body).map_err(in_words)?;
        let order_id = message.subject.as_deref().ok_or_else(|| commands::no_order_id(&message.kind))?;
        let command = Parked {
            sent: Sent::of(message, command_id),
            command_id: command_id.map(str::to_owned),
            reason: reason.map(str::to_owned),
            correlation: message.correlation.clone(),
        };
        match cx.get::<StoreOrder>(STORE, order_id)? {
            Some(mut order) => Ok(self.take(cx, order_id, &mut order, &command)?),
            None => parking::park(cx, order_id, command, self.park_ms),
        }
    }

    /// Applies a command to an order that the store knows.
    fn take(&self, cx: &mut Context<'_>, order_id: &str, order: &mut StoreOrder, command: &Parked) -> Result<(), Failure> {
        commands::refuse_duplicate(&order.command_ids, command.command_id.as_deref())?;
        let (event, progress) = decide(&command.sent.kind, order.progress)?;
        order.progress = progress;
        commands::remember(&mut order.command_ids, command.command_id.as_deref(), COMMAND_IDS_MAX);
        // Orders may refuse the command yet, if the customer cancels meanwhile, and must then name it.
        let told = Told { order_id, incarnation: &order.incarnation, reason: command.reason.as_deref(), command: Some(&command.sent) };
        cx.emit(topics::STORE_EVENTS, event, order_id, &told);
        self.put(cx, order_id, order)?;
        Ok(())
    }

    fn order_event(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let order_id = message.subject.as_deref().ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", message.kind)))?;
        let Followed { incarnation } = message.decode()?;
        let known = cx.get::<StoreOrder>(STORE, order_id)?;
        if known.as_ref().is_some_and(|order| order.incarnation != incarnation) {
            // The id is used again, and the order that had it is not forgotten here yet.
            cx.cancel_timer(RETENTION_TIMER, order_id)?;
        }
        let known = known.filter(|order| order.incarnation == incarnation);
        let is_past_payment = known.as_ref().is_some_and(|order| order.progress != Progress::NotPlaced);
        let progress = match message.kind.as_str() {
            "OrderPlaced" => Progress::Placed,
            "PaymentDeferred" => Progress::NotPlaced,
            "OrderRejected" => Progress::Rejected,
            "OrderCancelled" => Progress::Cancelled,
            kind => return Err(Unreadable(format!("the store does not follow `{kind}`")).into()),
        };
        let mut order = known.unwrap_or_else(|| StoreOrder { incarnation, ..StoreOrder::default() });
        match progress {
            // The orders' word is final: whatever the store has done with it ends.
            Progress::Cancelled if is_past_payment && order.progress != Progress::Cancelled => {
                for event in ["StoreOrderCancelled", "DeliveryCancelled"] {
                    cx.emit(topics::STORE_EVENTS, event, order_id, &Told { order_id, incarnation: &order.incarnation, reason: None, command: None });
                }
            }
            // A repeated event, or the store's own refusal, which comes back as a rejection.
            _ if is_past_payment => return Ok(()),
            _ => {}
        }
        order.progress = progress;
        self.put(cx, order_id, &order)?;
        self.take_parked(cx, order_id, &mut order)
    }

    /// Takes or refuses the commands that waited for the order.
    fn take_parked(&self, cx: &mut Context<'_>, order_id: &str, order: &mut StoreOrder) -> Result<(), Failure> {
        for command in parking::take(cx, order_id)? {
            cx.set_correlation(&command.correlation);
            match self.take(cx, order_id, order, &command) {
                Ok(()) => {}
                Err(Failure::Rejected(rejection)) => parking::refuse(cx, order_id, &command, &rejection),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn put(&self, cx: &mut Context<'_>, order_id: &str, order: &StoreOrder) -> Result<(), StateError> {
        if order.progress.is_final() {
            cx.set_timer(RETENTION_TIMER, order_id, cx.now_ms().saturating_add(self.retention_ms))?;
        }
        cx.put(STORE, order_id, order);
        Ok(())
    }
}

fn timer_fired(timer: &Timer, cx: &mut Context<'_>) -> Result<(), StateError> {
    if timer.name == RETENTION_TIMER {
        cx.delete(STORE, &timer.key);
        return Ok(());
    }
    let unknown: Rejection = commands::order_unknown(&timer.key);
    for command in parking::take(cx, &timer.key)? {
        parking::refuse(cx, &timer.key, &command, &unknown);
    }
    Ok(())
}
