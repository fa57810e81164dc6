//! For the tests of a business: the world around its topology (people who send commands, a provider that keeps books of its own) and the laws that hold after every run.
//!
//! What it is not: it runs no broker and no clock of its own; see [`fluvio_streams::testing`]. Start reading at [`World`], then [`laws`] and [`evening`].

pub mod contract;
pub mod evening;
pub mod laws;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use fluvio_streams::breaker::BreakerConfig;
use fluvio_streams::envelope::{self, Format, Message};
use fluvio_streams::projection::Projection;
use fluvio_streams::record::{LogRecord, Position};
use fluvio_streams::system::{OutcomeReader, System};
use fluvio_streams::testing::{Answer, SeenEvent, TestDriver};
use serde_json::{Value, json};

use self::contract::{Contract, Kinds};
use crate::config::Config;
use crate::front::state::{Aggregate, Status};
use crate::names::Names;
use crate::partner::provider::{Operation, ProviderOutcome, ProviderRequest};
use crate::partner::simulator::{Profile, Simulator};
use crate::rules::Business;
use crate::topics;

/// What the provider has done, by idempotency key: amounts. A key that is asked for twice is one deed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Books {
    /// What was done: `<system>/<id>/<attempt>/accept@<incarnation>`.
    pub accepted: BTreeMap<String, i64>,
    /// What was undone: `<system>/<id>/<attempt>/undo@<incarnation>`.
    pub undone: BTreeMap<String, i64>,
}

/// (type, correlation, payload) of an event.
type Told = (String, String, Value);
/// The distinct events of the topics that people follow.
pub(crate) type Topics = BTreeMap<String, Vec<SeenEvent>>;

/// What anybody can see at the end of a run, without the times and places that a kill may shift.
#[derive(Debug, PartialEq)]
pub struct Seen<D> {
    aggregates: BTreeMap<String, Aggregate<D>>,
    /// By topic, and what they are about: an id, and which of those that had it. What happens to two of them happens in no order.
    events: BTreeMap<(String, String, String), Vec<Told>>,
    totals: Vec<i64>,
    books: Books,
}

/// A topology with its surroundings.
pub struct World<B> {
    /// Runs the topology.
    pub driver: TestDriver,
    partitions: u32,
    contract: Contract,
    books: Rc<RefCell<Books>>,
    has_partner: bool,
    outcome: OutcomeReader,
    projections: Vec<Arc<dyn Projection>>,
    /// Topics that people follow.
    followed: Vec<String>,
    /// Every command that was sent.
    sent: Vec<Command>,
    business: PhantomData<B>,
}

/// A command that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) kind: String,
    pub(crate) id: String,
}

/// Returns settings whose breaker opens after two failures and stays open for `open_ms`, and which try again one a second.
pub fn touchy(open_ms: i64) -> Config {
    let breaker = BreakerConfig {
        window_size: 2,
        minimum_number_of_calls: 2,
        permitted_calls_in_half_open: 1,
        wait_duration_in_open_ms: open_ms,
        ..BreakerConfig::default()
    };
    Config { breaker, retries_per_second: 1, ..Config::default() }
}

impl<B: Business> World<B> {
    /// Returns the world of a system; `seed` draws the order in which tasks work.
    pub fn new(system: System, partitions: u32, seed: Option<u64>) -> Self {
        let books: Rc<RefCell<Books>> = Rc::default();
        let kept = Rc::clone(&books);
        let simulator = Simulator::new(Profile::Default);
        let contract = Contract::of(&system);
        let System { topology, outcome, projections, outcome_topics, .. } = system;
        let has_partner = topology.processors.iter().any(|processor| processor.name == B::NAMES.partner.processor);
        let mut followed: Vec<String> = topology.topics().into_iter().filter(|topic| topic.ends_with("-events")).chain(outcome_topics).collect();
        followed.sort();
        followed.dedup();
        let mut driver = TestDriver::new(topology, partitions).with_calls(move |call| {
            if call.target != B::NAMES.partner.provider {
                // Whoever else is called takes what it is told.
                return Some(Answer { after_ms: 1, response: json!({"outcome": "delivered"}).to_string() });
            }
            let request: ProviderRequest = serde_json::from_str(&call.request).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(call.id, request.idempotency_key, "the call goes by the key that the provider is given");
            let plan = simulator.plan(&request);
            let mut books = kept.borrow_mut();
            match plan.answer.outcome {
                ProviderOutcome::Accepted => drop(books.accepted.insert(request.idempotency_key, request.amount)),
                ProviderOutcome::Undone => drop(books.undone.insert(request.idempotency_key, request.amount)),
                ProviderOutcome::Declined | ProviderOutcome::Failed => {}
            }
            Some(Answer { after_ms: plan.delay_ms as i64, response: json!(plan.answer).to_string() })
        });
        if let Some(seed) = seed {
            driver = driver.with_seed(seed);
        }
        Self { driver, partitions, contract, books, has_partner, outcome, projections, followed, sent: Vec::new(), business: PhantomData }
    }

    /// Returns the world of a system in which nobody consumes the requests to the partner.
    pub fn without_partner(mut system: System, partitions: u32) -> Self {
        system.topology.processors.retain(|processor| processor.name != B::NAMES.partner.processor);
        Self::new(system, partitions, None)
    }

    /// Sends a command about an aggregate and returns its command id.
    pub fn send(&mut self, kind: &str, id: &str, fields: Value) -> String {
        self.send_new(kind, B::NAMES.id_field, id, fields)
    }

    /// Sends a command about what `id_field` names and returns its command id.
    pub fn send_new(&mut self, kind: &str, id_field: &str, id: &str, fields: Value) -> String {
        let command_id = format!("c-{}", self.sent.len() + 1);
        self.send_about(&command_id, kind, id_field, id, fields);
        command_id
    }

    /// Sends a command under an id that was perhaps used before.
    pub fn send_as(&mut self, command_id: &str, kind: &str, id: &str, fields: Value) {
        self.send_about(command_id, kind, B::NAMES.id_field, id, fields);
    }

    /// Sends a command about something else than an aggregate of the front: `id_field` names it.
    pub fn send_about(&mut self, command_id: &str, kind: &str, id_field: &str, id: &str, fields: Value) {
        let mut command = json!({"type": kind, "commandId": command_id, (id_field): id});
        if let (Value::Object(command), Value::Object(fields)) = (&mut command, fields) {
            command.extend(fields);
        }
        self.sent.push(Command { kind: kind.to_owned(), id: command_id.to_owned() });
        self.driver.pipe(&topics::commands(B::NAMES.system), id, &command.to_string());
    }

    /// Returns an aggregate as the front knows it.
    pub fn aggregate(&self, id: &str) -> Option<Aggregate<B::Details>> {
        self.driver.state(B::NAMES.collection, B::NAMES.collection, id)
    }

    /// Returns the name of an aggregate's status.
    pub fn status(&self, id: &str) -> Option<&'static str> {
        self.aggregate(id).map(|aggregate| aggregate.status.name(&B::NAMES))
    }

    /// Checks the status of an aggregate by its name.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn assert_status(&self, id: &str, status: &str) {
        assert_eq!(self.status(id), Some(status), "{id}");
    }

    /// Types of what was asked of the partner about an aggregate.
    pub fn asked(&self, id: &str) -> Vec<String> {
        self.driver.kinds(&topics::requests(B::NAMES.system, B::NAMES.partner.pair), id)
    }

    /// Types of the front's events about an aggregate.
    pub fn kinds(&self, id: &str) -> Vec<String> {
        self.driver.kinds(&self.front_events(), id)
    }

    /// What the provider has done.
    pub fn books(&self) -> Books {
        self.books.borrow().clone()
    }

    /// A total of the front, summed over its tasks.
    pub fn total(&self, name: &str) -> i64 {
        self.driver.total(B::NAMES.collection, name)
    }

    /// Returns the payload of the front's last event of a type about an aggregate.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn event(&self, id: &str, kind: &str) -> Value {
        let mut events = self.driver.distinct_events(&self.front_events()).into_iter();
        let found = events.rfind(|event| event.subject == id && event.kind == kind);
        found.unwrap_or_else(|| panic!("{id} has no event {kind}: {:?}", self.kinds(id))).data
    }

    /// Reason codes of the rejections of a command.
    pub fn refusals(&self, command_id: &str) -> Vec<String> {
        let rejections = self.driver.distinct_events(&topics::rejections(B::NAMES.system)).into_iter();
        rejections.filter(|event| event.correlation == command_id).map(|event| text(&event.data, "reason")).collect()
    }

    /// Returns a collection as a view serves it, by document id.
    pub fn documents(&self, collection: &str) -> BTreeMap<String, Value> {
        let of = self.projections.iter().filter(|projection| projection.collection() == collection);
        of.flat_map(|projection| fold(&**projection, &self.messages(&projection.topic()), 1)).collect()
    }

    /// Checks every law and returns what anybody can see. The topology is at rest: no provider call is under way.
    ///
    /// # Panics
    /// If a law is broken.
    pub fn look(&self) -> Seen<B::Details> {
        let names = &B::NAMES;
        let topics: Topics = self.followed.iter().map(|topic| (topic.clone(), self.driver.distinct_events(topic))).collect();
        self.account_balances();
        self.books_agree();
        self.contract_holds();
        let outcomes = laws::Outcomes { reader: self.outcome, sent: &self.sent, topics: &topics };
        outcomes.every_command_has_one();
        laws::statuses_are_legal(names, &topics);
        laws::every_change_is_notified_once(names, &topics);
        self.views_say_what_the_state_says();
        let front = &topics[&self.front_events()];
        let aggregates = front.iter().filter_map(|event| Some((event.subject.clone(), self.aggregate(&event.subject)?))).collect();
        let mut events: BTreeMap<_, Vec<Told>> = BTreeMap::new();
        for (topic, event) in topics.iter().flat_map(|(topic, events)| events.iter().map(move |event| (topic, event.clone()))) {
            let SeenEvent { kind, mut subject, correlation, mut data, .. } = event;
            for shifted in ["at", "position", "offset"] {
                data.as_object_mut().and_then(|data| data.remove(shifted));
            }
            if *topic == topics::dead_letters(names.system) {
                subject.clear();
            }
            let incarnation = text(&data, "incarnation");
            events.entry((topic.clone(), subject, incarnation)).or_default().push((kind, correlation, data));
        }
        // Whether a breaker is open depends on when something was done again.
        let totals = names.totals[..names.totals.len() - 2].iter().map(|name| self.total(name)).collect();
        Seen { aggregates, events, totals, books: self.books() }
    }

    /// Checks that every record in every topic is as its schema says, and returns the types that were seen.
    ///
    /// # Panics
    /// If one is not.
    pub fn contract_holds(&self) -> Kinds {
        self.contract.holds(&self.driver, self.partitions)
    }

    /// Returns every type of record that the contract of the system names.
    pub fn contract_kinds(&self) -> Kinds {
        self.contract.kinds()
    }

    /// `accepted - undone = live + open`, at any time.
    ///
    /// # Panics
    /// If it does not hold.
    #[track_caller]
    pub fn account_balances(&self) {
        let [accepted, undone, live, open, ..] = B::NAMES.totals.map(|name| self.total(name));
        assert_eq!(accepted - undone - live - open, 0, "{accepted} accepted - {undone} undone = {live} live + {open} open");
    }

    /// At rest, three sets of books agree: those of the front, of the partner, and of the provider.
    fn books_agree(&self) {
        if !self.has_partner {
            return;
        }
        let names = &B::NAMES;
        let books = self.books();
        let [accepted, _, live, open, ..] = names.totals.map(|name| self.total(name));
        let [partner_accepted, partner_undone, _] = names.partner.totals.map(|name| self.driver.total(names.partner.processor, name));
        assert_eq!(partner_accepted, accepted, "accepted, as the partner and the front say");
        assert_eq!(partner_accepted, books.accepted.values().sum::<i64>(), "accepted, as the partner and the provider say");
        assert_eq!(partner_undone, books.undone.values().sum::<i64>(), "undone, as the partner and the provider say");
        assert_eq!(partner_accepted - partner_undone, live + open, "what is not undone is wanted");
    }

    /// An aggregate rests on one attempt at most, and only while it is live; everything else that was accepted is undone, once. For the end of a run.
    ///
    /// # Panics
    /// If it is not so.
    pub fn every_undoing_is_wanted(&self) {
        let names = &B::NAMES;
        let books = self.books();
        // (id, incarnation) to the attempts that were accepted.
        let mut attempts: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for attempt in books.accepted.keys() {
            let (name, incarnation) = attempt.rsplit_once('@').unwrap_or((attempt, ""));
            let name = name.split_once('/').map_or(name, |(_, name)| name);
            attempts.entry((name.rsplitn(3, '/').nth(2).unwrap_or_default(), incarnation)).or_default().push(attempt);
        }
        // What is finished and forgotten keeps what it rests on.
        let finished = names.stages.last().map_or("", |stage| stage.status);
        let events = self.driver.distinct_events(&self.front_events()).into_iter().filter(|event| event.data["status"] == finished);
        let finished: BTreeSet<(String, String)> = events.map(|event| (event.subject, text(&event.data, "incarnation"))).collect();
        for ((id, incarnation), accepted) in attempts {
            let kept = accepted.iter().filter(|attempt| !books.undone.contains_key(&undoing_of(attempt))).count();
            let is_live = self.aggregate(id).is_some_and(|aggregate| aggregate.incarnation == incarnation && aggregate.status.is_live());
            let is_live = is_live || finished.contains(&(id.to_owned(), incarnation.to_owned()));
            assert_eq!(kept, usize::from(is_live), "{id}@{incarnation} rests on one attempt if it is live: {books:?}");
        }
        assert_eq!(self.total(names.totals[3]), 0, "nothing is left to be undone");
    }

    /// Folding what stands in the topics, repeats and all, gives what the state says; folding it twice gives the same bytes.
    fn views_say_what_the_state_says(&self) {
        let names = &B::NAMES;
        for projection in &self.projections {
            let messages = self.messages(&projection.topic());
            let (once, twice) = (fold(&**projection, &messages, 1), fold(&**projection, &messages, 2));
            assert_eq!(json!(once).to_string(), json!(twice).to_string(), "{} folded twice", projection.collection());
            if projection.collection() != names.collection {
                continue;
            }
            for (id, document) in &once {
                let Some(aggregate) = self.aggregate(id) else { continue };
                let account = aggregate.account();
                let [done, undone] = names.partner.account;
                assert_eq!(document["status"], aggregate.status.name(names), "view of {id}");
                if let Some(field) = names.amount_field {
                    assert_eq!(document[field], json!(aggregate.amount), "view of {id}");
                }
                let expected = json!({"attempts": aggregate.attempts, (done): account.accepted, (undone): account.undone});
                assert_eq!(document[names.partner.pair], expected, "view of {id}");
                assert!(aggregate.deferred.is_none() || document["reason"] == json!(aggregate.deferred), "view of {id}: {document}");
            }
        }
    }

    fn messages(&self, topic: &str) -> Vec<Message> {
        let read = |partition, record: LogRecord| {
            let position = Position { topic: topic.to_owned(), partition, offset: record.offset };
            envelope::read(Format::Event, position, record.key.as_deref(), &record.value, record.timestamp_ms).unwrap_or_else(|error| panic!("{error}"))
        };
        let of = |partition| self.driver.log().fetch(topic, partition, 0, None, usize::MAX).unwrap_or_else(|error| panic!("{error}")).records;
        (0..self.partitions).flat_map(|partition| of(partition).into_iter().map(move |record| read(partition, record))).collect()
    }

    fn front_events(&self) -> String {
        topics::events(B::NAMES.system, B::NAMES.collection)
    }
}

/// Returns the key under which an accepted attempt is undone.
fn undoing_of(accepted: &str) -> String {
    let (head, tail) = accepted.rsplit_once('/').unwrap_or_default();
    let incarnation = tail.split_once('@').map_or("", |(_, incarnation)| incarnation);
    let (id, attempt) = head.rsplit_once('/').unwrap_or_default();
    let name = ProviderRequest::key(Operation::Undo, id, attempt.parse().unwrap_or_default());
    if incarnation.is_empty() { name } else { format!("{name}@{incarnation}") }
}

/// Folds events `times` over as a view does: a document takes no event that it includes.
fn fold(projection: &dyn Projection, messages: &[Message], times: usize) -> BTreeMap<String, Value> {
    let routing = projection.routing();
    let mut documents: BTreeMap<String, (i64, Value)> = BTreeMap::new();
    for message in (0..times).flat_map(|_| messages).filter(|message| routing.passes(Some(&message.kind))) {
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

/// Returns a member of a payload as text; empty if it is none.
pub fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_default().to_owned()
}

/// Plays a story undisturbed, and then once for every place where a task can die: nobody may see a difference.
///
/// # Panics
/// If somebody does, or a law is broken.
pub fn killed_everywhere<B: Business>(world: impl Fn() -> World<B>, story: impl Fn(&mut World<B>)) {
    let mut undisturbed = world();
    story(&mut undisturbed);
    let expected = undisturbed.look();
    for step in 1.. {
        let mut disturbed = world();
        disturbed.driver.crash_at(step);
        story(&mut disturbed);
        assert_eq!(disturbed.look(), expected, "killed at step {step}");
        // A story may take processors down itself; it is at its end when it does not come to the place any more.
        if disturbed.driver.steps() < step {
            assert!(step > 20, "a story has many places to die at, this one had {step}");
            return;
        }
    }
}

/// Returns every status name of a business.
pub fn status_names(names: &Names) -> Vec<&'static str> {
    Status::all(names).into_iter().map(|status| status.name(names)).collect()
}
