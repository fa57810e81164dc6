//! Journals that nobody owns any more: of a processor that was removed, or that has another name now.
//!
//! One that was renamed would begin with an empty journal, take everything once more, and do all of it again. So a processor that has no journal yet is not let in while there is one without an
//! owner that holds something. That a processor is gone is nobody's business but the operator's: followers can be taken away.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use fluvio_streams::fluvio::FluvioLog;
use fluvio_streams::log::Log as _;

const JOURNAL: &str = "-journal";

/// Returns, of the topics that were found, the journals of these systems that none of their processors writes.
fn orphans<'a>(systems: &[&str], known: &BTreeSet<String>, found: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let is_of_system = |name: &str| systems.iter().any(|system| name.strip_prefix(system).is_some_and(|rest| rest.starts_with('-')));
    found.filter(|name| name.ends_with(JOURNAL) && is_of_system(name) && !known.contains(*name)).collect()
}

/// Refuses to begin a journal beside one that has lost its owner. `known`: all topics of all systems; `there`: what is on the cluster, with the numbers of partitions; `missing`: what would be created.
///
/// # Errors
/// If that is so, with what to do; or if the cluster does not tell.
pub(super) async fn check(log: &FluvioLog, systems: &[&str], known: &BTreeSet<String>, there: &BTreeMap<String, u32>, missing: &[&str]) -> anyhow::Result<()> {
    for journal in orphans(systems, known, there.keys().map(String::as_str)) {
        let partitions = there.get(journal).copied().unwrap_or_default();
        let mut is_used = false;
        for partition in 0..partitions {
            is_used |= log.offsets(journal, partition).await.with_context(|| format!("cannot look into topic `{journal}`"))?.end > 0;
        }
        let system = systems.iter().filter(|system| journal.starts_with(**system)).max_by_key(|system| system.len()).copied().unwrap_or_default();
        let new = missing.iter().find(|name| name.ends_with(JOURNAL) && name.starts_with(system));
        match new {
            Some(new) if is_used => bail!(
                "topic `{journal}` holds the state of a processor that this program does not have, and topic `{new}` would be the journal of a new one, which would do everything again: \
                 if it is the same processor, give it its old name; if the old one is gone for good, delete its journal (`fluvio topic delete {journal}`)"
            ),
            _ if is_used => {
                tracing::warn!(topic = journal, "this journal holds the state of a processor that this program does not have; nobody goes on with it");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_journals_of_our_systems_that_nobody_writes_are_orphans() {
        let known = BTreeSet::from(["shop-orders-journal".to_owned(), "shop-orders-events".to_owned()]);
        let found = ["shop-orders-journal", "shop-order-journal", "shop-other-events", "shopping-x-journal", "journal", "else-x-journal"];
        assert_eq!(orphans(&["shop"], &known, found.into_iter()), ["shop-order-journal"]);
    }
}
