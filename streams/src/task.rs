//! A task: one processor on one partition. The unit of work, state and ownership, as a machine without input or output of its own.
//!
//! The life of a task: [`Task::open`] -> replay the journal ([`Task::replay`]) -> append [`Task::fence`] -> replay up to it -> [`Task::own`] -> then, as long as it owns:
//! [`Task::step`] makes a transaction, somebody appends it, [`Task::committed`] applies it and hands out its effects, [`Task::effects_sent`] hears of their acknowledgement.
//! The runner drives it over a real log, the test driver over a simulated one: both run exactly this code.
//!
//! Invariants kept here (ids as in ARCHITECTURE.md):
//! - `T1` a transaction counts only if it is acknowledged at the one offset at which it must land; any doubt ends the incarnation ([`Stop::Doubt`]).
//! - `T2` state, source progress and journal position change together.
//! - `T3` no effect and no call leaves before its transaction counts.
//! - `T4` what a sender sent twice is taken once.

mod outbox;
mod recovery;
mod run;
mod schema;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::guard::{BreakerChange, PartnerAnswer};
use crate::journal::{Cursor, Fence, JournalRecord};
use crate::processor::{Call, CallResult, Effect, Timer};
use crate::record::LogRecord;
use crate::state::store::Store;
use crate::state::{Change, StateError, keys};
use crate::telemetry::UnreadableReason;
use crate::topology::ProcessorSpec;
use crate::trace::InputTraced;

use outbox::Outbox;
use recovery::Progress;
use run::Pending;
pub use schema::Incompatible;
use schema::SchemaEntry;
pub(crate) use schema::partitions_written;
pub use snapshot::SnapshotPolicy;
use snapshot::Snapshots;

/// Why an incarnation of a task ends. The runner starts another one; what differs is how long it waits and how loudly it says so.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Another owner has taken over.
    #[error("epoch {epoch} belongs to another owner")]
    Fenced {
        /// Epoch in force.
        epoch: u64,
    },
    /// An append was not acknowledged where it had to land.
    #[error("append was acknowledged at offset {landed} instead of {expected}")]
    Doubt {
        /// Where it had to land.
        expected: i64,
        /// Where it did.
        landed: i64,
    },
    /// An append was acknowledged before the place at which it had to land: nothing but a broker that lost records which it had acknowledged explains that.
    #[error("append was acknowledged at offset {landed}, before {expected}: a broker lost acknowledged records of the journal")]
    JournalWentBack {
        /// Where it had to land.
        expected: i64,
        /// Where it did.
        landed: i64,
    },
    /// The fence of this incarnation was acknowledged, and is not there any more.
    #[error("fence was acknowledged at offset {fence}, and the journal ends at {end}: a broker lost acknowledged records of the journal")]
    FenceLost {
        /// Where it stood.
        fence: i64,
        /// One past the last record that there is.
        end: i64,
    },
    /// The local store is not a cache of this journal. It must be cleared.
    #[error("local store does not belong to the journal: {0}")]
    Diverged(String),
    /// The journal cannot be understood from its beginning: retention removed what the state rests on, or a newer program wrote it.
    #[error("journal is unusable: {0}")]
    Journal(String),
    /// Records of a source are missing.
    #[error("source `{topic}` went on at offset {got} instead of {expected}")]
    Gap {
        /// Source topic.
        topic: String,
        /// Next offset.
        expected: i64,
        /// What came.
        got: i64,
    },
    /// A sender speaks under a newer epoch with an older sequence number: a broker lost records that it had acknowledged.
    #[error("sender {sender} went back: a broker lost acknowledged records")]
    SenderWentBack {
        /// Journal and partition of the sender.
        sender: String,
    },
    /// A record could not be taken, and the source's policy is to fail.
    #[error("record {position} is unreadable: {detail}")]
    Policy {
        /// Place of the record.
        position: String,
        /// What is wrong with it.
        detail: String,
    },
    /// This program is not one for the state that the task has. Nothing was changed.
    #[error("this program cannot go on with the state: {0}")]
    Incompatible(#[from] Incompatible),
    /// The processor keeps something that the topology does not name.
    #[error("processor `{processor}` keeps what its topology does not name: {what}")]
    Undeclared {
        /// Processor.
        processor: String,
        /// Store or timer.
        what: String,
    },
    /// The local store failed.
    #[error("local store failed")]
    State(#[from] StateError),
}

impl Stop {
    /// Returns a name for labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::Doubt { .. } => "doubt",
            Self::JournalWentBack { .. } | Self::FenceLost { .. } => "journal_went_back",
            Self::Diverged(_) => "store_diverged",
            Self::Journal(_) => "journal_unusable",
            Self::Gap { .. } => "source_gap",
            Self::SenderWentBack { .. } => "sender_went_back",
            Self::Policy { .. } => "policy",
            Self::Incompatible(_) => "incompatible",
            Self::Undeclared { .. } => "undeclared",
            Self::State(_) => "store_failed",
        }
    }
}

/// An input of a run.
#[derive(Debug, Clone)]
pub enum Work {
    /// A record of a source, by index in the processor's sources.
    Record(usize, LogRecord),
    /// A timer that is due: its entry key, from [`Task::due_timers`].
    Timer(Vec<u8>),
    /// An outside system's answer.
    CallResult(CallResult),
}

/// What happened while a run was made: for telemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Inputs that had an effect.
    pub inputs: usize,
    /// Records dropped since they had been taken before.
    pub repeated: usize,
    /// Reason codes of refused commands.
    pub rejected: Vec<String>,
    /// Inputs that nobody could take.
    pub unreadable: Vec<UnreadableInput>,
    /// What breakers do, if the transaction is committed.
    pub breaker_changes: Vec<BreakerChange>,
    /// The inputs, if the transaction is committed and somebody wants to know ([`Task::with_traces`]).
    pub traced: Vec<InputTraced>,
    /// What partners answered, if the transaction is committed.
    pub partner_answers: Vec<PartnerAnswer>,
    /// Events by type, if the transaction is committed.
    pub emitted: BTreeMap<String, usize>,
}

/// An input that nobody could take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableInput {
    /// Index of its source; `None` for a timer or an answer.
    pub source: Option<usize>,
    /// Why.
    pub reason: UnreadableReason,
    /// True if it went to the dead letters.
    pub dead_lettered: bool,
}

/// An effect that may leave: its transaction counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Sequence number of its transaction.
    pub sequence: u64,
    /// Target topic.
    pub topic: String,
    /// Target partition.
    pub partition: u32,
    /// Record key.
    pub key: String,
    /// Record value.
    pub value: Vec<u8>,
}

/// What follows from a commit.
#[derive(Debug, Default)]
pub struct Committed {
    /// Effects to send, strictly in order per target partition.
    pub effects: Vec<Outgoing>,
    /// Calls to make.
    pub calls: Vec<Call>,
}

enum Phase {
    Replaying,
    Fencing,
    Owner { expected: i64 },
}

/// A task. See the module's description.
pub struct Task {
    spec: ProcessorSpec,
    application: String,
    partition: u32,
    partitions: u32,
    owner: String,
    store: Box<dyn Store>,
    phase: Phase,
    /// Where the journal has been read to.
    applied: Cursor,
    /// Where the fold of the replay stands: behind `applied` while only effects are collected.
    replay: Cursor,
    /// Hash of the record before `applied` in the journal; none while `replayed_last` is that record.
    fingerprint: Option<u64>,
    /// The last record of the replay that the store had not seen, not hashed yet: of all of them only the last one's hash is kept.
    replayed_last: Option<Bytes>,
    outbox: Outbox,
    snapshots: Snapshots,
    policy: SnapshotPolicy,
    /// Somebody wants to know what each input was.
    is_traced: bool,
    /// The replay begins in the middle, at the transaction with this sequence number: what it says of itself is believed.
    adopt: Option<u64>,
    timers: BTreeSet<Vec<u8>>,
    calls: BTreeMap<String, Call>,
    schema: SchemaEntry,
    totals: BTreeMap<String, i64>,
    source_offsets: Vec<i64>,
    /// Offsets of stubs and repeats that no transaction has recorded yet.
    unjournaled_inputs: usize,
    pending: Option<Pending>,
    last_time_ms: i64,
    replay_buffer: Vec<Change>,
}

impl Task {
    /// Opens a task on its store. `owner` is an incarnation: fresh at every call, never used again.
    ///
    /// # Errors
    /// [`Stop::State`].
    pub fn open(application: &str, spec: ProcessorSpec, partition: u32, partitions: u32, owner: String, mut store: Box<dyn Store>) -> Result<Self, Stop> {
        let progress = match Progress::load(&*store) {
            // Another program wrote the store, in its own way. It is a cache: the journal has it all.
            Err(StateError::Entry { .. }) => {
                store.clear()?;
                Progress::default()
            }
            loaded => loaded?,
        };
        let mut task = Self {
            source_offsets: vec![0; spec.sources.len()],
            application: application.to_owned(),
            spec,
            partition,
            partitions,
            owner,
            store,
            phase: Phase::Replaying,
            replay: progress.outbox.clone(),
            applied: progress.applied,
            fingerprint: progress.fingerprint,
            replayed_last: None,
            outbox: Outbox::new(progress.outbox, progress.sent),
            snapshots: progress.snapshots,
            policy: SnapshotPolicy::default(),
            is_traced: false,
            adopt: None,
            timers: BTreeSet::new(),
            calls: BTreeMap::new(),
            schema: SchemaEntry::default(),
            totals: BTreeMap::new(),
            unjournaled_inputs: 0,
            pending: None,
            last_time_ms: progress.time_ms,
            replay_buffer: Vec::new(),
        };
        task.load_mirrors()?;
        Ok(task)
    }

    /// Writes snapshots by another policy than the default.
    #[must_use]
    pub fn with_snapshots(mut self, policy: SnapshotPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Tells of each input in [`RunReport::traced`].
    #[must_use]
    pub fn with_traces(mut self, is_traced: bool) -> Self {
        self.is_traced = is_traced;
        self
    }

    /// Returns the processor.
    pub fn spec(&self) -> &ProcessorSpec {
        &self.spec
    }

    /// Returns the partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Returns the record that takes the task over. Append it, then [`Task::replay`] up to its offset, then [`Task::own`].
    ///
    /// Its epoch is the time, if that is greater than the one in force: should a broker lose acknowledged records, fences among them, then no epoch is used a second time for something else, and
    /// who has taken what was lost sees a newer epoch with an older sequence number.
    pub fn fence(&mut self, now_ms: i64) -> Vec<u8> {
        self.phase = Phase::Fencing;
        let restore_point = self.snapshots.restore_point(self.outbox.sent());
        JournalRecord::Fence(Fence { owner: self.owner.clone(), epoch: (self.applied.fold.epoch + 1).max(now_ms.unsigned_abs()), restore_point }).encode()
    }

    /// Begins to own the task, if the fence in force is this incarnation's.
    ///
    /// # Errors
    /// [`Stop::Fenced`] if somebody else's fence of the epoch was first, [`Stop::Incompatible`] as of [`Task::check_compatible`].
    pub fn own(&mut self) -> Result<Committed, Stop> {
        self.finish_replay()?;
        if self.applied.fold.owner != self.owner {
            return Err(Stop::Fenced { epoch: self.applied.fold.epoch });
        }
        self.check_compatible()?;
        self.phase = Phase::Owner { expected: self.applied.offset };
        Ok(Committed { effects: self.render(self.outbox.unsent_effects())?, calls: self.calls.values().cloned().collect() })
    }

    /// Returns the next offset to read of a source.
    pub fn source_offset(&self, source: usize) -> i64 {
        self.source_offsets[source]
    }

    /// Begins a source that was never read at `start`: its first record still held.
    pub fn begin_source(&mut self, source: usize, start: i64) {
        if self.source_offsets[source] == 0 {
            self.source_offsets[source] = start;
        }
    }

    /// Returns the entry `key` of a processor's `store`, as JSON, from the state as it is.
    ///
    /// # Errors
    /// [`Stop::State`].
    pub fn peek(&mut self, store: &str, key: &str) -> Result<Option<Vec<u8>>, Stop> {
        self.flush()?;
        let stored = self.store.get(&keys::user(store, key))?;
        match self.spec.stores.iter().find(|spec| spec.name() == store) {
            Some(spec) => Ok(stored.map(|stored| spec.json(key, stored)).transpose()?),
            None => Ok(stored),
        }
    }

    /// Returns the time of the last transaction that the state includes, ms since the Unix epoch.
    pub fn last_time_ms(&self) -> i64 {
        self.last_time_ms
    }

    /// Returns the due time of the earliest timer, ms since the Unix epoch.
    pub fn next_timer_due_ms(&self) -> Option<i64> {
        self.timers.first().and_then(|key| keys::timer_due_ms(key))
    }

    /// Returns timers that are due at `now_ms`, earliest first, at most [`crate::limits::TIMERS_FIRED_MAX`].
    pub fn due_timers(&self, now_ms: i64) -> Vec<Work> {
        let due = self.timers.iter().take_while(|key| keys::timer_due_ms(key).is_some_and(|due| due <= now_ms));
        due.take(crate::limits::TIMERS_FIRED_MAX).map(|key| Work::Timer(key.clone())).collect()
    }

    /// Returns the number of timers set.
    pub fn timers_pending(&self) -> usize {
        self.timers.len()
    }

    /// Returns the number of calls that wait for a result.
    pub fn calls_pending(&self) -> usize {
        self.calls.len()
    }

    /// Returns the totals by name.
    pub fn totals(&self) -> impl Iterator<Item = (&str, i64)> {
        self.totals.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Returns true if so many transactions wait for their effects to be acknowledged that no input may be taken.
    pub fn is_congested(&self) -> bool {
        self.outbox.len() >= crate::limits::TRANSACTIONS_UNSENT_MAX
    }

    /// Returns true if every effect has been acknowledged.
    pub fn is_drained(&self) -> bool {
        self.outbox.len() == 0
    }

    /// Hears that the broker acknowledged `count` more effects of transaction `sequence`.
    pub fn effects_sent(&mut self, sequence: u64, count: usize) {
        self.outbox.acknowledge(sequence, count);
    }

    /// Takes the acknowledgement of the pending transaction: applies it and returns what follows from it.
    ///
    /// # Errors
    /// [`Stop::Doubt`] or [`Stop::JournalWentBack`] if it did not land at the one offset at which it had to, [`Stop::State`] if the store fails.
    ///
    /// # Panics
    /// If no transaction is pending.
    pub fn committed(&mut self, landed: i64) -> Result<Committed, Stop> {
        let Phase::Owner { expected } = self.phase else { panic!("only an owner commits") };
        let pending = self.pending.take().unwrap_or_else(|| panic!("a transaction is pending"));
        if landed < expected {
            return Err(Stop::JournalWentBack { expected, landed });
        }
        if landed > expected {
            return Err(Stop::Doubt { expected, landed });
        }
        let Pending { mut transaction, fingerprint, bytes } = pending;
        self.snapshots.admit(landed, &transaction, bytes);
        let before = self.applied.clone();
        self.applied.offset = landed + 1;
        self.applied.fold.sequence = transaction.sequence;
        self.fingerprint = Some(fingerprint);
        self.last_time_ms = transaction.time_ms;
        self.phase = Phase::Owner { expected: landed + 1 };
        let calls = self.calls_of(&transaction.changes);
        self.mirror(&transaction.changes);
        let sequence = transaction.sequence;
        self.outbox.push(before, &mut transaction);
        let mut changes = transaction.changes;
        changes.push(self.progress().change());
        self.store.commit(changes)?;
        self.unjournaled_inputs = 0;
        Ok(Committed { effects: self.render(self.outbox.effects_of(sequence))?, calls })
    }

    /// Writes down how far effects are acknowledged, so that the next incarnation on this store does not repeat them. For an orderly stop.
    ///
    /// # Errors
    /// [`Stop::State`].
    pub fn close(mut self) -> Result<(), Stop> {
        let change = self.progress().change();
        Ok(self.store.commit(vec![change])?)
    }

    fn progress(&self) -> Progress {
        Progress {
            applied: self.applied.clone(),
            fingerprint: self.fingerprint,
            outbox: self.outbox.cursor(&self.applied),
            sent: self.outbox.sent(),
            time_ms: self.last_time_ms,
            snapshots: self.snapshots.clone(),
        }
    }

    /// Calls that a transaction adds.
    fn calls_of(&self, changes: &[Change]) -> Vec<Call> {
        let added = changes.iter().filter(|(key, _)| key.first() == Some(&b'c')).filter_map(|(_, value)| value.as_deref());
        added.filter_map(|bytes| serde_json::from_slice::<Call>(bytes).ok()).filter(|call| !self.calls.contains_key(&call.id)).collect()
    }

    /// Keeps the in-memory copies of timers, calls, totals and source progress in step with the entries.
    fn mirror(&mut self, changes: &[Change]) {
        for (key, value) in changes {
            self.mirror_entry(key, value.as_deref());
        }
    }

    fn mirror_entry(&mut self, key: &[u8], value: Option<&[u8]>) {
        match (key.first(), value) {
            (Some(b't'), Some(_)) => drop(self.timers.insert(key.to_vec())),
            (Some(b't'), None) => drop(self.timers.remove(key)),
            (Some(b'c'), Some(bytes)) => {
                if let Ok(call) = serde_json::from_slice::<Call>(bytes) {
                    self.calls.insert(call.id.clone(), call);
                }
            }
            (Some(b'c'), None) => drop(self.calls.remove(&String::from_utf8_lossy(&key[1..]).into_owned())),
            (Some(b'n'), Some(bytes)) => {
                if let Ok(total) = bytes.try_into().map(i64::from_be_bytes) {
                    self.totals.insert(String::from_utf8_lossy(&key[1..]).into_owned(), total);
                }
            }
            (Some(b'v'), _) => self.schema.recorded = value.map(<[u8]>::to_vec),
            (Some(b'o'), Some(bytes)) => {
                let source = self.spec.sources.iter().position(|source| keys::source(&source.topic) == key);
                if let (Some(source), Ok(offset)) = (source, bytes.try_into().map(i64::from_be_bytes)) {
                    self.source_offsets[source] = offset;
                }
            }
            _ => {}
        }
    }

    fn load_mirrors(&mut self) -> Result<(), StateError> {
        for family in *b"tcnov" {
            let (mut from, to) = keys::family(family);
            loop {
                let page = self.store.range(&from, &to, 1_000)?;
                let Some((last, _)) = page.last() else { break };
                from = [last.as_slice(), &[0]].concat();
                for (key, value) in &page {
                    self.mirror_entry(key, Some(value));
                }
            }
        }
        Ok(())
    }

    fn render(&self, effects: Vec<(u64, u64, i64, VecDeque<Effect>)>) -> Result<Vec<Outgoing>, Stop> {
        outbox::render(&self.application, &self.spec, self.partition, effects)
    }

    /// Returns the timer behind an entry key.
    fn timer(&self, key: &[u8]) -> Result<Option<Timer>, StateError> {
        let Some(bytes) = self.store.get(key)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| StateError::Entry { key: "timer".to_owned(), detail: error.to_string() })
    }
}
