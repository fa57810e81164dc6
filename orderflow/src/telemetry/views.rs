//! Metrics of the views and of the HTTP API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fluvio_streams::system::Outcome;
use metrics::{Counter, Gauge, Histogram};
use orderflow_views::telemetry::{Event, Observer};
use orderflow_views::view::View;

use super::registry::{Family, Registry};
use super::repeated::Repeated;
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
    /// By topic.
    appends: Family<AppendMeters>,
    /// By system.
    reconnects: Family<Counter>,
    began: Instant,
}

struct AppendMeters {
    appended: Counter,
    failed: Counter,
    /// What the log says of failures: while a broker is away, each request is one.
    failures: Mutex<Repeated>,
}

struct PartitionMeters {
    records: Counter,
    documents: Counter,
    lag_records: Gauge,
    lag_seconds: Gauge,
    batch_records: Histogram,
    e2e_latency: Histogram,
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
                let (appended, failed) = (&catalog::COMMANDS_APPENDED, &catalog::COMMAND_APPENDS_FAILED);
                AppendMeters { appended: for_appends.counter(appended, &labels), failed: for_appends.counter(failed, &labels), failures: Mutex::default() }
            }),
            reconnects: counter(&catalog::API_RECONNECTS, &["system"]),
            began: Instant::now(),
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
            batch_records: registry.histogram(&catalog::VIEW_BATCH_RECORDS, &labels[..2]),
            e2e_latency: registry.histogram(&catalog::VIEW_E2E_LATENCY, &labels[..2]),
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
            Event::ViewStarted { view, partition, behind } => {
                // All are there from the beginning, at 0.
                self.partition(view, partition).lag_records.set(behind as f64);
                self.stalls.of(&[&view.system, &view.collection]);
            }
            Event::ViewAdvanced { view, partition, records, documents, behind, last_event_ms, elapsed } => {
                let meters = self.partition(view, partition);
                meters.records.increment(records as u64);
                meters.documents.increment(documents as u64);
                meters.lag_records.set(behind as f64);
                meters.batch_records.record(records as f64);
                let age = last_event_ms.map(|last_event_ms| (now_ms() - last_event_ms).max(0) as f64 / 1_000.0);
                if let Some(age) = age {
                    meters.e2e_latency.record(age);
                }
                if behind == 0 {
                    meters.lag_seconds.set(0.0);
                } else if let Some(age) = age {
                    meters.lag_seconds.set(age);
                }
                meters.write_latency.record(elapsed.as_secs_f64());
            }
            Event::ViewWaits { view, partition, behind, waiting } => {
                let meters = self.partition(view, partition);
                meters.lag_records.set(behind as f64);
                meters.lag_seconds.set(waiting.as_secs_f64());
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
            Event::CommandsAppended { topic, records, .. } => {
                let meters = self.appends.of(&[topic]);
                meters.appended.increment(records as u64);
                let over = meters.failures.lock().unwrap_or_else(PoisonError::into_inner).over();
                if let Some(failed) = over {
                    tracing::info!(topic, records_since = failed, "commands can be appended again");
                }
            }
            Event::AppendFailed { topic, records, error } => {
                let meters = self.appends.of(&[topic]);
                meters.failed.increment(records as u64);
                let failed = meters.failures.lock().unwrap_or_else(PoisonError::into_inner).happened(records as u64, self.began.elapsed());
                if let Some(failed) = failed {
                    tracing::warn!(topic, records_since = failed, error = error as &dyn std::error::Error, "commands could not be appended");
                }
            }
            Event::CommandDecided { system, command, outcome, elapsed, .. } => {
                self.commands.of(&[system, command, outcome.map_or("undecided", name_of)]).increment(1);
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

pub(super) fn name_of(outcome: Outcome) -> &'static str {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fluvio_streams::log::LogError;

    use super::super::said::catch;
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_a_line_and_its_return_another_for_each_topic() {
        let registry = Arc::new(Registry::new().expect("the catalog is right"));
        let meters = ViewsMeters::new(&registry);
        let error = LogError::Unreachable { endpoint: "127.0.0.1:1".to_owned(), detail: "refused".to_owned() };
        let said = catch(|| {
            for topic in ["a-commands", "b-commands"] {
                for _ in 0..500 {
                    meters.observe(Event::AppendFailed { topic, records: 2, error: &error });
                }
                for _ in 0..2 {
                    meters.observe(Event::CommandsAppended { topic, records: 1, elapsed: Duration::ZERO });
                }
            }
        });
        assert_eq!((said.lines("WARN"), said.lines("INFO")), (2, 2), "{said:?}");
        for line in [r#"topic="a-commands" records_since=2 error"#, r#"topic="b-commands" records_since=998"#] {
            assert!(said.0.contains(line), "{line} in {said:?}");
        }
        let shown = registry.handle().render();
        assert!(shown.contains(r#"orderflow_command_appends_failed_total{topic="a-commands"} 1000"#), "{shown}");
    }
}
