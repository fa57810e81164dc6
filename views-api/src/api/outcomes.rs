//! Who waits for the outcome of which command.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fluvio_streams::envelope::{self, Format, Message};
use fluvio_streams::log::Fetched;
use fluvio_streams::record::Position;
use fluvio_streams::system::{Outcome, System};
use serde_json::Value;
use tokio::sync::oneshot;

/// What became of a command.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) outcome: Outcome,
    /// Reason code, if the outcome has one.
    pub(super) reason: Option<String>,
    /// A sentence for people, if the event has one.
    pub(super) detail: Option<String>,
    /// Where the event stands that says so.
    pub(super) position: Position,
}

struct Waiter {
    number: u64,
    command: &'static str,
    subject: String,
    sender: oneshot::Sender<Decision>,
}

#[derive(Default)]
struct State {
    by_correlation: HashMap<String, Vec<Waiter>>,
    registered: u64,
}

/// The waiting requests of a system, by correlation id.
pub(super) struct Waiters {
    system: System,
    /// Dead letters are about a record, not about an aggregate: their subject is its position.
    dead_letter_topics: Vec<String>,
    state: Mutex<State>,
}

/// A request that waits; it is forgotten when this is dropped.
pub(super) struct Registration {
    waiters: Arc<Waiters>,
    correlation: String,
    number: u64,
    receiver: oneshot::Receiver<Decision>,
}

impl Waiters {
    pub(super) fn of(system: &System) -> Self {
        let dead_letter_topics = system.topology.processors.iter().map(|processor| processor.dead_letters.clone()).collect();
        Self { system: system.clone(), dead_letter_topics, state: Mutex::default() }
    }

    /// Begins to wait. Must come before the command is sent: its outcome may be there before the acknowledgement.
    pub(super) fn register(self: &Arc<Self>, correlation: &str, command: &'static str, subject: &str) -> Registration {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        state.registered += 1;
        let number = state.registered;
        let waiter = Waiter { number, command, subject: subject.to_owned(), sender };
        state.by_correlation.entry(correlation.to_owned()).or_default().push(waiter);
        drop(state);
        Registration { waiters: Arc::clone(self), correlation: correlation.to_owned(), number, receiver }
    }

    /// Looks for outcomes among records. While nobody waits it does not even read them: an outcome comes after its command, which comes after the registration.
    pub(super) fn take(&self, topic: &str, partition: u32, fetched: Fetched) {
        for record in fetched.records {
            if self.lock().by_correlation.is_empty() {
                return;
            }
            let position = Position { topic: topic.to_owned(), partition, offset: record.offset };
            // What is no event decides nothing; whoever owns the topic says so in the dead letters.
            if let Ok(event) = envelope::read(Format::Event, position, record.key.as_deref(), &record.value, record.timestamp_ms) {
                self.complete(&event);
            }
        }
    }

    fn complete(&self, event: &Message) {
        let mut state = self.lock();
        let Some(waiters) = state.by_correlation.get_mut(&event.correlation) else { return };
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else { return };
        // Two senders may use one command id for two aggregates.
        let names_other = |waiter: &Waiter| {
            event.subject.as_ref().is_some_and(|subject| *subject != waiter.subject) && !self.dead_letter_topics.contains(&event.position.topic)
        };
        let mut waiting = Vec::new();
        for waiter in waiters.drain(..) {
            let outcome = if names_other(&waiter) { None } else { (self.system.outcome)(waiter.command, &event.kind, &data) };
            match outcome {
                Some((outcome, reason)) => {
                    let detail = ["detail", "error"].iter().find_map(|name| data.get(name)?.as_str()).map(str::to_owned);
                    // The request may have gone away in this moment.
                    let _ = waiter.sender.send(Decision { outcome, reason, detail, position: event.position.clone() });
                }
                None => waiting.push(waiter),
            }
        }
        match waiting.is_empty() {
            true => drop(state.by_correlation.remove(&event.correlation)),
            false => *waiters = waiting,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Waits for the outcome. Cancel-safe.
    pub(super) async fn decided(&mut self) -> Decision {
        match (&mut self.receiver).await {
            Ok(decision) => decision,
            // The sender lives in the waiters until it is used: an error here means that the decision was taken before.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        if let Some(waiters) = state.by_correlation.get_mut(&self.correlation) {
            waiters.retain(|waiter| waiter.number != self.number);
            if waiters.is_empty() {
                state.by_correlation.remove(&self.correlation);
            }
        }
    }
}
