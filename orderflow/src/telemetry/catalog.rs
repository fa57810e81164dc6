//! Every metric of this program: its name, kind, unit and meaning. Dashboards and alerts use these names and no others.

use metrics::Unit;

/// What kind of metric it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With these upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
}

/// Buckets for what takes microseconds to a second: a step, a commit, an fsync.
const FAST: &[f64] = &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Buckets for what a customer waits for; 0.61 s is the deadline of the payment step.
const WAITED_FOR: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.61, 1.0, 2.5, 5.0, 10.0, 60.0];

macro_rules! catalog {
    ($($id:ident: $kind:expr, $unit:expr, $name:literal, $help:literal;)+) => {
        $(pub(super) const $id: Metric = Metric { name: $name, kind: $kind, unit: $unit, help: $help };)+

        /// All of them.
        pub(super) const ALL: &[&Metric] = &[$(&$id),+];
    };
}

use Kind::{Counter, Gauge, Histogram};

const BYTES: Option<Unit> = Some(Unit::Bytes);
const COUNT: Option<Unit> = Some(Unit::Count);
const SECONDS: Option<Unit> = Some(Unit::Seconds);

catalog! {
    // Processors.
    RECORDS_IN: Counter, COUNT, "orderflow_records_in_total", "Inputs that tasks have taken: records, timers and answers of outside systems.";
    RECORDS_OUT: Counter, COUNT, "orderflow_records_out_total", "Records that tasks have sent to other topics and that were acknowledged.";
    PROCESS_LATENCY: Histogram(FAST), SECONDS, "orderflow_process_latency_seconds", "Time of one transaction in the processor, without its commit, in seconds.";
    COMMIT_LATENCY: Histogram(FAST), SECONDS, "orderflow_commit_latency_seconds", "Time until the journal acknowledged a transaction, in seconds.";
    CONSUMER_LAG_RECORDS: Gauge, COUNT, "orderflow_consumer_lag_records", "Records of a source that the task has not taken yet.";
    CONSUMER_LAG_SECONDS: Gauge, SECONDS, "orderflow_consumer_lag_seconds", "Age of the last record taken while there are more, in seconds; 0 without lag.";
    RESTORE_RECORDS: Gauge, COUNT, "orderflow_restore_records", "Journal records that the task read when it was last restored.";
    RESTORE_SECONDS: Gauge, SECONDS, "orderflow_restore_duration_seconds", "Time of the task's last restore, in seconds.";
    TASK_PHASE: Gauge, COUNT, "orderflow_task_phase", "1 for the phase in which the task is: restoring, running, waiting or stopped.";
    TASK_FAILURES: Counter, COUNT, "orderflow_task_failures_total", "Times that a task stopped by itself and was started again.";
    LOG_RETRIES: Counter, COUNT, "orderflow_log_retries_total", "Reads and appends of tasks that failed and were tried again.";
    CALLS_PENDING: Gauge, COUNT, "orderflow_calls_pending", "Calls to outside systems that wait or run.";
    TIMERS_PENDING: Gauge, COUNT, "orderflow_timers_pending", "Durable timers that have not fired.";
    STANDBY_LAG: Gauge, COUNT, "orderflow_standby_lag_records", "Journal records by which this instance is behind the owner of a task that it follows.";
    ASSIGNMENT_GENERATION: Gauge, COUNT, "orderflow_assignment_generation", "Number of the assignment of tasks to instances that is in force.";
    INSTANCES: Gauge, COUNT, "orderflow_instances", "Instances that share the tasks of the application.";
    REPLAY_BYTES: Gauge, BYTES, "orderflow_replay_bytes", "Bytes of journal that a successor of the task would read if it had no store, about.";
    REJECTIONS: Counter, COUNT, "orderflow_rejections_total", "Commands that a rule refused, by reason code.";
    UNREADABLE_RECORDS: Counter, COUNT, "orderflow_unreadable_records_total", "Records that could not be read or handled: dead-lettered, or skipped by policy.";
    REPEATED_RECORDS: Counter, COUNT, "orderflow_repeated_records_total", "Records that were dropped since their sender had sent them before.";
    BREAKER_STATE: Gauge, COUNT, "orderflow_breaker_state", "1 for the state in which the circuit breaker of the task is: closed, open or half-open.";
    BREAKER_TRANSITIONS: Counter, COUNT, "orderflow_breaker_transitions_total", "Times that a circuit breaker changed its state, by the states before and after, each once: what a restart reads in a journal is not counted again.";
    TASK_TOTAL: Gauge, COUNT, "orderflow_processor_totals", "Other totals that a processor keeps, by name.";
    MONEY: Gauge, None, "orderflow_money_won", "Money in won, summed over tasks: captured, refunded, live (of placed orders) and open (neither live nor refunded yet).";
    MONEY_VIOLATIONS: Counter, COUNT, "orderflow_money_violations_total", "Times that the money of a task stopped being in balance, or got further out of it: any increase is an alarm.";
    MONEY_IMBALANCE: Gauge, None, "orderflow_money_imbalance_won", "Captured - refunded - live - open, in won, the absolute values of all tasks summed: anything but 0 is an alarm.";

    // Views.
    VIEW_RECORDS: Counter, COUNT, "orderflow_view_records_total", "Records that a view has taken, those that routing left out among them.";
    VIEW_DOCUMENTS: Counter, COUNT, "orderflow_view_documents_total", "Documents that a view has written.";
    VIEW_LAG_RECORDS: Gauge, COUNT, "orderflow_view_lag_records", "Records that a view has not taken yet.";
    VIEW_LAG_SECONDS: Gauge, SECONDS, "orderflow_view_lag_seconds", "Age of the last event in the view while there are more, in seconds; 0 without lag.";
    VIEW_WRITE_LATENCY: Histogram(FAST), SECONDS, "orderflow_view_write_latency_seconds", "Time to read, fold and write one batch of a view, in seconds.";
    VIEW_STALLS: Counter, COUNT, "orderflow_view_stalls_total", "Times that a view could not go on and tried again.";
    VIEW_RECORDS_REFUSED: Counter, COUNT, "orderflow_view_records_refused_total", "Records that did not fold into a view and were dead-lettered.";
    VIEW_RECORDS_MISSED: Counter, COUNT, "orderflow_view_records_missed_total", "Records that retention removed before the view had read them.";

    // HTTP.
    HTTP_REQUESTS: Counter, COUNT, "orderflow_http_requests_total", "HTTP requests by route template and status.";
    HTTP_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_http_request_duration_seconds", "Time from the head of a request to the head of its answer, in seconds.";
    COMMANDS: Counter, COUNT, "orderflow_commands_total", "Commands over HTTP by their outcome; `undecided` if none came in time.";
    COMMAND_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_command_duration_seconds", "Time from a command over HTTP to its outcome, in seconds.";
    COMMANDS_APPENDED: Counter, COUNT, "orderflow_commands_appended_total", "Commands over HTTP that were written to their topic.";
    COMMAND_APPENDS_FAILED: Counter, COUNT, "orderflow_command_appends_failed_total", "Commands over HTTP whose append failed or is in doubt.";
    API_RECONNECTS: Counter, COUNT, "orderflow_api_reconnects_total", "Times that the API's connection to a system's topics broke and was tried again.";

    // The payment provider.
    PROVIDER_CALLS: Counter, COUNT, "orderflow_provider_calls_total", "Calls to the payment provider by operation and outcome.";
    PROVIDER_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_provider_call_duration_seconds", "Time of a call to the payment provider, its wait for a place included, in seconds.";
    PROVIDER_CALLS_RUNNING: Gauge, COUNT, "orderflow_provider_calls_running", "Calls to the payment provider that hold a place of the bulkhead.";
    PROVIDER_CALLS_IN_DOUBT: Gauge, COUNT, "orderflow_provider_calls_in_doubt", "Charges that the payment provider may have made and has not said so; each is asked about until it does.";
    PROVIDER_RETRIES: Counter, COUNT, "orderflow_provider_retries_total", "Requests to the payment provider that repeat or ask about an earlier one.";
    PROVIDER_MONEY: Gauge, None, "orderflow_provider_money_won", "Money in won that the simulated provider captured and refunded since the start, each idempotency key once.";

    // The webhook of notifications.
    WEBHOOK_LATENCY: Histogram(WAITED_FOR), SECONDS, "orderflow_webhook_call_duration_seconds", "Time of one try to deliver a notification to the webhook, its wait for a place included, by outcome, in seconds.";

    // The client side of the log.
    LOG_CONNECTIONS: Counter, COUNT, "orderflow_log_connections_total", "Connections to Fluvio that were established.";
    LOG_DISCONNECTS: Counter, COUNT, "orderflow_log_disconnects_total", "Connections to Fluvio that broke or were given up.";
    LOG_SENT_BYTES: Counter, BYTES, "orderflow_log_sent_bytes_total", "Bytes sent to Fluvio.";
    LOG_RECEIVED_BYTES: Counter, BYTES, "orderflow_log_received_bytes_total", "Bytes received from Fluvio.";
    LOG_RECORDS_APPENDED: Counter, COUNT, "orderflow_log_records_appended_total", "Records whose append Fluvio acknowledged.";
    LOG_APPEND_LATENCY: Histogram(FAST), SECONDS, "orderflow_log_append_latency_seconds", "Time until Fluvio acknowledged an append, in seconds.";
    LOG_APPENDS_FAILED: Counter, COUNT, "orderflow_log_appends_failed_total", "Appends that failed: it is not known whether they landed.";
    LOG_RECORDS_FETCHED: Counter, COUNT, "orderflow_log_records_fetched_total", "Records read from Fluvio, those that routing left out among them.";
    LOG_STREAMS_REOPENED: Counter, COUNT, "orderflow_log_streams_reopened_total", "Streams that a reader had to open anew, by reason.";

    // The embedded broker.
    BROKER_CONNECTIONS: Gauge, COUNT, "orderflow_broker_connections", "Open connections of the embedded broker.";
    BROKER_CONNECTIONS_CLOSED: Counter, COUNT, "orderflow_broker_connections_closed_total", "Connections of the embedded broker that ended, by reason.";
    BROKER_CONNECTIONS_REFUSED: Counter, COUNT, "orderflow_broker_connections_refused_total", "Clients that were turned away because there were too many connections.";
    BROKER_RECEIVED_BYTES: Counter, BYTES, "orderflow_broker_received_bytes_total", "Bytes of requests to the embedded broker.";
    BROKER_SENT_BYTES: Counter, BYTES, "orderflow_broker_sent_bytes_total", "Bytes of the embedded broker's responses.";
    BROKER_RECORDS_APPENDED: Counter, COUNT, "orderflow_broker_records_appended_total", "Records written to a topic.";
    BROKER_APPENDED_BYTES: Counter, BYTES, "orderflow_broker_appended_bytes_total", "Bytes of batches written to a topic.";
    BROKER_RECORDS_SENT: Counter, COUNT, "orderflow_broker_records_sent_total", "Offsets of a topic that were sent to consumers.";
    BROKER_TOPIC_SENT_BYTES: Counter, BYTES, "orderflow_broker_topic_sent_bytes_total", "Bytes of a topic's batches that were sent to consumers.";
    BROKER_APPEND_LATENCY: Histogram(FAST), SECONDS, "orderflow_broker_append_latency_seconds", "Time from the arrival of a produce request to its durability, in seconds.";
    BROKER_PRODUCE_REFUSED: Counter, COUNT, "orderflow_broker_produce_refused_total", "Produce requests that were refused, by topic.";
    BROKER_STREAMS: Gauge, COUNT, "orderflow_broker_streams", "Open streams of consumers.";
    BROKER_SYNC_LATENCY: Histogram(FAST), SECONDS, "orderflow_broker_fsync_latency_seconds", "Time of one round of the group fsync, in seconds.";
    BROKER_LOGS_SYNCED: Counter, COUNT, "orderflow_broker_logs_synced_total", "Partitions with new bytes, summed over rounds of the group fsync.";
    BROKER_LOG_SIZE: Gauge, BYTES, "orderflow_broker_log_size_bytes", "Size of a partition on disk.";
    BROKER_SMARTMODULE_RECORDS_IN: Counter, COUNT, "orderflow_broker_smartmodule_records_in_total", "Records that SmartModules were given.";
    BROKER_SMARTMODULE_RECORDS_OUT: Counter, COUNT, "orderflow_broker_smartmodule_records_out_total", "Records that came out of SmartModules.";
    BROKER_SMARTMODULE_LATENCY: Histogram(FAST), SECONDS, "orderflow_broker_smartmodule_latency_seconds", "Time of one run of SmartModules, its wait for a place included, in seconds.";
    BROKER_SMARTMODULE_FAILURES: Counter, COUNT, "orderflow_broker_smartmodule_failures_total", "SmartModules that could not be built, failed, or did not end in time.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_and_are_there_once() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let Metric { name, kind, unit, help } = metric;
            assert!(name.starts_with("orderflow_") && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}: counters, and only they, end in `_total`");
            let stem = name.trim_end_matches("_total");
            assert_eq!(stem.ends_with("_seconds"), *unit == SECONDS, "{name}: its unit stands in its name");
            assert_eq!(stem.ends_with("_bytes"), *unit == BYTES, "{name}: its unit stands in its name");
            assert!(help.ends_with('.') && help.len() > 20, "{name} says what it is");
        }
    }
}
