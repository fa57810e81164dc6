//! What is down disturbs nobody else: the parts of a system as processes of their own, on one broker, some of them killed and started again.
//!
//! Where to start reading: `followers` (who goes on afterwards may be away), `partners` (who is asked before may be away), `views`; `story` says what must be the same with and without an
//! outage.

mod cluster;
mod followers;
mod front;
mod instances;
mod partners;
mod sharing;
mod story;
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support.rs"]
mod support;
mod views;
