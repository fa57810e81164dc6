//! Topics: which configurations are accepted, and how topics and partitions are described to clients.

use std::collections::BTreeMap;

use fluvio_controlplane_metadata::{
    partition::{PartitionResolution, PartitionSpec, PartitionStatus, ReplicaStatus},
    smartmodule::SmartModulePackageKey,
    topic::{MirrorMap, ReplicaSpec, TopicResolution, TopicSpec, TopicStatus, UpdateTopicAction},
};
use fluvio_protocol::link::ErrorCode;
use fluvio_sc_schema::{objects::Metadata, shared::validate_resource_name};

use super::{Control, SPU_ID};
use crate::catalogue::{Partition, Refused, Topic};

/// Creates a topic, or only checks whether it could be created.
pub(super) async fn create(control: &Control, name: &str, spec: TopicSpec, dry_run: bool) -> Result<(), Refused> {
    validate_resource_name(name)
        .and_then(|()| if name.is_empty() { validate_resource_name("-") } else { Ok(()) })
        .map_err(|error| Refused::new(ErrorCode::TopicInvalidName, format!("invalid topic name: '{name}'. {error}")))?;
    if control.catalogue.topic(name).is_some() {
        return Err(Refused::new(ErrorCode::TopicAlreadyExists, format!("topic '{name}' already exists")));
    }
    validate_spec(control, &spec)?;
    if dry_run {
        return Ok(());
    }
    control.catalogue.create_topic(name, spec).await
}

fn validate_spec(control: &Control, spec: &TopicSpec) -> Result<(), Refused> {
    if let Some(problem) = spec.validate_config() {
        return Err(Refused::new(ErrorCode::TopicInvalidConfiguration, problem));
    }
    validate_deduplication(control, spec)?;
    let invalid = |message: String| Refused::new(ErrorCode::TopicError, message);
    match spec.replicas() {
        ReplicaSpec::Computed(params) => {
            ReplicaSpec::valid_partition(&params.partitions).map_err(|error| invalid(error.to_string()))?;
            ReplicaSpec::valid_replication_factor(&params.replication_factor).map_err(|error| invalid(error.to_string()))?;
            if params.replication_factor > 1 {
                let wanted = params.replication_factor;
                return Err(invalid(format!("replication factor {wanted} needs {wanted} nodes, this broker is one")));
            }
        }
        ReplicaSpec::Assigned(assignment) => {
            assignment.validate().map_err(|error| invalid(error.to_string()))?;
            if assignment.unique_spus_in_partition_map() != [SPU_ID] {
                return Err(invalid(format!("partitions can only be assigned to the one node, {SPU_ID}")));
            }
        }
        ReplicaSpec::Mirror(_) => return Err(invalid("this broker does not mirror topics".to_owned())),
    }
    Ok(())
}

fn validate_deduplication(control: &Control, spec: &TopicSpec) -> Result<(), Refused> {
    let Some(deduplication) = spec.get_deduplication() else { return Ok(()) };
    let name = &deduplication.filter.transform.uses;
    let key = SmartModulePackageKey::from_qualified_name(name)
        .map_err(|error| Refused::new(ErrorCode::DeduplicationSmartModuleNameInvalid(error.to_string()), error.to_string()))?;
    if control.catalogue.smartmodule(&key.store_id()).is_none() {
        let message = format!("deduplication needs the SmartModule '{name}', which is not loaded");
        return Err(Refused::new(ErrorCode::DeduplicationSmartModuleNotLoaded, message));
    }
    let message = "this broker does not deduplicate topics; produce with a SmartModule instead";
    Err(Refused::new(ErrorCode::TopicInvalidConfiguration, message))
}

/// Changes a topic.
pub(super) async fn update(control: &Control, name: &str, action: UpdateTopicAction) -> Result<(), Refused> {
    match action {
        UpdateTopicAction::AddPartition(added) => control.catalogue.add_partitions(name, added.count).await,
        UpdateTopicAction::AddMirror(_) => Err(Refused::new(ErrorCode::TopicError, "this broker does not mirror topics")),
    }
}

/// A topic as clients see it.
pub(super) fn describe(topic: &Topic) -> Metadata<TopicSpec> {
    let replica_map: BTreeMap<u32, Vec<i32>> = topic.partitions.iter().map(|partition| (partition.index, vec![SPU_ID])).collect();
    let status = TopicStatus { resolution: TopicResolution::Provisioned, replica_map, mirror_map: MirrorMap::new(), reason: String::new() };
    Metadata { name: topic.name.clone(), spec: topic.spec.clone(), status }
}

/// A partition as watches see it: without offsets, which change with every record.
pub(super) fn describe_partition(topic: &Topic, partition: &Partition) -> Metadata<PartitionSpec> {
    let spec = PartitionSpec::from_replicas(vec![SPU_ID], &topic.spec, None);
    let status = PartitionStatus {
        resolution: PartitionResolution::Online,
        leader: ReplicaStatus { spu: SPU_ID, ..ReplicaStatus::default() },
        ..PartitionStatus::default()
    };
    Metadata { name: format!("{}-{}", partition.topic, partition.index), spec, status }
}

/// A partition as lists show it: with its offsets and size at this moment.
pub(super) fn describe_partition_in_full(topic: &Topic, partition: &Partition) -> Metadata<PartitionSpec> {
    let mut described = describe_partition(topic, partition);
    let log = &partition.log;
    described.status.leader.hw = log.high_watermark();
    described.status.leader.leo = log.end_offset();
    described.status.base_offset = log.start_offset();
    described.status.size = i64::try_from(log.size_bytes()).unwrap_or(i64::MAX);
    described
}
