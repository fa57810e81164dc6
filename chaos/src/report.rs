//! What a run was and what it found, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::{Law, Verdicts};

/// What a run was and what it found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed that it was made with.
    pub seed: u64,
    /// How often whom was killed.
    pub kills: BTreeMap<&'static str, usize>,
    /// How often whom was stopped while another one took over.
    pub pauses: BTreeMap<&'static str, usize>,
    /// How long the orders took, and how long it took until everything was quiet.
    pub took: (Duration, Duration),
    /// Numbers about what was done.
    pub figures: Vec<(&'static str, u64)>,
    /// What was found.
    pub verdicts: Verdicts,
    /// Lines of logs that tell of a panic.
    pub panics: Vec<String>,
    /// What was missing of processes that did not become ready after they were started.
    pub unready: Vec<String>,
}

impl Report {
    /// Returns true if everything holds.
    pub fn is_clean(&self) -> bool {
        self.verdicts.exceptions() == 0 && self.panics.is_empty() && self.unready.is_empty()
    }

    /// Returns how often a process was killed.
    pub fn kills(&self) -> usize {
        self.kills.values().sum()
    }

    /// Returns the report for machines.
    pub fn json(&self) -> Value {
        let laws: Vec<Value> = Law::ALL
            .iter()
            .map(|law| {
                let found = self.verdicts.of(*law);
                json!({"law": law.sentence(), "checked": found.checked, "exceptions": found.exceptions, "told": found.told})
            })
            .collect();
        let figures: BTreeMap<&str, u64> = self.figures.iter().copied().collect();
        json!({
            "seed": self.seed, "kills": self.kills, "pauses": self.pauses, "loadSeconds": self.took.0.as_secs_f64(), "settleSeconds": self.took.1.as_secs_f64(),
            "figures": figures, "laws": laws, "panics": self.panics, "unready": self.unready, "isClean": self.is_clean(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (load, settle) = self.took;
        writeln!(formatter, "seed {}, {} kills {:?}, {} pauses {:?}", self.seed, self.kills(), self.kills, self.pauses.values().sum::<usize>(), self.pauses)?;
        writeln!(formatter, "orders took {:.1} s, quiet after {:.1} s more", load.as_secs_f64(), settle.as_secs_f64())?;
        for (name, figure) in &self.figures {
            writeln!(formatter, "  {name:<38} {figure:>10}")?;
        }
        write!(formatter, "{}", self.verdicts)?;
        for line in &self.panics {
            writeln!(formatter, "panicked: {line}")?;
        }
        for line in &self.unready {
            writeln!(formatter, "not ready: {line}")?;
        }
        writeln!(formatter, "{}", if self.is_clean() { "everything holds" } else { "SOMETHING DOES NOT HOLD" })
    }
}
