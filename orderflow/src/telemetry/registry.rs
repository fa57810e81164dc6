//! A recorder of this instance's own, and handles by labels.
//!
//! Nothing here is global: two instances in one process count apart.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::catalog::{self, Kind, Metric};
use crate::limits::LABEL_SETS_MAX;

const METADATA: Metadata<'static> = Metadata::new("orderflow", Level::INFO, Some(module_path!()));

/// Label names and values.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Where handles come from.
#[derive(Debug)]
pub(super) struct Registry {
    recorder: PrometheusRecorder,
}

impl Registry {
    /// Returns a registry that knows all metrics of the catalog.
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut builder = PrometheusBuilder::new();
        for metric in catalog::all() {
            if let Kind::Histogram(buckets) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                    .with_context(|| format!("buckets of `{}` are wrong", metric.name))?;
            }
        }
        let recorder = builder.build_recorder();
        for metric in catalog::all() {
            let (name, unit, help) = (KeyName::from_const_str(metric.name), metric.unit, metric.help.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge | Kind::UntypedGauge | Kind::FractionCounter => recorder.describe_gauge(name, unit, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, unit, help),
            }
        }
        Ok(Self { recorder })
    }

    pub(super) fn handle(&self) -> Handle {
        Handle(self.recorder.handle())
    }

    pub(super) fn counter(&self, metric: &Metric, labels: Labels<'_>) -> Counter {
        debug_assert!(matches!(metric.kind, Kind::Counter), "{} is no counter", metric.name);
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    pub(super) fn gauge(&self, metric: &Metric, labels: Labels<'_>) -> Gauge {
        let is_held_so = matches!(metric.kind, Kind::Gauge | Kind::UntypedGauge | Kind::FractionCounter);
        debug_assert!(is_held_so, "{} is no gauge", metric.name);
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }

    pub(super) fn histogram(&self, metric: &Metric, labels: Labels<'_>) -> Histogram {
        debug_assert!(matches!(metric.kind, Kind::Histogram(_)), "{} is no histogram", metric.name);
        self.recorder.register_histogram(&key(metric, labels), &METADATA)
    }
}

/// What the endpoint shows.
#[derive(Debug, Clone)]
pub(super) struct Handle(PrometheusHandle);

impl Handle {
    /// Returns all metrics as text.
    pub(super) fn render(&self) -> String {
        let mut text = self.0.render();
        for (metric, shown) in catalog::all().filter_map(|metric| Some((metric, metric.kind.shown_instead()?))) {
            let given = format!("# TYPE {} gauge\n", metric.name);
            if let Some(at) = text.find(&given) {
                text.replace_range(at..at + given.len(), &format!("# TYPE {} {shown}\n", metric.name));
            }
        }
        text
    }

    /// Folds samples of histograms into their buckets.
    pub(super) fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn key(metric: &Metric, labels: Labels<'_>) -> Key {
    debug_assert!(labels.iter().map(|(name, _)| *name).eq(metric.labels.iter().copied()), "{} has the labels {:?}", metric.name, metric.labels);
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// Makes the handles for these label values.
type Make<T> = Box<dyn Fn(&[&str]) -> T + Send + Sync>;

/// Handles by label values that turn up while the program runs. Their number is bounded: beyond it, all values are `other`.
pub(super) struct Family<T> {
    members: RwLock<HashMap<String, Arc<T>>>,
    make: Make<T>,
}

impl<T> Family<T> {
    pub(super) fn new(make: impl Fn(&[&str]) -> T + Send + Sync + 'static) -> Self {
        Self { members: RwLock::default(), make: Box::new(make) }
    }

    /// Returns the handles for these values.
    pub(super) fn of(&self, values: &[&str]) -> Arc<T> {
        let name = values.join("\u{1f}");
        if let Some(member) = self.members.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Arc::clone(member);
        }
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if members.len() < LABEL_SETS_MAX {
            return Arc::clone(members.entry(name).or_insert_with(|| Arc::new((self.make)(values))));
        }
        let others = vec!["other"; values.len()];
        Arc::clone(members.entry(others.join("\u{1f}")).or_insert_with(|| Arc::new((self.make)(&others))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_others_choose_are_bounded() {
        let registry = Arc::new(Registry::new().expect("the catalog is right"));
        let family = {
            let registry = Arc::clone(&registry);
            Family::new(move |values| registry.counter(&catalog::HTTP_REQUESTS, &[("method", "GET"), ("route", "/"), ("status", values[0])]))
        };
        for status in 0..LABEL_SETS_MAX * 2 {
            family.of(&[&status.to_string()]).increment(1);
        }
        let text = registry.handle().render();
        assert_eq!(text.lines().filter(|line| line.starts_with("orderflow_http_requests_total{")).count(), LABEL_SETS_MAX + 1);
        assert!(text.contains(&format!(r#"orderflow_http_requests_total{{method="GET",route="/",status="other"}} {LABEL_SETS_MAX}"#)), "{text}");
    }
}
