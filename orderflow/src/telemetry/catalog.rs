//! Every metric of this program: its name, kind, unit, labels and meaning. Dashboards and alerts use these names and no others.
//!
//! The names follow the meaning of Kafka Streams' metrics and the established names of lag. `docs/metrics.md` is made from this by `orderflow metrics`.

use metrics::Unit;

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Counter,
    /// A counter of fractions. The exporter counts integers only, so that it is held as a gauge and shown as what it is.
    FractionCounter,
    Gauge,
    /// A gauge whose established name ends as the parts of histograms do. It is shown without a type: as a gauge, `promtool` would take it for a mistake.
    UntypedGauge,
    /// With these upper bounds of its buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The type that is shown where it is not the one that the exporter gives.
    pub(super) fn shown_instead(self) -> Option<&'static str> {
        match self {
            Self::FractionCounter => Some("counter"),
            Self::UntypedGauge => Some("untyped"),
            Self::Counter | Self::Gauge | Self::Histogram(_) => None,
        }
    }

    /// The type as Prometheus knows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter | Self::FractionCounter => "counter",
            Self::Gauge | Self::UntypedGauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<Unit>,
    /// In their order; every series has all of them.
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Metrics that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) metrics: &'static [&'static Metric],
}

/// Buckets for what takes microseconds to a second: a step, a commit, an fsync.
const FAST: &[f64] = &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5];
/// Buckets for what a customer waits for; 0.61 s is the deadline of the payment step.
const WAITED_FOR: &[f64] = &[0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.61, 1.0, 2.5, 10.0, 60.0];
/// Buckets for how many are taken in one go.
const MANY: &[f64] = &[1.0, 5.0, 20.0, 100.0, 1_000.0];
/// Buckets for what mostly depends on how much there is to do.
const IDLE: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 2.5];

macro_rules! catalog {
    ($($title:literal { $($id:ident: $kind:expr, $unit:expr, $name:literal, $labels:expr, $help:literal;)+ })+) => {
        $($(pub(super) const $id: Metric = Metric { name: $name, kind: $kind, unit: $unit, labels: &$labels, help: $help };)+)+

        /// All of them, as they belong together.
        pub(super) const GROUPS: &[Group] = &[$(Group { title: $title, metrics: &[$(&$id),+] }),+];
    };
}

/// Returns all of them.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS.iter().flat_map(|group| group.metrics).copied()
}

use Kind::{Counter, FractionCounter, Gauge, Histogram, UntypedGauge};

const BYTES: Option<Unit> = Some(Unit::Bytes);
const COUNT: Option<Unit> = Some(Unit::Count);
const SECONDS: Option<Unit> = Some(Unit::Seconds);

catalog! {
    "The process" {
        BUILD_INFO: Gauge, None, "orderflow_build_info", ["version"], "1, with the version of this process as a label.";
        PROCESS_CPU: FractionCounter, SECONDS, "process_cpu_seconds_total", [], "User and system CPU time of this process, in seconds.";
        PROCESS_RESIDENT: Gauge, BYTES, "process_resident_memory_bytes", [], "Memory of this process that is in RAM.";
        PROCESS_VIRTUAL: Gauge, BYTES, "process_virtual_memory_bytes", [], "Addresses that this process has taken.";
        PROCESS_START: Gauge, SECONDS, "process_start_time_seconds", [], "When this process started, in seconds since the Unix epoch.";
        PROCESS_OPEN_FDS: Gauge, COUNT, "process_open_fds", [], "Files and connections that this process has open.";
        PROCESS_MAX_FDS: Gauge, COUNT, "process_max_fds", [], "Files and connections that this process may have open.";
        PROCESS_THREADS: Gauge, COUNT, "process_threads", [], "Threads of this process.";
    }

    "How far the processors are behind" {
        LAG: Gauge, COUNT, "orderflow_consumergroup_lag", ["group", "topic", "partition"], "Records of a source that the task has not taken yet; the group is `<system>.<processor>`. 0 where another instance owns the task, so that sums over instances are right.";
        LAG_SECONDS: Gauge, SECONDS, "orderflow_consumergroup_lag_seconds", ["group", "topic", "partition"], "Age of the oldest record of a source that the task has not taken yet, in seconds: by its timestamp, or, where the broker loses those, since it was known. 0 without lag.";
        LAG_SUM: UntypedGauge, COUNT, "orderflow_consumergroup_lag_sum", ["group"], "Lag of the group in records: the sum over the topics and partitions of tasks that this instance owns.";
        LAG_MAX: Gauge, COUNT, "orderflow_consumergroup_lag_max", ["group"], "Largest lag of one partition of the group in records, among the tasks that this instance owns.";
        LAG_SECONDS_MAX: Gauge, SECONDS, "orderflow_consumergroup_lag_seconds_max", ["group"], "Largest lag of one partition of the group in seconds, among the tasks that this instance owns.";
        RECORD_E2E_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_record_e2e_latency_seconds", ["application", "processor"], "Age of a record, by its sender's timestamp, when the task that took it had committed, in seconds.";
    }

    "What the processors do" {
        RECORDS_IN: Counter, COUNT, "orderflow_records_in_total", ["application", "processor", "partition"], "Inputs that tasks have taken: records, timers and answers of outside systems.";
        RECORDS_OUT: Counter, COUNT, "orderflow_records_out_total", ["application", "processor", "topic"], "Records that tasks have sent to other topics and that were acknowledged.";
        EVENTS: Counter, COUNT, "orderflow_events_total", ["application", "processor", "type"], "Events that processors have committed, by type: each once, by the instance that decided it.";
        POLL_RECORDS: Histogram(MANY), COUNT, "orderflow_poll_records", ["application", "processor"], "Records that a task took from its sources in one go.";
        POLL_LATENCY: Histogram(IDLE), SECONDS, "orderflow_poll_latency_seconds", ["application", "processor"], "Time that a task had waited for the records that it then took, in seconds.";
        PROCESS_LATENCY: Histogram(FAST), SECONDS, "orderflow_process_latency_seconds", ["application", "processor"], "Time of one transaction in the processor, without its commit, in seconds.";
        COMMIT_LATENCY: Histogram(FAST), SECONDS, "orderflow_commit_latency_seconds", ["application", "processor"], "Time until the journal acknowledged a transaction, in seconds.";
        TASK_TIME: FractionCounter, SECONDS, "orderflow_task_time_seconds_total", ["application", "processor", "partition", "activity"], "Where the time of a task went: `process`, `commit`, or `wait` for inputs or acknowledgements, in seconds. The rate of `process` is the active-process ratio.";
        REPEATED_RECORDS: Counter, COUNT, "orderflow_repeated_records_total", ["application", "processor", "partition"], "Records that were dropped since their sender had sent them before.";
        REJECTIONS: Counter, COUNT, "orderflow_rejections_total", ["application", "processor", "reason"], "Commands that a rule refused, by reason code.";
        DEAD_LETTERS: Counter, COUNT, "orderflow_dead_letters_total", ["application", "processor", "topic", "reason"], "Inputs that nobody could take and that were put to the dead letters, by where they came from and why: `malformed`, `refused`, `too-large`, `timer` or `answer`.";
        SKIPPED_RECORDS: Counter, COUNT, "orderflow_skipped_records_total", ["application", "processor", "topic"], "Records that nobody could take and that were skipped by policy.";
        TIMERS_PENDING: Gauge, COUNT, "orderflow_timers_pending", ["application", "processor", "partition"], "Durable timers that have not fired.";
        TASK_TOTAL: Gauge, COUNT, "orderflow_processor_totals", ["application", "processor", "partition", "name"], "Other totals that a processor keeps, by name.";
    }

    "Tasks and who owns them" {
        TASK_PHASE: Gauge, COUNT, "orderflow_task_phase", ["application", "processor", "partition", "phase"], "1 for the phase in which the task is in this instance: restoring, running, standby, waiting (to be tried again) or stopped (or another instance's); all 0 before it is known.";
        TASK_FAILURES: Counter, COUNT, "orderflow_task_failures_total", ["application", "processor", "kind"], "Times that a task stopped by itself and was started again.";
        LOG_RETRIES: Counter, COUNT, "orderflow_log_retries_total", ["application", "processor", "action"], "Reads and appends of tasks that failed and were tried again.";
        RESTORE_REMAINING: Gauge, COUNT, "orderflow_restore_remaining_records", ["application", "processor", "partition"], "Journal records that the task still has to read before it runs; 0 if it is not restoring.";
        RESTORE_RECORDS: Gauge, COUNT, "orderflow_restore_records", ["application", "processor", "partition"], "Journal records that the task read when it was last restored.";
        RESTORE_SECONDS: Gauge, SECONDS, "orderflow_restore_duration_seconds", ["application", "processor", "partition"], "Time of the task's last restore, in seconds.";
        REPLAY_BYTES: Gauge, BYTES, "orderflow_replay_bytes", ["application", "processor", "partition"], "Bytes of journal that a successor of the task would read if it had no store, about.";
        STANDBY_LAG: Gauge, COUNT, "orderflow_standby_lag_records", ["application", "processor", "partition"], "Journal records by which this instance is behind the owner of a task that it follows.";
        ASSIGNMENT_GENERATION: Gauge, COUNT, "orderflow_assignment_generation", ["application"], "Number of the assignment of tasks to instances that is in force.";
        INSTANCES: Gauge, COUNT, "orderflow_instances", ["application"], "Instances that share the tasks of the application.";
    }

    "Partners and breakers" {
        PARTNER_ANSWERS: Histogram(WAITED_FOR), SECONDS, "orderflow_partner_answer_duration_seconds", ["application", "processor", "partner", "outcome", "late"], "Time from the question of a front to the first answer of its partner, in seconds, by outcome: `accepted`, `declined`, `failed`, or `unwanted` (accepted after it was given up, and undone). `late`: after the deadline.";
        DEFERRED: Gauge, COUNT, "orderflow_deferred_orders", ["application", "processor", "partition"], "Orders that wait to be asked for again.";
        BREAKER_STATE: Gauge, COUNT, "orderflow_breaker_state", ["application", "processor", "partition", "breaker", "state"], "1 for the state in which the circuit breaker of the task is: closed, open or half-open.";
        BREAKER_TRANSITIONS: Counter, COUNT, "orderflow_breaker_transitions_total", ["application", "processor", "breaker", "from", "to"], "Times that a circuit breaker changed its state, by the states before and after, each once: what a restart reads in a journal is not counted again.";
        CALLS_PENDING: Gauge, COUNT, "orderflow_calls_pending", ["application", "processor", "partition"], "Calls to outside systems that wait or run.";
        PROVIDER_CALLS: Counter, COUNT, "orderflow_provider_calls_total", ["operation", "outcome"], "Calls to the payment provider by operation and outcome.";
        PROVIDER_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_provider_call_duration_seconds", ["operation", "outcome"], "Time of a call to the payment provider, its wait for a place included, in seconds.";
        PROVIDER_CALLS_RUNNING: Gauge, COUNT, "orderflow_provider_calls_running", [], "Calls to the payment provider that hold a place of the bulkhead.";
        PROVIDER_CALLS_IN_DOUBT: Gauge, COUNT, "orderflow_provider_calls_in_doubt", [], "Charges that the payment provider may have made and has not said so; each is asked about until it does.";
        PROVIDER_RETRIES: Counter, COUNT, "orderflow_provider_retries_total", [], "Requests to the payment provider that repeat or ask about an earlier one.";
        WEBHOOK_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_webhook_call_duration_seconds", ["outcome"], "Time of one try to deliver a notification to the webhook, its wait for a place included, by outcome, in seconds.";
    }

    "Money" {
        MONEY: Gauge, None, "orderflow_money_won", ["application", "processor", "account"], "Money in won, summed over tasks: captured, refunded, live (of placed orders) and open (neither live nor refunded yet).";
        MONEY_IMBALANCE: Gauge, None, "orderflow_money_imbalance_won", ["application", "processor"], "Captured - refunded - live - open, in won, the absolute values of all tasks summed: anything but 0 is an alarm.";
        MONEY_VIOLATIONS: Counter, COUNT, "orderflow_money_violations_total", ["application", "processor"], "Times that the money of a task stopped being in balance, or got further out of it: any increase is an alarm.";
        PROVIDER_MONEY: Gauge, None, "orderflow_provider_money_won", ["account"], "Money in won that the simulated provider captured and refunded since the start, each idempotency key once.";
    }

    "Views" {
        VIEW_RECORDS: Counter, COUNT, "orderflow_view_records_total", ["system", "view", "partition"], "Records that a view has taken, those that routing left out among them.";
        VIEW_DOCUMENTS: Counter, COUNT, "orderflow_view_documents_total", ["system", "view", "partition"], "Documents that a view has written.";
        VIEW_BATCH_RECORDS: Histogram(MANY), COUNT, "orderflow_view_batch_records", ["system", "view"], "Records of one batch that a view wrote.";
        VIEW_LAG_RECORDS: Gauge, COUNT, "orderflow_view_lag_records", ["system", "view", "partition"], "Records that a view has not taken yet.";
        VIEW_LAG_SECONDS: Gauge, SECONDS, "orderflow_view_lag_seconds", ["system", "view", "partition"], "How long a view has been behind, at most: the age of the last event in it while there are more, or the time since it could not go on, in seconds; 0 without lag.";
        VIEW_E2E_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_view_e2e_latency_seconds", ["system", "view"], "Age of the last event of a batch when it was written to the view, in seconds: from the decision to what a customer sees.";
        VIEW_WRITE_LATENCY: Histogram(FAST), SECONDS, "orderflow_view_write_latency_seconds", ["system", "view"], "Time to read, fold and write one batch of a view, in seconds.";
        VIEW_STALLS: Counter, COUNT, "orderflow_view_stalls_total", ["system", "view"], "Times that a view could not go on and tried again.";
        VIEW_RECORDS_REFUSED: Counter, COUNT, "orderflow_view_records_refused_total", ["system", "view", "partition"], "Records that did not fold into a view and were dead-lettered.";
        VIEW_RECORDS_MISSED: Counter, COUNT, "orderflow_view_records_missed_total", ["system", "view", "partition"], "Records that retention removed before the view had read them.";
    }

    "HTTP" {
        HTTP_REQUESTS: Counter, COUNT, "orderflow_http_requests_total", ["method", "route", "status"], "HTTP requests by route template and status.";
        HTTP_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_http_request_duration_seconds", ["method", "route"], "Time from the head of a request to the head of its answer, in seconds.";
        COMMANDS: Counter, COUNT, "orderflow_commands_total", ["system", "command", "outcome"], "Commands over HTTP by their outcome; `undecided` if none came in time.";
        COMMAND_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_command_duration_seconds", ["system", "command"], "Time from a command over HTTP to its outcome, in seconds.";
        COMMANDS_APPENDED: Counter, COUNT, "orderflow_commands_appended_total", ["topic"], "Commands over HTTP that were written to their topic.";
        COMMAND_APPENDS_FAILED: Counter, COUNT, "orderflow_command_appends_failed_total", ["topic"], "Commands over HTTP whose append failed or is in doubt.";
        API_RECONNECTS: Counter, COUNT, "orderflow_api_reconnects_total", ["system"], "Times that the API's connection to a system's topics broke and was tried again.";
    }

    "The client side of the log" {
        LOG_CONNECTIONS: Counter, COUNT, "orderflow_log_connections_total", ["purpose"], "Connections to Fluvio that were established.";
        LOG_DISCONNECTS: Counter, COUNT, "orderflow_log_disconnects_total", ["purpose"], "Connections to Fluvio that broke or were given up.";
        LOG_SENT_BYTES: Counter, BYTES, "orderflow_log_sent_bytes_total", [], "Bytes sent to Fluvio.";
        LOG_RECEIVED_BYTES: Counter, BYTES, "orderflow_log_received_bytes_total", [], "Bytes received from Fluvio.";
        LOG_RECORDS_APPENDED: Counter, COUNT, "orderflow_log_records_appended_total", [], "Records whose append Fluvio acknowledged.";
        LOG_APPEND_LATENCY: Histogram(FAST), SECONDS, "orderflow_log_append_latency_seconds", [], "Time until Fluvio acknowledged an append, in seconds.";
        LOG_APPENDS_FAILED: Counter, COUNT, "orderflow_log_appends_failed_total", [], "Appends that failed: it is not known whether they landed.";
        LOG_RECORDS_FETCHED: Counter, COUNT, "orderflow_log_records_fetched_total", [], "Records read from Fluvio, those that routing left out among them.";
        LOG_STREAMS_REOPENED: Counter, COUNT, "orderflow_log_streams_reopened_total", ["reason"], "Streams that a reader had to open anew, by reason.";
    }

    "Traces" {
        TRACE_SPANS: Counter, COUNT, "orderflow_trace_spans_total", ["outcome"], "Spans for --otlp-endpoint: exported, failed (the collector did not take them) or dropped (too many waited).";
    }

    "The embedded broker" {
        BROKER_CONNECTIONS: Gauge, COUNT, "orderflow_broker_connections", ["plane"], "Open connections of the embedded broker.";
        BROKER_CONNECTIONS_CLOSED: Counter, COUNT, "orderflow_broker_connections_closed_total", ["plane", "reason"], "Connections of the embedded broker that ended, by reason.";
        BROKER_CONNECTIONS_REFUSED: Counter, COUNT, "orderflow_broker_connections_refused_total", ["plane"], "Clients that were turned away because there were too many connections.";
        BROKER_RECEIVED_BYTES: Counter, BYTES, "orderflow_broker_received_bytes_total", ["plane"], "Bytes of requests to the embedded broker.";
        BROKER_SENT_BYTES: Counter, BYTES, "orderflow_broker_sent_bytes_total", ["plane"], "Bytes of the embedded broker's responses.";
        BROKER_RECORDS_APPENDED: Counter, COUNT, "orderflow_broker_records_appended_total", ["topic"], "Records written to a topic.";
        BROKER_APPENDED_BYTES: Counter, BYTES, "orderflow_broker_appended_bytes_total", ["topic"], "Bytes of batches written to a topic.";
        BROKER_RECORDS_SENT: Counter, COUNT, "orderflow_broker_records_sent_total", ["topic"], "Offsets of a topic that were sent to consumers.";
        BROKER_TOPIC_SENT_BYTES: Counter, BYTES, "orderflow_broker_topic_sent_bytes_total", ["topic"], "Bytes of a topic's batches that were sent to consumers.";
        BROKER_PRODUCE_REFUSED: Counter, COUNT, "orderflow_broker_produce_refused_total", ["topic"], "Produce requests that were refused, by topic.";
        BROKER_APPEND_LATENCY: Histogram(FAST), SECONDS, "orderflow_broker_append_latency_seconds", [], "Time from the arrival of a produce request to its durability, in seconds.";
        BROKER_STREAMS: Gauge, COUNT, "orderflow_broker_streams", [], "Open streams of consumers.";
        BROKER_SYNC_LATENCY: Histogram(FAST), SECONDS, "orderflow_broker_fsync_latency_seconds", [], "Time of one round of the group fsync, in seconds.";
        BROKER_LOGS_SYNCED: Counter, COUNT, "orderflow_broker_logs_synced_total", [], "Partitions with new bytes, summed over rounds of the group fsync.";
        BROKER_LOG_SIZE: Gauge, BYTES, "orderflow_broker_log_size_bytes", ["topic", "partition"], "Size of a partition on disk.";
        BROKER_DISK_FREE: Gauge, BYTES, "orderflow_broker_disk_free_bytes", [], "Room that is left for the embedded broker on the disk of its data directory.";
        BROKER_DISK_SIZE: Gauge, BYTES, "orderflow_broker_disk_size_bytes", [], "Size of the disk of the embedded broker's data directory.";
        BROKER_DISK_REFUSES: Gauge, COUNT, "orderflow_broker_disk_refuses", [], "1 while the embedded broker refuses records because of its disk, else 0.";
        BROKER_SMARTMODULE_RECORDS_IN: Counter, COUNT, "orderflow_broker_smartmodule_records_in_total", [], "Records that SmartModules were given.";
        BROKER_SMARTMODULE_RECORDS_OUT: Counter, COUNT, "orderflow_broker_smartmodule_records_out_total", [], "Records that came out of SmartModules.";
        BROKER_SMARTMODULE_LATENCY: Histogram(FAST), SECONDS, "orderflow_broker_smartmodule_latency_seconds", [], "Time of one run of SmartModules, its wait for a place included, in seconds.";
        BROKER_SMARTMODULE_FAILURES: Counter, COUNT, "orderflow_broker_smartmodule_failures_total", [], "SmartModules that could not be built, failed, or did not end in time.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_and_are_there_once() {
        let names: BTreeSet<&str> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
        for Metric { name, kind, unit, labels, help } in all() {
            let is_ours = name.starts_with("orderflow_") || name.starts_with("process_");
            assert!(is_ours && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), kind.name() == "counter", "{name}: counters, and only they, end in `_total`");
            let stem = name.trim_end_matches("_total").trim_end_matches("_max");
            assert_eq!(stem.ends_with("_seconds"), *unit == SECONDS, "{name}: its unit stands in its name");
            assert_eq!(stem.ends_with("_bytes"), *unit == BYTES, "{name}: its unit stands in its name");
            assert!(help.ends_with('.') && help.len() > 20, "{name} says what it is");
            assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "{name}: its labels are different ones");
        }
    }
}
