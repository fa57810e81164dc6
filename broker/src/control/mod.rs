//! The control plane, Fluvio's "SC": what exists, and telling clients about it.
//!
//! Every request is worked on in a task of its own, so a slow one holds up nobody. Start reading at
//! [`ControlService`].

mod lists;
mod smartmodules;
mod topics;
mod watches;

use std::sync::Arc;

use bytes::Bytes;
use fluvio_controlplane_metadata::{
    core::Spec,
    spu::{IngressPort, SpuSpec, SpuStatus},
    tableformat::TableFormatSpec,
    topic::TopicSpec,
};
use fluvio_protocol::{
    Encoder,
    api::Request as _,
    core::Decoder,
    link::{
        ErrorCode,
        versions::{ApiVersionKey, ApiVersionsRequest, ApiVersionsResponse, PlatformVersion},
    },
};
use fluvio_sc_schema::{
    AdminPublicApiKey, Status, TryEncodableFrom,
    mirror::MirrorSpec,
    objects::{
        CreateRequest, DeleteRequest, Metadata, ObjectApiCreateRequest, ObjectApiDeleteRequest, ObjectApiListRequest, ObjectApiUpdateRequest,
        ObjectApiWatchRequest, UpdateRequest,
    },
    smartmodule::SmartModuleSpec,
    spg::SpuGroupSpec,
};
use tokio::sync::Semaphore;

use crate::{
    Limits,
    catalogue::{Catalogue, Refused},
    limits::PLAIN_FRAME_BYTES_MAX,
    wire::{Connection, Refusal, Request, Service, decode, response},
};

/// The platform that clients are told they talk to; they check it for compatibility.
const PLATFORM_VERSION: semver::Version = semver::Version::new(0, 18, 1);

/// Id of the only node. Clients use it as a key and as the prefix of TLS server names.
pub(crate) const SPU_ID: i32 = 5001;

/// The versions that this endpoint answers, by api key.
const VERSIONS: [(AdminPublicApiKey, i16, i16); 6] = [
    (AdminPublicApiKey::ApiVersion, 0, ApiVersionsRequest::MAX_API_VERSION),
    (AdminPublicApiKey::Create, ObjectApiCreateRequest::MIN_API_VERSION, ObjectApiCreateRequest::MAX_API_VERSION),
    (AdminPublicApiKey::Delete, ObjectApiDeleteRequest::MIN_API_VERSION, ObjectApiDeleteRequest::MAX_API_VERSION),
    (AdminPublicApiKey::List, ObjectApiListRequest::MIN_API_VERSION, ObjectApiListRequest::MAX_API_VERSION),
    (AdminPublicApiKey::Watch, ObjectApiWatchRequest::MIN_API_VERSION, ObjectApiWatchRequest::MAX_API_VERSION),
    (AdminPublicApiKey::Update, ObjectApiUpdateRequest::MIN_API_VERSION, ObjectApiUpdateRequest::MAX_API_VERSION),
];

/// What all connections of the control plane share.
pub(crate) struct Control {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) limits: Arc<Limits>,
    /// Where clients find the data plane.
    pub(crate) spu_endpoint: IngressPort,
}

impl Control {
    fn spu(&self) -> Metadata<SpuSpec> {
        let mut spec = SpuSpec::new(SPU_ID).set_custom();
        spec.public_endpoint = self.spu_endpoint.clone();
        spec.public_endpoint_local = None;
        let mut status = SpuStatus::default();
        status.set_online();
        Metadata { name: format!("spu-{SPU_ID}"), spec, status }
    }
}

/// Serves one connection of the control plane.
pub(crate) struct ControlService {
    control: Arc<Control>,
    connection: Connection,
    watches: Arc<Semaphore>,
}

impl ControlService {
    pub(crate) fn new(control: Arc<Control>, connection: Connection) -> Self {
        let watches = Arc::new(Semaphore::new(control.limits.streams_per_connection_max));
        Self { control, connection, watches }
    }

    /// Starts a task that answers one request; its failure to do so ends the connection.
    async fn answer<R, F>(&self, request: &Request, work: F) -> Result<(), Refusal>
    where
        R: Encoder,
        F: Future<Output = Result<R, Refusal>> + Send + 'static,
    {
        let permit = self.connection.admit().await?;
        let (correlation_id, version) = (request.correlation_id(), request.version());
        let connection = self.connection.clone();
        self.connection.spawn(async move {
            let answered = async {
                let frame = response(correlation_id, version, &work.await?, Bytes::new())?;
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

impl Service for ControlService {
    fn frame_bytes_max(&self, api_key: u16) -> Option<usize> {
        let (key, ..) = VERSIONS.iter().find(|(key, ..)| *key as u16 == api_key)?;
        Some(match key {
            AdminPublicApiKey::Create => self.control.limits.smartmodule_frame_bytes_max,
            _ => PLAIN_FRAME_BYTES_MAX,
        })
    }

    async fn handle(&mut self, request: Request) -> Result<(), Refusal> {
        let (api_key, version) = (request.header.api_key(), request.version());
        let known = VERSIONS.iter().find(|(key, ..)| *key as u16 == api_key);
        let Some((key, ..)) = known.filter(|(_, min, max)| (*min..=*max).contains(&version)) else {
            return Err(Refusal::Version { api_key, version });
        };
        let control = Arc::clone(&self.control);
        match key {
            AdminPublicApiKey::ApiVersion => {
                decode::<ApiVersionsRequest>(&request)?;
                self.answer(&request, async { Ok(api_versions()) }).await
            }
            AdminPublicApiKey::Create => {
                let body: ObjectApiCreateRequest = decode(&request)?;
                self.answer(&request, async move { create(&control, &body, api_key).await }).await
            }
            AdminPublicApiKey::Delete => {
                let body: ObjectApiDeleteRequest = decode(&request)?;
                self.answer(&request, async move { delete(&control, &body, api_key).await }).await
            }
            AdminPublicApiKey::List => {
                let body: ObjectApiListRequest = decode(&request)?;
                self.answer(&request, async move { lists::list(&control, &body, api_key, version) }).await
            }
            AdminPublicApiKey::Update => {
                let body: ObjectApiUpdateRequest = decode(&request)?;
                self.answer(&request, async move { update(&control, &body, api_key).await }).await
            }
            AdminPublicApiKey::Watch => {
                let body: ObjectApiWatchRequest = decode(&request)?;
                let permit = Arc::clone(&self.watches).try_acquire_owned();
                let permit = permit.map_err(|_| malformed(api_key, "too many watches on one connection"))?;
                watches::start(&control, &self.connection, &request, &body, permit)
            }
            AdminPublicApiKey::Mirroring => Err(Refusal::Version { api_key, version }),
        }
    }
}

fn api_versions() -> ApiVersionsResponse {
    let api_keys = VERSIONS.iter().map(|(key, min, max)| ApiVersionKey { api_key: *key as i16, min_version: *min, max_version: *max }).collect();
    let platform_version = PlatformVersion::new(&PLATFORM_VERSION);
    ApiVersionsResponse { error_code: ErrorCode::None, api_keys, platform_version }
}

async fn create(control: &Control, body: &ObjectApiCreateRequest, api_key: u16) -> Result<Status, Refusal> {
    if let Some(request) = downcast::<CreateRequest<TopicSpec>, _>(body, api_key)? {
        let (common, spec) = request.parts();
        let created = topics::create(control, &common.name, spec, common.dry_run).await;
        return Ok(status(common.name, created));
    }
    if let Some(request) = downcast::<CreateRequest<SmartModuleSpec>, _>(body, api_key)? {
        let (common, spec) = request.parts();
        return Ok(smartmodules::create(control, common.name, spec, common.dry_run).await);
    }
    Ok(unsupported(ErrorCode::InvalidCreateRequest, "this broker creates topics and SmartModules only"))
}

async fn delete(control: &Control, body: &ObjectApiDeleteRequest, api_key: u16) -> Result<Status, Refusal> {
    if let Some(request) = downcast::<DeleteRequest<TopicSpec>, _>(body, api_key)? {
        let force = request.is_force();
        let name = request.key();
        let deleted = control.catalogue.delete_topic(&name, force).await;
        return Ok(status(name, deleted));
    }
    if let Some(request) = downcast::<DeleteRequest<SmartModuleSpec>, _>(body, api_key)? {
        return Ok(smartmodules::delete(control, request.key()).await);
    }
    Ok(unsupported(ErrorCode::InvalidDeleteRequest, "this broker deletes topics and SmartModules only"))
}

async fn update(control: &Control, body: &ObjectApiUpdateRequest, api_key: u16) -> Result<Status, Refusal> {
    if let Some(request) = downcast::<UpdateRequest<TopicSpec>, _>(body, api_key)? {
        let action = request.action.clone();
        let name = request.key();
        let updated = topics::update(control, &name, action).await;
        return Ok(status(name, updated));
    }
    Ok(unsupported(ErrorCode::Other("unsupported".to_owned()), "this broker updates topics only"))
}

fn status(name: String, result: Result<(), Refused>) -> Status {
    match result {
        Ok(()) => Status::new_ok(name),
        Err(Refused { code, message }) => Status::new(name, code, message),
    }
}

fn unsupported(code: ErrorCode, message: &str) -> Status {
    Status::new(String::new(), code, Some(message.to_owned()))
}

/// Whether a request is about objects of one type. The inner encoding is decoded only now, so it may turn
/// out malformed, or make the published decoder panic, only now.
fn downcast<T, B>(body: &B, api_key: u16) -> Result<Option<T>, Refusal>
where
    B: TryEncodableFrom<T>,
{
    let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body.downcast())).map_err(|_| Refusal::DecoderPanicked { api_key })?;
    decoded.map_err(|error| malformed(api_key, error.to_string()))
}

fn malformed(api_key: u16, problem: impl Into<String>) -> Refusal {
    Refusal::Malformed { api_key, problem: problem.into() }
}

/// Types of objects that Fluvio knows and this broker never has any of.
trait Absent: Spec + Encoder + Decoder {}
impl Absent for TableFormatSpec {}
impl Absent for MirrorSpec {}
impl Absent for SpuGroupSpec {}
