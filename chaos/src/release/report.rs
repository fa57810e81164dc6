//! What a run of [`release`](super) found, for people and for machines.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Answers;
use crate::ledger::Verdicts;
use crate::stalls::Spread;

/// What a run found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Replicas that were replaced or killed.
    pub disturbed: usize,
    /// What came of the requests over HTTP.
    pub answers: Answers,
    /// Orders whose commands were written into the topic.
    pub written: usize,
    /// How long a replica took at most to end after it was told to, including the time in which it serves on.
    pub slowest_stop: Duration,
    /// What the ledger found.
    pub verdicts: Verdicts,
    /// Lines of logs that tell of a panic.
    pub panics: Vec<String>,
    /// What was missing of processes that did not become ready.
    pub unready: Vec<String>,
}

impl Report {
    /// Returns true if no request failed, and everything else holds.
    pub fn is_clean(&self) -> bool {
        self.answers.failed == 0 && self.verdicts.exceptions() == 0 && self.panics.is_empty() && self.unready.is_empty()
    }

    /// Returns how many requests there were.
    pub fn requests(&self) -> usize {
        self.answers.times.len()
    }

    /// Returns how many of 100 requests did not fail.
    pub fn availability_percent(&self) -> f64 {
        100.0 * (self.requests() - self.answers.failed) as f64 / self.requests().max(1) as f64
    }

    /// Returns how long the requests took, from when they were due.
    pub fn times(&self) -> Spread {
        Spread::of(self.answers.times.clone())
    }

    /// Returns the report for machines.
    pub fn json(&self) -> Value {
        json!({
            "disturbed": self.disturbed, "requests": self.requests(), "byStatus": self.answers.by_status, "failed": self.answers.failed, "retried": self.answers.retried,
            "undecided": self.answers.undecided, "availabilityPercent": self.availability_percent(), "times": self.times().json(), "written": self.written,
            "slowestStopMs": self.slowest_stop.as_millis() as u64, "exceptions": self.verdicts.exceptions(), "isClean": self.is_clean(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answers { by_status, failed, told, retried, undecided, .. } = &self.answers;
        writeln!(
            formatter,
            "{} replicas disturbed, {} requests by status {by_status:?}: {failed} failed, {retried} tried again, {undecided} undecided",
            self.disturbed,
            self.requests()
        )?;
        let Spread { p50, p99, max, .. } = self.times();
        writeln!(
            formatter,
            "answered within {p50:?} (p50), {p99:?} (p99), {max:?} at most; {} orders written into the topic; slowest end {:?}",
            self.written, self.slowest_stop
        )?;
        told.iter().try_for_each(|line| writeln!(formatter, "  failed: {line}"))?;
        write!(formatter, "{}", self.verdicts)?;
        self.panics.iter().try_for_each(|line| writeln!(formatter, "panicked: {line}"))?;
        self.unready.iter().try_for_each(|line| writeln!(formatter, "not ready: {line}"))?;
        writeln!(formatter, "{}", if self.is_clean() { "everything holds" } else { "SOMETHING DOES NOT HOLD" })
    }
}
