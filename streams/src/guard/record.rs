//! What a guard remembers: of each key, and of the partner as this task sees it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::breaker::Breaker;
use crate::trace::{Origin, Trace};

/// A key that was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// What the partner is asked; empty once the key is settled.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) request: Map<String, Value>,
    /// Correlation of the input that started the key: whatever is done for it later carries it.
    pub(super) correlation: String,
    /// Trace of that input, if it does not follow from the correlation.
    #[serde(rename = "traceparent", default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<Trace>,
    /// Which start of the key this is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) incarnation: String,
    /// Attempt n is at n - 1. They are kept when the key is settled, to recognise late and repeated replies.
    pub(super) attempts: Vec<Attempt>,
    /// Its place in the queue: from when on it may be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) queued_from_ms: Option<i64>,
    /// True from the first time that the partner was found unavailable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unavailable: bool,
    /// Attempts that came to nothing, for the backoff.
    #[serde(default)]
    pub(super) failures: u32,
    /// True once there is a final verdict, or the business closed the key.
    #[serde(default)]
    pub(super) settled: bool,
}

impl Record {
    pub(super) fn new(request: Map<String, Value>, origin: &Origin, incarnation: &str) -> Self {
        let (correlation, incarnation) = (origin.correlation.clone(), incarnation.to_owned());
        let trace = origin.trace.unless_of(&correlation);
        Self { request, correlation, trace, incarnation, attempts: Vec::new(), queued_from_ms: None, unavailable: false, failures: 0, settled: false }
    }

    /// Returns to which command that goes back what is done for the key.
    pub(super) fn origin(&self) -> Origin {
        Origin::kept(&self.correlation, self.trace)
    }

    /// Returns true if an attempt waits for its answer before the deadline.
    pub(super) fn is_asking(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.status == Status::Asked)
    }

    /// Returns the numbers of the attempts that the partner may still accept.
    pub(super) fn open_attempts(&self) -> Vec<u32> {
        (1..).zip(&self.attempts).filter(|(_, attempt)| attempt.status.is_open()).map(|(number, _)| number).collect()
    }

    /// Returns an attempt by its number, from 1.
    pub(super) fn attempt_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        self.attempts.get_mut(number.checked_sub(1)? as usize)
    }
}

/// One time that the partner was asked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) started_ms: i64,
    /// Stay of the breaker that permitted it.
    pub(super) generation: u64,
    pub(super) status: Status,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// No answer yet, and the deadline has not passed.
    Asked,
    /// The deadline has passed, an acceptance still counts.
    Overdue,
    /// Accepted in time to count.
    Accepted,
    /// Declined, failed, or voided: an acceptance must be undone.
    Ended,
    /// Accepted in vain, and reported.
    Unwanted,
}

impl Status {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Asked | Self::Overdue)
    }
}

/// The partner as this task sees it. Read with every input and written with most: it must stay small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Partner {
    pub(super) breaker: Breaker,
    /// Number of keys in the queue.
    #[serde(default)]
    pub(super) queued: u32,
    /// No retry before this time: what paces them.
    #[serde(default)]
    pub(super) retry_from_ms: i64,
    /// When the timer for the next retry is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_timer_ms: Option<i64>,
    /// When the timer for the breaker's own changes is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) breaker_timer_ms: Option<i64>,
}

impl Partner {
    pub(super) fn new(breaker: Breaker) -> Self {
        Self { breaker, queued: 0, retry_from_ms: 0, retry_timer_ms: None, breaker_timer_ms: None }
    }
}
