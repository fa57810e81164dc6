//! Topics: found, created, counted.

use fluvio::metadata::topic::{CleanupPolicy, SegmentBasedPolicy, TopicSpec, TopicStorageConfig};
use fluvio_protocol::link::ErrorCode;

use super::{Control, ControlError};
use crate::log::{LogError, NewTopic};

impl Control {
    /// Returns the number of partitions of a topic, `None` if there is no such topic. Always asks: partitions can be added.
    pub(in crate::fluvio) async fn topic_partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        // Filters of lists match parts of names.
        let topics = self.call("listing topics", |admin| async move { admin.list::<TopicSpec, String>(vec![topic.to_owned()]).await }).await?;
        Ok(topics.into_iter().find(|found| found.name == topic).map(|found| found.spec.partitions()))
    }

    /// Creates the topic if it is not there and returns its number of partitions.
    pub(in crate::fluvio) async fn create_topic(&self, topic: &NewTopic) -> Result<u32, LogError> {
        if let Some(partitions) = self.topic_partitions(&topic.name).await? {
            return Ok(partitions);
        }
        let spec = spec_of(topic, self.settings.replication);
        let created = self.call("creating a topic", |admin| {
            let (name, spec) = (topic.name.clone(), spec.clone());
            async move { admin.create(name, false, spec).await }
        });
        match created.await {
            Ok(()) => Ok(topic.partitions),
            // Somebody else was faster, or our first attempt had succeeded without our hearing of it.
            Err(ControlError::Refused { code: Some(ErrorCode::TopicAlreadyExists), .. }) => {
                self.topic_partitions(&topic.name).await?.ok_or_else(|| LogError::NoTopic { topic: topic.name.clone() })
            }
            Err(ControlError::Refused { detail, .. }) => Err(LogError::Refused { action: format!("creating topic `{}`", topic.name), detail }),
            Err(ControlError::Log(error)) => Err(error),
        }
    }
}

fn spec_of(topic: &NewTopic, replication: u32) -> TopicSpec {
    let mut spec = TopicSpec::new_computed(topic.partitions, replication, None);
    if let Some(time_in_seconds) = topic.retention_seconds {
        spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds }));
    }
    if topic.segment_bytes.is_some() {
        spec.set_storage(TopicStorageConfig { segment_size: topic.segment_bytes, max_partition_size: None });
    }
    spec
}
