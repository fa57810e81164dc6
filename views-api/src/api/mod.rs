//! The HTTP API: routes, filters and answers are made from the data of the systems.
//!
//! | route | what |
//! |---|---|
//! | `POST /<system>/<collection>` | a creating command: 201, 202 (deferred, or not decided in time), 402, 409, 404, or 200 for a repeat |
//! | `POST` or `PATCH /<system>/<collection>/{id}/<verb>` | a command for one aggregate: 200, else as above |
//! | `GET /<system>/<collection>/{id}`, `GET /<system>/<collection>`, `GET /<system>/<owners>/{id}/<collection>` | views; lists are newest first, by pages |
//! | `GET /health/live`, `GET /health/ready`, `GET /` | for orchestrators, and for people |
//!
//! An answer to a command carries `Orderflow-Position`; a read with that header, or with `min_position=`, waits until the view includes it. Errors are RFC 9457 problems, all of them.
//!
//! Where to start reading: `command` (what happens to a command), `gateway` and `outcomes` (how its outcome comes back), `read`.

mod body;
mod command;
mod gateway;
mod health;
mod identifiers;
mod leftover;
mod outcomes;
mod problem;
mod read;
mod routes;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fluvio_streams::log::Log;
use fluvio_streams::system::System;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::gateway::Gateway;
pub use self::health::ReadyCheck;
pub use self::routes::{RouteError, health_router, router};
use crate::limits::{COMMANDS_IN_FLIGHT_MAX, OUTCOME_TIMEOUT, POSITION_TIMEOUT, READS_IN_FLIGHT_MAX};
use crate::store::ViewStore;
use crate::telemetry::Observer;

/// Header with the position of an event: `<topic>/<partition>/<offset>`.
const POSITION: HeaderName = HeaderName::from_static("orderflow-position");

/// What can be set.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Commands that may be under way at once; the next one gets 503.
    pub commands_in_flight_max: usize,
    /// Reads that may be under way at once; the next one gets 503.
    pub reads_in_flight_max: usize,
    /// How long the sender of a command waits for its outcome before it gets 202.
    pub outcome_timeout: Duration,
    /// How long an answer waits for a view to include a position.
    pub position_timeout: Duration,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            commands_in_flight_max: COMMANDS_IN_FLIGHT_MAX,
            reads_in_flight_max: READS_IN_FLIGHT_MAX,
            outcome_timeout: OUTCOME_TIMEOUT,
            position_timeout: POSITION_TIMEOUT,
        }
    }
}

/// What the API serves from. Clones share it.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

/// See [`ApiState`].
pub struct Shared {
    gateways: Vec<Arc<Gateway>>,
    store: Arc<dyn ViewStore>,
    observer: Arc<dyn Observer>,
    options: ApiOptions,
    checks: Vec<Arc<dyn ReadyCheck>>,
    commands_in_flight: Semaphore,
    reads_in_flight: Semaphore,
    shutdown: CancellationToken,
}

impl Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl ApiState {
    /// Connects to the topics of the systems in the background: until that has happened, commands get 503. Once `shutdown` is cancelled, requests that wait for an outcome are answered at
    /// once. Must be called within a tokio runtime.
    pub fn new(
        log: Arc<dyn Log>,
        systems: Vec<System>,
        store: Arc<dyn ViewStore>,
        observer: Arc<dyn Observer>,
        options: ApiOptions,
        checks: Vec<Arc<dyn ReadyCheck>>,
        shutdown: CancellationToken,
    ) -> Self {
        let gateways = systems.into_iter().map(|system| Gateway::start(system, Arc::clone(&log), Arc::clone(&observer), &shutdown)).collect();
        let commands_in_flight = Semaphore::new(options.commands_in_flight_max);
        let reads_in_flight = Semaphore::new(options.reads_in_flight_max);
        Self(Arc::new(Shared { gateways, store, observer, options, checks, commands_in_flight, reads_in_flight, shutdown }))
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [content_type], body.to_string()).into_response()
}
