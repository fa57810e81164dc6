//! Metrics of the views and of the HTTP API.

use std::sync::Arc;

use fluvio_streams::system::Outcome;
use metrics::{Counter, Gauge, Histogram};
use orderflow_views::telemetry::{Event, Observer};
use orderflow_views::view::View;

use super::registry::{Family, Registry};
use super::{catalog, now_ms};

/// Counts what views and the API do.
pub(crate) struct ViewsMeters {
    /// By system, view and partition.
    partitions: Family<PartitionMeters>,
    /// By system and view.
    stalls: Family<Counter>,
    /// By method, route and status.
    requests: Family<Counter>,
    /// By method and route.
    latencies: Family<Histogram>,
    /// By system, command and outcome.
    commands: Family<Counter>,
    /// By system and command.
    command_latencies: Family<Histogram>,
    /// By topic: appended, failed.
    appends: Family<(Counter, Counter)>,
    /// By system.
    reconnects: Family<Counter>,
}

struct PartitionMeters {
    records: Counter,
    documents: Counter,
    lag_records: Gauge,
    lag_seconds: Gauge,
    write_latency: Histogram,
    refused: Counter,
    missed: Counter,
}

impl ViewsMeters {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let counter = |metric, names: &'static [&'static str]| {
            let registry = Arc::clone(registry);
            Family::new(move |values: &[&str]| registry.counter(metric, &labels(names, values)))
        };
        let histogram = |metric, names: &'static [&'static str]| {
            let registry = Arc::clone(registry);
            Family::new(move |values: &[&str]| registry.histogram(metric, &labels(names, values)))
        };
        let (for_partitions, for_appends) = (Arc::clone(registry), Arc::clone(registry));
        Self {
            partitions: Family::new(move |values| PartitionMeters::new(&for_partitions, values)),
            stalls: counter(&catalog::VIEW_STALLS, &["system", "view"]),
            requests: counter(&catalog::HTTP_REQUESTS, &["method", "route", "status"]),
            latencies: histogram(&catalog::HTTP_LATENCY, &["method", "route"]),
            commands: counter(&catalog::COMMANDS, &["system", "command", "outcome"]),
            command_latencies: histogram(&catalog::COMMAND_LATENCY, &["system", "command"]),
            appends: Family::new(move |values| {
                let labels = [("topic", values[0])];
                (for_appends.counter(&catalog::COMMANDS_APPENDED, &labels), for_appends.counter(&catalog::COMMAND_APPENDS_FAILED, &labels))
            }),
            reconnects: counter(&catalog::API_RECONNECTS, &["system"]),
        }
    }

    fn partition(&self, view: &View, partition: u32) -> Arc<PartitionMeters> {
        self.partitions.of(&[&view.system, &view.collection, &partition.to_string()])
    }
}

impl PartitionMeters {
    fn new(registry: &Registry, values: &[&str]) -> Self {
        let labels = labels(&["system", "view", "partition"], values);
        Self {
            records: registry.counter(&catalog::VIEW_RECORDS, &labels),
            documents: registry.counter(&catalog::VIEW_DOCUMENTS, &labels),
            lag_records: registry.gauge(&catalog::VIEW_LAG_RECORDS, &labels),
            lag_seconds: registry.gauge(&catalog::VIEW_LAG_SECONDS, &labels),
            write_latency: registry.histogram(&catalog::VIEW_WRITE_LATENCY, &labels[..2]),
            refused: registry.counter(&catalog::VIEW_RECORDS_REFUSED, &labels),
            missed: registry.counter(&catalog::VIEW_RECORDS_MISSED, &labels),
        }
    }
}

fn labels<'a>(names: &[&'static str], values: &[&'a str]) -> Vec<(&'static str, &'a str)> {
    names.iter().copied().zip(values.iter().copied()).collect()
}

impl Observer for ViewsMeters {
    fn observe(&self, event: Event<'_>) {
        match event {
            Event::ViewAdvanced { view, partition, records, documents, behind, last_event_ms, elapsed } => {
                let meters = self.partition(view, partition);
                meters.records.increment(records as u64);
                meters.documents.increment(documents as u64);
                meters.lag_records.set(behind as f64);
                if behind == 0 {
                    meters.lag_seconds.set(0.0);
                } else if let Some(last_event_ms) = last_event_ms {
                    meters.lag_seconds.set((now_ms() - last_event_ms).max(0) as f64 / 1_000.0);
                }
                meters.write_latency.record(elapsed.as_secs_f64());
            }
            Event::ViewStalled { view, partition, error, retry_in } => {
                tracing::warn!(
                    view = view.name(),
                    partition,
                    error = error as &dyn std::error::Error,
                    retry_in_ms = retry_in.as_millis() as u64,
                    "view stalled"
                );
                self.stalls.of(&[&view.system, &view.collection]).increment(1);
            }
            Event::RecordsRefused { view, partition, records, first_error } => {
                tracing::warn!(view = view.name(), partition, records, first_error, "records do not fold into the view: dead-lettered");
                self.partition(view, partition).refused.increment(records as u64);
            }
            Event::RecordsMissed { view, partition, from, to } => {
                tracing::error!(view = view.name(), partition, from, to, "records were removed before the view had read them");
                self.partition(view, partition).missed.increment(to.saturating_sub(from).max(0) as u64);
            }
            Event::CommandsAppended { topic, records, .. } => self.appends.of(&[topic]).0.increment(records as u64),
            Event::AppendFailed { topic, records, error } => {
                tracing::warn!(topic, records, error = error as &dyn std::error::Error, "commands could not be appended");
                self.appends.of(&[topic]).1.increment(records as u64);
            }
            Event::CommandDecided { system, command, outcome, elapsed } => {
                self.commands.of(&[system, command, outcome.map_or("undecided", name)]).increment(1);
                self.command_latencies.of(&[system, command]).record(elapsed.as_secs_f64());
            }
            Event::SystemUnreachable { system, error, retry_in } => {
                tracing::warn!(system, error = error as &dyn std::error::Error, retry_in_ms = retry_in.as_millis() as u64, "api lost its topics");
                self.reconnects.of(&[system]).increment(1);
            }
            Event::RequestServed { method, route, status, elapsed } => {
                self.requests.of(&[method, route, &status.to_string()]).increment(1);
                self.latencies.of(&[method, route]).record(elapsed.as_secs_f64());
            }
            _ => {}
        }
    }
}

fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Deferred => "deferred",
        Outcome::Declined => "declined",
        Outcome::Refused => "refused",
        Outcome::Overloaded => "overloaded",
        Outcome::Unknown => "unknown",
        Outcome::Repeated => "repeated",
    }
}
