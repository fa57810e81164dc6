//! What a processor is: a synchronous, pure function from an input and the state to changes and effects.
//!
//! A processor never waits, reads no clock, draws no random number and talks to nobody: it asks its [`Context`], and the runtime does the rest after the transaction is committed.

mod context;

pub(crate) use context::Place;
pub use context::{Context, Draft, Effect, Entry, StateReader};

use serde::{Deserialize, Serialize};

use crate::envelope::{Message, Unreadable};
use crate::state::StateError;
use crate::trace::{TraceContext, span_of_call};

/// A durable timer that has fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// What it is for, for example `deadline`.
    pub name: String,
    /// Which key it belongs to. (name, key) is unique: setting it again moves it.
    pub key: String,
    /// When it was due, ms since the Unix epoch.
    pub due_ms: i64,
    /// Correlation of the input that set it.
    pub correlation: String,
    /// Trace and span of that input, if the trace does not follow from the correlation.
    #[serde(rename = "traceparent", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl Timer {
    /// Returns the trace that it belongs to, and the span that set it, if that is known.
    pub fn trace(&self) -> TraceContext {
        self.trace.unwrap_or_else(|| TraceContext::of(&self.correlation))
    }
}

/// A call to an outside system: journaled before it is made, made again after a takeover with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Idempotency key, unique within the task.
    pub id: String,
    /// Which outside system, one of the processor's `calls`.
    pub target: String,
    /// What is asked, as JSON.
    pub request: String,
    /// Correlation of the input that asked.
    pub correlation: String,
    /// Trace and span of that input, if the trace does not follow from the correlation.
    #[serde(rename = "traceparent", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl Call {
    /// Returns the trace that it belongs to, and the span that asked, if that is known.
    pub fn trace(&self) -> TraceContext {
        self.trace.unwrap_or_else(|| TraceContext::of(&self.correlation))
    }

    /// Returns its own place in the trace: what an outside system should be told as its `traceparent`.
    pub fn span(&self) -> TraceContext {
        let trace = self.trace().trace;
        trace.at(span_of_call(trace, &self.id))
    }
}

/// The answer of an outside system. A failure that the system may recover from is the handler's to retry; what arrives here is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallResult {
    /// The call that was made.
    pub call: Call,
    /// Its answer as JSON.
    pub response: String,
}

/// What a processor is given.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A record of a source.
    Message(&'a Message),
    /// A timer that is due.
    Timer(&'a Timer),
    /// An outside system's answer.
    CallResult(&'a CallResult),
}

/// A command that the business refuses: an outcome, not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Reason code in PascalCase, for example `OrderUnknown`.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
}

impl Rejection {
    /// Returns a rejection.
    pub fn new(reason: &str, detail: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), detail: detail.into() }
    }
}

/// Why an input had no effect. Whatever the processor had changed for it is rolled back.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The business says no: written to the rejections.
    #[error("command refused: {}", .0.reason)]
    Rejected(Rejection),
    /// The record cannot be read, or the handler cannot take it: handled by the source's policy.
    #[error("record is unreadable")]
    Unreadable(#[from] Unreadable),
    /// The state cannot be read: the task stops and is started again.
    #[error("state is unavailable")]
    State(#[from] StateError),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// The rules of one processor.
///
/// Implementations are pure: the same inputs on the same state give the same changes, on every machine.
pub trait Processor: Send + Sync + 'static {
    /// Takes one input.
    ///
    /// # Errors
    /// [`Failure`]; everything that was changed for this input is then rolled back.
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure>;

    /// Names of the totals that this processor keeps with [`Context::add_total`]: exported as gauges, summed over tasks.
    fn totals(&self) -> &'static [&'static str] {
        &[]
    }

    /// Names of the timers that this processor sets and takes. Once it names them it sets no others, and while one is pending that it does not name any more, it does not start: it would fire for
    /// nothing. `None`: nobody says, and nothing is checked.
    fn timers(&self) -> Option<Vec<String>> {
        None
    }
}
