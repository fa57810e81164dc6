//! Every bound of this crate, in one place.

use std::time::Duration;

/// Most partitions of a topic: each is a task per processor.
pub(crate) const PARTITIONS_MAX: u32 = 64;

/// How long a cluster or a database may take to answer at start.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries to reach it.
pub(crate) const REACH_POLL: Duration = Duration::from_millis(250);

/// How long requests that are under way may take once the instance stops.
pub(crate) const STOP_REQUESTS_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the processors may take to finish what they have begun.
pub(crate) const STOP_PROCESSORS_TIMEOUT: Duration = Duration::from_millis(900);
/// How long the views may take to write what they have read.
pub(crate) const STOP_VIEWS_TIMEOUT: Duration = Duration::from_millis(300);
/// How long the broker may take to close its logs.
pub(crate) const STOP_BROKER_TIMEOUT: Duration = Duration::from_millis(400);

/// Connections that the HTTP API has open at once; further ones wait to be accepted.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 4_096;
/// Connections that the metrics endpoint has open at once.
pub(crate) const METRICS_CONNECTIONS_MAX: usize = 64;
/// How long a client may take for the head of a request, and how long a connection may be idle.
pub(crate) const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
pub(crate) const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Pause after the operating system refused to accept a connection.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often samples of histograms are folded into their buckets; between two of them they take memory.
pub(crate) const METRICS_UPKEEP: Duration = Duration::from_secs(1);
/// Sets of label values of one metric that turn up while the program runs (reason codes, topics); further ones are counted as `other`.
pub(crate) const LABEL_SETS_MAX: usize = 512;

/// Calls to the payment provider that may run at once in this process.
pub(crate) const PROVIDER_CALLS_MAX: usize = 1_024;
/// How long one call to the payment provider may take, waiting for its turn included.
pub(crate) const PROVIDER_CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Answers that the simulated provider remembers by their idempotency keys.
pub(crate) const PROVIDER_ANSWERS_MAX: usize = 16_384;

const _: () = {
    let stop = STOP_REQUESTS_TIMEOUT.as_millis() + STOP_PROCESSORS_TIMEOUT.as_millis() + STOP_VIEWS_TIMEOUT.as_millis() + STOP_BROKER_TIMEOUT.as_millis();
    assert!(stop < 2_000, "an instance stops within 2 s");
};
