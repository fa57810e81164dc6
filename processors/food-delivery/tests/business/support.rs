//! The world around the topology: people who send commands, a payment provider that keeps books of its own, and the laws that hold after every run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use fluvio_streams::breaker::BreakerConfig;
use fluvio_streams::envelope::{self, Format, Message};
use fluvio_streams::projection::Projection;
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::system::{Outcome, OutcomeReader, System};
use fluvio_streams::testing::{Answer, SeenEvent, TestDriver};
use serde_json::{Value, json};

use food_delivery::orders::state::{Order, Status};
use food_delivery::payments::provider::{ProviderOutcome, ProviderRequest};
use food_delivery::payments::simulator::{Profile, Simulator};
use food_delivery::{Config, topics};

/// Price of the orders that [`World::place`] sends, in won.
pub(crate) const PRICE_WON: i64 = 18_000;

/// What the provider has done, by idempotency key: money in won. A key that is asked for twice is one deed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) captured: BTreeMap<String, i64>,
    pub(crate) refunded: BTreeMap<String, i64>,
}

/// A topology with its surroundings.
pub(crate) struct World {
    pub(crate) driver: TestDriver,
    partitions: u32,
    books: Rc<RefCell<Books>>,
    has_payments: bool,
    outcome: OutcomeReader,
    projections: Vec<Arc<dyn Projection>>,
    /// (type, command id) of every command that was sent.
    sent: Vec<(String, String)>,
}

/// (type, correlation, payload) of an event.
type Told = (String, String, Value);
/// The distinct events of the topics that people follow.
type Topics = BTreeMap<&'static str, Vec<SeenEvent>>;

const TOPICS: [&str; 6] =
    [topics::ORDERS_EVENTS, topics::STORE_EVENTS, topics::PAYMENTS_EVENTS, topics::NOTIFICATIONS_EVENTS, topics::REJECTIONS, topics::DEAD_LETTERS];

/// What anybody can see at the end of a run, without the times and places that a kill may shift.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    orders: BTreeMap<String, Order>,
    events: BTreeMap<(&'static str, String), Vec<Told>>,
    totals: Vec<(&'static str, i64)>,
    books: Books,
}

/// Returns settings whose breaker opens after two failures and stays open for `open_ms`.
pub(crate) fn touchy(open_ms: i64) -> Config {
    let payment_breaker = BreakerConfig {
        window_size: 2,
        minimum_number_of_calls: 2,
        permitted_calls_in_half_open: 1,
        wait_duration_in_open_ms: open_ms,
        ..BreakerConfig::default()
    };
    Config { payment_breaker, payment_retries_per_second: 1, ..Config::default() }
}

impl World {
    pub(crate) fn new(config: &Config, partitions: u32) -> Self {
        Self::of(food_delivery::system(config).unwrap_or_else(|error| panic!("{error}")), partitions, None, true)
    }

    pub(crate) fn with_seed(config: &Config, partitions: u32, seed: u64) -> Self {
        Self::of(food_delivery::system(config).unwrap_or_else(|error| panic!("{error}")), partitions, Some(seed), true)
    }

    /// A world in which nobody consumes the payment requests.
    pub(crate) fn without_payments(config: &Config, partitions: u32) -> Self {
        let mut system = food_delivery::system(config).unwrap_or_else(|error| panic!("{error}"));
        system.topology.processors.retain(|processor| processor.name != "payments");
        Self::of(system, partitions, None, false)
    }

    fn of(system: System, partitions: u32, seed: Option<u64>, has_payments: bool) -> Self {
        let books: Rc<RefCell<Books>> = Rc::default();
        let kept = Rc::clone(&books);
        let simulator = Simulator::new(Profile::Default);
        let System { topology, outcome, projections, .. } = system;
        let mut driver = TestDriver::new(topology, partitions).with_calls(move |call| {
            let request: ProviderRequest = serde_json::from_str(&call.request).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(call.id, request.idempotency_key, "the call goes by the key that the provider is given");
            let plan = simulator.plan(&request);
            let mut books = kept.borrow_mut();
            match plan.answer.outcome {
                ProviderOutcome::Approved => drop(books.captured.insert(request.idempotency_key, request.amount)),
                ProviderOutcome::Refunded => drop(books.refunded.insert(request.idempotency_key, request.amount)),
                ProviderOutcome::Declined | ProviderOutcome::Failed => {}
            }
            Some(Answer { after_ms: plan.delay_ms as i64, response: json!(plan.answer).to_string() })
        });
        if let Some(seed) = seed {
            driver = driver.with_seed(seed);
        }
        Self { driver, partitions, books, has_payments, outcome, projections, sent: Vec::new() }
    }

    /// Sends a command about an order and returns its command id.
    pub(crate) fn send(&mut self, kind: &str, order: &str, fields: Value) -> String {
        let id = format!("c-{}", self.sent.len() + 1);
        self.send_as(&id, kind, order, fields);
        id
    }

    /// Sends a command under an id that was perhaps used before.
    pub(crate) fn send_as(&mut self, id: &str, kind: &str, order: &str, fields: Value) {
        let mut command = json!({"type": kind, "commandId": id, "orderId": order});
        if let (Value::Object(command), Value::Object(fields)) = (&mut command, fields) {
            command.extend(fields);
        }
        self.sent.push((kind.to_owned(), id.to_owned()));
        self.driver.pipe(topics::COMMANDS, order, &command.to_string());
    }

    pub(crate) fn place(&mut self, order: &str, customer: &str) -> String {
        self.send("PlaceOrder", order, json!({"customerId": customer, "item": "chicken", "price": PRICE_WON}))
    }

    pub(crate) fn order(&self, id: &str) -> Option<Order> {
        self.driver.state("orders", "orders", id)
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, id: &str, status: Status) {
        assert_eq!(self.order(id).map(|order| order.status), Some(status), "order {id}");
    }

    /// Types of what was asked of the payments about an order.
    pub(crate) fn asked(&self, order: &str) -> Vec<String> {
        self.driver.kinds(topics::PAYMENT_REQUESTS, order)
    }

    /// Types of the events about an order.
    pub(crate) fn kinds(&self, order: &str) -> Vec<String> {
        self.driver.kinds(topics::ORDERS_EVENTS, order)
    }

    pub(crate) fn books(&self) -> Books {
        self.books.borrow().clone()
    }

    /// Returns the payload of the last event of a type about an order.
    #[track_caller]
    pub(crate) fn event(&self, order: &str, kind: &str) -> Value {
        let mut events = self.driver.distinct_events(topics::ORDERS_EVENTS).into_iter();
        let found = events.rfind(|event| event.subject == order && event.kind == kind);
        found.unwrap_or_else(|| panic!("order {order} has no event {kind}: {:?}", self.kinds(order))).data
    }

    /// Reason codes of the rejections of a command.
    pub(crate) fn refusals(&self, command_id: &str) -> Vec<String> {
        let rejections = self.driver.distinct_events(topics::REJECTIONS).into_iter();
        rejections.filter(|event| event.correlation == command_id).map(|event| text(&event.data, "reason")).collect()
    }

    /// Checks every law and returns what anybody can see. The topology is at rest: no provider call is under way.
    pub(crate) fn look(&self) -> Seen {
        let topics: Topics = TOPICS.iter().map(|topic| (*topic, self.driver.distinct_events(topic))).collect();
        self.money_is_conserved();
        self.books_agree();
        self.every_command_has_one_outcome(&topics);
        statuses_are_legal(&topics);
        every_change_is_notified_once(&topics);
        self.views_say_what_the_state_says();
        let ids: BTreeSet<&String> = topics[topics::ORDERS_EVENTS].iter().map(|event| &event.subject).collect();
        let orders = ids.into_iter().filter_map(|id| Some((id.clone(), self.order(id)?))).collect();
        let mut events: BTreeMap<_, Vec<Told>> = BTreeMap::new();
        for (topic, event) in topics.into_iter().flat_map(|(topic, events)| events.into_iter().map(move |event| (topic, event))) {
            let SeenEvent { kind, mut subject, correlation, mut data, .. } = event;
            for shifted in ["at", "position", "offset"] {
                data.as_object_mut().and_then(|data| data.remove(shifted));
            }
            if topic == topics::DEAD_LETTERS {
                subject.clear();
            }
            events.entry((topic, subject)).or_default().push((kind, correlation, data));
        }
        let totals = ["captured_won", "refunded_won", "live_won", "open_won", "payment_attempts_open", "payments_queued"];
        Seen { orders, events, totals: totals.map(|name| (name, self.driver.total("orders", name))).to_vec(), books: self.books() }
    }

    /// `captured - refunded = live + open`, at any time.
    #[track_caller]
    pub(crate) fn money_is_conserved(&self) {
        let total = |name| self.driver.total("orders", name);
        assert_eq!(total("captured_won") - total("refunded_won") - total("live_won") - total("open_won"), 0, "money law");
    }

    /// At rest, three sets of books agree: those of orders, of payments, and of the provider.
    fn books_agree(&self) {
        let total = |name| self.driver.total("orders", name);
        let (live, open) = (total("live_won"), total("open_won"));
        if !self.has_payments {
            return;
        }
        let books = self.books();
        assert_eq!(self.driver.total("payments", "captured_won"), total("captured_won"), "captured, as payments and orders say");
        assert_eq!(self.driver.total("payments", "captured_won"), books.captured.values().sum::<i64>(), "captured, as payments and the provider say");
        assert_eq!(self.driver.total("payments", "refunded_won"), books.refunded.values().sum::<i64>(), "refunded, as payments and the provider say");
        assert_eq!(self.driver.total("payments", "captured_won") - self.driver.total("payments", "refunded_won"), live + open, "what is not back is wanted");
    }

    /// Of each command: it was refused or unreadable (once), or it took effect (once), never both. A deferred payment may have an end of its own later.
    fn every_command_has_one_outcome(&self, topics: &Topics) {
        let mut outcomes: BTreeMap<&str, Vec<&SeenEvent>> = BTreeMap::new();
        for event in [topics::ORDERS_EVENTS, topics::REJECTIONS, topics::DEAD_LETTERS].iter().flat_map(|topic| &topics[topic]) {
            outcomes.entry(&event.correlation).or_default().push(event);
        }
        for (kind, id) in &self.sent {
            let copies = self.sent.iter().filter(|(_, other)| other == id).count();
            let events = outcomes.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            let is_refusal = |event: &SeenEvent| event.kind == "CommandRejected" || event.kind == "DeadLetter";
            let read = events.iter().filter_map(|event| (self.outcome)(kind, &event.kind, &event.data).map(|(outcome, _)| (outcome, is_refusal(event))));
            let read: Vec<(Outcome, bool)> = read.collect();
            let refused = read.iter().filter(|(_, is_refusal)| *is_refusal).count();
            let deferred = read.iter().filter(|(outcome, _)| *outcome == Outcome::Deferred).count();
            let effects = read.len() - refused - deferred;
            assert!(effects <= 1, "{kind} {id} took effect {effects} times: {events:?}");
            let took = usize::from(effects + deferred > 0);
            assert_eq!(refused + took, copies, "{kind} {id} has one outcome each time it was sent: {events:?}");
        }
    }

    /// Folding what stands in the topics, repeats and all, gives what the state says; folding it twice gives the same bytes.
    fn views_say_what_the_state_says(&self) {
        for projection in &self.projections {
            let messages = self.messages(&projection.topic());
            let (once, twice) = (fold(&**projection, &messages, 1), fold(&**projection, &messages, 2));
            assert_eq!(json!(once).to_string(), json!(twice).to_string(), "{} folded twice", projection.collection());
            if projection.collection() != "orders" {
                continue;
            }
            for (id, document) in &once {
                let Some(order) = self.order(id) else { continue };
                let reason = order.deferred.map(|reason| json!(reason));
                assert_eq!(document["status"], json!(order.status), "view of {id}");
                assert_eq!((&document["price"], &document["payment"]), (&json!(order.price), &json!(order.payment())), "view of {id}");
                assert!(reason.is_none() || document.get("reason") == reason.as_ref(), "view of {id}: {document}");
            }
        }
    }

    /// Returns a collection as a view serves it, by document id.
    pub(crate) fn documents(&self, collection: &str) -> BTreeMap<String, Value> {
        let of = self.projections.iter().filter(|projection| projection.collection() == collection);
        of.flat_map(|projection| fold(&**projection, &self.messages(&projection.topic()), 1)).collect()
    }

    fn messages(&self, topic: &str) -> Vec<Message> {
        let read = |partition, record: LogRecord| {
            let position = Position { topic: topic.to_owned(), partition, offset: record.offset };
            envelope::read(Format::Event, position, record.key.as_deref(), &record.value, record.timestamp_ms).unwrap_or_else(|error| panic!("{error}"))
        };
        let of = |partition| self.driver.log().fetch(topic, partition, 0, None, usize::MAX).unwrap_or_else(|error| panic!("{error}")).records;
        (0..self.partitions).flat_map(|partition| of(partition).into_iter().map(move |record| read(partition, record))).collect()
    }
}

fn statuses_are_legal(topics: &Topics) {
    for ((id, _), statuses) in status_changes(topics) {
        assert_eq!(statuses.first(), Some(&Status::PaymentPending), "order {id} begins with its payment");
        for step in statuses.windows(2) {
            assert!(is_legal(step[0], step[1]), "order {id} goes from {:?} to {:?}", step[0], step[1]);
        }
    }
}

/// The customer reads every status once and in order, and every refund once.
fn every_change_is_notified_once(topics: &Topics) {
    let mut expected: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in &topics[topics::ORDERS_EVENTS] {
        let told = expected.entry(&event.subject).or_default();
        let last = told.iter().rev().find(|told| told["refund"] == false).map(|told| told["status"].clone());
        let is_refund = event.kind == "OrderRefunded";
        // A request begins a new order, also if another had the id before.
        if is_refund || event.kind == "OrderRequested" || last.as_ref() != Some(&event.data["status"]) {
            told.push(json!({"status": event.data["status"], "refund": is_refund}));
        }
    }
    let mut told: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in &topics[topics::NOTIFICATIONS_EVENTS] {
        let is_refund = text(&event.data, "message").contains("was refunded");
        told.entry(&event.subject).or_default().push(json!({"status": event.data["status"], "refund": is_refund}));
    }
    assert_eq!(told, expected, "notifications");
}

/// Returns the statuses of each order, by its id and its incarnation.
fn status_changes(topics: &Topics) -> BTreeMap<(&str, String), Vec<Status>> {
    let mut changes: BTreeMap<(&str, String), Vec<Status>> = BTreeMap::new();
    for event in &topics[topics::ORDERS_EVENTS] {
        let status: Status = serde_json::from_value(event.data["status"].clone()).unwrap_or_else(|error| panic!("{error}"));
        let statuses = changes.entry((&event.subject, text(&event.data, "incarnation"))).or_default();
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
    }
    changes
}

fn is_legal(from: Status, to: Status) -> bool {
    use Status::{Accepted, Cancelled, Cooking, Delivered, Delivering, PaymentDeferred, PaymentPending, Placed, Rejected};
    match from {
        PaymentPending => matches!(to, PaymentDeferred | Placed | Rejected | Cancelled),
        PaymentDeferred => matches!(to, PaymentPending | Placed | Rejected | Cancelled),
        Placed => matches!(to, Accepted | Rejected | Cancelled),
        Accepted => matches!(to, Cooking | Cancelled),
        Cooking => matches!(to, Delivering | Cancelled),
        Delivering => to == Delivered,
        Delivered | Cancelled | Rejected => false,
    }
}

/// Folds events `times` over as a view does: a document takes no event that it includes.
fn fold(projection: &dyn Projection, messages: &[Message], times: usize) -> BTreeMap<String, Value> {
    let mut documents: BTreeMap<String, (i64, Value)> = BTreeMap::new();
    for message in (0..times).flat_map(|_| messages) {
        let Some(id) = projection.document_id(message).unwrap_or_else(|error| panic!("{error}")) else { continue };
        let offset = message.position.offset;
        let folded = match documents.remove(&id) {
            Some((included, document)) if included >= offset => (included, document),
            current => (offset, projection.fold(current.map(|(_, document)| document), message).unwrap_or_else(|error| panic!("{error}"))),
        };
        documents.insert(id, folded);
    }
    documents.into_iter().map(|(id, (_, document))| (id, document)).collect()
}

pub(crate) fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_default().to_owned()
}

/// Plays a story undisturbed, and then once for every place where a task can die: nobody may see a difference.
pub(crate) fn killed_everywhere(world: impl Fn() -> World, story: impl Fn(&mut World)) {
    let mut undisturbed = world();
    story(&mut undisturbed);
    let expected = undisturbed.look();
    for step in 1.. {
        let mut disturbed = world();
        disturbed.driver.crash_at(step);
        story(&mut disturbed);
        assert_eq!(disturbed.look(), expected, "killed at step {step}");
        if disturbed.driver.crashes() == 0 {
            assert!(step > 30, "a story has many places to die at, this one had {step}");
            return;
        }
    }
}
