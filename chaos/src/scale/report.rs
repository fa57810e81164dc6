//! What a run of [`scale`](super) found, for people and for machines.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Made;
use crate::ledger::Verdicts;
use crate::owners::Assignments;
use crate::stalls::{Samples, Spread};

/// What is done to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// More of them are started.
    Join,
    /// One is told to go.
    Leave,
    /// One is killed.
    Kill,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Kill => "kill",
        })
    }
}

/// What a step did to the tasks.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was done.
    pub kind: Kind,
    /// Instances before and after it.
    pub instances: (usize, usize),
    /// How long each task that moved let somebody wait at most.
    pub moved: Vec<Duration>,
    /// How long each of the others did.
    pub stayed: Vec<Duration>,
    /// How long the process took to end, if it was told to.
    pub took: Option<Duration>,
}

/// What a run was and what it found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed that it was made with.
    pub seed: u64,
    /// Orders that were placed.
    pub orders: usize,
    /// Instances that followed each task besides its owner.
    pub standbys: usize,
    /// What was done, in its order.
    pub steps: Vec<Step>,
    /// What the ledger found.
    pub verdicts: Verdicts,
    /// Lines of logs that tell of a panic.
    pub panics: Vec<String>,
    /// What was missing of processes that did not become ready.
    pub unready: Vec<String>,
}

/// So long before a step a record may have come that waits because of it.
const BEFORE_MS: i64 = 500;

/// Finds out which tasks each step moved, and how long they and the others let somebody wait.
pub(super) fn measure(made: &[Made], samples: &Samples, assignments: &Assignments) -> Vec<Step> {
    let step = |made: &Made| {
        let (moved, stayed) = assignments.moved(made.at_ms, made.until_ms);
        let longest = |tasks: Vec<String>| -> Vec<Duration> {
            tasks.iter().filter_map(|task| samples.longest(task, made.at_ms - BEFORE_MS, made.until_ms - BEFORE_MS)).collect()
        };
        Step { kind: made.kind, instances: made.instances, moved: longest(moved), stayed: longest(stayed), took: made.took }
    };
    made.iter().map(step).collect()
}

impl Report {
    /// Returns true if everything holds.
    pub fn is_clean(&self) -> bool {
        self.verdicts.exceptions() == 0 && self.panics.is_empty() && self.unready.is_empty()
    }

    /// Returns how long the tasks that moved by steps of a kind stood still, and those that did not.
    pub fn stalls(&self, kind: Kind) -> (Spread, Spread) {
        let all = |of: fn(&Step) -> &Vec<Duration>| self.steps.iter().filter(|step| step.kind == kind).flat_map(of).copied().collect();
        (Spread::of(all(|step| &step.moved)), Spread::of(all(|step| &step.stayed)))
    }

    /// Returns the report for machines.
    pub fn json(&self) -> Value {
        let spread = |times: &Vec<Duration>| Spread::of(times.clone()).json();
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                let took_ms = step.took.map(|took| took.as_millis() as u64);
                json!({"step": step.kind.to_string(), "instances": step.instances, "moved": spread(&step.moved), "stayed": spread(&step.stayed), "tookMs": took_ms})
            })
            .collect();
        json!({"seed": self.seed, "orders": self.orders, "standbys": self.standbys, "steps": steps, "exceptions": self.verdicts.exceptions(), "isClean": self.is_clean()})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}, {} orders, {} standbys; stalls of tasks in ms", self.seed, self.orders, self.standbys)?;
        let head = format!("{:>5} {:>6} {:>6} {:>6}", "tasks", "p50", "p99", "max");
        writeln!(formatter, "{:<6} {:>9}   moved: {head}   stayed: {head}   ended in", "step", "instances")?;
        for step in &self.steps {
            let (before, after) = step.instances;
            let took = step.took.map(|took| format!("{} ms", took.as_millis())).unwrap_or_default();
            let (moved, stayed) = (Spread::of(step.moved.clone()), Spread::of(step.stayed.clone()));
            writeln!(formatter, "{:<6} {:>9}          {moved}           {stayed}   {took}", step.kind, format!("{before} -> {after}"))?;
        }
        for kind in [Kind::Join, Kind::Leave, Kind::Kill] {
            let (moved, stayed) = self.stalls(kind);
            writeln!(formatter, "{kind:<6} {:>9}          {moved}           {stayed}", "all")?;
        }
        write!(formatter, "{}", self.verdicts)?;
        self.panics.iter().try_for_each(|line| writeln!(formatter, "panicked: {line}"))?;
        self.unready.iter().try_for_each(|line| writeln!(formatter, "not ready: {line}"))?;
        writeln!(formatter, "{}", if self.is_clean() { "everything holds" } else { "SOMETHING DOES NOT HOLD" })
    }
}
