//! The laws of every business, as anybody can check them in its topics.

use std::collections::BTreeMap;

use fluvio_streams::system::{Outcome, OutcomeReader};
use fluvio_streams::testing::SeenEvent;
use serde_json::{Value, json};

use super::{Command, Topics, text};
use crate::front::state::Status;
use crate::names::Names;
use crate::topics;

/// What came of the commands that were sent.
pub(super) struct Outcomes<'a> {
    pub(super) reader: OutcomeReader,
    pub(super) sent: &'a [Command],
    pub(super) topics: &'a Topics,
}

impl Outcomes<'_> {
    /// Of each command: it was refused or unreadable (once), or it took effect (once), never both. What is deferred may have an end of its own later.
    pub(super) fn every_command_has_one(&self) {
        let mut outcomes: BTreeMap<&str, Vec<&SeenEvent>> = BTreeMap::new();
        for event in self.topics.values().flatten() {
            outcomes.entry(&event.correlation).or_default().push(event);
        }
        for Command { kind, id } in self.sent {
            let copies = self.sent.iter().filter(|other| other.id == *id).count();
            let events = outcomes.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            let is_refusal = |event: &SeenEvent| event.kind == "CommandRejected" || event.kind == "DeadLetter";
            let read = events.iter().filter_map(|event| (self.reader)(kind, &event.kind, &event.data).map(|(outcome, _)| (outcome, is_refusal(event))));
            let read: Vec<(Outcome, bool)> = read.collect();
            let refused = read.iter().filter(|(_, is_refusal)| *is_refusal).count();
            let deferred = read.iter().filter(|(outcome, _)| *outcome == Outcome::Deferred).count();
            let effects = read.len() - refused - deferred;
            assert!(effects <= 1, "{kind} {id} took effect {effects} times: {events:?}");
            let took = usize::from(effects + deferred > 0);
            assert_eq!(refused + took, copies, "{kind} {id} has one outcome each time it was sent: {events:?}");
        }
    }
}

/// An aggregate begins by waiting for the partner, goes through its stages in their order, and ends once.
pub(super) fn statuses_are_legal(names: &Names, topics: &Topics) {
    let all = Status::all(names);
    for ((id, _), statuses) in status_changes(names, topics) {
        let statuses: Vec<Status> = statuses
            .iter()
            .map(|name| all.iter().copied().find(|status| status.name(names) == name).unwrap_or_else(|| panic!("{id} has the status {name}")))
            .collect();
        assert_eq!(statuses.first(), Some(&Status::Pending), "{id} begins with the question to the partner");
        for step in statuses.windows(2) {
            assert!(is_legal(names, step[0], step[1]), "{id} goes from {:?} to {:?}", step[0], step[1]);
        }
    }
}

fn is_legal(names: &Names, from: Status, to: Status) -> bool {
    use Status::{Cancelled, Deferred, Established, Pending, Rejected};
    match (from, to) {
        (Pending, Deferred | Established(0) | Rejected | Cancelled) | (Deferred, Pending | Established(0) | Rejected | Cancelled) => true,
        (Established(0), Rejected) => true,
        (Established(stage), Established(next)) => next == stage + 1,
        (Established(stage), Cancelled) => names.stages[usize::from(stage)].too_late.is_none(),
        _ => false,
    }
}

/// Returns the statuses of each aggregate, by its id and its incarnation.
fn status_changes<'t>(names: &Names, topics: &'t Topics) -> BTreeMap<(&'t str, String), Vec<String>> {
    let mut changes: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    let events = topics[&topics::events(names.system, names.collection)].iter();
    for event in events.filter(|event| event.kind != names.words.stray_undone) {
        let status = text(&event.data, "status");
        let statuses = changes.entry((&event.subject, text(&event.data, "incarnation"))).or_default();
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
    }
    changes
}

/// The customer reads every status once and in order, and every undoing once, if the system has notifications.
pub(super) fn every_change_is_notified_once(names: &Names, topics: &Topics) {
    let Some(notifications) = topics.get(&topics::events(names.system, "notifications")) else { return };
    let mut expected: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in &topics[&topics::events(names.system, names.collection)] {
        let told = expected.entry(&event.subject).or_default();
        let last = told.iter().rev().find(|told| told["undone"] == false).map(|told| told["status"].clone());
        if event.kind == names.words.stray_undone {
            // Its status is forgotten, and what the customer was told before does not matter.
            told.push(json!({"status": null, "undone": true}));
            continue;
        }
        let is_undoing = event.kind == names.words.undone;
        // A request begins a new aggregate, also if another had the id before.
        if is_undoing || event.kind == names.words.requested || last.as_ref() != Some(&event.data["status"]) {
            told.push(json!({"status": event.data["status"], "undone": is_undoing}));
        }
    }
    let mut told: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in notifications.iter().filter(|event| ["CustomerNotified", "ReversalNotified"].contains(&event.kind.as_str())) {
        let is_undoing = [names.words.undone, names.words.stray_undone].iter().any(|kind| event.data["about"] == *kind);
        told.entry(&event.subject).or_default().push(json!({"status": event.data["status"], "undone": is_undoing}));
    }
    assert_eq!(told, expected, "notifications");
}
