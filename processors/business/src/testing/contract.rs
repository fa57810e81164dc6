//! The contract as a law: every record that the topology wrote has a schema, is as it says, and has no member that it does not name; every command that is taken is as its schema says.

use std::collections::BTreeSet;

use fluvio_streams::system::{CommandSpec, RecordSpec, System, Writer};
use fluvio_streams::testing::TestDriver;
use serde_json::Value;

use crate::schema::check::{Unnamed, check};
use crate::schema::envelope;

/// What the topics of a system promise.
#[derive(Clone)]
pub struct Contract {
    records: Vec<RecordSpec>,
    commands: Vec<CommandSpec>,
    envelope: Value,
    /// Every topic but the journals, which are nobody else's.
    topics: Vec<String>,
}

/// (topic, type) of records.
pub type Kinds = BTreeSet<(String, String)>;

impl Contract {
    /// Returns the contract of a system.
    pub fn of(system: &System) -> Self {
        let mut topics = system.topology.topics();
        for processor in &system.topology.processors {
            topics.remove(&processor.journal);
        }
        Self { records: system.contract(), commands: system.commands.clone(), envelope: envelope(), topics: topics.into_iter().collect() }
    }

    /// Returns every type that the contract names.
    pub fn kinds(&self) -> Kinds {
        self.records.iter().map(|record| (record.topic.clone(), record.kind.clone())).collect()
    }

    /// Checks every record that stands in the topics, and returns the types that were seen and are as promised.
    ///
    /// What is not the topology's own work is a test's, which may send what it likes: garbage is passed over, but a command that its own rules take must be as its schema says.
    ///
    /// # Panics
    /// If a record is not as promised.
    pub fn holds(&self, driver: &TestDriver, partitions: u32) -> Kinds {
        let mut seen = Kinds::new();
        for topic in &self.topics {
            for partition in 0..partitions {
                let records = driver.log().fetch(topic, partition, 0, None, usize::MAX).unwrap_or_else(|error| panic!("{error}")).records;
                for record in records {
                    let Ok(value) = serde_json::from_slice::<Value>(&record.value) else { continue };
                    if let Some(kind) = self.holds_of(topic, &value) {
                        seen.insert((topic.clone(), kind));
                    }
                }
            }
        }
        seen
    }

    fn holds_of(&self, topic: &str, record: &Value) -> Option<String> {
        let kind = record["type"].as_str()?;
        let known = self.records.iter().find(|known| known.topic == topic && known.kind == kind);
        let assert_is = |schema: &Value, data: &Value, unnamed| {
            check(schema, data, unnamed).unwrap_or_else(|error| panic!("{topic}, {kind}: {error}\n{record}"));
        };
        if record.get("provenance").is_none() {
            let known = known?;
            let is_taken = self.commands.iter().find(|command| command.kind == kind && known.writer == Writer::Outside);
            return match is_taken {
                Some(command) if (command.check)(record).is_ok() => {
                    assert_is(&known.schema, &without_nulls(record), Unnamed::Ignored);
                    Some(kind.to_owned())
                }
                Some(_) => None,
                None => check(&known.schema, record.get("data").unwrap_or(record), Unnamed::Ignored).is_ok().then(|| kind.to_owned()),
            };
        }
        assert_is(&self.envelope, record, Unnamed::Wrong);
        let data = &record["data"];
        match known {
            // A command that was forwarded is what its sender made it.
            Some(known) if known.writer == Writer::Outside => self.holds_of(topic, data),
            Some(known) => {
                assert_is(&known.schema, data, Unnamed::Wrong);
                Some(kind.to_owned())
            }
            None => {
                // Somebody's command that nobody knows may have been forwarded.
                assert!(
                    self.records.iter().any(|known| known.topic == topic && known.writer == Writer::Outside),
                    "{topic} has no schema for `{kind}`: {record}"
                );
                None
            }
        }
    }
}

/// In a command, `null` counts as left out. The schema promises no such thing, for it is better left out.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().filter(|(_, member)| !member.is_null()).map(|(name, member)| (name.clone(), without_nulls(member))).collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        value => value.clone(),
    }
}
