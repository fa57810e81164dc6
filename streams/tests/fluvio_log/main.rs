//! The Fluvio adapter and the runtime on it: on an embedded broker, or on the cluster that `FLUVIO_ENDPOINT` names; and against a server that misbehaves, which is always an embedded one.

mod backlog;
#[path = "../support/business.rs"]
#[allow(dead_code, reason = "the guarantees use the rest of it")]
mod business;
mod faults;
mod producer;
mod proxy;
mod readers;
mod redaction;
mod restart;
mod runtime;
#[path = "../support/site.rs"]
mod site;
mod support;
mod topics;
mod within_process;
mod writers;
