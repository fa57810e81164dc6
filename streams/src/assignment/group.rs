//! What the assignment topic means: a fold that gives every reader the same group.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Announcement, Listed, TaskId};

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id, its instance and what it can run.
    pub listed: Listed,
    /// Offset of its last record.
    pub last: i64,
    /// Tasks that it could take over at once.
    pub warm: BTreeSet<TaskId>,
}

/// The group at a place of the topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    members: Vec<Seen>,
    /// Offset of the last record by which somebody came or went.
    changed_at: i64,
    generation: u64,
    /// `changed_at` of the assignment in force.
    assigned_after: i64,
    owners: BTreeMap<TaskId, String>,
    standbys: BTreeMap<TaskId, BTreeSet<String>>,
    /// Tasks that were given away and that their former owner has not finished with, as far as is known.
    unreleased: BTreeMap<TaskId, String>,
    /// True from the topic's beginning, or from an assignment on.
    is_known: bool,
}

impl Group {
    /// Returns the group of a reader who begins at the topic's beginning (`is_known`), or somewhere in it: then nothing is known before an assignment was read.
    pub fn new(is_known: bool) -> Self {
        Self { is_known, changed_at: -1, assigned_after: -1, ..Self::default() }
    }

    /// Takes the next record of the topic. Returns the member that it shows to be alive, if any.
    pub fn admit(&mut self, offset: i64, announcement: &Announcement) -> Option<String> {
        match announcement {
            Announcement::Assigned { leader, generation, after, members, owners, standbys } => {
                self.admit_assignment(offset, (leader, *generation, *after), members, owners, standbys);
                return self.hear(leader, offset);
            }
            _ if !self.is_known => {}
            Announcement::Joined { member, instance, processors, lifeline } => {
                self.remove(|seen| seen.listed.instance == *instance);
                let listed = Listed { member: member.clone(), instance: instance.clone(), processors: processors.clone(), lifeline: lifeline.clone() };
                self.members.push(Seen { listed, last: offset, warm: BTreeSet::new() });
                self.changed_at = offset;
                return Some(member.clone());
            }
            Announcement::Alive { member, warm } => {
                if let Some(seen) = self.members.iter_mut().find(|seen| seen.listed.member == *member) {
                    seen.warm.clone_from(warm);
                }
                return self.hear(member, offset);
            }
            Announcement::Released { member, tasks } => {
                self.unreleased.retain(|task, former| former != member || !tasks.contains(task));
                return self.hear(member, offset);
            }
            Announcement::Left { member } => {
                if self.remove(|seen| seen.listed.member == *member) {
                    self.changed_at = offset;
                }
            }
            Announcement::Evicted { member, by, seen: last } => {
                if self.remove(|seen| seen.listed.member == *member && seen.last == *last) {
                    self.changed_at = offset;
                }
                return self.hear(by, offset);
            }
        }
        None
    }

    fn admit_assignment(
        &mut self,
        offset: i64,
        (leader, generation, after): (&str, u64, i64),
        members: &[Listed],
        owners: &BTreeMap<TaskId, String>,
        standbys: &BTreeMap<TaskId, BTreeSet<String>>,
    ) {
        let follows = self.leader() == Some(leader) && after == self.changed_at && generation == self.generation + 1;
        // A reader that has missed something sees it by the number, and begins anew from here.
        let begins = !self.is_known || generation > self.generation + 1;
        if begins {
            self.members = members.iter().map(|listed| Seen { listed: listed.clone(), last: offset, warm: BTreeSet::new() }).collect();
            self.changed_at = after;
            self.is_known = true;
        } else if !follows {
            return;
        }
        for (task, owner) in owners {
            match self.owners.get(task) {
                Some(former) if former != owner && self.is_member(former) => drop(self.unreleased.insert(task.clone(), former.clone())),
                // Whoever has not let go of it yet is still to do so; if it comes back to them, nobody waits.
                _ if self.unreleased.get(task) == Some(owner) => drop(self.unreleased.remove(task)),
                _ => {}
            }
        }
        self.generation = generation;
        self.assigned_after = after;
        self.owners.clone_from(owners);
        self.standbys.clone_from(standbys);
    }

    fn hear(&mut self, member: &str, offset: i64) -> Option<String> {
        let seen = self.members.iter_mut().find(|seen| seen.listed.member == member)?;
        seen.last = offset;
        Some(member.to_owned())
    }

    fn remove(&mut self, is_gone: impl Fn(&Seen) -> bool) -> bool {
        let before = self.members.len();
        self.members.retain(|seen| !is_gone(seen));
        let members = &self.members;
        self.unreleased.retain(|_, former| members.iter().any(|seen| seen.listed.member == *former));
        self.members.len() < before
    }

    /// Returns whoever has been a member longest.
    pub fn leader(&self) -> Option<&str> {
        self.members.first().map(|seen| seen.listed.member.as_str())
    }

    /// Returns the members, in the order in which they came.
    pub fn members(&self) -> &[Seen] {
        &self.members
    }

    /// Returns true if somebody is a member.
    pub fn is_member(&self, member: &str) -> bool {
        self.members.iter().any(|seen| seen.listed.member == member)
    }

    /// Returns the owners of tasks by the assignment in force.
    pub fn owners(&self) -> &BTreeMap<TaskId, String> {
        &self.owners
    }

    /// Returns who follows which task.
    pub fn standbys(&self) -> &BTreeMap<TaskId, BTreeSet<String>> {
        &self.standbys
    }

    /// Returns who had a task before its owner and has not said that it is done with it.
    pub fn former_owner(&self, task: &TaskId) -> Option<&str> {
        self.unreleased.get(task).map(String::as_str)
    }

    /// Returns the number of the assignment in force; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the offset of the last record by which somebody came or went.
    pub fn changed_at(&self) -> i64 {
        self.changed_at
    }

    /// Returns true if somebody came or went since the assignment in force.
    pub fn is_stale(&self) -> bool {
        self.assigned_after != self.changed_at
    }

    /// Returns false as long as a reader that began in the middle has not seen an assignment.
    pub fn is_known(&self) -> bool {
        self.is_known
    }
}
