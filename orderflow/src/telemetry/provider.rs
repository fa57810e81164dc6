//! Metrics of the payment provider.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Gauge, Histogram};

use super::catalog;
use super::registry::{Family, Registry};
use super::repeated::Repeated;

/// Counts what the payment provider does.
pub(crate) struct ProviderMeters {
    /// By operation and outcome.
    calls: Family<metrics::Counter>,
    /// By operation and outcome.
    latencies: Family<Histogram>,
    running: Gauge,
    in_doubt: Gauge,
    doubts: Mutex<Doubts>,
    began: Instant,
    retries: metrics::Counter,
    captured: Gauge,
    refunded: Gauge,
}

/// What the log says of charges in doubt: in an outage there are thousands, and a line for each would tell less.
#[derive(Default)]
struct Doubts {
    calls: u64,
    repeated: Repeated,
}

/// A charge that is in doubt, as long as this lives.
pub(crate) struct InDoubt<'a> {
    meters: &'a ProviderMeters,
    key: &'a str,
}

impl InDoubt<'_> {
    /// It still is: tells so, if it is time to.
    pub(crate) fn lasts(&self) {
        self.meters.doubt(self.key, 0);
    }

    /// It is no more: the provider has said what became of it.
    pub(crate) fn settled(self) {
        let meters = self.meters;
        drop(self);
        let calls = {
            let mut doubts = meters.doubts.lock().unwrap_or_else(PoisonError::into_inner);
            if doubts.calls == 0 { doubts.repeated.over() } else { None }
        };
        if let Some(calls) = calls {
            tracing::info!(calls_since = calls, "no call to the payment provider is in doubt any more");
        }
    }
}

impl Drop for InDoubt<'_> {
    // Not settled yet: the process stops, and whoever comes after it asks.
    fn drop(&mut self) {
        self.meters.in_doubt.decrement(1.0);
        self.meters.doubts.lock().unwrap_or_else(PoisonError::into_inner).calls -= 1;
    }
}

impl ProviderMeters {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let (for_calls, for_latencies) = (Arc::clone(registry), Arc::clone(registry));
        let money = |account| registry.gauge(&catalog::PROVIDER_MONEY, &[("account", account)]);
        Self {
            calls: Family::new(move |values| for_calls.counter(&catalog::PROVIDER_CALLS, &[("operation", values[0]), ("outcome", values[1])])),
            latencies: Family::new(move |values| for_latencies.histogram(&catalog::PROVIDER_LATENCY, &[("operation", values[0]), ("outcome", values[1])])),
            running: registry.gauge(&catalog::PROVIDER_CALLS_RUNNING, &[]),
            in_doubt: registry.gauge(&catalog::PROVIDER_CALLS_IN_DOUBT, &[]),
            doubts: Mutex::default(),
            began: Instant::now(),
            retries: registry.counter(&catalog::PROVIDER_RETRIES, &[]),
            captured: money("captured"),
            refunded: money("refunded"),
        }
    }

    /// A call got or gave back its place.
    pub(crate) fn running(&self, calls: usize) {
        self.running.set(calls as f64);
    }

    /// It is not known whether the charge with this key was made, as long as what is returned lives.
    pub(crate) fn in_doubt<'a>(&'a self, key: &'a str) -> InDoubt<'a> {
        self.in_doubt.increment(1.0);
        self.doubt(key, 1);
        InDoubt { meters: self, key }
    }

    fn doubt(&self, key: &str, more: u64) {
        let (calls, since) = {
            let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
            doubts.calls += more;
            (doubts.calls, doubts.repeated.happened(more, self.began.elapsed()))
        };
        if let Some(since) = since {
            tracing::warn!(calls, calls_since = since, key, "the payment provider may have taken money and has not said so; it is asked until it does");
        }
    }

    /// A call is made again, or asked about.
    pub(crate) fn retried(&self) {
        self.retries.increment(1);
    }

    /// A call has its answer.
    pub(crate) fn answered(&self, operation: &str, outcome: &str, elapsed: Duration) {
        self.calls.of(&[operation, outcome]).increment(1);
        self.latencies.of(&[operation, outcome]).record(elapsed.as_secs_f64());
    }

    /// Money that the provider has taken and given back since the start, in won.
    pub(crate) fn money(&self, captured_won: i64, refunded_won: i64) {
        self.captured.set(captured_won as f64);
        self.refunded.set(refunded_won as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::said::{Said, catch};
    use super::*;

    fn meters() -> (Arc<Registry>, ProviderMeters) {
        let registry = Arc::new(Registry::new().expect("the catalog is right"));
        let meters = ProviderMeters::new(&registry);
        (registry, meters)
    }

    #[test]
    fn an_outage_is_a_line_and_its_end_another_though_all_calls_are_counted() {
        let (registry, meters) = meters();
        let shown = |calls: u64| registry.handle().render().contains(&format!("orderflow_provider_calls_in_doubt {calls}\n"));
        let said = catch(|| {
            let doubts: Vec<InDoubt<'_>> = (0..1_000).map(|_| meters.in_doubt("o-1/1/accept")).collect();
            doubts.iter().for_each(InDoubt::lasts);
            assert!(shown(1_000));
            doubts.into_iter().for_each(InDoubt::settled);
        });
        assert!(shown(0));
        assert_eq!(said.lines("WARN"), 1, "{said:?}");
        assert!(said.0.contains("calls=1 calls_since=1 key=\"o-1/1/accept\""), "{said:?}");
        assert_eq!(said.lines("INFO"), 1, "{said:?}");
        assert!(said.0.contains("calls_since=999"), "{said:?}");
    }

    /// A process that stops has not heard of what it leaves behind.
    #[test]
    fn a_call_that_is_cut_off_is_not_said_to_be_settled() {
        let (_registry, meters) = meters();
        let said: Said = catch(|| drop(meters.in_doubt("o-1/1/accept")));
        assert_eq!((said.lines("WARN"), said.lines("INFO")), (1, 0), "{said:?}");
    }
}
