//! The topology as data: which processors an application has, what they read, write and keep, and how a reader fails.
//!
//! The runtime runs it, the test driver runs it, `orderflow topology` prints it: there is no second description.

mod print;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::envelope::Format;
use crate::processor::Processor;

pub use store::StoreSpec;
pub(crate) use store::is_versioned;

/// What the broker is asked to send of a topic: the rest arrives as stubs of a few bytes, so that offsets stay dense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// Records of these types.
    Types(Vec<String>),
    /// Everything but these types, also what cannot be read; without a type, everything as it is. Exactly one reader of a topic that people write to has this, so that garbage is dead-lettered once.
    Except(Vec<String>),
    /// Records of these types without the members of these names, wherever in a record they stand: for readers that have no business with personal data. What they do not get,
    /// they can neither keep nor lose.
    Redacted {
        /// Types.
        types: Vec<String>,
        /// Names of the members that are taken out.
        fields: Vec<String>,
    },
}

impl Routing {
    /// Returns true if a record of this type is sent whole.
    pub fn passes(&self, kind: Option<&str>) -> bool {
        match (self, kind) {
            (Self::Types(types) | Self::Redacted { types, .. }, Some(kind)) => types.iter().any(|name| name == kind),
            (Self::Types(_) | Self::Redacted { .. }, None) => false,
            (Self::Except(types), Some(kind)) => !types.iter().any(|name| name == kind),
            (Self::Except(_), None) => true,
        }
    }

    /// Returns the parameter that lists no name, if there is one. To leave out nothing is no such list: it is how the only reader of a topic reads.
    fn empty_list(&self) -> Option<&'static str> {
        if matches!(self, Self::Except(types) if types.is_empty()) {
            return None;
        }
        let is_empty = |list: &str| list.split(',').all(|name| name.trim().is_empty());
        self.parameters().into_iter().find(|(_, list)| is_empty(list)).map(|(parameter, _)| parameter)
    }

    /// Returns the parameters of the SmartModule, `thin-map` or `redact-map`: (`types`, `except` or `redact`, comma-separated names).
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Types(types) => vec![("types", types.join(","))],
            Self::Except(types) => vec![("except", types.join(","))],
            Self::Redacted { types, fields } => vec![("types", types.join(",")), ("redact", fields.join(","))],
        }
    }
}

/// The value that stands for a record which routing left out.
pub const STUB: &[u8] = b"\0thinned";

/// What happens to a record that cannot be read or whose handler fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorPolicy {
    /// To the dead letters with its place and error. The usual choice.
    DeadLetter,
    /// Counted and skipped.
    Skip,
    /// The task stops and says where.
    Fail,
}

/// A topic that a processor reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// Topic name.
    pub topic: String,
    /// How its records are read.
    pub format: Format,
    /// What the broker sends of it.
    pub routing: Routing,
    /// What happens to a record that cannot be read.
    pub on_error: ErrorPolicy,
}

impl Source {
    /// Returns a source of events of these types; what cannot be read is dead-lettered.
    pub fn events(topic: &str, types: &[&str]) -> Self {
        Self { topic: topic.to_owned(), format: Format::Event, routing: Routing::Types(names(types)), on_error: ErrorPolicy::DeadLetter }
    }

    /// Returns a source of events of these types without these members, wherever in them they stand; what cannot be read is not seen at all.
    pub fn redacted_events(topic: &str, types: &[&str], fields: &[&str]) -> Self {
        Self { routing: Routing::Redacted { types: names(types), fields: names(fields) }, ..Self::events(topic, types) }
    }

    /// Returns a source of commands, keyed by `subject_field`; what cannot be read is dead-lettered.
    pub fn commands(topic: &str, subject_field: &'static str, routing: Routing) -> Self {
        Self { topic: topic.to_owned(), format: Format::Command { subject_field }, routing, on_error: ErrorPolicy::DeadLetter }
    }
}

/// Returns owned copies of names.
pub fn names(types: &[&str]) -> Vec<String> {
    types.iter().map(|name| (*name).to_owned()).collect()
}

/// One processor of an application.
#[derive(Clone)]
pub struct ProcessorSpec {
    /// Name within the application, for example `orders`.
    pub name: String,
    /// Topics that it reads; all have the same number of partitions.
    pub sources: Vec<Source>,
    /// Topics that it writes.
    pub sinks: Vec<String>,
    /// Topic of its journal, which it alone writes.
    pub journal: String,
    /// Its state stores. Nothing can be kept in others.
    pub stores: Vec<StoreSpec>,
    /// Names of the outside systems that it calls.
    pub calls: Vec<String>,
    /// Topic for commands that the business refuses.
    pub rejections: String,
    /// Topic for records that nobody could read or handle.
    pub dead_letters: String,
    /// What it does with an input.
    pub logic: Arc<dyn Processor>,
}

impl std::fmt::Debug for ProcessorSpec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ProcessorSpec").field("name", &self.name).field("sources", &self.sources).field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

/// An application: its processors, wired by topics.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Application name, for example `food-delivery`.
    pub application: String,
    /// Its processors.
    pub processors: Vec<ProcessorSpec>,
}

/// Why a topology cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Two processors share a name or a journal.
    #[error("processors of `{application}` share the name or journal `{name}`")]
    Duplicate {
        /// Application.
        application: String,
        /// What is there twice.
        name: String,
    },
    /// A processor reads nothing.
    #[error("processor `{processor}` reads no topic")]
    NoSource {
        /// Processor.
        processor: String,
    },
    /// A processor names a store twice.
    #[error("processor `{processor}` names store `{store}` twice")]
    StoreTwice {
        /// Processor.
        processor: String,
        /// Store.
        store: String,
    },
    /// A processor names one topic as a source twice.
    #[error("processor `{processor}` reads topic `{topic}` twice")]
    SourceTwice {
        /// Processor.
        processor: String,
        /// Topic.
        topic: String,
    },
    /// A source is routed by a list without a name: the SmartModule would refuse it, and such a list says nothing that somebody can have meant.
    #[error("processor `{processor}` reads topic `{topic}` by an empty list `{list}`")]
    EmptyRouting {
        /// Processor.
        processor: String,
        /// Topic.
        topic: String,
        /// Parameter of the SmartModule: `types`, `except` or `redact`.
        list: &'static str,
    },
}

impl Topology {
    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// [`TopologyError`] naming the processor and the topic.
    pub fn check(&self) -> Result<(), TopologyError> {
        let mut seen = BTreeSet::new();
        for processor in &self.processors {
            for name in [&processor.name, &processor.journal] {
                if !seen.insert(name.clone()) {
                    return Err(TopologyError::Duplicate { application: self.application.clone(), name: name.clone() });
                }
            }
            if processor.sources.is_empty() {
                return Err(TopologyError::NoSource { processor: processor.name.clone() });
            }
            let mut stores = BTreeSet::new();
            if let Some(store) = processor.stores.iter().find(|store| !stores.insert(store.name())) {
                return Err(TopologyError::StoreTwice { processor: processor.name.clone(), store: store.name().to_owned() });
            }
            let mut topics = BTreeSet::new();
            for source in &processor.sources {
                if !topics.insert(&source.topic) {
                    return Err(TopologyError::SourceTwice { processor: processor.name.clone(), topic: source.topic.clone() });
                }
                if let Some(list) = source.routing.empty_list() {
                    return Err(TopologyError::EmptyRouting { processor: processor.name.clone(), topic: source.topic.clone(), list });
                }
            }
        }
        Ok(())
    }

    /// Returns every topic that the application reads or writes, sorted.
    pub fn topics(&self) -> BTreeSet<String> {
        let mut topics = BTreeSet::new();
        for processor in &self.processors {
            topics.extend(processor.sources.iter().map(|source| source.topic.clone()));
            topics.extend(processor.sinks.iter().cloned());
            topics.extend([processor.journal.clone(), processor.rejections.clone(), processor.dead_letters.clone()]);
        }
        topics
    }
}

#[cfg(test)]
mod tests;
