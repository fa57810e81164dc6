//! What operators look at, tried with the real thing: rules by `promtool`, dashboards and alerts on a Prometheus that scrapes a running system.
//!
//! Where to start reading: `live`; `dashboards` and `rules` look at the files alone. Grafana itself is not among it: `grafana/README.md` says what that leaves open.

mod catalogue;
mod dashboards;
mod live;
mod load;
mod rules;
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
#[path = "../e2e/support.rs"]
mod support;
