//! The processor: tells of each change once, and sees each notification through to its receiver.
//!
//! A notification and its delivery begin in one transaction; the receiver knows it by the id that its event has in the topic. What was told while there was no webhook is never delivered.

use std::sync::Arc;

use business::front::state::Status;
use business::schema::records::event;
use business::schema::{Object, count, id, one_of, text};
use business::{Names, topics};
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{CallResult, Context, Failure, Input, Processor, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::system::RecordSpec;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::{self, ProcessorSpec, Source, StoreSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::delivery::{Answer, Delivery};
use crate::limits::{DELIVERIES_OPEN_MAX, REASON_CHARACTERS_MAX};
use crate::sentences::sentence;
use crate::{Config, NAME, WEBHOOK};

/// Event: the customer was told of a change.
pub const NOTIFIED: &str = "CustomerNotified";
/// Event: the customer was told that what was done for something forgotten is undone.
pub const REVERSAL_NOTIFIED: &str = "ReversalNotified";
/// Event: the webhook has taken a notification.
pub const DELIVERED: &str = "NotificationDelivered";
/// Event: the webhook will not have a notification; it is in the dead letters too.
pub const UNDELIVERABLE: &str = "NotificationUndeliverable";

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
    let told = [&names.words.events()[..], &[names.words.stray_undone]].concat();
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![Source::events(&topics::events(system, names.collection), &told)],
        sinks: vec![logic.events.clone()],
        journal: topics::journal(system, NAME),
        stores: vec![StoreSpec::of::<Told>(TOLD).keyed_by(names.id_field), StoreSpec::of::<Delivery>(WAITING).keyed_by("notificationId")],
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
    let of = || Object::default().must(names.id_field, id("Of what."));
    let about = || of().must("customerId", id("Who is told."));
    let told = |object: Object| {
        object.must("message", text("What the customer reads.")).may("delivery", one_of(&["Pending"], "There if it is handed on to a webhook."))
    };
    let notified = about()
        .must("status", one_of(&statuses, "Where it stands."))
        .must("about", one_of(&names.words.events(), "Type of the event that the customer is told of."));
    let reversal =
        of().may("customerId", id("Who is told; left out if it is not known any more.")).must("about", text("Type of the event that the customer is told of."));
    let delivered = about().must("notificationId", id("CloudEvents id of the notification.")).must("attempts", count(0, "How often it was tried."));
    let undeliverable = delivered.clone().must("reason", text("Why it was given up, for people."));
    vec![
        event(&topic, NOTIFIED, told(notified), "The customer was told of a change, once."),
        event(&topic, REVERSAL_NOTIFIED, told(reversal), "The customer was told, once, that what was done for something forgotten is undone."),
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

/// What is needed of the event that something is undone for an aggregate that the front has forgotten.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reversal {
    #[serde(default)]
    customer_id: Option<String>,
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
            Input::Message(message) if message.kind == self.names.words.stray_undone => self.reversed(message, cx),
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

    fn timers(&self) -> Option<Vec<String>> {
        Some(topology::names(&[RETENTION_TIMER, RETRY_TIMER]))
    }
}

impl Notifications {
    /// Follows an event of the front.
    fn follow(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let id = subject(message)?;
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
        let notification = Map::from_iter([
            (self.names.id_field.to_owned(), json!(id)),
            ("customerId".to_owned(), json!(change.customer_id)),
            ("status".to_owned(), json!(change.status)),
            ("about".to_owned(), json!(message.kind)),
            ("message".to_owned(), json!(sentence(&self.names, subject, change.reason.as_deref(), id))),
        ]);
        self.notify(NOTIFIED, id, notification, cx)?;
        if self.is_final(&change.status) {
            cx.set_timer(RETENTION_TIMER, id, cx.now_ms().saturating_add(self.config.retention_ms))?;
        }
        cx.put(TOLD, id, &told);
        Ok(())
    }

    fn is_final(&self, status: &str) -> bool {
        Status::all(&self.names).into_iter().any(|known| known.is_final(&self.names) && known.name(&self.names) == status)
    }

    /// Tells of what is undone for an aggregate that the front has forgotten. The front says so once, and nobody knows any more how it stood; so nothing needs to be remembered here.
    fn reversed(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let (id, names) = (subject(message)?, &self.names);
        let Reversal { customer_id } = message.decode()?;
        let mut notification = Map::from_iter([
            (names.id_field.to_owned(), json!(id)),
            ("about".to_owned(), json!(message.kind)),
            ("message".to_owned(), json!(sentence(names, names.words.undone, None, id))),
        ]);
        notification.extend(customer_id.map(|customer| ("customerId".to_owned(), json!(customer))));
        Ok(self.notify(REVERSAL_NOTIFIED, id, notification, cx)?)
    }

    /// Writes a notification and begins to deliver it, if there is a webhook and somebody to deliver it to.
    fn notify(&self, kind: &str, id: &str, mut notification: Map<String, Value>, cx: &mut Context<'_>) -> Result<(), StateError> {
        if !self.config.webhook || !notification.contains_key("customerId") {
            cx.emit(&self.events, kind, id, &notification);
            return Ok(());
        }
        let mut body = notification.clone();
        let notification_id = cx.next_event_id();
        notification.insert("delivery".to_owned(), json!("Pending"));
        cx.emit(&self.events, kind, id, &notification);
        body.insert("notificationId".to_owned(), json!(notification_id));
        body.insert("system".to_owned(), json!(self.names.system));
        body.insert("notifiedAt".to_owned(), json!(format_rfc3339(cx.now_ms())));
        let delivery = Delivery { notification_id, try_number: 1, body };
        let [open, ..] = *TOTALS;
        let is_overloaded = cx.total(open)? >= DELIVERIES_OPEN_MAX;
        cx.add_total(open, 1)?;
        if is_overloaded {
            let none = Delivery { try_number: 0, ..delivery };
            return self.give_up(&none, "too many notifications wait for the webhook", cx);
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
        let letter = json!({
            "topic": self.events,
            "partition": cx.partition(),
            "processor": NAME,
            "error": format!("the notification was not delivered in {} tries: {reason}", delivery.try_number),
            "key": delivery.body.get(self.names.id_field),
            "value": Value::Object(delivery.body.clone()).to_string(),
        });
        // Not under the correlation of the command: to whoever waits for its outcome, a dead letter would say that nobody could read it.
        let correlation = cx.correlation().to_owned();
        cx.set_correlation(&delivery.notification_id);
        cx.emit_to(&self.dead_letters, cx.partition(), "DeadLetter", &delivery.notification_id, &letter);
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

fn subject(message: &Message) -> Result<&str, Unreadable> {
    message.subject.as_deref().ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", message.kind)))
}

fn call(delivery: &Delivery, cx: &mut Context<'_>) {
    cx.call(WEBHOOK, &delivery.call_id(), delivery);
}
