//! Whether the program that takes a task over is one for the state that the task has.
//!
//! Its answer rests on two things. The state itself says which stores, timers and calls are alive. And an entry of its own, the *schema*, says for how many partitions the state was written, what
//! each store is keyed by, and which version a program must know to read it. It is journaled with the first transaction of a program that says something new, restored with the rest, and
//! carried by snapshots; programs that know nothing of it keep it as it is. It only ever asks for more, as long as a store has entries: so whoever comes later is told what anybody before
//! has written.
//!
//! A program that is refused changes nothing: it is asked before it writes its fence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Stop, Task};
use crate::journal::JournalRecord;
use crate::processor::StateReader;
use crate::state::{Change, StateError, keys};
use crate::topology::ProcessorSpec;

/// The layout of entries that this program writes (see [`crate::state::keys`]): a program that does not know it is refused.
const LAYOUT: u32 = 1;

/// Why a program cannot take over a task, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// A newer program wrote the state, and says that this one cannot read it.
    #[error("the state of processor `{processor}` has layout {written}, this program reads layout {LAYOUT}: run a newer program")]
    Layout {
        /// Processor.
        processor: String,
        /// Layout in which the state was written.
        written: u32,
    },
    /// What the state was written by cannot be read.
    #[error("the schema of the state of processor `{processor}` cannot be read ({detail}): run the program that wrote it")]
    Unreadable {
        /// Processor.
        processor: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Keys belong to other partitions than when the state was written.
    #[error(
        "the state of processor `{processor}` ({}) was written for {written} partitions, its topics have {found}: give them {written} again, or delete the topics of the application with the state",
        named(stores)
    )]
    Partitions {
        /// Processor.
        processor: String,
        /// Stores with entries.
        stores: Vec<String>,
        /// Number of partitions for which it was written.
        written: u32,
        /// Number of partitions that there are.
        found: u32,
    },
    /// A store is gone that has entries.
    #[error(
        "store `{store}` of processor `{processor}` has entries (such as `{key}`), and this program has no such store: give a renamed store its old name, or run a program first that deletes the entries"
    )]
    StoreGone {
        /// Processor.
        processor: String,
        /// Store.
        store: String,
        /// Key of an entry.
        key: String,
    },
    /// A store with entries is keyed by something else.
    #[error(
        "store `{store}` of processor `{processor}` has entries that are keyed by `{written}`, this program keys them by `{declared}`: call what is keyed otherwise another store"
    )]
    Key {
        /// Processor.
        processor: String,
        /// Store.
        store: String,
        /// What its entries are keyed by.
        written: String,
        /// What the program keys them by.
        declared: String,
    },
    /// A newer program wrote values that this one cannot read.
    #[error(
        "store `{store}` of processor `{processor}` holds values of version {written}, which programs read that know version {readable_from}; this one knows version {known}: run a newer program"
    )]
    Version {
        /// Processor.
        processor: String,
        /// Store.
        store: String,
        /// Newest version that was written.
        written: u32,
        /// What a program must know to read it.
        readable_from: u32,
        /// What this one knows.
        known: u32,
    },
    /// A timer is set that the program does not know.
    #[error(
        "processor `{processor}` has timers `{timer}` pending (such as that of `{key}`), and this program has no such timer: let it know the name until the last one has fired"
    )]
    TimerGone {
        /// Processor.
        processor: String,
        /// Name of the timer.
        timer: String,
        /// Key of one that is pending.
        key: String,
    },
    /// A call waits for its answer that the program does not make.
    #[error(
        "processor `{processor}` waits for the answer to call `{id}` to `{target}`, and this program does not call `{target}`: let it know the name until the last answer has come"
    )]
    CallGone {
        /// Processor.
        processor: String,
        /// Outside system.
        target: String,
        /// Id of the call.
        id: String,
    },
}

/// What the state of a task was written by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    layout: u32,
    partitions: u32,
    stores: BTreeMap<String, Written>,
}

/// What a store was written by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    version: u32,
    readable_from: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
}

/// The schema entry: as it stands in the state, and as it must be before this program writes anything.
#[derive(Debug, Default)]
pub(super) struct SchemaEntry {
    pub(super) recorded: Option<Vec<u8>>,
    wanted: Option<Vec<u8>>,
}

impl SchemaEntry {
    /// Returns the change that the next transaction must carry, if there is one.
    pub(super) fn change(&self) -> Option<Change> {
        self.wanted.clone().filter(|wanted| self.recorded.as_ref() != Some(wanted)).map(|wanted| (keys::schema(), Some(wanted)))
    }
}

impl Task {
    /// Checks that this program can go on with the state as the journal says so far, and change it. Ask before [`Task::fence`]: a program that is refused is to change nothing.
    ///
    /// # Errors
    /// [`Stop::Incompatible`] naming the processor and the store, [`Stop::State`].
    pub fn check_compatible(&mut self) -> Result<(), Stop> {
        self.flush()?;
        let alive = alive(&*self.store, b'u')?;
        let written = match &self.schema.recorded {
            Some(bytes) => Some(read(&self.spec.name, bytes)?),
            None => None,
        };
        if let Some(written) = &written {
            self.check_written(written, &alive)?;
        }
        let processor = || self.spec.name.clone();
        if let Some((store, key)) = alive.iter().find(|(name, _)| !self.spec.stores.iter().any(|store| store.name() == name.as_str())) {
            return Err(Incompatible::StoreGone { processor: processor(), store: store.clone(), key: key.clone() }.into());
        }
        if let Some(known) = self.spec.logic.timers()
            && let Some((timer, key)) = alive_timers(&*self.store)?.into_iter().find(|(name, _)| !known.contains(name))
        {
            return Err(Incompatible::TimerGone { processor: processor(), timer, key }.into());
        }
        if let Some(call) = self.calls.values().find(|call| !self.spec.calls.contains(&call.target)) {
            return Err(Incompatible::CallGone { processor: processor(), target: call.target.clone(), id: call.id.clone() }.into());
        }
        let wanted = wanted(&self.spec, self.partitions, written.unwrap_or_default(), &alive);
        self.schema.wanted = Some(serde_json::to_vec(&wanted).unwrap_or_else(|error| panic!("schema serializes: {error}")));
        Ok(())
    }

    fn check_written(&self, schema: &Schema, alive: &BTreeMap<String, String>) -> Result<(), Incompatible> {
        let processor = || self.spec.name.clone();
        if schema.layout > LAYOUT {
            return Err(Incompatible::Layout { processor: processor(), written: schema.layout });
        }
        if schema.partitions != self.partitions {
            let stores = alive.keys().cloned().collect();
            return Err(Incompatible::Partitions { processor: processor(), stores, written: schema.partitions, found: self.partitions });
        }
        for store in self.spec.stores.iter().filter(|store| alive.contains_key(store.name())) {
            let Some(written) = schema.stores.get(store.name()) else { continue };
            let name = store.name().to_owned();
            if !written.key.is_empty() && !store.key().is_empty() && written.key != store.key() {
                let (written, declared) = (written.key.clone(), store.key().to_owned());
                return Err(Incompatible::Key { processor: processor(), store: name, written, declared });
            }
            if written.readable_from > store.version() {
                let Written { version, readable_from, .. } = *written;
                return Err(Incompatible::Version { processor: processor(), store: name, written: version, readable_from, known: store.version() });
            }
        }
        Ok(())
    }

    /// Checks that a transaction writes only what the topology names: anything else would be refused at the next start, when it is too late.
    pub(super) fn check_declared(&self, changes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Result<(), Stop> {
        let undeclared = |what: String| Stop::Undeclared { processor: self.spec.name.clone(), what };
        let mut timers = BTreeSet::new();
        for (key, _) in changes.iter().filter(|(_, value)| value.is_some()) {
            match key.split_first() {
                Some((b'u', rest))
                    if !self.spec.stores.iter().any(|store| rest.strip_prefix(store.name().as_bytes()).is_some_and(|rest| rest.first() == Some(&0))) =>
                {
                    return Err(undeclared(format!("store `{}`", first_part(rest))));
                }
                Some((b'i', rest)) => drop(timers.insert(first_part(rest))),
                _ => {}
            }
        }
        if timers.is_empty() {
            return Ok(());
        }
        let known = self.spec.logic.timers();
        let unknown = timers.into_iter().find(|timer| known.as_ref().is_some_and(|known| !known.contains(timer)));
        unknown.map_or(Ok(()), |timer| Err(undeclared(format!("timer `{timer}`"))))
    }
}

/// Returns for how many partitions a task's state was written, if this record of its journal says so.
pub(crate) fn partitions_written(record: &[u8]) -> Option<u32> {
    let Ok(JournalRecord::Transaction(transaction)) = JournalRecord::decode(record) else { return None };
    let changed = transaction.changes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let kept = transaction.kept.iter().flat_map(|kept| &kept.entries).map(|(key, value)| (key, value));
    let schema = changed.chain(kept).find(|(key, _)| **key == keys::schema())?.1;
    serde_json::from_slice::<Schema>(schema).ok().map(|schema| schema.partitions)
}

fn named(stores: &[String]) -> String {
    match stores {
        [] => "it has no entries in stores".to_owned(),
        [store] => format!("store `{store}`"),
        stores => format!("stores {}", stores.iter().map(|store| format!("`{store}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn read(processor: &str, bytes: &[u8]) -> Result<Schema, Incompatible> {
    serde_json::from_slice(bytes).map_err(|error| Incompatible::Unreadable { processor: processor.to_owned(), detail: error.to_string() })
}

/// Returns what must be written down before this program writes. Of stores without entries it does not matter who wrote them before.
fn wanted(spec: &ProcessorSpec, partitions: u32, written: Schema, alive: &BTreeMap<String, String>) -> Schema {
    let stores = spec.stores.iter().map(|store| {
        let before = written.stores.get(store.name()).filter(|_| alive.contains_key(store.name())).cloned().unwrap_or_default();
        let key = if store.key().is_empty() { before.key } else { store.key().to_owned() };
        let now = Written { version: store.version().max(before.version), readable_from: store.readable_from().max(before.readable_from), key };
        (store.name().to_owned(), now)
    });
    Schema { layout: LAYOUT, partitions, stores: stores.collect() }
}

/// Returns the first part of each key of a family, with what follows it in the first such key. It looks at one entry of each, so it costs nothing however many there are.
fn alive(store: &dyn StateReader, family: u8) -> Result<BTreeMap<String, String>, StateError> {
    let (mut from, to) = keys::family(family);
    let mut found = BTreeMap::new();
    while let Some((key, _)) = store.range(&from, &to, 1)?.into_iter().next() {
        let name_end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
        found.insert(first_part(&key[1..]), String::from_utf8_lossy(key.get(name_end + 1..).unwrap_or_default()).into_owned());
        from = keys::after_prefix(&[&key[..name_end], &[0]].concat());
    }
    Ok(found)
}

/// Returns the names of timers that are set, each with the key of one of them.
fn alive_timers(store: &dyn StateReader) -> Result<BTreeMap<String, String>, StateError> {
    alive(store, b'i')
}

fn first_part(rest: &[u8]) -> String {
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}
