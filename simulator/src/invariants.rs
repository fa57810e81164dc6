//! The catalogue of what must hold, with ids. `ARCHITECTURE.md` lists them; the checks are in [`crate::oracle`] (at every step) and [`crate::rest`] (when everything has come to rest).
//!
//! What is checked is checked against the raw topics, by a reading of them that shares nothing with the code under test but the layout of records.

use std::fmt;

/// Something that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Every input of a task is a cause in exactly one valid transaction, in the order of its partition.
    InputOnce,
    /// What an owner holds for committed is valid in the journal.
    CommittedIsValid,
    /// In one epoch of a task at most one incarnation commits.
    OneOwner,
    /// An owner's store is what the valid transactions of its journal say.
    StateIsReplay,
    /// An empty store that is restored from what the journal still holds is what the whole journal says.
    RestoredIsReplay,
    /// What a snapshot writes again is what the journal says at its place.
    SnapshotIsState,
    /// No record that a task appends to another topic comes from a transaction that does not count, or differs from what it says.
    NothingVoidLeaves,
    /// A sender's effects reach each partition in order and without a hole; what comes again is older than what came last.
    EffectsInOrder,
    /// A transaction says of its effects that they were acknowledged only if they were.
    WatermarkIsTrue,
    /// A call reaches the provider only if its transaction counts.
    CallIsJournaled,
    /// One call id comes with one content.
    CallContent,
    /// The answer of a call is taken exactly once.
    AnswerOnce,
    /// A timer fires once, and only while it is set.
    TimerOnce,
    /// A timer does not fire before its owner's clock has shown its due time.
    TimerNotEarly,
    /// Money: the provider's books, the balances, what was counted and what was confirmed agree; no balance is negative.
    MoneyConserved,
    /// Every command has one outcome: it is taken, refused or a dead letter, and none of these twice.
    OneOutcome,
    /// A task stops for a reason that it has: no alarm without a loss.
    NoFalseAlarm,
    /// A tail that a broker had acknowledged and lost is not passed over in silence.
    LossIsTold,
    /// The time of a task's transactions does not run backwards.
    TimeForward,
    /// When faults stop, a group agrees on one owner for each task, evenly, who runs it.
    GroupAgrees,
    /// When faults stop, everything comes to rest.
    ComesToRest,
    /// Nothing panics.
    NoPanic,
}

impl Law {
    /// Returns its id in the catalogue.
    pub fn id(self) -> &'static str {
        match self {
            Self::InputOnce => "S1",
            Self::CommittedIsValid => "S2",
            Self::OneOwner => "S3",
            Self::StateIsReplay => "S4",
            Self::RestoredIsReplay => "S5",
            Self::SnapshotIsState => "S6",
            Self::NothingVoidLeaves => "S7",
            Self::EffectsInOrder => "S8",
            Self::WatermarkIsTrue => "S9",
            Self::CallIsJournaled => "S10",
            Self::CallContent => "S11",
            Self::AnswerOnce => "S12",
            Self::TimerOnce => "S13",
            Self::TimerNotEarly => "S14",
            Self::MoneyConserved => "S15",
            Self::OneOutcome => "S16",
            Self::NoFalseAlarm => "S17",
            Self::LossIsTold => "S18",
            Self::TimeForward => "S19",
            Self::GroupAgrees => "S20",
            Self::ComesToRest => "S21",
            Self::NoPanic => "S22",
        }
    }
}

/// A law that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// How.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(law: Law, detail: impl Into<String>) -> Self {
        Self { law, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:?}): {}", self.law.id(), self.law, self.detail)
    }
}
