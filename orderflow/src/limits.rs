//! Every bound of this crate, in one place.

use std::time::Duration;

/// Most partitions of a topic: each is a task per processor.
pub(crate) const PARTITIONS_MAX: u32 = 64;

/// Most instances that can follow a task besides its owner.
pub(crate) const STANDBYS_MAX: usize = 8;
/// An instance that is silent for so long is taken for dead, unless told otherwise.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_millis(1_200);
/// Shortest such time: below it a busy machine is taken for a dead one.
pub(crate) const SESSION_TIMEOUT_MS_MIN: u64 = 400;
/// Longest such time.
pub(crate) const SESSION_TIMEOUT_MS_MAX: u64 = 600_000;
/// An instance says so many times in a session that it lives.
pub(crate) const HEARTBEATS_PER_SESSION: u32 = 4;
/// How long the new owner of a task waits for the former one to finish with it.
pub(crate) const RELEASE_TIMEOUT: Duration = Duration::from_millis(1_000);

/// How long a cluster or a database may take to answer at start.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries to reach it.
pub(crate) const REACH_POLL: Duration = Duration::from_millis(250);
/// Tries to resolve its name: a name that is only about to be known gets about two seconds, one that is mistyped is found out soon.
pub(crate) const RESOLVE_TRIES_MAX: u32 = 8;

/// Longest time that an instance can be told to serve on after it was told to stop, in ms.
pub(crate) const DRAIN_MS_MAX: u64 = 600_000;
/// How long requests that are under way may take after that: longer than an outcome and a view are waited for.
pub(crate) const FINISH_REQUESTS_TIMEOUT: Duration = Duration::from_secs(8);
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

/// How long restoring may take before a terminal shows how far it is.
pub(crate) const RESTORE_SHOWN_AFTER: Duration = Duration::from_secs(1);
/// How often it shows that.
pub(crate) const RESTORE_SHOWN_EVERY: Duration = Duration::from_millis(200);
/// How long the log says nothing more about what happens again and again.
pub(crate) const LOG_REPEATED_INTERVAL: Duration = Duration::from_secs(10);
/// Spans that wait to be sent to a collector of traces; further ones are dropped.
pub(crate) const TRACE_SPANS_QUEUED_MAX: usize = 16_384;
/// Spans that are sent at once, about.
pub(crate) const TRACE_BATCH_SPANS_MAX: usize = 1_024;
/// How long the first of them waits for the others.
pub(crate) const TRACE_BATCH_WAIT: Duration = Duration::from_millis(500);
/// How long a collector may take to answer.
pub(crate) const TRACE_EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often spans are sent that a collector does not take.
pub(crate) const TRACE_EXPORT_TRIES_MAX: u32 = 3;
/// Wait before they are sent again; it grows with each try.
pub(crate) const TRACE_RETRY_WAIT: Duration = Duration::from_secs(1);
/// How often samples of histograms are folded into their buckets; between two of them they take memory.
pub(crate) const METRICS_UPKEEP: Duration = Duration::from_secs(1);
/// Sets of label values of one metric that turn up while the program runs (reason codes, topics); further ones are counted as `other`.
pub(crate) const LABEL_SETS_MAX: usize = 512;

/// Calls to the payment provider that may run at once in this process, unless told otherwise.
pub(crate) const PROVIDER_CALLS_MAX: usize = 1_024;
/// Most such calls that can be set.
pub(crate) const PROVIDER_CALLS_MAX_MAX: usize = 65_536;
/// Highest rate of calls that can be set, per second.
pub(crate) const PROVIDER_RATE_MAX: u32 = 100_000;
/// How long a call to the payment provider is pursued before it is only asked about, unless told otherwise: longer than anybody waits for it.
pub(crate) const PROVIDER_CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one exchange with it may take, unless told otherwise.
pub(crate) const PROVIDER_TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest such times that can be set, in ms.
pub(crate) const PROVIDER_TIMEOUT_MS_MAX: u64 = 600_000;
/// How long a connection to it may take.
pub(crate) const PROVIDER_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// So long after a request the provider carries it out or never, unless told otherwise.
pub(crate) const PROVIDER_SETTLE: Duration = Duration::from_secs(120);
/// Longest such time that can be set, in ms.
pub(crate) const PROVIDER_SETTLE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// How long a request may wait for a place and for the pace: less than attempts stay open, since a later answer helps nobody.
pub(crate) const PROVIDER_WAIT_MAX: Duration = Duration::from_secs(25);
/// Retries per 100 calls, unless told otherwise.
pub(crate) const PROVIDER_RETRY_PERCENT: u32 = 10;
/// Retries per second that are allowed whatever the number of calls.
pub(crate) const PROVIDER_RETRIES_PER_SECOND: u32 = 20;
/// Tries of a request that is known to have done nothing; whoever asked tries again later.
pub(crate) const PROVIDER_NOT_DONE_TRIES_MAX: u32 = 3;
/// Longest wait before one of them.
pub(crate) const PROVIDER_NOT_DONE_WAIT_MAX: Duration = Duration::from_secs(2);
/// First wait before a request is made again; it doubles.
pub(crate) const PROVIDER_BACKOFF: Duration = Duration::from_millis(100);
/// Longest such wait while somebody may wait for the outcome.
pub(crate) const PROVIDER_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Longest such wait once nobody does.
pub(crate) const PROVIDER_INQUIRY_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest wait that the provider can ask for.
pub(crate) const PROVIDER_RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Bytes of one answer of the provider.
pub(crate) const PROVIDER_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one page of its ledger.
pub(crate) const PROVIDER_LEDGER_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of what it says for people that are kept.
pub(crate) const PROVIDER_DETAIL_BYTES_MAX: usize = 512;
/// Answers that the simulated provider remembers by their idempotency keys.
pub(crate) const PROVIDER_ANSWERS_MAX: usize = 16_384;
/// Bytes at the end of its ledger that it reads at the start, to remember them.
pub(crate) const LEDGER_READ_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Entries of one page of its ledger.
pub(crate) const LEDGER_PAGE_ENTRIES_MAX: usize = 1_000;
/// Movements of money that `reconcile` compares at once.
pub(crate) const RECONCILE_MOVEMENTS_MAX: usize = 5_000_000;

/// How long the tasks may take to answer an order to their breakers, unless told otherwise, in ms.
pub(crate) const BREAKER_ANSWER_TIMEOUT_MS: u64 = 10_000;
/// Records at the end of a journal in which `instances` looks for how far its task is.
pub(crate) const INSTANCES_JOURNAL_RECORDS: i64 = 16;
/// Bytes of the records about one aggregate that `why` tells; what comes after is left out, and it says so.
pub(crate) const WHY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Changes of a breaker during the life of an aggregate that it tells.
pub(crate) const WHY_TRANSITIONS_MAX: usize = 1_000;
/// Timers and calls of one task that it finds pending.
pub(crate) const WHY_PENDING_MAX: usize = 1_000;
/// How often it reads on because something has happened meanwhile.
pub(crate) const WHY_PASSES_MAX: usize = 10;
/// Steps from a record back to its first cause that it follows.
pub(crate) const WHY_CAUSES_MAX: usize = 1_000;
/// Characters of one member's value that it shows.
pub(crate) const WHY_VALUE_CHARACTERS_MAX: usize = 120;

/// Dead letters of one system that `dlq` looks at; whoever has more asks for fewer.
pub(crate) const DLQ_LETTERS_MAX: usize = 100_000;
/// Characters of a letter's error that it keeps in mind.
pub(crate) const DLQ_ERROR_KEPT_CHARACTERS_MAX: usize = 1_000;
/// Characters of a letter's error in the table.
pub(crate) const DLQ_ERROR_CHARACTERS_MAX: usize = 60;
/// How often a record is redriven, unless told otherwise.
pub(crate) const DLQ_REPLAYS_MAX: u32 = 3;
/// How long after a redrive began its record may be appended.
pub(crate) const DLQ_APPEND_WITHIN: Duration = Duration::from_secs(20);
/// How long after a redrive began another one may take it for interrupted, in ms: until then its record may still arrive.
pub(crate) const DLQ_INTERRUPTED_AFTER_MS: i64 = 60_000;

/// Entries of one task that `reset` compares at once.
pub(crate) const RESET_ENTRIES_MAX: usize = 2_000_000;
/// An instance that has not been heard of for longer is taken to have ended, in ms.
pub(crate) const RESET_SILENCE_MS: i64 = 10_000;
/// Inputs of one task that it makes again.
pub(crate) const RESET_INPUTS_MAX: u64 = 5_000_000;

/// Calls to the webhook that may run at once in this process, over all systems; further ones wait for their turn.
pub(crate) const WEBHOOK_CALLS_MAX: usize = 64;
/// How long a webhook may take to answer, unless told otherwise.
pub(crate) const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest such time that can be set, in ms.
pub(crate) const WEBHOOK_TIMEOUT_MS_MAX: u64 = 60_000;
/// Most tries of a delivery that can be set.
pub(crate) const WEBHOOK_TRIES_MAX: u32 = 1_000;
/// Bytes of an answer of a webhook that are read, and thrown away, so that its connection can be used again.
pub(crate) const WEBHOOK_ANSWER_BYTES_MAX: usize = 16 * 1024;

const _: () = {
    let stop = STOP_REQUESTS_TIMEOUT.as_millis() + STOP_PROCESSORS_TIMEOUT.as_millis() + STOP_VIEWS_TIMEOUT.as_millis() + STOP_BROKER_TIMEOUT.as_millis();
    assert!(stop < 2_000, "an instance stops within 2 s");
};
