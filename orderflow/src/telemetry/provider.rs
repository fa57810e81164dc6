//! Metrics of the payment provider.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Gauge, Histogram};

use super::catalog;
use super::registry::{Family, Registry};

/// Counts what the payment provider does.
pub(crate) struct ProviderMeters {
    /// By operation and outcome.
    calls: Family<metrics::Counter>,
    latency: Histogram,
    running: Gauge,
    in_doubt: Gauge,
    retries: metrics::Counter,
    captured: Gauge,
    refunded: Gauge,
}

/// A charge that is in doubt.
pub(crate) struct InDoubt(Gauge);

impl Drop for InDoubt {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl ProviderMeters {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let for_calls = Arc::clone(registry);
        let money = |account| registry.gauge(&catalog::PROVIDER_MONEY, &[("account", account)]);
        Self {
            calls: Family::new(move |values| for_calls.counter(&catalog::PROVIDER_CALLS, &[("operation", values[0]), ("outcome", values[1])])),
            latency: registry.histogram(&catalog::PROVIDER_LATENCY, &[]),
            running: registry.gauge(&catalog::PROVIDER_CALLS_RUNNING, &[]),
            in_doubt: registry.gauge(&catalog::PROVIDER_CALLS_IN_DOUBT, &[]),
            retries: registry.counter(&catalog::PROVIDER_RETRIES, &[]),
            captured: money("captured"),
            refunded: money("refunded"),
        }
    }

    /// A call got or gave back its place.
    pub(crate) fn running(&self, calls: usize) {
        self.running.set(calls as f64);
    }

    /// It is not known whether a charge was made, as long as what is returned lives.
    pub(crate) fn in_doubt(&self) -> InDoubt {
        self.in_doubt.increment(1.0);
        InDoubt(self.in_doubt.clone())
    }

    /// A call is made again, or asked about.
    pub(crate) fn retried(&self) {
        self.retries.increment(1);
    }

    /// A call has its answer.
    pub(crate) fn answered(&self, operation: &str, outcome: &str, elapsed: Duration) {
        self.calls.of(&[operation, outcome]).increment(1);
        self.latency.record(elapsed.as_secs_f64());
    }

    /// Money that the provider has taken and given back since the start, in won.
    pub(crate) fn money(&self, captured_won: i64, refunded_won: i64) {
        self.captured.set(captured_won as f64);
        self.refunded.set(refunded_won as f64);
    }
}
