//! Every bound of this crate.

use std::time::Duration;

/// Exceptions of a law that are told in full; the rest is counted.
pub const EXCEPTIONS_TOLD_MAX: usize = 20;
/// How long a process may take to become ready; one that takes longer is told of, and the run goes on.
pub const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long a process may take to start.
pub const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a process may take to end after it was told to.
pub const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How long instances may take to agree on who has what.
pub const SHARE_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take after a load until there are as few instances as before.
pub const ELASTIC_LIMIT: Duration = Duration::from_secs(600);
/// Orders of an open load whose stories are told at a time: more means that nothing goes on.
pub const ORDERS_UNDER_WAY_MAX: usize = 20_000;
/// Pause between two looks at something that is waited for.
pub const POLL: Duration = Duration::from_millis(20);
/// How long a sender waits for an answer before it sends again.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How often a command is sent before the run is given up: something is down for good.
pub const SENDS_MAX: usize = 400;
/// Pause before a command is sent again.
pub const RESEND_PAUSE: Duration = Duration::from_millis(100);
/// How long the official client may take for one step: connecting, the next record of a backlog.
pub const CLIENT_LIMIT: Duration = Duration::from_secs(10);
/// How often an end of a topic is asked for.
pub const READS_MAX: usize = 100;
/// Documents on a page of a view.
pub const PAGE: usize = 100;
/// Bytes of a request to the provider.
pub const PROVIDER_REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How often a front asks whether who is behind it is ready.
pub const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// Pause before a request that has failed is sent again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Bytes that the proxy carries at a time.
pub const PROXY_CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of an answer of the control plane.
pub const PROXY_FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
