//! The wire: frames, connections and listeners. Knows nothing of topics or records.
//!
//! A connection is a reader loop that hands requests to its [`Service`], and a writer task with a bounded
//! queue; so a slow handler or a stalled stream never holds up other replies, and a client that does not
//! read holds up nobody but itself. Whatever a client sends that no correct client sends costs it its
//! connection and nothing else.

mod connection;
mod frame;
mod listener;
mod outbound;

pub(crate) use connection::{Connection, Refusal, Service, decode};
pub(crate) use frame::{Frame, Request, response};
pub(crate) use listener::{Callers, Listener, Server};
pub(crate) use outbound::{Disconnected, Outbound, Slot};
