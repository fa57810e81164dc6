//! Serves a router on a listener: connections bounded in number and in idleness, graceful at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::limits::{ACCEPT_PAUSE, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_TIMEOUT};

/// Listens on an address.
///
/// # Errors
/// If that is not possible; the text names the flag and what to do.
pub(crate) async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("{flag}: {address} is in use by another process; stop that one, or give another address (port 0 takes a free one)")
            }
            _ => format!("{flag}: cannot listen on {address}; give an address of this machine and a port that this user may open"),
        };
        anyhow::Error::new(error).context(text)
    })
}

/// Returns a router whose answers end their connections once `draining` is cancelled, so that who sends the next request connects anew, to somebody else.
pub(crate) fn closing(router: Router, draining: &CancellationToken) -> Router {
    let draining = draining.clone();
    router.layer(map_response(move |mut response: Response| {
        if draining.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        std::future::ready(response)
    }))
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts to serve `router` on `listener`.
    ///
    /// # Errors
    /// If the listener has no address.
    pub(crate) fn start(listener: TcpListener, router: Router, connections_max: usize) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("listener has no address")?;
        let stopping = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, connections_max, stopping.clone()));
        Ok(Self { address, stopping, task })
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits for those under way, but not longer than `timeout`.
    pub(crate) async fn finish(&mut self, timeout: Duration) {
        self.stopping.cancel();
        if !self.task.is_finished() && tokio::time::timeout(timeout, &mut self.task).await.is_err() {
            tracing::warn!(limit_ms = timeout.as_millis() as u64, "requests are still under way");
        }
    }

    /// Does the same, and cuts off those that are still under way then.
    pub(crate) async fn stop(mut self, timeout: Duration) {
        self.stopping.cancel();
        if !self.task.is_finished() && tokio::time::timeout(timeout, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, router: Router, connections_max: usize, stopping: CancellationToken) {
    let connections = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    // Connections end with this task: they are dropped with the set.
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = stopping.cancelled() => break,
        };
        let (stream, permit) = accepted;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HTTP_HEAD_TIMEOUT)
            .max_buf_size(HTTP_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "http connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and awaited.
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
