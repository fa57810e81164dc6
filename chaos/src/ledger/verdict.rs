//! What was checked, and what was found otherwise.

use std::fmt;

use crate::limits::EXCEPTIONS_TOLD_MAX;

/// What must hold, whatever was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Offsets have no holes, and every record of ours can be read.
    Readable,
    /// A record that stands twice in a topic is the same record: same id, same bytes.
    SameTwice,
    /// What a sender was told is on record is on record, and nothing is that nobody sent.
    OnRecord,
    /// Every command that is on record has exactly one outcome, and a command that was sent twice is obeyed once.
    OneOutcome,
    /// The events of an order follow each other by the rules, and say of it what follows from them.
    Rules,
    /// No order waits for ever.
    Settled,
    /// The provider was charged once for an attempt, and once in the end for an order that lives.
    ChargedOnce,
    /// Every charge is what an order rests on, or is given back, once.
    NothingLost,
    /// Captured - refunded = live, over everything.
    Balance,
    /// What the views show is what follows from the events.
    Views,
    /// Every change of status was told to the customer once.
    Notified,
    /// The store lets go, once, of every order that was cancelled after it was placed, and of no other.
    Compensated,
}

impl Law {
    /// Returns every law.
    pub const ALL: [Self; 12] = [
        Self::Readable,
        Self::SameTwice,
        Self::OnRecord,
        Self::OneOutcome,
        Self::Rules,
        Self::Settled,
        Self::ChargedOnce,
        Self::NothingLost,
        Self::Balance,
        Self::Views,
        Self::Notified,
        Self::Compensated,
    ];

    /// Returns the law in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Readable => "offsets are dense, records readable",
            Self::SameTwice => "what stands twice is the same record",
            Self::OnRecord => "what was acknowledged is on record",
            Self::OneOutcome => "every command has exactly one outcome",
            Self::Rules => "events follow the rules",
            Self::Settled => "no order waits for ever",
            Self::ChargedOnce => "no charge twice",
            Self::NothingLost => "no charge lost, no refund twice",
            Self::Balance => "captured - refunded = live",
            Self::Views => "views = state",
            Self::Notified => "every change told once",
            Self::Compensated => "the store lets go once",
        }
    }
}

/// How often a law was checked, and where it does not hold.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// Things that were checked.
    pub checked: u64,
    /// Those of them for which it does not hold.
    pub exceptions: u64,
    /// What the first of them are.
    pub told: Vec<String>,
}

/// What a ledger found, by law.
#[derive(Debug, Clone, Default)]
pub struct Verdicts(std::collections::BTreeMap<Law, Finding>);

impl Verdicts {
    /// Notes that a law was checked, and what was found if it does not hold.
    pub(crate) fn check(&mut self, law: Law, holds: bool, otherwise: impl FnOnce() -> String) {
        let finding = self.0.entry(law).or_default();
        finding.checked += 1;
        if !holds {
            finding.exceptions += 1;
            if finding.told.len() < EXCEPTIONS_TOLD_MAX {
                finding.told.push(otherwise());
            }
        }
    }

    /// Returns what was found of a law.
    pub fn of(&self, law: Law) -> Finding {
        self.0.get(&law).cloned().unwrap_or_default()
    }

    /// Returns in how many cases any law does not hold.
    pub fn exceptions(&self) -> u64 {
        self.0.values().map(|finding| finding.exceptions).sum()
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<40} {:>10} {:>10}", "law", "checked", "exceptions")?;
        for law in Law::ALL {
            let finding = self.of(law);
            writeln!(formatter, "{:<40} {:>10} {:>10}", law.sentence(), finding.checked, finding.exceptions)?;
            for told in finding.told {
                writeln!(formatter, "    {told}")?;
            }
        }
        Ok(())
    }
}
