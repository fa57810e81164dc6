//! Turns the typed events of all crates into Prometheus metrics: the only place that knows how they are counted.
//!
//! Where to start reading: `catalog` (which metrics there are), then the file of the crate whose events you look for.

mod broker;
mod catalog;
mod log;
mod provider;
mod registry;
mod repeated;
mod streams;
mod views;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use fluvio_streams::system::System;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;

use self::broker::BrokerMeters;
use self::log::LogMeters;
pub(crate) use self::provider::{InDoubt, ProviderMeters};
use self::registry::Registry;
use self::streams::StreamsMeters;
use self::views::ViewsMeters;
pub(crate) use self::webhook::WebhookMeters;
use crate::limits::METRICS_UPKEEP;

/// The metrics of one instance.
pub(crate) struct Telemetry {
    handle: PrometheusHandle,
    upkeep: JoinHandle<()>,
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
        Ok(Self {
            handle,
            upkeep,
            streams: Arc::new(StreamsMeters::new(&registry, systems, partitions)),
            views: Arc::new(ViewsMeters::new(&registry)),
            broker: Arc::new(BrokerMeters::new(&registry)),
            log: Arc::new(LogMeters::new(&registry)),
            provider: Arc::new(ProviderMeters::new(&registry)),
            webhook: Arc::new(WebhookMeters::new(&registry)),
        })
    }

    /// Returns what the endpoint shows.
    #[cfg(test)]
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Returns the router of the metrics endpoint.
    pub(crate) fn router(&self) -> Router {
        let handle = self.handle.clone();
        let metrics = move || {
            let handle = handle.clone();
            async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()) }
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
