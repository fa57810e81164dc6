//! Traces for whoever collects them: spans of what tasks, calls, views and the API do, sent as OTLP over HTTP (protobuf) to `--otlp-endpoint`.
//!
//! Spans are made of the typed events of the libraries; which trace they belong to and what caused them stands in the records (`fluvio_streams::trace`), so it does not matter which process
//! sends which. They wait in a bounded queue: a collector that is slow or away costs spans, which are counted, and nothing else.

mod spans;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use fluvio_streams::telemetry as streams;
use metrics::Counter;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use orderflow_views::telemetry as views;
use prost::Message as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::catalog;
use super::registry::Registry;
use super::repeated::Repeated;
use super::streams::StreamsMeters;
use super::views::ViewsMeters;
use crate::limits::{TRACE_BATCH_SPANS_MAX, TRACE_BATCH_WAIT, TRACE_EXPORT_TIMEOUT, TRACE_EXPORT_TRIES_MAX, TRACE_RETRY_WAIT, TRACE_SPANS_QUEUED_MAX};

/// Takes spans, and sends them in the background.
pub(super) struct Traces {
    queue: mpsc::Sender<Span>,
    dropped: Counter,
}

/// What sends them. Dropping it stops that.
#[derive(Debug)]
pub(super) struct Exporter {
    closing: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Traces {
    /// Begins to send spans to a collector. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(super) fn start(registry: &Registry, endpoint: &Url, instance: &str) -> anyhow::Result<(Arc<Self>, Exporter)> {
        let http = reqwest::Client::builder().timeout(TRACE_EXPORT_TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
        let counter = |outcome| registry.counter(&catalog::TRACE_SPANS, &[("outcome", outcome)]);
        let (queue, waiting) = mpsc::channel(TRACE_SPANS_QUEUED_MAX);
        let closing = CancellationToken::new();
        let sending = Sending {
            http: http.build().context("--otlp-endpoint: cannot make an HTTP client")?,
            url: traces_url(endpoint),
            resource: spans::resource(instance),
            exported: counter("exported"),
            failed: counter("failed"),
            failures: Repeated::default(),
            began: Instant::now(),
        };
        let task = tokio::spawn(sending.run(waiting, closing.clone()));
        Ok((Arc::new(Self { queue, dropped: counter("dropped") }), Exporter { closing, task: Mutex::new(Some(task)) }))
    }

    fn take(&self, spans: impl Iterator<Item = Span>) {
        for span in spans {
            if self.queue.try_send(span).is_err() {
                self.dropped.increment(1);
            }
        }
    }
}

impl Exporter {
    /// Sends what waits, once, and ends.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// Returns where a collector takes traces, below the address that people know it by.
fn traces_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["v1", "traces"]);
    }
    url
}

struct Sending {
    http: reqwest::Client,
    url: Url,
    resource: Resource,
    exported: Counter,
    failed: Counter,
    failures: Repeated,
    began: Instant,
}

impl Sending {
    async fn run(mut self, mut waiting: mpsc::Receiver<Span>, closing: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                taken = waiting.recv_many(&mut batch, TRACE_BATCH_SPANS_MAX) => if taken == 0 { return },
                () = closing.cancelled() => waiting.close(),
            }
            // Those that belong together come within moments of each other.
            let more = async { while batch.len() < TRACE_BATCH_SPANS_MAX && waiting.recv_many(&mut batch, TRACE_BATCH_SPANS_MAX).await > 0 {} };
            tokio::select! {
                _ = tokio::time::timeout(TRACE_BATCH_WAIT, more) => {}
                () = closing.cancelled() => {}
            }
            while let (true, Ok(span)) = (batch.len() < TRACE_SPANS_QUEUED_MAX, waiting.try_recv()) {
                batch.push(span);
            }
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch), &closing).await;
            }
            if closing.is_cancelled() && waiting.is_empty() {
                return;
            }
        }
    }

    /// Sends a batch. One that a collector cannot take now is tried again a few times; one that it refuses is not.
    async fn send(&mut self, spans: Vec<Span>, closing: &CancellationToken) {
        let count = spans.len() as u64;
        let scope = InstrumentationScope { name: "orderflow".to_owned(), version: crate::VERSION.to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..ResourceSpans::default() }];
        let body = bytes::Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let mut why = String::new();
        for tries in 1..=TRACE_EXPORT_TRIES_MAX {
            let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf").body(body.clone());
            match request.send().await.map(|response| response.status()) {
                Ok(status) if status.is_success() => {
                    self.exported.increment(count);
                    if let Some(failed) = self.failures.over() {
                        tracing::info!(spans_since = failed, "traces are taken again");
                    }
                    return;
                }
                Ok(status) => {
                    why = format!("the collector answered {status}");
                    let may_change = status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                    if !may_change {
                        break;
                    }
                }
                Err(error) => why = streams::with_sources(&error.without_url()),
            }
            if tries == TRACE_EXPORT_TRIES_MAX || closing.is_cancelled() {
                break;
            }
            let _ = tokio::time::timeout(TRACE_RETRY_WAIT * tries, closing.cancelled()).await;
        }
        self.failed.increment(count);
        if let Some(failed) = self.failures.happened(count, self.began.elapsed()) {
            tracing::warn!(spans_since = failed, why, "traces are lost: --otlp-endpoint does not take them");
        }
    }
}

/// Tells of what processors do, as metrics and as traces.
pub(super) struct TracedStreams {
    pub(super) meters: Arc<StreamsMeters>,
    pub(super) traces: Arc<Traces>,
}

impl streams::Observer for TracedStreams {
    fn observe(&self, event: &streams::Event<'_>) {
        match event {
            streams::Event::InputsTraced { task, inputs, took } => self.traces.take(spans::of_inputs(*task, inputs, *took)),
            streams::Event::CallTraced { task, call, took } => self.traces.take(spans::of_call(*task, call, *took).into_iter()),
            _ => {}
        }
        self.meters.observe(event);
    }

    fn wants_traces(&self) -> bool {
        true
    }
}

/// Tells of what views and the API do, as metrics and as traces.
pub(super) struct TracedViews {
    pub(super) meters: Arc<ViewsMeters>,
    pub(super) traces: Arc<Traces>,
}

impl views::Observer for TracedViews {
    fn observe(&self, event: views::Event<'_>) {
        match &event {
            views::Event::EventsTraced { view, events, took } => self.traces.take(spans::of_view(view, events, *took)),
            views::Event::CommandDecided { system, command, outcome, trace, parent, elapsed } => {
                self.traces.take(spans::of_command(system, command, *outcome, *trace, *parent, *elapsed).into_iter());
            }
            _ => {}
        }
        self.meters.observe(event);
    }

    fn wants_traces(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_known_by_its_address_and_takes_traces_below_it() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(&endpoint.parse().expect("it is an address")).as_str(), url);
        }
    }
}
