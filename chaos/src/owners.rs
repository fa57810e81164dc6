//! Who owned which task when, as the assignment topic tells people who read it: the rules of ADR 0008, worked out here once more.

use std::collections::BTreeMap;

use serde_json::Value;

/// Owners of tasks by name of the instance; a task is called `<processor>/<partition>`.
pub(crate) type Owners = BTreeMap<String, String>;

/// The assignments that counted, in their order.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    members: Vec<Member>,
    changed_at: i64,
    generation: u64,
    /// When each was written, in ms since the Unix epoch, and what it says.
    history: Vec<(i64, Owners)>,
}

#[derive(Debug)]
struct Member {
    id: String,
    instance: String,
    last: i64,
}

impl Assignments {
    /// Begins with the beginning of the topic.
    pub(crate) fn new() -> Self {
        Self { changed_at: -1, ..Self::default() }
    }

    /// Takes the next record of the topic.
    pub(crate) fn take(&mut self, offset: i64, time_ms: i64, value: &[u8]) {
        let Ok(record) = serde_json::from_slice::<Value>(value) else { return };
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let mut heard = text("member");
        match record["type"].as_str() {
            Some("Joined") => {
                let (id, instance) = (text("member"), text("instance"));
                self.members.retain(|member| member.instance != instance);
                self.members.push(Member { id, instance, last: offset });
                self.changed_at = offset;
            }
            Some("Left") => self.remove(offset, |member| member.id == text("member")),
            Some("Evicted") => {
                let seen = record["seen"].as_i64();
                self.remove(offset, |member| member.id == text("member") && Some(member.last) == seen);
                heard = text("by");
            }
            Some("Assigned") => {
                heard = text("leader");
                let leads = self.members.first().is_some_and(|member| member.id == heard);
                if leads && record["after"].as_i64() == Some(self.changed_at) && record["generation"].as_u64() == Some(self.generation + 1) {
                    self.generation += 1;
                    self.history.push((time_ms, self.owners(&record["owners"])));
                }
            }
            _ => {}
        }
        if let Some(member) = self.members.iter_mut().find(|member| member.id == heard) {
            member.last = offset;
        }
    }

    fn remove(&mut self, offset: i64, is_gone: impl Fn(&Member) -> bool) {
        let before = self.members.len();
        self.members.retain(|member| !is_gone(member));
        if self.members.len() < before {
            self.changed_at = offset;
        }
    }

    fn owners(&self, owners: &Value) -> Owners {
        let name = |id: &Value| self.members.iter().find(|member| Some(member.id.as_str()) == id.as_str()).map(|member| member.instance.clone());
        owners.as_object().into_iter().flatten().filter_map(|(task, owner)| Some((task.clone(), name(owner)?))).collect()
    }

    /// Returns the owners at a time.
    pub(crate) fn at(&self, time_ms: i64) -> Owners {
        self.history.iter().take_while(|(written_ms, _)| *written_ms <= time_ms).last().map(|(_, owners)| owners.clone()).unwrap_or_default()
    }

    /// Returns the owners now.
    pub(crate) fn now(&self) -> Owners {
        self.at(i64::MAX)
    }

    /// Returns the tasks that had another owner at some time in between than at its beginning, and those that had not.
    pub(crate) fn moved(&self, from_ms: i64, to_ms: i64) -> (Vec<String>, Vec<String>) {
        let before = self.at(from_ms);
        let within = |(written_ms, _): &&(i64, Owners)| (from_ms..to_ms).contains(written_ms);
        let has_moved = |task: &String| self.history.iter().filter(within).any(|(_, owners)| owners.get(task) != before.get(task));
        before.keys().cloned().partition(has_moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn assignments_that_were_written_in_ignorance_do_not_count() {
        let mut assignments = Assignments::new();
        let assigned = |leader: &str, generation: u64, after: i64, owner: &str| json!({"type": "Assigned", "leader": leader, "generation": generation, "after": after, "members": [], "owners": {"orders/0": owner, "orders/1": "a"}});
        let records = [
            json!({"type": "Joined", "member": "a", "instance": "i-0", "processors": {}}),
            assigned("a", 1, 0, "a"),
            json!({"type": "Joined", "member": "b", "instance": "i-1", "processors": {}}),
            assigned("a", 2, 0, "a"),
            json!({"type": "Alive", "member": "b", "warm": []}),
            assigned("a", 2, 2, "b"),
            json!({"type": "Evicted", "member": "b", "by": "a", "seen": 2}),
            assigned("a", 3, 6, "a"),
        ];
        for (offset, record) in records.iter().enumerate() {
            assignments.take(offset as i64, offset as i64 * 10, record.to_string().as_bytes());
        }
        assert_eq!(assignments.history.len(), 2, "the eviction is void, since b was heard of");
        assert_eq!(assignments.now()["orders/0"], "i-1");
        assert_eq!(assignments.moved(20, 100), (vec!["orders/0".to_owned()], vec!["orders/1".to_owned()]));
        assert_eq!(assignments.moved(60, 100).0, Vec::<String>::new());
    }
}
