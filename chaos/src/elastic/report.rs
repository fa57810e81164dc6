//! What a run of [`elastic`](super) found, for people and for machines.

use std::fmt;

use serde_json::{Value, json};

use crate::ledger::Verdicts;

/// How it was in one second.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Since the beginning.
    pub second: u64,
    /// Orders per second that came.
    pub rate: u32,
    /// Records that nobody had taken yet.
    pub lag: Option<f64>,
    /// The number by which was decided.
    pub metric: Option<f64>,
    /// Instances that were wanted from then on.
    pub wanted: usize,
    /// Instances that ran.
    pub running: usize,
}

/// What a run was and what it found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed that it was made with.
    pub seed: u64,
    /// Orders that were placed.
    pub orders: usize,
    /// How it was, second by second.
    pub looks: Vec<Look>,
    /// What the ledger found.
    pub verdicts: Verdicts,
    /// Lines of logs that tell of a panic.
    pub panics: Vec<String>,
    /// What was missing of processes that did not become ready.
    pub unready: Vec<String>,
}

impl Report {
    /// Returns true if nothing was lost or doubled, and nobody panicked.
    pub fn is_clean(&self) -> bool {
        self.verdicts.exceptions() == 0 && self.panics.is_empty() && self.unready.is_empty()
    }

    /// Returns the seconds in which another number was wanted than before: second, before, after.
    pub fn changes(&self) -> Vec<(u64, usize, usize)> {
        let pairs = self.looks.windows(2).filter(|pair| pair[0].wanted != pair[1].wanted);
        pairs.map(|pair| (pair[1].second, pair[0].wanted, pair[1].wanted)).collect()
    }

    /// Returns how often it went up after it had gone down, or down after it had gone up: a load that comes and ends is once.
    pub fn turns(&self) -> usize {
        let changes = self.changes();
        changes.windows(2).filter(|pair| (pair[0].2 > pair[0].1) != (pair[1].2 > pair[1].1)).count()
    }

    /// Returns the most instances that were wanted.
    pub fn instances_max(&self) -> usize {
        self.looks.iter().map(|look| look.wanted).max().unwrap_or_default()
    }

    /// Returns the largest lag, and when it was.
    pub fn lag_max(&self) -> (f64, u64) {
        let lags = self.looks.iter().filter_map(|look| Some((look.lag?, look.second)));
        lags.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default()
    }

    /// Returns the report for machines.
    pub fn json(&self) -> Value {
        let look = |look: &Look| json!({"second": look.second, "rate": look.rate, "lag": look.lag, "metric": look.metric, "wanted": look.wanted, "running": look.running});
        json!({
            "seed": self.seed, "orders": self.orders, "looks": self.looks.iter().map(look).collect::<Vec<_>>(), "changes": self.changes(), "turns": self.turns(),
            "exceptions": self.verdicts.exceptions(), "panics": self.panics, "unready": self.unready, "isClean": self.is_clean(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}, {} orders", self.seed, self.orders)?;
        writeln!(formatter, "  second  orders/s       lag    metric  wanted  running")?;
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let changes = self.changes();
        for look in &self.looks {
            let is_told = look.second % 5 == 0 || changes.iter().any(|(second, ..)| *second == look.second);
            if is_told {
                let Look { second, rate, lag, metric, wanted, running } = look;
                writeln!(formatter, "  {second:>6}  {rate:>8}  {:>8}  {:>8}  {wanted:>6}  {running:>7}", number(*lag), number(*metric))?;
            }
        }
        write!(formatter, "{}", self.verdicts)?;
        for line in self.panics.iter().chain(&self.unready) {
            writeln!(formatter, "{line}")?;
        }
        writeln!(formatter, "{}", if self.is_clean() { "everything holds" } else { "SOMETHING DOES NOT HOLD" })
    }
}
