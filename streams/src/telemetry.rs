//! What the runtime tells about itself: typed events, so that no other file knows how they are counted.

use std::time::Duration;

use crate::breaker::State;
use crate::guard::PartnerAnswer;
use crate::processor::Call;
use crate::trace::InputTraced;

/// Which task an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskName<'a> {
    /// Application.
    pub application: &'a str,
    /// Processor.
    pub processor: &'a str,
    /// Partition.
    pub partition: u32,
}

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reads its journal.
    Restoring,
    /// Takes inputs.
    Running,
    /// Follows the journal of a task that another instance owns.
    Standby,
    /// Waits before it tries again.
    Waiting,
    /// Stopped on request.
    Stopped,
}

/// Why an input was put to the dead letters: a small closed set, fit to be a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnreadableReason {
    /// It is no record of its topic's format, or too long.
    Malformed,
    /// The processor cannot take it.
    Refused,
    /// What it changes does not fit into one transaction.
    TooLarge,
    /// A timer that the processor cannot take.
    Timer,
    /// An answer of an outside system that the processor cannot take.
    Answer,
}

impl UnreadableReason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Malformed, Self::Refused, Self::TooLarge, Self::Timer, Self::Answer];

    /// The value to use as a metric label, in kebab case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::TooLarge => "too-large",
            Self::Timer => "timer",
            Self::Answer => "answer",
        }
    }
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A task entered a phase.
    PhaseEntered(TaskName<'a>, Phase),
    /// A task reads its journal: how much is left before it runs.
    Restoring {
        /// Task.
        task: TaskName<'a>,
        /// Journal records that are still to be read.
        remaining: i64,
    },
    /// A task has read its journal.
    Restored {
        /// Task.
        task: TaskName<'a>,
        /// Journal records read.
        records: u64,
        /// How long it took.
        took: Duration,
    },
    /// A run of inputs was committed.
    RunCommitted {
        /// Task.
        task: TaskName<'a>,
        /// Inputs taken.
        inputs: usize,
        /// Effects to send.
        effects: usize,
        /// Time in the processor and around it.
        processing: Duration,
        /// Time until the journal acknowledged.
        committing: Duration,
    },
    /// Records of a committed run: how old they were, from the timestamps that their senders wrote to the commit. Those that have none are left out.
    RecordsTaken {
        /// Task.
        task: TaskName<'a>,
        /// Their ages, in ms.
        ages_ms: &'a [i64],
    },
    /// Events of a committed transaction: they count, and will be sent.
    Emitted {
        /// Task.
        task: TaskName<'a>,
        /// Event type.
        kind: &'a str,
        /// How many.
        count: usize,
    },
    /// A partner's first answer to an attempt, and that is committed.
    PartnerAnswered {
        /// Task.
        task: TaskName<'a>,
        /// What was answered.
        answer: PartnerAnswer,
    },
    /// A task took records from its sources.
    Polled {
        /// Task.
        task: TaskName<'a>,
        /// How many it got.
        records: usize,
        /// How long it had waited for them; zero if they were there.
        waited: Duration,
    },
    /// Where the time of a task went since it was told last.
    TimeSpent {
        /// Task.
        task: TaskName<'a>,
        /// In the processor and around it.
        processing: Duration,
        /// Until the journal acknowledged.
        committing: Duration,
        /// For inputs, or for effects to be acknowledged.
        waiting: Duration,
    },
    /// A source was read: how far the task is behind its end.
    LagMeasured {
        /// Task.
        task: TaskName<'a>,
        /// Source topic.
        topic: &'a str,
        /// Records not yet taken.
        records: i64,
        /// Age of the oldest record not yet taken, in ms; 0 when there is no lag.
        age_ms: i64,
    },
    /// A breaker changed its state, and that is committed. Told by the incarnation that decided it: what is read from a journal is not told again, and a change whose commit was in doubt and
    /// turns out to count is not told.
    BreakerTransitioned {
        /// Task.
        task: TaskName<'a>,
        /// Name of the guard that it belongs to.
        guard: &'static str,
        /// State before.
        from: State,
        /// State after.
        to: State,
    },
    /// Effects were acknowledged.
    EffectsSent {
        /// Task.
        task: TaskName<'a>,
        /// Target topic.
        topic: &'a str,
        /// How many.
        count: usize,
    },
    /// A command was refused.
    Rejected {
        /// Task.
        task: TaskName<'a>,
        /// Reason code.
        reason: &'a str,
    },
    /// An input was put to the dead letters, or skipped by policy.
    Unreadable {
        /// Task.
        task: TaskName<'a>,
        /// Source topic; the journal for what the task had itself set or asked for.
        topic: &'a str,
        /// Why.
        reason: UnreadableReason,
        /// True if it went to the dead letters.
        dead_lettered: bool,
    },
    /// Inputs of a committed run, one by one. Told only to who asks for it ([`Observer::wants_traces`]).
    InputsTraced {
        /// Task.
        task: TaskName<'a>,
        /// What they were.
        inputs: &'a [InputTraced],
        /// From the beginning of the run to its commit: it ended now.
        took: Duration,
    },
    /// A call to the outside was answered. Told only to who asks for it ([`Observer::wants_traces`]).
    CallTraced {
        /// Task.
        task: TaskName<'a>,
        /// The call.
        call: &'a Call,
        /// From its beginning to the answer, which came now.
        took: Duration,
    },
    /// Records were dropped since their sender had sent them before.
    Repeated {
        /// Task.
        task: TaskName<'a>,
        /// How many.
        count: usize,
    },
    /// Outside calls of a task: waiting or running.
    CallsPending(TaskName<'a>, usize),
    /// Journal records by which a standby is behind the owner of the task.
    StandbyLag(TaskName<'a>, i64),
    /// The assignment of tasks to instances is known: its number, and how many instances there are.
    Assigned {
        /// Application.
        application: &'a str,
        /// Number of the assignment.
        generation: u64,
        /// Instances.
        members: usize,
    },
    /// Bytes of journal that a successor of a task would read if it had no store, about.
    ReplayBytes(TaskName<'a>, u64),
    /// Timers of a task that have not fired.
    TimersPending(TaskName<'a>, usize),
    /// A total of a task's state.
    Total {
        /// Task.
        task: TaskName<'a>,
        /// Name of the total.
        name: &'a str,
        /// Its value now.
        value: i64,
    },
    /// A task stopped and will be started again.
    TaskFailed {
        /// Task.
        task: TaskName<'a>,
        /// Kind of the reason: bounded, good for a label.
        kind: &'static str,
    },
    /// A read or an append failed and is tried again.
    LogRetried {
        /// Task.
        task: TaskName<'a>,
        /// `read` or `append`.
        action: &'static str,
    },
}

/// Takes events. Called on the hot path: it must be quick and must not wait.
pub trait Observer: Send + Sync + 'static {
    /// Takes one event.
    fn observe(&self, event: &Event<'_>);

    /// Returns true if it wants to be told of each input and call: that costs some allocations for each.
    fn wants_traces(&self) -> bool {
        false
    }
}

/// Takes events and forgets them.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &Event<'_>) {}
}

/// Returns an error and what caused it, as one line for a status that people read.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
