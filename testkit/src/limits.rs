//! Every bound of this crate.

use std::time::Duration;

/// How long a server may take until it accepts connections. It takes about a second on an idle machine.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a starting server is looked at.
pub const START_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Ports tried when another program takes the chosen one between its choice and its use.
pub const PORTS_TRIED_MAX: u32 = 8;

/// Bytes from the end of a server's log that an error quotes.
pub const LOG_QUOTE_BYTES_MAX: usize = 2_000;
