//! What members write into the assignment topic: JSON, so that people can read along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A task of the application: written `<processor>/<partition>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    /// Processor.
    pub processor: String,
    /// Partition.
    pub partition: u32,
}

impl TaskId {
    /// Returns the task of a processor on a partition.
    pub fn new(processor: &str, partition: u32) -> Self {
        Self { processor: processor.to_owned(), partition }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.processor, self.partition)
    }
}

impl FromStr for TaskId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed =
            text.rsplit_once('/').and_then(|(processor, partition)| Some(Self { processor: processor.to_owned(), partition: partition.parse().ok()? }));
        parsed.ok_or_else(|| format!("`{text}` is no task: it should be <processor>/<partition>"))
    }
}

impl Serialize for TaskId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A member as an assignment lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its id.
    pub member: String,
    /// Its instance.
    pub instance: String,
    /// Processors that it can run, with their numbers of partitions.
    pub processors: BTreeMap<String, u32>,
    /// Where its lifeline is, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifeline: Option<String>,
}

/// A record of the assignment topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Announcement {
    /// A member comes. What was a member of the same instance before is gone.
    Joined {
        /// Its id: fresh at every join.
        member: String,
        /// Name of its instance, the same after a restart.
        instance: String,
        /// Processors that it can run, with their numbers of partitions.
        processors: BTreeMap<String, u32>,
        /// Where its lifeline is, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifeline: Option<String>,
    },
    /// A member lives.
    Alive {
        /// Its id.
        member: String,
        /// Tasks that it follows and could take over at once.
        warm: BTreeSet<TaskId>,
    },
    /// A member has finished with tasks that were given to others.
    Released {
        /// Its id.
        member: String,
        /// The tasks.
        tasks: BTreeSet<TaskId>,
    },
    /// A member has finished with everything and goes.
    Left {
        /// Its id.
        member: String,
    },
    /// A member was silent for too long, or its process has ended. Counts only if nothing has been heard of it since.
    Evicted {
        /// Its id.
        member: String,
        /// Who noticed.
        by: String,
        /// Offset of the last record of it that was seen.
        seen: i64,
    },
    /// The leader says who runs what. Counts only if it knows of all who came and went, and follows the last one.
    Assigned {
        /// Its id.
        leader: String,
        /// One more than that of the assignment before.
        generation: u64,
        /// Offset of the last record by which somebody came or went.
        after: i64,
        /// Everybody who is there, in the order in which they came: whoever reads the topic from here on needs nothing before it.
        members: Vec<Listed>,
        /// Owner of each task that somebody can run.
        owners: BTreeMap<TaskId, String>,
        /// Who follows a task, to take it over.
        standbys: BTreeMap<TaskId, BTreeSet<String>>,
    },
}

impl Announcement {
    /// Returns the stored form.
    ///
    /// # Panics
    /// Never: every announcement serializes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| panic!("announcement serializes: {error}"))
    }

    /// Reads the stored form; what cannot be read says nothing.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Returns true if there is an assignment among the announcements: then whoever begins with the first of them knows the group in the end.
pub fn holds_assignment(announcements: &[(i64, Announcement)]) -> bool {
    announcements.iter().any(|(_, announcement)| matches!(announcement, Announcement::Assigned { .. }))
}
