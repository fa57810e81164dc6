//! The HTTP API over a business of counters: every status, every answer, and what bad input gets.

#[path = "api/commands.rs"]
mod commands;
#[path = "api/failures.rs"]
mod failures;
#[path = "api/reads.rs"]
mod reads;
mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use fluvio_streams::log::memory::MemoryLog;
use orderflow_views::store::EmbeddedStore;
use orderflow_views::{ApiOptions, ApiState, Sinks, router};
use serde_json::Value;
use support::business::{start_decider, system, topics};
use support::faults::{FaultyLog, FaultyStore};
use support::{Recorder, until};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

/// A running API with its decider and sinks.
struct Server {
    router: Router,
    memory: MemoryLog,
    log: Arc<FaultyLog>,
    store: Arc<FaultyStore>,
    observer: Arc<Recorder>,
    shutdown: CancellationToken,
    _stop: DropGuard,
    _directory: TempDir,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem with the status, and returns its `type` without the common part.
    #[track_caller]
    fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], status);
        for member in ["type", "title", "detail", "instance"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {self:?}");
        }
        if status == 503 {
            assert!(self.header("retry-after").parse::<u32>().is_ok(), "{self:?}");
        }
        self.body["type"].as_str().unwrap().strip_prefix("urn:orderflow:problem:").unwrap()
    }

    /// Returns the field that a problem names.
    fn field(&self) -> &str {
        self.body["errors"][0]["field"].as_str().unwrap_or("(none)")
    }
}

fn quick() -> ApiOptions {
    ApiOptions { outcome_timeout: Duration::from_secs(20), position_timeout: Duration::from_secs(20), ..ApiOptions::default() }
}

impl Server {
    async fn start() -> Self {
        Self::start_with(quick()).await
    }

    async fn start_with(options: ApiOptions) -> Self {
        let server = Self::start_unready(options);
        topics(&server.memory);
        start_decider(server.memory.clone());
        until("the server is ready", async || server.get("/health/ready").await.status == StatusCode::OK).await;
        server
    }

    /// There are no topics yet, and no decider.
    fn start_unready(options: ApiOptions) -> Self {
        let memory = MemoryLog::default();
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(FaultyLog::new(memory.clone()));
        let store = Arc::new(FaultyStore::new(Arc::new(EmbeddedStore::open(directory.path()).unwrap())));
        let observer: Arc<Recorder> = Arc::default();
        let shutdown = CancellationToken::new();
        Sinks::start(log.clone(), &[system()], store.clone(), observer.clone(), &shutdown);
        let port: Arc<dyn fluvio_streams::log::Log> = log.clone();
        let state = ApiState::new(port, vec![system()], store.clone(), observer.clone(), options, vec![], shutdown.clone());
        let router = router(&state).unwrap();
        Self { router, memory, log, store, observer, _stop: shutdown.clone().drop_guard(), shutdown, _directory: directory }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 10 << 20).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.post_with(path, &[], body).await
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl ToString) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}
