//! Lists of objects, each type with the filter it has in Fluvio.

use fluvio_controlplane_metadata::store::KeyFilter;
use fluvio_protocol::Version;
use fluvio_sc_schema::{
    AdminSpec, TryEncodableFrom,
    core::Spec,
    customspu::CustomSpuSpec,
    mirror::MirrorSpec,
    objects::{ListFilters, ListRequest, ListResponse, Metadata, ObjectApiListRequest, ObjectApiListResponse},
    partition::PartitionSpec,
    smartmodule::SmartModuleSpec,
    spg::SpuGroupSpec,
    spu::SpuSpec,
    tableformat::TableFormatSpec,
    topic::TopicSpec,
};

use super::{Absent, Control, downcast, malformed, smartmodules, topics};
use crate::wire::Refusal;

/// Answers a request for a list.
pub(super) fn list(control: &Control, body: &ObjectApiListRequest, api_key: u16, version: Version) -> Result<ObjectApiListResponse, Refusal> {
    if let Some(request) = downcast::<ListRequest<TopicSpec>, _>(body, api_key)? {
        let listed = list_topics(control, &request.name_filters, request.system);
        return encode(listed, version, api_key);
    }
    if let Some(request) = downcast::<ListRequest<PartitionSpec>, _>(body, api_key)? {
        let listed = list_partitions(control, &request.name_filters, request.system);
        return encode(listed, version, api_key);
    }
    if let Some(request) = downcast::<ListRequest<SmartModuleSpec>, _>(body, api_key)? {
        let listed = smartmodules::list(control, request.name_filters, request.summary);
        return encode(listed, version, api_key);
    }
    if let Some(request) = downcast::<ListRequest<SpuSpec>, _>(body, api_key)? {
        return encode(keep(vec![control.spu()], &request.name_filters), version, api_key);
    }
    if let Some(request) = downcast::<ListRequest<CustomSpuSpec>, _>(body, api_key)? {
        let Metadata { name, spec, status } = control.spu();
        let custom = Metadata { name, spec: CustomSpuSpec::from(spec), status };
        return encode(keep(vec![custom], &request.name_filters), version, api_key);
    }
    if let Some(response) = absent::<TableFormatSpec>(body, version, api_key)? {
        return Ok(response);
    }
    if let Some(response) = absent::<MirrorSpec>(body, version, api_key)? {
        return Ok(response);
    }
    if let Some(response) = absent::<SpuGroupSpec>(body, version, api_key)? {
        return Ok(response);
    }
    Err(malformed(api_key, "list of an unknown type of objects"))
}

fn list_topics(control: &Control, filters: &ListFilters, system: bool) -> Vec<Metadata<TopicSpec>> {
    let topics = control.catalogue.topics().into_iter();
    topics.filter(|topic| topic.spec.is_system() == system && filters.filter(&topic.name)).map(|topic| topics::describe(&topic)).collect()
}

fn list_partitions(control: &Control, filters: &ListFilters, system: bool) -> Vec<Metadata<PartitionSpec>> {
    let mut listed = Vec::new();
    for topic in control.catalogue.topics() {
        if topic.spec.is_system() == system {
            let partitions = topic.partitions.iter();
            listed.extend(partitions.map(|partition| topics::describe_partition_in_full(&topic, partition)));
        }
    }
    keep(listed, filters)
}

fn keep<S>(mut objects: Vec<Metadata<S>>, filters: &ListFilters) -> Vec<Metadata<S>>
where
    S: AdminSpec,
    S::Status: fluvio_protocol::Encoder + fluvio_protocol::Decoder,
{
    objects.retain(|object| filters.filter(&object.name));
    objects
}

fn absent<S>(body: &ObjectApiListRequest, version: Version, api_key: u16) -> Result<Option<ObjectApiListResponse>, Refusal>
where
    S: AdminSpec + Absent,
    S::Status: fluvio_protocol::Encoder + fluvio_protocol::Decoder + std::fmt::Debug,
    ListRequest<S>: fluvio_protocol::Encoder + fluvio_protocol::Decoder + std::fmt::Debug,
{
    match downcast::<ListRequest<S>, _>(body, api_key)? {
        Some(_) => encode::<S>(Vec::new(), version, api_key).map(Some),
        None => Ok(None),
    }
}

fn encode<S>(listed: Vec<Metadata<S>>, version: Version, api_key: u16) -> Result<ObjectApiListResponse, Refusal>
where
    S: AdminSpec,
    <S as Spec>::Status: fluvio_protocol::Encoder + fluvio_protocol::Decoder + std::fmt::Debug,
{
    ObjectApiListResponse::try_encode_from(ListResponse::new(listed), version).map_err(|error| malformed(api_key, error.to_string()))
}
