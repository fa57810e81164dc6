//! One member of a group, as a machine that is told what was read and what time it is, and says what to write and what to run.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, Seen};
use super::plan::plan;
use super::record::{Announcement, Listed, TaskId};
use crate::limits::ASSIGNMENT_RECORDS_MAX;

/// What a member does for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Nothing.
    Idle,
    /// It follows the journal, to take the task over at once.
    Standby,
    /// It owns the task, or tries to.
    Owner,
}

/// What a member is told about itself and its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberConfig {
    /// Name of the instance: the same after a restart, another one in each instance.
    pub instance: String,
    /// Processors that this instance can run, with their numbers of partitions.
    pub processors: BTreeMap<String, u32>,
    /// How many members follow each task besides its owner.
    pub standbys: usize,
    /// How often a member says that it lives, in ms.
    pub heartbeat_ms: u64,
    /// A member that is silent for so long is evicted, in ms.
    pub session_ms: u64,
    /// How long a new owner waits for the former one to finish with a task, in ms.
    pub release_ms: u64,
    /// Where its lifeline is, if it has one.
    pub lifeline: Option<String>,
}

/// A member. All times are ms of a monotonic clock of its own.
#[derive(Debug)]
pub struct Member {
    config: MemberConfig,
    id: String,
    /// How often it has joined under this name.
    joins: u32,
    group: Group,
    /// When each member was last heard of.
    heard: BTreeMap<String, u64>,
    /// Members whose processes are known to have ended.
    ended: BTreeSet<String>,
    /// Since when it waits for former owners.
    waits: BTreeMap<TaskId, u64>,
    /// Tasks that it followed to the end when it was last asked.
    warm: BTreeSet<TaskId>,
    /// Tasks that it has finished with.
    finished: BTreeSet<TaskId>,
    said: Said,
    /// Records since the last assignment: a new one is written in time, so that whoever comes finds one near the end.
    records: i64,
    /// When it was last asked what to write.
    ticked_ms: Option<u64>,
    is_leaving: bool,
}

/// What it has written last, to write nothing twice while it is on its way.
#[derive(Debug, Default)]
struct Said {
    joined_ms: Option<u64>,
    alive_ms: Option<u64>,
    warm: BTreeSet<TaskId>,
    assigned: Option<(u64, i64, u64)>,
    /// Of each member the last record that was known then, and when.
    evicted: BTreeMap<String, (i64, u64)>,
}

impl Member {
    /// Returns a member that has not joined yet, and that will read the topic from its beginning (`is_known`) or from somewhere in it. `id` is fresh: no member ever had it.
    pub fn new(id: &str, config: MemberConfig, is_known: bool) -> Self {
        Self {
            config,
            id: id.to_owned(),
            joins: 0,
            group: Group::new(is_known),
            heard: BTreeMap::new(),
            ended: BTreeSet::new(),
            waits: BTreeMap::new(),
            warm: BTreeSet::new(),
            finished: BTreeSet::new(),
            said: Said::default(),
            records: 0,
            ticked_ms: None,
            is_leaving: false,
        }
    }

    /// Returns its id in the group.
    pub fn id(&self) -> String {
        format!("{}.{}", self.id, self.joins)
    }

    /// Returns the group, as far as it has been read.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Takes the next record of the topic.
    pub fn admit(&mut self, offset: i64, announcement: &Announcement, now_ms: u64) {
        let was_member = self.is_member();
        let generation = self.group.generation();
        if let Some(member) = self.group.admit(offset, announcement) {
            self.heard.insert(member, now_ms);
        }
        self.records += 1;
        if self.group.generation() != generation {
            self.records = 0;
            let is_new = |task: &TaskId, waits: &BTreeMap<TaskId, u64>| !waits.contains_key(task);
            for (task, owner) in self.group.owners() {
                if *owner == self.id() && self.group.former_owner(task).is_some() && is_new(task, &self.waits) {
                    self.waits.insert(task.clone(), now_ms);
                }
            }
        }
        self.waits.retain(|task, _| self.group.former_owner(task).is_some());
        let group = &self.group;
        self.heard.retain(|member, _| group.is_member(member));
        self.ended.retain(|member| group.is_member(member));
        for seen in group.members() {
            // Its clock begins when it is first seen.
            self.heard.entry(seen.listed.member.clone()).or_insert(now_ms);
        }
        if was_member && !self.is_member() && !self.is_leaving {
            // Thought dead, or another process has this name: it comes again as somebody new.
            self.joins += 1;
            self.said = Said::default();
        }
    }

    fn is_member(&self) -> bool {
        self.group.is_member(&self.id())
    }

    /// Returns true once it is a member and an assignment is in force that knows it.
    pub fn is_settled(&self) -> bool {
        self.group.is_known() && self.is_member() && self.group.generation() > 0 && !self.group.is_stale()
    }

    /// Returns what it is to do for a task now.
    pub fn duty(&self, task: &TaskId, now_ms: u64) -> Duty {
        if !self.is_member() || self.is_leaving {
            return Duty::Idle;
        }
        let id = self.id();
        if self.group.owners().get(task) == Some(&id) {
            let waits = self.waits.get(task).is_some_and(|since| now_ms < since + self.config.release_ms);
            return if waits { Duty::Standby } else { Duty::Owner };
        }
        match self.group.standbys().get(task) {
            Some(standbys) if standbys.contains(&id) => Duty::Standby,
            _ => Duty::Idle,
        }
    }

    /// Hears which tasks are followed to their ends now.
    pub fn set_warm(&mut self, warm: BTreeSet<TaskId>) {
        self.warm = warm;
    }

    /// Hears that the process of a member has ended: nobody needs to wait for its silence.
    pub fn ended(&mut self, member: &str) {
        self.ended.insert(member.to_owned());
    }

    /// Hears that it has finished with a task that it owned.
    pub fn finished(&mut self, task: &TaskId) {
        self.finished.insert(task.clone());
    }

    /// Returns what to write now, in this order. To be asked often, and again after everything that was read.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Announcement> {
        if self.is_leaving {
            return Vec::new();
        }
        // Whoever was stopped itself, or could not reach the log, knows nothing of the silence of others.
        if self.ticked_ms.replace(now_ms).is_some_and(|ticked_ms| now_ms > ticked_ms + 2 * self.config.heartbeat_ms) {
            self.heard.values_mut().for_each(|heard_ms| *heard_ms = now_ms);
        }
        if !self.is_member() {
            return self.join(now_ms).into_iter().collect();
        }
        let mut announcements = Vec::new();
        announcements.extend(self.release());
        announcements.extend(self.evict(now_ms));
        announcements.extend(self.assign(now_ms));
        announcements.extend(self.live(now_ms));
        announcements
    }

    /// Returns what to write when it has finished with everything. From here on it has no duties.
    pub fn leave(&mut self) -> Option<Announcement> {
        let was_member = self.is_member();
        self.is_leaving = true;
        was_member.then(|| Announcement::Left { member: self.id() })
    }

    fn join(&mut self, now_ms: u64) -> Option<Announcement> {
        if self.said.joined_ms.is_some_and(|said| now_ms < said + self.config.session_ms) {
            return None;
        }
        self.said.joined_ms = Some(now_ms);
        Some(Announcement::Joined {
            member: self.id(),
            instance: self.config.instance.clone(),
            processors: self.config.processors.clone(),
            lifeline: self.config.lifeline.clone(),
        })
    }

    fn release(&mut self) -> Option<Announcement> {
        let (group, id) = (&self.group, self.id());
        let tasks: BTreeSet<TaskId> = std::mem::take(&mut self.finished).into_iter().filter(|task| group.former_owner(task) == Some(&id)).collect();
        (!tasks.is_empty()).then_some(Announcement::Released { member: id, tasks })
    }

    fn evict(&mut self, now_ms: u64) -> Vec<Announcement> {
        let (id, session_ms) = (self.id(), self.config.session_ms);
        let (heard, said) = (&self.heard, &mut self.said.evicted);
        said.retain(|_, (_, said_ms)| now_ms < *said_ms + session_ms);
        let silent = |member: &String| heard.get(member).is_some_and(|heard_ms| now_ms >= heard_ms + session_ms);
        let is_gone = |member: &String| *member != id && (self.ended.contains(member) || silent(member));
        // What the dead have written last may be read only now: said in ignorance of it, it was void.
        let is_said = |seen: &Seen, said: &BTreeMap<String, (i64, u64)>| said.get(&seen.listed.member).is_some_and(|(last, _)| *last == seen.last);
        let gone = self.group.members().iter().filter(|seen| is_gone(&seen.listed.member) && !is_said(seen, said));
        let gone: Vec<_> = gone.map(|seen| (seen.listed.member.clone(), seen.last)).collect();
        said.extend(gone.iter().map(|(member, last)| (member.clone(), (*last, now_ms))));
        gone.into_iter().map(|(member, seen)| Announcement::Evicted { member, by: id.clone(), seen }).collect()
    }

    fn assign(&mut self, now_ms: u64) -> Option<Announcement> {
        let id = self.id();
        if self.group.leader() != Some(&id) {
            return None;
        }
        let (generation, after) = (self.group.generation() + 1, self.group.changed_at());
        let is_on_its_way =
            |(said, said_after, said_ms): (u64, i64, u64)| (said, said_after) == (generation, after) && now_ms < said_ms + self.config.session_ms;
        if self.said.assigned.is_some_and(is_on_its_way) {
            return None;
        }
        let planned = plan(&self.group, self.config.standbys);
        let is_as_planned = !self.group.is_stale() && planned.owners == *self.group.owners() && planned.standbys == *self.group.standbys();
        if is_as_planned && self.records < ASSIGNMENT_RECORDS_MAX / 2 {
            return None;
        }
        self.said.assigned = Some((generation, after, now_ms));
        let members: Vec<Listed> = self.group.members().iter().map(|seen| seen.listed.clone()).collect();
        Some(Announcement::Assigned { leader: id, generation, after, members, owners: planned.owners, standbys: planned.standbys })
    }

    /// Says that it lives, if anybody listens.
    fn live(&mut self, now_ms: u64) -> Option<Announcement> {
        let is_due = self.said.alive_ms.is_none_or(|said| now_ms >= said + self.config.heartbeat_ms);
        let is_new = self.said.warm != self.warm;
        if !(is_new || is_due && self.group.members().len() > 1) {
            return None;
        }
        self.said.alive_ms = Some(now_ms);
        self.said.warm.clone_from(&self.warm);
        Some(Announcement::Alive { member: self.id(), warm: self.warm.clone() })
    }
}
