//! Where partitions start and end, for clients that want to resolve "beginning" and "end".

use fluvio_protocol::link::ErrorCode;
use fluvio_spu_schema::server::fetch_offset::{
    FetchOffsetPartitionResponse, FetchOffsetTopic, FetchOffsetTopicResponse, FetchOffsetsRequest, FetchOffsetsResponse,
};

use super::Data;

/// Answers with the first offset and the high watermark of each partition.
pub(super) fn fetch(data: &Data, request: FetchOffsetsRequest) -> FetchOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| fetch_topic(data, topic)).collect();
    FetchOffsetsResponse { topics }
}

fn fetch_topic(data: &Data, topic: FetchOffsetTopic) -> FetchOffsetTopicResponse {
    let name = topic.name;
    let partitions = topic
        .partitions
        .into_iter()
        .map(|wanted| {
            let partition_index = wanted.partition_index;
            match data.catalogue.partition(&name, partition_index) {
                Some(partition) => FetchOffsetPartitionResponse {
                    error_code: ErrorCode::None,
                    partition_index,
                    start_offset: partition.log.start_offset(),
                    last_stable_offset: partition.log.high_watermark(),
                },
                None => FetchOffsetPartitionResponse { error_code: ErrorCode::PartitionNotLeader, partition_index, start_offset: -1, last_stable_offset: -1 },
            }
        })
        .collect();
    FetchOffsetTopicResponse { name, partitions }
}
