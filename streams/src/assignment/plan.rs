//! Who should have which task: even, and with as little moving as possible.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, Seen};
use super::record::TaskId;

/// What a leader assigns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Owner of each task that somebody can run.
    pub owners: BTreeMap<TaskId, String>,
    /// Who follows which task.
    pub standbys: BTreeMap<TaskId, BTreeSet<String>>,
}

/// Plans for all tasks that somebody can run.
///
/// Each processor's tasks are spread evenly over those who can run it (numbers differ by one at most), those who have least in all get the odd ones. A task whose owner is gone goes to
/// somebody who follows it, if there is one, even if that makes it uneven for a while. A task whose owner has too many moves only to somebody who could take it over at once: until then that one follows it.
pub fn plan(group: &Group, standbys: usize) -> Plan {
    let mut processors: BTreeMap<&str, u32> = BTreeMap::new();
    for (processor, partitions) in group.members().iter().flat_map(|seen| &seen.listed.processors) {
        let most = processors.entry(processor).or_default();
        *most = (*most).max(*partitions);
    }
    let mut planning = Planning { group, plan: Plan::default(), load: BTreeMap::new() };
    for (processor, partitions) in &processors {
        planning.own(processor, *partitions);
    }
    let mut followed = BTreeMap::new();
    for (processor, partitions) in &processors {
        planning.follow(processor, *partitions, standbys, &mut followed);
    }
    planning.plan
}

struct Planning<'a> {
    group: &'a Group,
    plan: Plan,
    /// Tasks by owner, of all processors so far.
    load: BTreeMap<String, usize>,
}

impl<'a> Planning<'a> {
    fn capable(&self, processor: &str) -> Vec<&'a Seen> {
        let group: &'a Group = self.group;
        group.members().iter().filter(|seen| seen.listed.processors.contains_key(processor)).collect()
    }

    fn own(&mut self, processor: &str, partitions: u32) {
        let capable = self.capable(processor);
        if capable.is_empty() {
            return;
        }
        let tasks: Vec<TaskId> = (0..partitions).map(|partition| TaskId::new(processor, partition)).collect();
        let group: &'a Group = self.group;
        let present = |task: &TaskId| group.owners().get(task).filter(|owner| capable.iter().any(|seen| seen.listed.member == **owner)).cloned();
        let mut counts: BTreeMap<&'a str, usize> = capable.iter().map(|seen| (seen.listed.member.as_str(), 0)).collect();
        for owner in tasks.iter().filter_map(present) {
            if let Some(count) = counts.get_mut(owner.as_str()) {
                *count += 1;
            }
        }
        // Who may have how many: those who have least of other processors, and then those who have most of this one now, get the odd ones.
        let (least, odd) = (tasks.len() / capable.len(), tasks.len() % capable.len());
        let mut order: Vec<&'a str> = capable.iter().map(|seen| seen.listed.member.as_str()).collect();
        order.sort_by_key(|member| (self.load.get(*member).copied().unwrap_or(0), std::cmp::Reverse(counts[member])));
        let quota: BTreeMap<&'a str, usize> = order.iter().enumerate().map(|(place, member)| (*member, least + usize::from(place < odd))).collect();
        let warm = |member: &str, task: &TaskId| capable.iter().any(|seen| seen.listed.member == member && seen.warm.contains(task));

        let mut kept: BTreeMap<&'a str, usize> = BTreeMap::new();
        let (mut orphans, mut surplus) = (Vec::new(), Vec::new());
        let mut owners: BTreeMap<TaskId, String> = BTreeMap::new();
        for task in &tasks {
            match present(task) {
                None => orphans.push(task),
                Some(owner) => {
                    let (member, most) = quota.get_key_value(owner.as_str()).map_or(("", 0), |(member, most)| (*member, *most));
                    let count = kept.entry(member).or_default();
                    if *count < most {
                        *count += 1;
                        owners.insert(task.clone(), owner);
                    } else {
                        surplus.push((task, owner));
                    }
                }
            }
        }
        // Rooms that are left, for those who follow a task first.
        let take = |task: &TaskId, kept: &mut BTreeMap<&'a str, usize>| -> Option<String> {
            let rooms = order.iter().filter(|member| kept.get(**member).copied().unwrap_or(0) < quota[**member]);
            let chosen = *rooms.min_by_key(|member| (!warm(member, task), kept.get(**member).copied().unwrap_or(0)))?;
            *kept.entry(chosen).or_default() += 1;
            Some(chosen.to_owned())
        };
        for task in orphans {
            // Whoever follows it gets it even if that is one too many: it can move on once somebody else follows it, and runs until then.
            let followers = order.iter().filter(|member| warm(member, task));
            let follower = followers.min_by_key(|member| kept.get(**member).copied().unwrap_or(0)).copied();
            if let Some(owner) = follower {
                *kept.entry(owner).or_default() += 1;
                owners.insert(task.clone(), owner.to_owned());
            } else if let Some(owner) = take(task, &mut kept) {
                owners.insert(task.clone(), owner);
            }
        }
        for (task, owner) in surplus {
            let Some(next) = take(task, &mut kept) else { continue };
            if warm(&next, task) {
                owners.insert(task.clone(), next);
            } else {
                owners.insert(task.clone(), owner);
                self.plan.standbys.entry(task.clone()).or_default().insert(next);
            }
        }
        for owner in owners.values() {
            *self.load.entry(owner.clone()).or_default() += 1;
        }
        self.plan.owners.extend(owners);
    }

    /// Gives every task its followers: who follows it already goes on, then whoever follows least.
    fn follow(&mut self, processor: &str, partitions: u32, standbys: usize, followed: &mut BTreeMap<String, usize>) {
        let capable: Vec<String> = self.capable(processor).iter().map(|seen| seen.listed.member.clone()).collect();
        for task in (0..partitions).map(|partition| TaskId::new(processor, partition)) {
            let owner = self.plan.owners.get(&task);
            let present = self.group.standbys().get(&task);
            let mut candidates: Vec<&String> = capable.iter().filter(|member| Some(*member) != owner).collect();
            candidates.sort_by_key(|member| (!present.is_some_and(|present| present.contains(*member)), followed.get(*member).copied().unwrap_or(0)));
            for member in candidates.into_iter().take(standbys) {
                *followed.entry(member.clone()).or_default() += 1;
                self.plan.standbys.entry(task.clone()).or_default().insert(member.clone());
            }
        }
    }
}
