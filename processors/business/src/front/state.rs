//! What a front remembers of one aggregate, and how an event changes it.

use std::collections::BTreeMap;

use fluvio_streams::record::Position;
use fluvio_streams::trace::{Origin, Trace};
use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::limits::COMMAND_IDS_MAX;
use crate::names::Names;

/// Where an aggregate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The partner is being asked and the customer waits.
    Pending,
    /// Not yet; the customer was told.
    Deferred,
    /// Established: the stage, from 0.
    Established(u8),
    /// By the customer, or by a rule. Final.
    Cancelled,
    /// The partner, a follower or a rule said no. Final.
    Rejected,
}

impl Status {
    /// Returns its name.
    pub fn name(self, names: &Names) -> &'static str {
        match self {
            Self::Pending => names.words.pending,
            Self::Deferred => names.words.waiting,
            Self::Established(stage) => names.stages.get(usize::from(stage)).map_or("Established", |stage| stage.status),
            Self::Cancelled => "Cancelled",
            Self::Rejected => "Rejected",
        }
    }

    /// Returns every status of a business.
    pub fn all(names: &Names) -> Vec<Self> {
        let stages = (0..names.stages.len()).map(|stage| Self::Established(stage as u8));
        [Self::Pending, Self::Deferred].into_iter().chain(stages).chain([Self::Cancelled, Self::Rejected]).collect()
    }

    /// Returns true if it is established, and neither cancelled nor declined since.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Established(_))
    }

    /// Returns true if it still waits for the partner.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Pending | Self::Deferred)
    }

    /// Returns true if it never changes again.
    pub fn is_final(self, names: &Names) -> bool {
        match self {
            Self::Cancelled | Self::Rejected => true,
            Self::Established(stage) => usize::from(stage) + 1 >= names.stages.len(),
            Self::Pending | Self::Deferred => false,
        }
    }
}

/// What an accepted attempt came to. It only ever moves forward, so that an attempt is undone once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capture {
    /// It is what the aggregate rests on.
    Kept,
    /// It is being undone.
    Undoing,
    /// It is undone.
    Undone,
}

/// The account of one aggregate, or the sum over many: in won, or in numbers where no money is involved.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Done by the partner.
    pub accepted: i64,
    /// Undone by the partner.
    pub undone: i64,
    /// Amounts of live aggregates.
    pub live: i64,
    /// Done in vain, and not yet undone.
    pub open: i64,
}

impl Account {
    /// Returns by how much the law is broken: accepted - undone = live + open. 0 at every step; anything else is an alarm.
    pub fn imbalance(&self) -> i64 {
        (self.accepted - self.undone) - (self.live + self.open)
    }
}

/// Returns what tells an aggregate from every other that had or will have its id: where the command stands that opened it. An id may be used again when the aggregate that had it is forgotten.
pub fn incarnation(opened_by: &Position) -> String {
    format!("{}-{}", opened_by.partition, opened_by.offset)
}

/// What is remembered of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate<D> {
    /// Which aggregate of this id it is, see [`incarnation`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incarnation: String,
    /// Whose.
    pub customer_id: String,
    /// What is paid, in won; 1 where no money is involved.
    pub amount: i64,
    /// Where it stands.
    pub status: Status,
    /// Why it is deferred, while it is: a reason code.
    pub deferred: Option<String>,
    /// Attempts made so far.
    pub attempts: u32,
    /// What accepted attempts came to, by attempt.
    pub captures: BTreeMap<u32, Capture>,
    /// Correlation of the last command that changed it: what follows from replies and timers belongs to that.
    pub correlation: String,
    /// Its trace, if that does not follow from the correlation.
    #[serde(rename = "traceparent", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Ids that senders gave to the last commands.
    pub command_ids: Vec<String>,
    /// What the business remembers.
    pub details: D,
}

impl<D> Aggregate<D> {
    /// Returns a new aggregate that waits for the partner.
    pub fn new(incarnation: String, customer_id: String, amount: i64, details: D, origin: Origin) -> Self {
        let (captures, command_ids) = (BTreeMap::new(), Vec::new());
        let trace = origin.trace.unless_of(&origin.correlation);
        let Origin { correlation, .. } = origin;
        Self { incarnation, customer_id, amount, status: Status::Pending, deferred: None, attempts: 0, captures, correlation, trace, command_ids, details }
    }

    /// Returns to which command that goes back what follows from replies and timers.
    pub fn origin(&self) -> Origin {
        Origin::kept(&self.correlation, self.trace)
    }

    /// Remembers a command that it has obeyed.
    pub fn obey(&mut self, origin: Origin) {
        self.trace = origin.trace.unless_of(&origin.correlation);
        self.correlation = origin.correlation;
    }

    /// Folds an event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Requested { .. } | Event::Abandoned { .. } => {}
            Event::AttemptStarted { attempt } => {
                self.status = Status::Pending;
                self.attempts = self.attempts.max(*attempt);
            }
            Event::Established { attempt, .. } => {
                self.status = Status::Established(0);
                self.captures.insert(*attempt, Capture::Kept);
            }
            Event::Deferred { reason, .. } => {
                self.status = Status::Deferred;
                self.deferred = Some(reason.clone());
            }
            Event::Rejected { .. } => self.end(Status::Rejected),
            Event::Cancelled { .. } => self.end(Status::Cancelled),
            Event::StatusChanged { to, .. } => self.status = *to,
            Event::Unwanted { attempt } => {
                self.captures.insert(*attempt, Capture::Undoing);
            }
            Event::Undone { attempt } => {
                self.captures.insert(*attempt, Capture::Undone);
            }
        }
        if self.status != Status::Deferred {
            self.deferred = None;
        }
    }

    /// Ends it unfulfilled: what was kept for it is undone.
    fn end(&mut self, status: Status) {
        self.status = status;
        for capture in self.captures.values_mut().filter(|capture| **capture == Capture::Kept) {
            *capture = Capture::Undoing;
        }
    }

    /// Remembers the id that a sender gave to a command. The oldest of too many is forgotten.
    pub fn remember(&mut self, command_id: Option<&str>) {
        super::commands::remember(&mut self.command_ids, command_id, COMMAND_IDS_MAX);
    }

    /// Returns the attempts that are being undone.
    pub fn undoing(&self) -> impl Iterator<Item = u32> + '_ {
        self.captures.iter().filter(|(_, capture)| **capture == Capture::Undoing).map(|(attempt, _)| *attempt)
    }

    /// Returns its account. What is live follows from the status, what is open from the captures, so that the law compares two books.
    pub fn account(&self) -> Account {
        let sum = |wanted: Capture| self.amount * self.captures.values().filter(|capture| **capture == wanted).count() as i64;
        Account {
            accepted: self.amount * self.captures.len() as i64,
            undone: sum(Capture::Undone),
            live: if self.status.is_live() { self.amount } else { 0 },
            open: sum(Capture::Undoing),
        }
    }
}
