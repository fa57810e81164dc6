//! The Fluvio adapter against the embedded broker, and against a server that misbehaves.

mod backlog;
mod faults;
mod producer;
mod proxy;
mod readers;
mod redaction;
mod restart;
mod support;
mod topics;
mod writers;
