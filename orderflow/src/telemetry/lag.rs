//! How far tasks are behind, under the established names: of each partition, and summed over what this instance owns.

use std::sync::atomic::{AtomicI64, Ordering};

use metrics::Gauge;

use super::catalog;
use super::registry::Registry;

/// The lag of a task on one of its sources.
pub(super) struct Lag {
    records: AtomicI64,
    age_ms: AtomicI64,
    records_gauge: Gauge,
    seconds_gauge: Gauge,
}

impl Lag {
    pub(super) fn new(registry: &Registry, group: &str, topic: &str, partition: &str) -> Self {
        let labels = [("group", group), ("topic", topic), ("partition", partition)];
        Self {
            records: AtomicI64::new(0),
            age_ms: AtomicI64::new(0),
            records_gauge: registry.gauge(&catalog::LAG, &labels),
            seconds_gauge: registry.gauge(&catalog::LAG_SECONDS, &labels),
        }
    }

    /// So many records are not taken, and the oldest of them is so old.
    pub(super) fn measured(&self, records: i64, age_ms: i64) {
        self.records.store(records, Ordering::Relaxed);
        self.age_ms.store(age_ms, Ordering::Relaxed);
        self.records_gauge.set(records as f64);
        self.seconds_gauge.set(seconds(age_ms));
    }
}

/// The lag of a group.
pub(super) struct LagMeters {
    sum: Gauge,
    max: Gauge,
    seconds_max: Gauge,
}

impl LagMeters {
    pub(super) fn new(registry: &Registry, group: &str) -> Self {
        let labels = [("group", group)];
        Self {
            sum: registry.gauge(&catalog::LAG_SUM, &labels),
            max: registry.gauge(&catalog::LAG_MAX, &labels),
            seconds_max: registry.gauge(&catalog::LAG_SECONDS_MAX, &labels),
        }
    }

    /// Tells the lag of all that this instance owns of the group.
    pub(super) fn tell<'a>(&self, lags: impl Iterator<Item = &'a Lag>) {
        let (mut sum, mut max, mut age_ms_max) = (0, 0, 0);
        for lag in lags {
            let records = lag.records.load(Ordering::Relaxed);
            (sum, max) = (sum + records, max.max(records));
            age_ms_max = age_ms_max.max(lag.age_ms.load(Ordering::Relaxed));
        }
        self.sum.set(sum as f64);
        self.max.set(max as f64);
        self.seconds_max.set(seconds(age_ms_max));
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
