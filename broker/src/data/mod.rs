//! The data plane, Fluvio's "SPU": records in, records out, positions kept.
//!
//! Produce requests of a connection go through one lane in the order in which they arrive; every stream is a
//! task of its own; everything else is answered by short tasks. Start reading at [`DataService`].

mod consumer_offsets;
mod fetch_offsets;
mod produce;
mod records;
mod refusals;
mod stream_fetch;
mod streams;

use std::sync::Arc;

use bytes::Bytes;
use fluvio_protocol::{
    Encoder,
    api::Request as _,
    link::{
        ErrorCode,
        versions::{ApiVersionKey, ApiVersionsRequest, ApiVersionsResponse, PlatformVersion},
    },
};
use fluvio_spu_schema::{
    produce::ProduceRequest,
    server::{
        SpuServerApiKey,
        consumer_offset::{DeleteConsumerOffsetRequest, FetchConsumerOffsetsRequest, UpdateConsumerOffsetRequest},
        fetch_offset::FetchOffsetsRequest,
        stream_fetch::StreamFetchRequest,
        update_offset::UpdateOffsetsRequest,
    },
};

use crate::{
    Limits, Observer,
    catalogue::Catalogue,
    disk_watch::DiskWatch,
    limits::PLAIN_FRAME_BYTES_MAX,
    offset_store::OffsetStore,
    smartmodule::SmartModules,
    wire::{Connection, Refusal, Request, Service, decode, response},
};
use produce::Lane;
use records::{Produced, Stored};
pub(crate) use refusals::Refusals;
use streams::Streams;

/// The versions that this endpoint tells clients about. The requests for managed offsets are answered too,
/// but as in Fluvio nobody is told.
const ADVERTISED: [(SpuServerApiKey, i16, i16); 5] = [
    (SpuServerApiKey::ApiVersion, 0, ApiVersionsRequest::MAX_API_VERSION),
    (SpuServerApiKey::Produce, 0, ProduceRequest::<Produced>::MAX_API_VERSION),
    (SpuServerApiKey::FetchOffsets, FetchOffsetsRequest::MIN_API_VERSION, FetchOffsetsRequest::MAX_API_VERSION),
    (SpuServerApiKey::StreamFetch, 0, StreamFetchRequest::<Stored>::MAX_API_VERSION),
    (SpuServerApiKey::UpdateOffsets, 0, UpdateOffsetsRequest::MAX_API_VERSION),
];

const UNADVERTISED: [(SpuServerApiKey, i16, i16); 3] = [
    (SpuServerApiKey::UpdateConsumerOffset, UpdateConsumerOffsetRequest::MIN_API_VERSION, UpdateConsumerOffsetRequest::MAX_API_VERSION),
    (SpuServerApiKey::DeleteConsumerOffset, DeleteConsumerOffsetRequest::MIN_API_VERSION, DeleteConsumerOffsetRequest::MAX_API_VERSION),
    (SpuServerApiKey::FetchConsumerOffsets, FetchConsumerOffsetsRequest::MIN_API_VERSION, FetchConsumerOffsetsRequest::MAX_API_VERSION),
];

/// What all connections of the data plane share.
pub(crate) struct Data {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) offsets: OffsetStore,
    pub(crate) smartmodules: Arc<SmartModules>,
    pub(crate) disk: Arc<DiskWatch>,
    pub(crate) refusals: Refusals,
    pub(crate) limits: Arc<Limits>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// Serves one connection of the data plane.
pub(crate) struct DataService {
    data: Arc<Data>,
    connection: Connection,
    streams: Arc<Streams>,
    lane: Lane,
}

impl DataService {
    pub(crate) fn new(data: Arc<Data>, connection: Connection) -> Self {
        let streams = Arc::new(Streams::new(data.limits.streams_per_connection_max));
        let lane = Lane::start(Arc::clone(&data), connection.clone());
        Self { data, connection, streams, lane }
    }

    async fn send<R: Encoder>(&self, request: &Request, body: &R) -> Result<(), Refusal> {
        let frame = response(request.correlation_id(), request.version(), body, Bytes::new())?;
        Ok(self.connection.outbound.send(frame).await?)
    }

    /// Starts a task that answers one request; its failure to do so ends the connection.
    async fn answer<R, F>(&self, request: &Request, work: F) -> Result<(), Refusal>
    where
        R: Encoder + Send + Sync,
        F: Future<Output = R> + Send + 'static,
    {
        let permit = self.connection.admit().await?;
        let (correlation_id, version) = (request.correlation_id(), request.version());
        let connection = self.connection.clone();
        self.connection.spawn(async move {
            let body = work.await;
            let answered = async {
                let frame = response(correlation_id, version, &body, Bytes::new())?;
                Ok(connection.outbound.send(frame).await?)
            };
            if let Err(refusal) = answered.await {
                connection.refuse(&refusal);
            }
            drop(permit);
        });
        Ok(())
    }
}

impl Service for DataService {
    fn frame_bytes_max(&self, api_key: u16) -> Option<usize> {
        let (key, ..) = known(api_key)?;
        Some(match key {
            SpuServerApiKey::Produce => self.data.limits.produce_frame_bytes_max,
            SpuServerApiKey::StreamFetch => self.data.limits.smartmodule_frame_bytes_max,
            _ => PLAIN_FRAME_BYTES_MAX,
        })
    }

    async fn handle(&mut self, request: Request) -> Result<(), Refusal> {
        let (api_key, version) = (request.header.api_key(), request.version());
        let Some((key, ..)) = known(api_key).filter(|(_, min, max)| (*min..=*max).contains(&version)) else {
            return Err(Refusal::Version { api_key, version });
        };
        let (data, streams) = (Arc::clone(&self.data), Arc::clone(&self.streams));
        match key {
            SpuServerApiKey::Produce => {
                let body: ProduceRequest<Produced> = decode(&request)?;
                self.lane.send(&request, body).await
            }
            SpuServerApiKey::StreamFetch => {
                let body: StreamFetchRequest<Stored> = decode(&request)?;
                stream_fetch::start(&data, &self.connection, &streams, &request, body).await
            }
            // An acknowledgement only sets a value, so that it need not wait for a task of its own.
            SpuServerApiKey::UpdateOffsets => {
                let body: UpdateOffsetsRequest = decode(&request)?;
                self.send(&request, &streams.acknowledge(&body)).await
            }
            SpuServerApiKey::FetchOffsets => {
                let body: FetchOffsetsRequest = decode(&request)?;
                self.send(&request, &fetch_offsets::fetch(&data, body)).await
            }
            SpuServerApiKey::UpdateConsumerOffset => {
                let body: UpdateConsumerOffsetRequest = decode(&request)?;
                self.answer(&request, async move { consumer_offsets::update(&data, &streams, &body).await }).await
            }
            SpuServerApiKey::DeleteConsumerOffset => {
                let body: DeleteConsumerOffsetRequest = decode(&request)?;
                self.answer(&request, async move { consumer_offsets::delete(&data, body).await }).await
            }
            SpuServerApiKey::FetchConsumerOffsets => {
                let body: FetchConsumerOffsetsRequest = decode(&request)?;
                self.send(&request, &consumer_offsets::fetch(&data, &body)).await
            }
            SpuServerApiKey::ApiVersion => {
                decode::<ApiVersionsRequest>(&request)?;
                self.send(&request, &api_versions()).await
            }
            _ => Err(Refusal::Version { api_key, version }),
        }
    }
}

fn known(api_key: u16) -> Option<(SpuServerApiKey, i16, i16)> {
    ADVERTISED.iter().chain(&UNADVERTISED).find(|(key, ..)| *key as u16 == api_key).copied()
}

fn api_versions() -> ApiVersionsResponse {
    let api_keys = ADVERTISED.iter().map(|(key, min, max)| ApiVersionKey { api_key: *key as i16, min_version: *min, max_version: *max }).collect();
    ApiVersionsResponse { error_code: ErrorCode::None, api_keys, platform_version: PlatformVersion::default() }
}
