//! What an aggregate still waits for: timers and calls of the tasks that own it, as their journals say.

use std::collections::{BTreeMap, BTreeSet};

use fluvio_streams::journal::{Fold, JournalRecord, Meaning};
use fluvio_streams::log::Log;
use fluvio_streams::processor::{Call, Timer};
use fluvio_streams::system::System;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::ProcessorSpec;
use serde::Serialize;

use super::super::scan::scan;
use crate::limits::WHY_PENDING_MAX;

/// A timer that is set, or a call that has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pending {
    /// When the timer is due; `None`: a call, which is answered when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due_at: Option<String>,
    #[serde(skip)]
    pub(super) due_ms: Option<i64>,
    pub(super) processor: String,
    /// Name of the timer, or the outside system that is called.
    pub(super) name: String,
    /// Key of the timer, or id of the call.
    pub(super) key: String,
}

/// Whose timers and calls are wanted.
pub(super) struct Whose<'a> {
    /// Id of the aggregate: timers are keyed by it, or by it and an attempt.
    pub(super) id: &'a str,
    /// Correlation ids of its own records: timers with other keys carry them.
    pub(super) correlations: &'a BTreeSet<&'a str>,
}

impl Whose<'_> {
    fn has(&self, key: &str, correlation: &str) -> bool {
        let is_of_id = || key.strip_prefix(self.id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // A timer without a key is the whole task's, whoever happened to set it.
        !key.is_empty() && (is_of_id() || self.correlations.contains(correlation))
    }
}

/// Reads what waits in the tasks of one partition, the first to be due first.
///
/// # Errors
/// If a journal cannot be read.
pub(super) async fn pending(log: &dyn Log, system: &System, partition: u32, whose: &Whose<'_>) -> anyhow::Result<Vec<Pending>> {
    let mut all = Vec::new();
    for spec in &system.topology.processors {
        all.extend(of_task(log, spec, partition, whose).await?);
    }
    all.sort_by(|a, b| (a.due_ms.is_none(), a.due_ms, a).cmp(&(b.due_ms.is_none(), b.due_ms, b)));
    Ok(all)
}

async fn of_task(log: &dyn Log, spec: &ProcessorSpec, partition: u32, whose: &Whose<'_>) -> anyhow::Result<Vec<Pending>> {
    let mut waiting: BTreeMap<Vec<u8>, Pending> = BTreeMap::new();
    let mut fold = Fold::default();
    scan(log, &spec.journal, partition, 0, None, |record| {
        let Ok(record) = JournalRecord::decode(&record.value) else { return Ok(()) };
        if let (JournalRecord::Transaction(transaction), true) = (&record, fold == Fold::default()) {
            // The journal begins in the middle: its first transaction is taken at its word.
            fold = Fold { owner: transaction.owner.clone(), epoch: transaction.epoch, sequence: transaction.sequence - 1 };
        }
        let (Meaning::Valid, JournalRecord::Transaction(transaction)) = (fold.admit(&record), record) else { return Ok(()) };
        let kept = transaction.kept.into_iter().flat_map(|kept| kept.entries).map(|(key, value)| (key, Some(value)));
        for (key, value) in kept.chain(transaction.changes) {
            match value.and_then(|value| read(&spec.name, &key, &value, whose)) {
                Some(pending) if waiting.len() < WHY_PENDING_MAX => drop(waiting.insert(key, pending)),
                Some(_) => {}
                None => drop(waiting.remove(&key)),
            }
        }
        Ok(())
    })
    .await?;
    Ok(waiting.into_values().collect())
}

/// Reads an entry of a task's state; `None` if it is no timer and no call, or somebody else's.
fn read(processor: &str, key: &[u8], value: &[u8], whose: &Whose<'_>) -> Option<Pending> {
    let of =
        |name: String, key: String, due_ms: Option<i64>| Pending { due_at: due_ms.map(format_rfc3339), due_ms, processor: processor.to_owned(), name, key };
    match key.first()? {
        b't' => {
            let timer: Timer = serde_json::from_slice(value).ok()?;
            whose.has(&timer.key, &timer.correlation).then(|| of(timer.name, timer.key, Some(timer.due_ms)))
        }
        b'c' => {
            let call: Call = serde_json::from_slice(value).ok()?;
            let is_named = call.id.split('/').any(|part| part == whose.id);
            (is_named || whose.has(&call.id, &call.correlation)).then(|| of(call.target, call.id, None))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_of_others_and_of_the_whole_task_are_not_its_own() {
        let correlations = BTreeSet::from(["c-1"]);
        let whose = Whose { id: "o-1", correlations: &correlations };
        for (key, correlation, is_its_own) in
            [("o-1", "x", true), ("o-1/2", "x", true), ("o-10", "x", false), ("n-7", "c-1", true), ("", "c-1", false), ("o-2", "c-2", false)]
        {
            assert_eq!(whose.has(key, correlation), is_its_own, "{key} {correlation}");
        }
    }
}
