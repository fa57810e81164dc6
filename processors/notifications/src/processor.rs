//! The processor: tells of each change once, and sees each notification through to its receiver.
//!
//! Where there is a webhook, it reads its own notifications back: only what stands in the topic has an id, and by this id the receiver knows it. What was told while there was no webhook is
//! never delivered, for it does not say `"delivery": "Pending"`.

use std::sync::Arc;

use business::front::state::Status;
use business::schema::records::event;
use business::schema::{Object, count, id, one_of, text};
use business::{Names, topics};
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{CallResult, Context, Failure, Input, Processor, Timer};
use fluvio_streams::record::Position;
use fluvio_streams::state::StateError;
use fluvio_streams::system::RecordSpec;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{ProcessorSpec, Source};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::delivery::{Answer, Delivery};
use crate::limits::{DELIVERIES_OPEN_MAX, REASON_CHARACTERS_MAX};
use crate::sentences::sentence;
use crate::{Config, NAME, WEBHOOK};

/// Event: the customer was told of a change.
pub const NOTIFIED: &str = "CustomerNotified";
/// Event: the webhook has taken a notification.
pub const DELIVERED: &str = "NotificationDelivered";
/// Event: the webhook will not have a notification; it is in the dead letters too.
pub const UNDELIVERABLE: &str = "NotificationUndeliverable";

/// What an own source is told to send while there is no webhook. There is no such event.
const NOTHING: &str = "NotificationWithoutWebhook";

const TOLD: &str = "notified";
const WAITING: &str = "deliveries-waiting";
const RETENTION_TIMER: &str = "retention";
const RETRY_TIMER: &str = "delivery-retry";
/// Deliveries under way or waiting; delivered; given up.
const TOTALS: &[&str; 3] = &["notification_deliveries_open", "notifications_delivered", "notifications_undeliverable"];

/// The processor of notifications.
#[derive(Debug)]
pub struct Notifications {
    names: Names,
    events: String,
    dead_letters: String,
    config: Config,
}

/// Returns notifications for a business as part of its topology.
pub fn spec(names: &Names, config: &Config) -> ProcessorSpec {
    let system = names.system;
    let logic = Notifications { names: *names, events: topics::events(system, NAME), dead_letters: topics::dead_letters(system), config: config.clone() };
    let own = if config.webhook { NOTIFIED } else { NOTHING };
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![Source::events(&topics::events(system, names.collection), &names.words.events()), Source::events(&logic.events, &[own])],
        sinks: vec![logic.events.clone()],
        journal: topics::journal(system, NAME),
        stores: vec![TOLD.to_owned(), WAITING.to_owned()],
        calls: vec![WEBHOOK.to_owned()],
        rejections: topics::rejections(system),
        dead_letters: logic.dead_letters.clone(),
        logic: Arc::new(logic),
    }
}

/// Returns what notifications tell of themselves.
pub fn records(names: &Names) -> Vec<RecordSpec> {
    let topic = topics::events(names.system, NAME);
    let statuses: Vec<&str> = Status::all(names).into_iter().map(|status| status.name(names)).collect();
    let about = || Object::default().must(names.id_field, id("Of what.")).must("customerId", id("Who is told."));
    let notified = about()
        .must("status", one_of(&statuses, "Where it stands."))
        .must("about", one_of(&names.words.events(), "Type of the event that the customer is told of."))
        .must("message", text("What the customer reads."))
        .may("delivery", one_of(&["Pending"], "There if it is handed on to a webhook."));
    let delivered = about().must("notificationId", id("CloudEvents id of the notification.")).must("attempts", count(0, "How often it was tried."));
    let undeliverable = delivered.clone().must("reason", text("Why it was given up, for people."));
    vec![
        event(&topic, NOTIFIED, notified, "The customer was told of a change, once."),
        event(&topic, DELIVERED, delivered, "The webhook has taken a notification."),
        event(&topic, UNDELIVERABLE, undeliverable, "The webhook will not have a notification; it is in the dead letters too."),
    ]
}

/// What is needed of an event of a front.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(default)]
    incarnation: String,
    customer_id: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    attempt: Option<u32>,
}

/// What the customer has been told about an aggregate.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    incarnation: String,
    status: Option<String>,
    /// Attempts of whose undoing the customer was told.
    #[serde(alias = "refunds")]
    undone: Vec<u32>,
}

impl Processor for Notifications {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == self.events => self.deliver(message, cx),
            Input::Message(message) => self.follow(message, cx),
            Input::Timer(timer) if timer.name == RETRY_TIMER => Ok(self.deliver_again(timer, cx)?),
            Input::Timer(timer) => {
                cx.delete(TOLD, &timer.key);
                Ok(())
            }
            Input::CallResult(result) => self.answer(result, cx),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        TOTALS
    }
}

impl Notifications {
    /// Follows an event of the front.
    fn follow(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let id = message.subject.as_deref().ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", message.kind)))?;
        let change: Change = message.decode()?;
        let mut told: Told = cx.get(TOLD, id)?.unwrap_or_default();
        if told.incarnation != change.incarnation {
            // The id is used again: nobody was told anything of this aggregate.
            told = Told { incarnation: change.incarnation.clone(), ..Told::default() };
            cx.cancel_timer(RETENTION_TIMER, id)?;
        }
        let subject = if message.kind == self.names.words.undone {
            let attempt = change.attempt.ok_or_else(|| Unreadable(format!("{}: field `attempt` is missing", message.kind)))?;
            if told.undone.contains(&attempt) {
                return Ok(());
            }
            told.undone.push(attempt);
            &message.kind
        } else {
            if told.status.as_ref() == Some(&change.status) {
                return Ok(());
            }
            told.status = Some(change.status.clone());
            &change.status
        };
        let mut notification = Map::from_iter([
            (self.names.id_field.to_owned(), json!(id)),
            ("customerId".to_owned(), json!(change.customer_id)),
            ("status".to_owned(), json!(change.status)),
            ("about".to_owned(), json!(message.kind)),
            ("message".to_owned(), json!(sentence(&self.names, subject, change.reason.as_deref(), id))),
        ]);
        if self.config.webhook {
            notification.insert("delivery".to_owned(), json!("Pending"));
        }
        cx.emit(&self.events, NOTIFIED, id, &notification);
        if self.is_final(&change.status) {
            cx.set_timer(RETENTION_TIMER, id, cx.now_ms().saturating_add(self.config.retention_ms))?;
        }
        cx.put(TOLD, id, &told);
        Ok(())
    }

    fn is_final(&self, status: &str) -> bool {
        Status::all(&self.names).into_iter().any(|known| known.is_final(&self.names) && known.name(&self.names) == status)
    }

    /// Begins to deliver a notification that stands in the topic.
    fn deliver(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let mut body: Map<String, Value> = message.decode()?;
        if body.remove("delivery") != Some(json!("Pending")) {
            return Ok(());
        }
        body.insert("notificationId".to_owned(), json!(message.id));
        body.insert("system".to_owned(), json!(self.names.system));
        body.insert("notifiedAt".to_owned(), json!(format_rfc3339(message.time_ms)));
        let delivery = Delivery { notification_id: message.id.clone(), try_number: 1, offset: message.position.offset, body };
        let [open, ..] = *TOTALS;
        let is_overloaded = cx.total(open)? >= DELIVERIES_OPEN_MAX;
        cx.add_total(open, 1)?;
        if is_overloaded {
            let none = Delivery { try_number: 0, ..delivery };
            return Ok(self.give_up(&none, "too many notifications wait for the webhook", cx)?);
        }
        call(&delivery, cx);
        Ok(())
    }

    fn deliver_again(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), StateError> {
        let Some(delivery) = cx.get::<Delivery>(WAITING, &timer.key)? else { return Ok(()) };
        cx.delete(WAITING, &timer.key);
        call(&Delivery { try_number: delivery.try_number.saturating_add(1), ..delivery }, cx);
        Ok(())
    }

    /// Takes what came of a try.
    fn answer(&self, result: &CallResult, cx: &mut Context<'_>) -> Result<(), Failure> {
        let delivery: Delivery = serde_json::from_str(&result.call.request).map_err(|error| Unreadable(format!("call `{}`: {error}", result.call.id)))?;
        let answer = serde_json::from_str(&result.response)
            .unwrap_or_else(|error| Answer::Retry { reason: format!("the answer is unreadable: {error}"), retry_after_ms: None });
        match answer {
            Answer::Delivered => {
                let [open, delivered, _] = *TOTALS;
                cx.add_total(open, -1)?;
                cx.add_total(delivered, 1)?;
                self.emit(DELIVERED, &delivery, None, cx);
            }
            Answer::Retry { retry_after_ms, .. } if delivery.try_number < self.config.tries_max => {
                let due_ms = cx.now_ms().saturating_add(delivery.backoff_ms(retry_after_ms));
                cx.set_timer(RETRY_TIMER, &delivery.notification_id, due_ms)?;
                cx.put(WAITING, &delivery.notification_id, &delivery);
            }
            Answer::Retry { reason, .. } | Answer::Refused { reason } => self.give_up(&delivery, &reason, cx)?,
        }
        Ok(())
    }

    /// Gives a delivery up: a letter for a person to look at, in the shape of the runtime's own, and an event.
    fn give_up(&self, delivery: &Delivery, reason: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
        let [open, _, undeliverable] = *TOTALS;
        cx.add_total(open, -1)?;
        cx.add_total(undeliverable, 1)?;
        let reason: String = reason.chars().take(REASON_CHARACTERS_MAX).collect();
        self.emit(UNDELIVERABLE, delivery, Some(&reason), cx);
        let position = Position { topic: self.events.clone(), partition: cx.partition(), offset: delivery.offset }.to_string();
        let letter = json!({
            "topic": self.events,
            "partition": cx.partition(),
            "offset": delivery.offset,
            "processor": NAME,
            "error": format!("the notification was not delivered in {} tries: {reason}", delivery.try_number),
            "key": delivery.body.get(self.names.id_field),
            "value": Value::Object(delivery.body.clone()).to_string(),
        });
        // Not under the correlation of the command: to whoever waits for its outcome, a dead letter would say that nobody could read it.
        let correlation = cx.correlation().to_owned();
        cx.set_correlation(&position);
        cx.emit_to(&self.dead_letters, cx.partition(), "DeadLetter", &position, &letter);
        cx.set_correlation(&correlation);
        Ok(())
    }

    fn emit(&self, kind: &str, delivery: &Delivery, reason: Option<&str>, cx: &mut Context<'_>) {
        let of = |name: &str| (name.to_owned(), delivery.body.get(name).cloned().unwrap_or_default());
        let mut data = Map::from_iter([of("notificationId"), of(self.names.id_field), of("customerId")]);
        data.insert("attempts".to_owned(), json!(delivery.try_number));
        data.extend(reason.map(|reason| ("reason".to_owned(), json!(reason))));
        let subject = delivery.body.get(self.names.id_field).and_then(Value::as_str).unwrap_or_default();
        cx.emit(&self.events, kind, subject, &data);
    }
}

fn call(delivery: &Delivery, cx: &mut Context<'_>) {
    cx.call(WEBHOOK, &delivery.call_id(), delivery);
}
