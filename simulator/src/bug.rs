//! Bugs that can be planted, to see that the simulator finds them.
//!
//! Not a switch in production code: each is planted at the edge of the task machine, in the runner, the store or the reader that the simulator brings. So the code that is shipped knows
//! nothing of them, and no configuration reaches them.

use std::str::FromStr;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A takeover appends no fence: it goes on under the one in force.
    SkipFence,
    /// Readers of a journal do not look at the fence: any transaction in sequence counts.
    IgnoreFence,
    /// The progress of the sources is in the store before the transaction is appended.
    ProgressBeforeAppend,
    /// What was taken of a sender is forgotten.
    ForgetDeduplication,
    /// A timer fires, and the journal does not say that it is gone.
    TimerNotJournaled,
    /// A transaction counts as soon as it is acknowledged, wherever it landed.
    BareAcknowledgement,
    /// Effects are taken for sent when they leave, not when they are acknowledged.
    SentWithoutAcknowledgement,
    /// After a takeover, nobody sends what the predecessor may not have sent.
    ForgetUnsentEffects,
    /// After a takeover, nobody makes the calls again that were pending.
    ForgetPendingCalls,
    /// A timed-out batch of effects is passed over instead of sent again.
    SkipFailedBatch,
    /// A store that is of another past than its journal is not noticed: what it lost last is taken for written.
    StoreAheadOfItself,
}

impl Bug {
    /// Every bug, with the name by which it is asked for.
    pub const ALL: [(&'static str, Self); 11] = [
        ("skip-fence", Self::SkipFence),
        ("ignore-fence", Self::IgnoreFence),
        ("progress-before-append", Self::ProgressBeforeAppend),
        ("forget-deduplication", Self::ForgetDeduplication),
        ("timer-not-journaled", Self::TimerNotJournaled),
        ("bare-acknowledgement", Self::BareAcknowledgement),
        ("sent-without-acknowledgement", Self::SentWithoutAcknowledgement),
        ("forget-unsent-effects", Self::ForgetUnsentEffects),
        ("forget-pending-calls", Self::ForgetPendingCalls),
        ("skip-failed-batch", Self::SkipFailedBatch),
        ("store-ahead-of-itself", Self::StoreAheadOfItself),
    ];
}

/// There is no such bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBug(String);

impl std::fmt::Display for UnknownBug {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = Bug::ALL.iter().map(|(name, _)| *name).collect();
        write!(formatter, "there is no bug `{}`, only {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownBug {}

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug).ok_or_else(|| UnknownBug(name.to_owned()))
    }
}
