//! Turns the typed events of all crates into Prometheus metrics: the only place that knows how they are counted.
//!
//! Where to start reading: `catalog` (which metrics there are), then the file of the crate whose events you look for.

mod broker;
mod catalog;
mod document;
mod lag;
mod log;
mod process;
mod provider;
mod registry;
mod repeated;
mod restoring;
mod streams;
mod traces;
mod views;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use fluvio_streams::system::System;
use orderflow_broker::DiskProblem;
use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::broker::{BrokerMeters, DiskMeters};
pub(crate) use self::document::{markdown, text};
use self::log::LogMeters;
use self::process::ProcessMeters;
pub(crate) use self::provider::{InDoubt, ProviderMeters};
use self::registry::{Handle, Registry};
use self::streams::StreamsMeters;
use self::traces::{Exporter, TracedStreams, TracedViews, Traces};
use self::views::ViewsMeters;
pub(crate) use self::webhook::WebhookMeters;
use crate::limits::METRICS_UPKEEP;

/// The metrics of one instance.
pub(crate) struct Telemetry {
    registry: Arc<Registry>,
    handle: Handle,
    upkeep: JoinHandle<()>,
    process: Arc<ProcessMeters>,
    disk: Option<Arc<DiskMeters>>,
    traces: Option<(Arc<Traces>, Exporter)>,
    pub(crate) streams: Arc<StreamsMeters>,
    pub(crate) views: Arc<ViewsMeters>,
    pub(crate) broker: Arc<BrokerMeters>,
    pub(crate) log: Arc<LogMeters>,
    pub(crate) provider: Arc<ProviderMeters>,
    pub(crate) webhook: Arc<WebhookMeters>,
}

impl Telemetry {
    /// Returns the metrics for these systems, whose topics have this number of partitions. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the catalog of metrics is wrong.
    pub(crate) fn new(systems: &[System], partitions: u32) -> anyhow::Result<Self> {
        let registry = Arc::new(Registry::new()?);
        let handle = registry.handle();
        let upkeep = {
            let handle = handle.clone();
            tokio::spawn(async move {
                let mut interval = tokio::time::interval(METRICS_UPKEEP);
                loop {
                    interval.tick().await;
                    handle.run_upkeep();
                }
            })
        };
        registry.gauge(&catalog::BUILD_INFO, &[("version", crate::VERSION)]).set(1.0);
        Ok(Self {
            handle,
            upkeep,
            process: Arc::new(ProcessMeters::new(&registry)),
            disk: None,
            traces: None,
            streams: Arc::new(StreamsMeters::new(&registry, systems, partitions)),
            views: Arc::new(ViewsMeters::new(&registry)),
            broker: Arc::new(BrokerMeters::new(&registry)),
            log: Arc::new(LogMeters::new(&registry)),
            provider: Arc::new(ProviderMeters::new(&registry)),
            webhook: Arc::new(WebhookMeters::new(&registry)),
            registry,
        })
    }

    /// Returns what the endpoint shows.
    #[cfg(test)]
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Tells from now on how full the disk of the embedded broker is, which keeps its data in `directory`.
    pub(crate) fn watch_disk(&mut self, directory: PathBuf, problem: watch::Receiver<Option<DiskProblem>>) {
        self.disk = Some(Arc::new(DiskMeters::new(&self.registry, directory, problem)));
    }

    /// Sends traces to a collector from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn export_traces(&mut self, endpoint: &Url, instance: &str) -> anyhow::Result<()> {
        self.traces = Some(Traces::start(&self.registry, endpoint, instance)?);
        Ok(())
    }

    /// Sends what traces there are, before the process ends.
    pub(crate) async fn close_traces(&self) {
        if let Some((_, exporter)) = &self.traces {
            exporter.close().await;
        }
    }

    /// Returns who hears what processors do.
    pub(crate) fn of_streams(&self) -> Arc<dyn fluvio_streams::telemetry::Observer> {
        let meters = Arc::clone(&self.streams);
        match &self.traces {
            Some((traces, _)) => Arc::new(TracedStreams { meters, traces: Arc::clone(traces) }),
            None => meters,
        }
    }

    /// Returns who hears what views and the API do.
    pub(crate) fn of_views(&self) -> Arc<dyn orderflow_views::telemetry::Observer> {
        let meters = Arc::clone(&self.views);
        match &self.traces {
            Some((traces, _)) => Arc::new(TracedViews { meters, traces: Arc::clone(traces) }),
            None => meters,
        }
    }

    /// Returns the router of the metrics endpoint.
    pub(crate) fn router(&self) -> Router {
        let (handle, process, disk) = (self.handle.clone(), Arc::clone(&self.process), self.disk.clone());
        let metrics = move || {
            // What nobody tells is asked for when somebody wants to know.
            process.look();
            disk.iter().for_each(|disk| disk.look());
            let text = handle.render();
            async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
        };
        Router::new().route("/metrics", get(metrics))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

/// Returns the wall clock in ms since the Unix epoch.
fn now_ms() -> i64 {
    use fluvio_streams::time::{Clock as _, SystemClock};
    SystemClock.now_ms()
}

#[cfg(test)]
mod said;
#[cfg(test)]
mod tests;
