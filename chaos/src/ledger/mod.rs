//! An independent ledger: it takes what stands in the topics, what the provider moved, what senders were told and what the views show, and says where that does not fit together.
//!
//! It knows the contract (names of topics, events, fields) and nothing of the program that is to keep it: no line of code is shared. It is pure: who feeds it reads topics and views. Start
//! reading at [`Ledger::take`] and [`Ledger::judge`]; what is checked is listed by [`Law`].

mod commands;
mod event;
mod order;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use commands::Commands;
use event::Event;
use order::{Charge, Order};
pub use verdict::{Finding, Law, Verdicts};

/// The business whose topics are read.
pub const SYSTEM: &str = "food-delivery";

/// The topics that are read, without the system's name.
pub const TOPICS: [&str; 9] = [
    "commands",
    "orders-events",
    "store-events",
    "payments-events",
    "payment-requests",
    "payment-replies",
    "notifications-events",
    "rejections",
    "dead-letters",
];

/// A record as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// One of [`TOPICS`].
    pub topic: &'a str,
    /// Partition.
    pub partition: u32,
    /// Offset, dense from 0.
    pub offset: i64,
    /// Key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: &'a [u8],
}

/// What a sender did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Order.
    pub order: String,
    /// The command's id, or where the broker said that it stands.
    pub id: String,
    /// Whether it was told, by an answer or an acknowledgement, that the command is on record. If not, it may be.
    pub is_acknowledged: bool,
}

/// Money that the provider moved, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Idempotency key of the request.
    pub key: String,
    /// Order.
    pub order: String,
    /// Attempt.
    pub attempt: i64,
    /// Amount in won: above 0 it was taken, below it was given back.
    pub amount: i64,
}

/// What else there is to compare with.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// What was sent.
    pub sent: Vec<Sent>,
    /// The provider's books.
    pub movements: Vec<Movement>,
    /// Every document of the view of orders.
    pub orders: Vec<Value>,
    /// Every document of the view of notifications.
    pub notifications: Vec<Value>,
}

/// An attempt to pay, as requests and events tell of it: how many different records of each type.
type Attempts = BTreeMap<(String, i64), BTreeMap<String, u64>>;

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Several versions of the program took turns.
    is_mixed: bool,
    verdicts: Verdicts,
    /// What was read of a record, by topic and CloudEvents id.
    seen: HashMap<(String, String), u64>,
    next: BTreeMap<(String, u32), i64>,
    repeated: u64,
    commands: Commands,
    orders: BTreeMap<String, Order>,
    attempts: Attempts,
    requests: Attempts,
    /// Amounts other than the order's, as an event about a payment says.
    amounts: Vec<(String, i64)>,
    told: BTreeMap<String, Vec<(String, String)>>,
    notifications: BTreeMap<String, Value>,
    let_go: BTreeMap<String, BTreeMap<String, u64>>,
    records: u64,
}

impl Ledger {
    /// Returns where to go on reading a partition.
    pub fn next_offset(&self, topic: &str, partition: u32) -> i64 {
        self.next.get(&(topic.to_owned(), partition)).copied().unwrap_or_default()
    }

    /// Returns how many records were taken.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// For a run in which several versions of the program take turns: one that sends an event again may leave out, or add, members of the envelope that another version does not know.
    pub fn of_versions() -> Self {
        Self { is_mixed: true, ..Self::default() }
    }

    /// Returns what must be alike of what stands twice.
    fn print(&self, key: Option<&[u8]>, value: &[u8]) -> u64 {
        const MEMBERS: [&str; 10] = ["specversion", "type", "id", "source", "subject", "time", "causationid", "correlationid", "provenance", "data"];
        let known = || {
            let event: Value = serde_json::from_slice(value).ok()?;
            Some(MEMBERS.map(|name| event[name].clone()))
        };
        match known().filter(|_| self.is_mixed) {
            Some(members) => fingerprint(key, Value::from(members.to_vec()).to_string().as_bytes()),
            None => fingerprint(key, value),
        }
    }

    /// Returns how many records stood in a topic again.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Takes the next record of a partition.
    pub fn take(&mut self, record: Record<'_>) {
        let Record { topic, partition, offset, key, value } = record;
        let place = format!("{SYSTEM}-{topic}/{partition}/{offset}");
        let next = self.next.entry((topic.to_owned(), partition)).or_default();
        let expected = std::mem::replace(next, offset + 1);
        self.records += 1;
        self.verdicts.check(Law::Readable, offset == expected, || format!("{place} comes where offset {expected} is expected"));
        if topic == "commands" {
            // Those that a processor has forwarded are events, too.
            if let Some(event) = serde_json::from_slice(value).ok().and_then(Event::of) {
                self.is_new(topic, &place, &event, key, value);
            }
            return self.commands.take(place, key.and_then(|key| std::str::from_utf8(key).ok()), value);
        }
        let event = serde_json::from_slice(value).ok().and_then(Event::of);
        self.verdicts.check(Law::Readable, event.is_some(), || format!("{place} is no event: {}", String::from_utf8_lossy(value)));
        let Some(event) = event else { return };
        if self.is_new(topic, &place, &event, key, value) {
            self.follow(topic, &place, &event);
        }
    }

    /// Returns whether an event was not read before; what stands twice must be the same.
    fn is_new(&mut self, topic: &str, place: &str, event: &Event, key: Option<&[u8]>, value: &[u8]) -> bool {
        let print = self.print(key, value);
        let known = self.seen.insert((topic.to_owned(), event.id.clone()), print);
        self.verdicts.check(Law::SameTwice, known.is_none_or(|known| known == print), || {
            format!("{place} is another {} than before: {}", event.id, String::from_utf8_lossy(value))
        });
        self.repeated += u64::from(known.is_some());
        known.is_none()
    }

    /// Follows an event that was not read before.
    fn follow(&mut self, topic: &str, place: &str, event: &Event) {
        match topic {
            "orders-events" if event.kind.starts_with("Forgotten") => {
                self.verdicts.check(Law::Rules, false, || format!("{place}: {} of an order that nobody forgot", event.kind));
            }
            "orders-events" => {
                self.commands.led_to(event);
                let taken = self.orders.entry(event.subject.clone()).or_default().take(event);
                self.verdicts.check(Law::Rules, taken.is_ok(), || format!("{place}: order `{}`: {}", event.subject, taken.err().unwrap_or_default()));
            }
            "store-events" if ["StoreOrderCancelled", "DeliveryCancelled"].contains(&event.kind.as_str()) => {
                *self.let_go.entry(event.subject.clone()).or_default().entry(event.kind.clone()).or_default() += 1;
            }
            "store-events" => self.commands.stepped(event),
            "payments-events" | "payment-requests" => self.pay(topic, event),
            "notifications-events" => {
                let said = |name: &str| event.text(name).unwrap_or_default().to_owned();
                self.told.entry(event.subject.clone()).or_default().push((said("about"), said("status")));
                self.notifications.insert(event.id.clone(), notification(event));
            }
            "rejections" => self.commands.refused(event),
            "dead-letters" => self.commands.unreadable(event),
            _ => {}
        }
    }

    fn pay(&mut self, topic: &str, event: &Event) {
        let Some(attempt) = event.number("attempt") else { return };
        let attempts = if topic == "payments-events" { &mut self.attempts } else { &mut self.requests };
        *attempts.entry((event.subject.clone(), attempt)).or_default().entry(event.kind.clone()).or_default() += 1;
        self.amounts.extend(event.number("amount").map(|amount| (event.subject.clone(), amount)));
    }

    /// Returns whether an order still waits for its payment, or money is still to be given back.
    pub fn is_settled(&self) -> bool {
        self.orders.values().all(|order| !order.is_waiting() && !order.charges.values().any(|charge| *charge == Charge::Owed))
    }

    /// Compares everything with everything.
    pub fn judge(&self, outside: &Outside) -> Verdicts {
        let mut verdicts = self.verdicts.clone();
        self.commands.judge(&mut verdicts);
        self.judge_sent(&mut verdicts, &outside.sent);
        self.judge_money(&mut verdicts, &outside.movements);
        self.judge_views(&mut verdicts, outside);
        for (id, order) in &self.orders {
            verdicts.check(Law::Settled, !order.is_waiting(), || format!("order `{id}` is {}", order.status));
            let told = self.told.get(id).map_or(&[][..], Vec::as_slice);
            verdicts.check(Law::Notified, told == order.told, || format!("the customer of `{id}` was told {told:?} instead of {:?}", order.told));
            let wanted = u64::from(order.was_placed && order.is_cancelled());
            let let_go = self.let_go.get(id);
            for event in ["StoreOrderCancelled", "DeliveryCancelled"] {
                let found = let_go.and_then(|let_go| let_go.get(event)).copied().unwrap_or_default();
                verdicts.check(Law::Compensated, found == wanted, || format!("order `{id}` has {found} events {event} instead of {wanted}"));
            }
        }
        for id in self.told.keys().chain(self.let_go.keys()).filter(|id| !self.orders.contains_key(*id)) {
            verdicts.check(Law::Notified, false, || format!("somebody was told of `{id}`, which is no order"));
        }
        verdicts
    }

    fn judge_sent(&self, verdicts: &mut Verdicts, sent: &[Sent]) {
        for Sent { order, id, .. } in sent.iter().filter(|sent| sent.is_acknowledged) {
            verdicts.check(Law::OnRecord, self.commands.on_record(order, id) > 0, || format!("{id} of {order} was acknowledged and is not on record"));
        }
        let known: std::collections::HashSet<(&str, &str)> = sent.iter().map(|sent| (sent.order.as_str(), sent.id.as_str())).collect();
        let place = format!("{SYSTEM}-commands/");
        // One without an id is known by where it stands, and its sender may not have been told that.
        for (order, id) in self.commands.identities().filter(|(_, id)| !id.starts_with(&place)) {
            verdicts.check(Law::OnRecord, known.contains(&(order, id)), || format!("{id} of {order} was sent by nobody"));
        }
    }

    fn judge_money(&self, verdicts: &mut Verdicts, movements: &[Movement]) {
        let mut charges: BTreeMap<(&str, i64), Vec<&Movement>> = BTreeMap::new();
        for movement in movements {
            charges.entry((&movement.order, movement.attempt)).or_default().push(movement);
        }
        for ((order, attempt), moved) in &charges {
            let taken = moved.iter().filter(|movement| movement.amount > 0).count();
            verdicts.check(Law::ChargedOnce, taken == 1, || format!("attempt {attempt} of `{order}` was charged {taken} times: {moved:?}"));
            let returned = moved.len() - taken;
            let charge = self.orders.get(*order).and_then(|known| known.charges.get(attempt));
            let wanted = match charge {
                Some(Charge::Kept) => 0,
                Some(Charge::Owed | Charge::Returned) => 1,
                None => usize::MAX,
            };
            verdicts.check(Law::NothingLost, returned == wanted, || {
                format!("attempt {attempt} of `{order}`, of which events say {charge:?}, was given back {returned} times: {moved:?}")
            });
            let price = self.orders.get(*order).map_or(0, |known| known.price);
            verdicts.check(Law::NothingLost, moved.iter().all(|movement| movement.amount.abs() == price), || format!("`{order}` costs {price}, but {moved:?}"));
        }
        for (key, kinds) in &self.attempts {
            self.judge_attempt(verdicts, key, kinds, charges.get(&(key.0.as_str(), key.1)).map_or(&[][..], Vec::as_slice));
        }
        for ((order, attempt), kinds) in &self.requests {
            let is_once = kinds.values().all(|count| *count == 1);
            verdicts.check(Law::ChargedOnce, is_once, || format!("attempt {attempt} of `{order}` was asked for more than once: {kinds:?}"));
            let is_ended = self.attempts.contains_key(&(order.clone(), *attempt));
            verdicts.check(Law::Settled, is_ended, || format!("attempt {attempt} of `{order}` was asked for, {kinds:?}, and nothing came of it"));
        }
        for (order, amount) in &self.amounts {
            let price = self.orders.get(order).map(|order| order.price);
            verdicts.check(Law::Rules, price == Some(*amount), || format!("`{order}` costs {price:?}, but somebody speaks of {amount}"));
        }
        let mut live = 0;
        for (id, order) in &self.orders {
            let kept = order.charges.iter().filter(|(_, charge)| **charge == Charge::Kept).count();
            verdicts.check(Law::ChargedOnce, kept == usize::from(order.is_live()), || format!("order `{id}` is {} and rests on {kept} charges", order.status));
            for attempt in &order.given_up {
                let is_void = self.requests.get(&(id.clone(), *attempt)).is_some_and(|kinds| kinds.contains_key("PaymentVoidRequested"));
                verdicts.check(Law::Rules, is_void, || format!("order `{id}` waited, but did not want attempt {attempt}, which it had not given up"));
            }
            for (attempt, charge) in &order.charges {
                verdicts
                    .check(Law::NothingLost, *charge != Charge::Owed, || format!("attempt {attempt} of `{id}`, which is {}, is not given back", order.status));
                verdicts.check(Law::ChargedOnce, charges.contains_key(&(id.as_str(), *attempt)), || format!("attempt {attempt} of `{id}` was never charged"));
            }
            live += if order.is_live() { order.price } else { 0 };
        }
        let balance: i64 = movements.iter().map(|movement| movement.amount).sum();
        verdicts.check(Law::Balance, balance == live, || format!("the provider holds {balance}, live orders are worth {live}"));
        let (captured, refunded): (i64, i64) = (self.orders.values().map(Order::captured).sum(), self.orders.values().map(Order::refunded).sum());
        verdicts.check(Law::Balance, captured - refunded == live, || format!("events say {captured} - {refunded}, live orders are worth {live}"));
    }

    /// What the processor of payments says of an attempt must be what the provider did.
    fn judge_attempt(&self, verdicts: &mut Verdicts, (order, attempt): &(String, i64), kinds: &BTreeMap<String, u64>, moved: &[&Movement]) {
        let count = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
        let taken = moved.iter().filter(|movement| movement.amount > 0).count() as u64;
        let (approved, refunded) = (count("PaymentApproved"), count("PaymentRefunded"));
        verdicts.check(Law::ChargedOnce, approved == taken, || format!("attempt {attempt} of `{order}` was charged {taken} times, and events say {kinds:?}"));
        verdicts.check(Law::NothingLost, refunded == moved.len() as u64 - taken, || {
            format!("attempt {attempt} of `{order}` was moved {moved:?}, and events say {kinds:?}")
        });
        let ends = approved + count("PaymentDeclined") + count("PaymentFailed") + count("PaymentVoided");
        verdicts.check(Law::OneOutcome, ends == 1, || format!("attempt {attempt} of `{order}` ended {ends} times: {kinds:?}"));
    }

    fn judge_views(&self, verdicts: &mut Verdicts, outside: &Outside) {
        let by = |documents: &[Value], field: &str| -> BTreeMap<String, Value> {
            documents.iter().map(|document| (document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned(), document.clone())).collect()
        };
        let orders = by(&outside.orders, "orderId");
        for (id, order) in &self.orders {
            let (shown, wanted) = (orders.get(id), Value::Object(order.document.clone()));
            verdicts.check(Law::Views, shown == Some(&wanted), || format!("order `{id}` is shown as {}, and is {wanted}", shown.unwrap_or(&Value::Null)));
        }
        let notifications = by(&outside.notifications, "notificationId");
        for (id, wanted) in &self.notifications {
            let shown = notifications.get(id);
            verdicts.check(Law::Views, shown == Some(wanted), || format!("notification `{id}` is shown as {}, and is {wanted}", shown.unwrap_or(&Value::Null)));
        }
        for (shown, real, what) in
            [(outside.orders.len(), self.orders.len(), "orders"), (outside.notifications.len(), self.notifications.len(), "notifications")]
        {
            verdicts.check(Law::Views, shown == real, || format!("{shown} {what} are shown, and there are {real}"));
        }
    }

    /// Returns numbers about what was read, for people.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        let of = |holds: fn(&Order) -> bool| self.orders.values().filter(|order| holds(order)).count() as u64;
        vec![
            ("records read", self.records),
            ("of them repeated", self.repeated),
            ("records of commands", self.commands.records() as u64),
            ("orders", self.orders.len() as u64),
            ("live orders", of(Order::is_live)),
            ("cancelled orders", of(Order::is_cancelled)),
            ("orders charged more than once", of(|order| order.charges.len() > 1)),
            ("attempts to pay", self.attempts.len() as u64),
        ]
    }
}

fn fingerprint(key: Option<&[u8]>, value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

/// Returns the document that the view must show of a notification.
fn notification(event: &Event) -> Value {
    let mut document: Map<String, Value> = event.data.as_object().cloned().unwrap_or_default();
    document.insert("notificationId".to_owned(), Value::from(event.id.as_str()));
    document.insert("notifiedAt".to_owned(), Value::from(event.time.as_str()));
    Value::Object(document)
}
