//! What a processor may ask for and do while it takes one input.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Call, Failure, Timer};
use crate::envelope::{Event, Message, event_id};
use crate::guard::{BreakerChange, PartnerAnswer};
use crate::partitioner::partition_for;
use crate::state::{StateError, keys};
use crate::topology::StoreSpec;
use crate::trace::{InputTraced, Origin, Trace, TraceContext, span_of_input};

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Reads committed entries and those of the transaction under construction.
pub trait StateReader {
    /// Returns the entry, if there is one.
    ///
    /// # Errors
    /// [`StateError::Store`] if the store fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Returns up to `limit` entries with `from <= key < to` in key order.
    ///
    /// # Errors
    /// [`StateError::Store`] if the store fails.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StateError>;
}

/// An event for another topic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Effect {
    /// Target topic.
    pub topic: String,
    /// Target partition.
    pub partition: u32,
    /// What is written.
    pub event: Event,
}

/// What one input has changed so far. Dropped if the input fails.
#[derive(Debug, Default)]
pub struct Draft {
    /// Entry changes; the last one of a key counts.
    pub changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Effects in order.
    pub effects: Vec<Effect>,
    /// What breakers did, in order: for telemetry, once the rest is committed.
    pub(crate) breaker_changes: Vec<BreakerChange>,
    /// The input, for telemetry, if anybody wants to know.
    pub(crate) traced: Option<InputTraced>,
    /// What partners answered: for telemetry, too.
    pub(crate) partner_answers: Vec<PartnerAnswer>,
}

/// The world as a processor sees it while it takes one input.
pub struct Context<'a> {
    pub(crate) state: &'a dyn StateReader,
    pub(crate) draft: Draft,
    pub(crate) now_ms: i64,
    pub(crate) partition: u32,
    pub(crate) partitions: u32,
    pub(crate) causation: String,
    pub(crate) correlation: String,
    trace: Trace,
    pub(crate) identity: String,
    stores: &'a [StoreSpec],
    transaction: Place<'a>,
}

/// Where the effects of an input will stand in the journal.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) journal: &'a str,
    pub(crate) sequence: u64,
    /// Effects of the inputs before it in the same transaction.
    pub(crate) effects_before: usize,
}

impl<'a> Context<'a> {
    /// Returns a context for one input over `state`. `identity` is unique to the input for ever: ids are derived from it.
    pub fn new(state: &'a dyn StateReader, now_ms: i64, partition: u32, partitions: u32, identity: String) -> Self {
        let (causation, correlation, transaction) = (identity.clone(), identity.clone(), Place::default());
        let trace = Trace::of(&correlation);
        Self { state, draft: Draft::default(), now_ms, partition, partitions, causation, correlation, trace, identity, stores: &[], transaction }
    }

    /// Reads and writes values as these stores say; those of others are of version 1.
    #[must_use]
    pub fn with_stores(mut self, stores: &'a [StoreSpec]) -> Self {
        self.stores = stores;
        self
    }

    fn spec(&self, store: &str) -> Option<&'a StoreSpec> {
        self.stores.iter().find(|spec| spec.name() == store)
    }

    pub(crate) fn in_transaction(mut self, transaction: Place<'a>) -> Self {
        self.transaction = transaction;
        self
    }

    pub(crate) fn caused_by(mut self, causation: &str, correlation: &str, trace: Trace) -> Self {
        causation.clone_into(&mut self.causation);
        correlation.clone_into(&mut self.correlation);
        self.trace = trace;
        self
    }

    /// Returns what the input has changed.
    pub fn into_draft(self) -> Draft {
        self.draft
    }

    /// Returns the time of this step, ms since the Unix epoch. It is journaled, never runs backwards within a task, and is the same when the step is replayed.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Returns the partition of this task.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Returns the number of partitions of the sources.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Returns the correlation id: that of the command at the root of the chain.
    pub fn correlation(&self) -> &str {
        &self.correlation
    }

    /// Goes on under another correlation id, in the same trace: what is emitted, set and called from here on carries it.
    pub fn set_correlation(&mut self, correlation: &str) {
        correlation.clone_into(&mut self.correlation);
    }

    /// Returns which command this goes back to: its correlation id and its trace.
    pub fn origin(&self) -> Origin {
        Origin { correlation: self.correlation.clone(), trace: self.trace }
    }

    /// Goes on as what goes back to another command: what is emitted, set and called from here on carries its correlation id and its trace.
    pub fn set_origin(&mut self, origin: &Origin) {
        origin.correlation.clone_into(&mut self.correlation);
        self.trace = origin.trace;
    }

    /// Returns the trace if it must be kept beside the correlation id.
    fn kept_trace(&self) -> Option<Trace> {
        self.trace.unless_of(&self.correlation)
    }

    /// Returns what timers and calls keep of the trace.
    fn kept_context(&self) -> Option<TraceContext> {
        self.kept_trace().map(|trace| trace.at(span_of_input(trace, self.transaction.journal, self.partition, &self.causation)))
    }

    /// Returns a new aggregate id `<prefix>-<...>` that Fluvio's default partitioner sends to this task's partition, derived from the input alone.
    pub fn assign_id(&self, prefix: &str) -> String {
        let seed = siphash(self.identity.as_bytes());
        (0u32..)
            .map(|attempt| format!("{prefix}-{:013x}", seed.wrapping_add(u64::from(attempt)) & 0x000f_ffff_ffff_ffff))
            .find(|id| partition_for(id.as_bytes(), self.partitions) == self.partition)
            .unwrap_or_else(|| unreachable!("some id of every few reaches every partition"))
    }

    /// Returns the value of `key` in `store`.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or the entry does not decode.
    pub fn get<T: DeserializeOwned>(&self, store: &str, key: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.raw_get(&keys::user(store, key))? else { return Ok(None) };
        decode(self.spec(store), key, &bytes).map(Some)
    }

    /// Writes the value of `key` in `store`.
    ///
    /// # Panics
    /// If the value does not serialize to JSON (a map with keys that are not strings).
    pub fn put<T: Serialize>(&mut self, store: &str, key: &str, value: &T) {
        let bytes = match self.spec(store) {
            Some(spec) => spec.encode(value),
            None => serde_json::to_vec(value).unwrap_or_else(|error| panic!("state of `{store}` serializes: {error}")),
        };
        self.draft.changes.insert(keys::user(store, key), Some(bytes));
    }

    /// Removes `key` from `store`.
    pub fn delete(&mut self, store: &str, key: &str) {
        self.draft.changes.insert(keys::user(store, key), None);
    }

    /// Returns up to `limit` entries of `store` whose key begins with `prefix` and is greater than `after` (if given), in key order.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or an entry does not decode.
    pub fn scan<T: DeserializeOwned>(&self, store: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, T)>, StateError> {
        let from = match after {
            Some(after) => [keys::user(store, after), vec![0]].concat(),
            None => keys::user(store, prefix),
        };
        let to = keys::after_prefix(&keys::user(store, prefix));
        let mut merged: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            self.state.range(&from, &to, limit + self.draft.changes.len())?.into_iter().map(|(key, value)| (key, Some(value))).collect();
        if from < to {
            merged.extend(self.draft.changes.range(from..to).map(|(key, value)| (key.clone(), value.clone())));
        }
        let spec = self.spec(store);
        let entries = merged.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        entries
            .take(limit)
            .map(|(key, value)| {
                let name = keys::user_key(store, &key);
                decode(spec, &name, &value).map(|value| (name, value))
            })
            .collect()
    }

    /// Returns the CloudEvents id that the event which is emitted next will have as a record. What a processor keeps under it commits together with the event: should the transaction not count,
    /// neither does, and whoever takes the input again is told the id of then. A context that no task has made (see [`Context::new`]) knows no journal, and its ids are unique within it only.
    pub fn next_event_id(&self) -> String {
        let Place { journal, sequence, effects_before } = self.transaction;
        event_id(journal, self.partition, sequence, (effects_before + self.draft.effects.len()) as u32)
    }

    /// Emits an event to `topic`, keyed by `subject`, which also chooses the partition.
    pub fn emit<T: Serialize>(&mut self, topic: &str, kind: &str, subject: &str, data: &T) {
        let partition = partition_for(subject.as_bytes(), self.partitions);
        self.emit_to(topic, partition, kind, subject, data);
    }

    /// Emits an event to a given partition of `topic`.
    ///
    /// # Panics
    /// If the data does not serialize to JSON.
    pub fn emit_to<T: Serialize>(&mut self, topic: &str, partition: u32, kind: &str, subject: &str, data: &T) {
        let data = serde_json::to_string(data).unwrap_or_else(|error| panic!("event `{kind}` serializes: {error}"));
        let (causation, correlation, trace) = (self.causation.clone(), self.correlation.clone(), self.kept_trace());
        let event = Event { kind: kind.to_owned(), subject: subject.to_owned(), causation, correlation, data, trace };
        self.draft.effects.push(Effect { topic: topic.to_owned(), partition, event });
    }

    /// Forwards a message unchanged to the partition of `topic` that owns `subject`.
    pub(crate) fn forward(&mut self, topic: &str, subject: &str, message: &Message) {
        let event = Event {
            kind: message.kind.clone(),
            subject: subject.to_owned(),
            causation: message.id.clone(),
            correlation: message.correlation.clone(),
            data: message.data.clone(),
            trace: message.trace.trace.unless_of(&message.correlation),
        };
        self.draft.effects.push(Effect { topic: topic.to_owned(), partition: partition_for(subject.as_bytes(), self.partitions), event });
    }

    /// Sets the timer (name, key) to fire once at `due_ms` or soon after; an earlier setting of it is replaced.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn set_timer(&mut self, name: &str, key: &str, due_ms: i64) -> Result<(), StateError> {
        self.cancel_timer(name, key)?;
        let timer = Timer { name: name.to_owned(), key: key.to_owned(), due_ms, correlation: self.correlation.clone(), trace: self.kept_context() };
        let bytes = serde_json::to_vec(&timer).unwrap_or_else(|error| panic!("timer serializes: {error}"));
        self.draft.changes.insert(keys::timer(due_ms, name, key), Some(bytes));
        self.draft.changes.insert(keys::timer_index(name, key), Some(due_ms.to_be_bytes().to_vec()));
        Ok(())
    }

    /// Cancels the timer (name, key), if it is set.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn cancel_timer(&mut self, name: &str, key: &str) -> Result<(), StateError> {
        let index = keys::timer_index(name, key);
        if let Some(due) = self.raw_get(&index)?.and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes) {
            self.draft.changes.insert(keys::timer(due, name, key), None);
            self.draft.changes.insert(index, None);
        }
        Ok(())
    }

    /// Asks for a call to an outside system once this step is committed. Its result comes back as [`super::Input::CallResult`], exactly once.
    ///
    /// # Panics
    /// If the request does not serialize to JSON.
    pub fn call<T: Serialize>(&mut self, target: &str, id: &str, request: &T) {
        let request = serde_json::to_string(request).unwrap_or_else(|error| panic!("request to `{target}` serializes: {error}"));
        let call = Call { id: id.to_owned(), target: target.to_owned(), request, correlation: self.correlation.clone(), trace: self.kept_context() };
        let bytes = serde_json::to_vec(&call).unwrap_or_else(|error| panic!("call serializes: {error}"));
        self.draft.changes.insert(keys::call(id), Some(bytes));
    }

    /// Returns true if the call is still waiting for its result.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn is_calling(&self, id: &str) -> Result<bool, StateError> {
        Ok(self.raw_get(&keys::call(id))?.is_some())
    }

    /// Adds to a total of this task, for example `captured_won`. Totals are part of the state: they survive what the state survives.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn add_total(&mut self, name: &str, amount: i64) -> Result<(), StateError> {
        if amount == 0 {
            return Ok(());
        }
        let total = self.total(name)?.saturating_add(amount);
        self.draft.changes.insert(keys::total(name), Some(total.to_be_bytes().to_vec()));
        Ok(())
    }

    /// Returns a total of this task.
    ///
    /// # Errors
    /// [`StateError`] if the store fails.
    pub fn total(&self, name: &str) -> Result<i64, StateError> {
        Ok(self.raw_get(&keys::total(name))?.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
    }

    /// Returns an entry, seeing this input's own changes.
    pub(crate) fn raw_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.draft.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.state.get(key),
        }
    }
}

fn decode<T: DeserializeOwned>(spec: Option<&StoreSpec>, key: &str, bytes: &[u8]) -> Result<T, StateError> {
    if let Some(spec) = spec {
        return spec.decode(key, bytes);
    }
    serde_json::from_slice(bytes).map_err(|error| StateError::Entry { key: key.to_owned(), detail: error.to_string() })
}

fn siphash(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Failure {
    /// Returns true if the failure is an outcome of the input rather than of the machine.
    pub fn is_outcome(&self) -> bool {
        !matches!(self, Self::State(_))
    }
}
