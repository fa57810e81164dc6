//! Commands and what became of each record of them: it was obeyed, it was refused, or nobody could read it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::event::Event;
use super::verdict::{Law, Verdicts};

/// Order and id of a command: records with both in common are one command that was sent more than once.
type Identity = (String, String);

/// Everything that is on record about one command.
#[derive(Debug, Default)]
struct Command {
    kind: String,
    /// Where it stands as it was sent.
    sent: Vec<String>,
    /// Where a processor put it since another partition owns its order: by the id of that record.
    forwarded: BTreeMap<String, Vec<String>>,
    /// Types of the events of orders that it led to.
    led_to: BTreeMap<String, u64>,
    /// Events of the store that it led to.
    steps: u64,
}

/// All commands.
#[derive(Debug, Default)]
pub(super) struct Commands {
    commands: HashMap<Identity, Command>,
    /// Records that say nothing of themselves, by position.
    nameless: Vec<String>,
    /// Refusals and dead letters, by the position of what they are about.
    answers: HashMap<String, Vec<String>>,
}

impl Commands {
    /// Takes a record of the commands' topic.
    pub(super) fn take(&mut self, position: String, key: Option<&str>, value: &[u8]) {
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(value) else { return self.nameless.push(position) };
        if body.contains_key("specversion") && body.contains_key("data") {
            if let Some(event) = Event::of(Value::Object(body)) {
                let command = self.commands.entry((event.subject, event.correlation)).or_default();
                command.forwarded.entry(event.id).or_default().push(position);
            } else {
                self.nameless.push(position);
            }
            return;
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(kind), Some(order)) = (text("type"), text("orderId").or(key)) else { return self.nameless.push(position) };
        let id = text("commandId").unwrap_or(&position).to_owned();
        let command = self.commands.entry((order.to_owned(), id)).or_default();
        kind.clone_into(&mut command.kind);
        command.sent.push(position);
    }

    /// Takes an event about an order.
    pub(super) fn led_to(&mut self, event: &Event) {
        let command = self.commands.entry((event.subject.clone(), event.correlation.clone())).or_default();
        *command.led_to.entry(event.kind.clone()).or_default() += 1;
    }

    /// Takes an event of the store that a command led to.
    pub(super) fn stepped(&mut self, event: &Event) {
        self.commands.entry((event.subject.clone(), event.correlation.clone())).or_default().steps += 1;
    }

    /// Takes a refusal.
    pub(super) fn refused(&mut self, event: &Event) {
        let about = event.text("position").unwrap_or_default().to_owned();
        self.answers.entry(about).or_default().push(event.text("reason").unwrap_or_default().to_owned());
    }

    /// Takes a dead letter.
    pub(super) fn unreadable(&mut self, event: &Event) {
        let (topic, error) = (event.text("topic").unwrap_or_default(), event.text("error").unwrap_or_default());
        let (partition, offset) = (event.number("partition").unwrap_or(-1), event.number("offset").unwrap_or(-1));
        self.answers.entry(format!("{topic}/{partition}/{offset}")).or_default().push(format!("dead letter: {error}"));
    }

    /// Returns how often a command was put on record.
    pub(super) fn on_record(&self, order: &str, id: &str) -> usize {
        self.commands.get(&(order.to_owned(), id.to_owned())).map_or(0, |command| command.sent.len())
    }

    /// Returns the ids of all commands that are on record, and of which order.
    pub(super) fn identities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.commands.keys().map(|(order, id)| (order.as_str(), id.as_str()))
    }

    /// Returns how many records of commands there are.
    pub(super) fn records(&self) -> usize {
        self.nameless.len() + self.commands.values().map(|command| command.sent.len()).sum::<usize>()
    }

    pub(super) fn judge(&self, verdicts: &mut Verdicts) {
        let answers = |position: &String| self.answers.get(position).map_or(&[][..], Vec::as_slice);
        let mut accounted: u64 = 0;
        for position in &self.nameless {
            let found = answers(position);
            accounted += found.len() as u64;
            verdicts.check(Law::OneOutcome, found.len() == 1, || format!("{position}, which nobody can read, has {} outcomes: {found:?}", found.len()));
        }
        for ((order, id), command) in &self.commands {
            let given: Vec<&String> = command.sent.iter().chain(command.forwarded.values().flatten()).flat_map(answers).collect();
            accounted += given.len() as u64;
            let is_each_answered_once = command.sent.iter().all(|position| answers(position).len() <= 1)
                && command.forwarded.values().all(|positions| positions.iter().map(|position| answers(position).len()).sum::<usize>() <= 1);
            let obeyed = command.obeyed();
            let outcomes = given.len() as u64 + obeyed;
            let holds = is_each_answered_once && obeyed <= 1 && outcomes == command.sent.len() as u64 && command.is_done(!given.is_empty());
            verdicts.check(Law::OneOutcome, holds, || {
                let Command { kind, sent, forwarded, led_to, steps } = command;
                format!("{kind} {id} of {order}, sent {} times: obeyed {obeyed} times, refused {given:?}; at {sent:?}, forwarded {forwarded:?}, led to {led_to:?}, {steps} steps", sent.len())
            });
        }
        let all: u64 = self.answers.values().map(|answers| answers.len() as u64).sum();
        verdicts.check(Law::OneOutcome, all == accounted, || {
            let strange = self.answers.iter().filter(|(position, _)| !self.is_about_a_command(position)).take(10).collect::<Vec<_>>();
            format!("{} refusals and dead letters are about no command: {strange:?}", all - accounted)
        });
    }

    fn is_about_a_command(&self, position: &String) -> bool {
        let has = |command: &Command| command.sent.contains(position) || command.forwarded.values().any(|positions| positions.contains(position));
        self.nameless.contains(position) || self.commands.values().any(has)
    }
}

impl Command {
    fn count(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.led_to.get(*kind)).sum()
    }

    /// Returns how often it was obeyed: by what it leads to once.
    fn obeyed(&self) -> u64 {
        match self.kind.as_str() {
            "PlaceOrder" => self.count(&["OrderRequested"]),
            // While the breaker is open there is no attempt, but an answer.
            "PayOrder" => self.count(&["PaymentAttemptStarted"]).max(u64::from(self.is_answered())),
            "CancelOrder" => self.count(&["OrderCancelled"]),
            "AcceptOrder" | "StartCooking" | "StartDelivery" | "CompleteDelivery" => self.count(&["OrderStatusChanged"]),
            "DeclineOrder" => self.count(&["OrderRejected"]),
            _ => 0,
        }
    }

    /// Whether who sent it was told what became of it.
    fn is_answered(&self) -> bool {
        self.count(&["OrderPlaced", "OrderRejected", "PaymentDeferred", "PaymentAbandoned"]) > 0
    }

    fn is_done(&self, is_refused: bool) -> bool {
        match self.kind.as_str() {
            "PlaceOrder" | "PayOrder" => self.obeyed() == 0 || self.is_answered(),
            "CancelOrder" => true,
            // The store goes a step once; the front follows, or refuses what crossed a cancellation.
            _ => self.steps <= 1 && self.steps >= self.obeyed() && (self.steps == self.obeyed() || is_refused),
        }
    }
}
