//! Managed consumer offsets: commits, look-ups and deletions.

use fluvio_protocol::{link::ErrorCode, record::ReplicaKey};
use fluvio_spu_schema::server::consumer_offset::{
    ConsumerOffset, DeleteConsumerOffsetRequest, DeleteConsumerOffsetResponse, FetchConsumerOffsetsRequest, FetchConsumerOffsetsResponse,
    UpdateConsumerOffsetRequest, UpdateConsumerOffsetResponse,
};

use super::{Data, Streams};
use crate::offset_store::{CommitError, Key};

/// Commits a position for the consumer that opened the stream.
pub(super) async fn update(data: &Data, streams: &Streams, request: &UpdateConsumerOffsetRequest) -> UpdateConsumerOffsetResponse {
    let offset = request.offset;
    match commit(data, streams, request).await {
        Ok(()) => UpdateConsumerOffsetResponse { offset, error_code: ErrorCode::None },
        Err(error_code) => UpdateConsumerOffsetResponse { offset: 0, error_code },
    }
}

async fn commit(data: &Data, streams: &Streams, request: &UpdateConsumerOffsetRequest) -> Result<(), ErrorCode> {
    let consumer = streams.consumer(request.session_id).ok_or(ErrorCode::FetchSessionNotFoud)?;
    let key = consumer.ok_or_else(|| ErrorCode::Other("the stream was opened without a consumer id".to_owned()))?;
    let topic = data.catalogue.topic(&key.topic).ok_or(ErrorCode::TopicNotFound)?;
    data.offsets.commit(key, topic.id, request.offset).await.map_err(|error| failed(&error))
}

/// Forgets a consumer's position.
pub(super) async fn delete(data: &Data, request: DeleteConsumerOffsetRequest) -> DeleteConsumerOffsetResponse {
    let DeleteConsumerOffsetRequest { replica_id, consumer_id } = request;
    let key = Key { topic: replica_id.topic, partition: replica_id.partition, consumer: consumer_id };
    let deleted = data.offsets.delete(key).await.map_err(|error| failed(&error));
    DeleteConsumerOffsetResponse { error_code: deleted.err().unwrap_or_default() }
}

/// Lists positions. Those of topics that were deleted do not count, even if a topic of that name exists again.
pub(super) fn fetch(data: &Data, request: &FetchConsumerOffsetsRequest) -> FetchConsumerOffsetsResponse {
    let (replica, consumer) = match &request.filter_opts {
        Some(filter) => (filter.replica_id.as_ref(), filter.consumer_id.as_ref()),
        None => (None, None),
    };
    let is_wanted = |key: &Key| {
        consumer.is_none_or(|wanted| *wanted == key.consumer) && replica.is_none_or(|wanted| wanted.topic == key.topic && wanted.partition == key.partition)
    };
    let consumers = data
        .offsets
        .list()
        .into_iter()
        .filter(|(key, position)| {
            let exists = |topic: &crate::catalogue::Topic| topic.id == position.topic_id && topic.partitions.len() > key.partition as usize;
            is_wanted(key) && data.catalogue.topic(&key.topic).is_some_and(|topic| exists(&topic))
        })
        .map(|(key, position)| {
            let replica = ReplicaKey::new(key.topic, key.partition);
            ConsumerOffset::new(key.consumer, replica, position.offset, position.modified_at)
        })
        .collect();
    FetchConsumerOffsetsResponse { error_code: ErrorCode::None, consumers }
}

fn failed(error: &CommitError) -> ErrorCode {
    ErrorCode::Other(error.to_string())
}
