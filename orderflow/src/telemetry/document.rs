//! The catalogue as a document for people: `docs/metrics.md` is this and nothing else.

use std::fmt::Write as _;

use super::catalog::{self, Kind, Metric};

/// How the document begins.
const OPENING: &str = "\
# Metrics

Made from the code by `orderflow metrics --format markdown`; a test compares. Do not edit.

Every process shows what it runs at `--metrics-addr` (`/metrics`), in Prometheus' text format. Gauges of a task are 0 in instances that do not own it, so that a sum over instances is right;
counters count what this instance did. Labels have few values: ids of orders are never among them, and of a label whose values others choose (reasons, types) all beyond 512 are counted as `other`.
Dashboards and alerts that use these names are in `grafana/`.
";

/// Returns the document.
pub(crate) fn markdown() -> String {
    let mut text = OPENING.to_owned();
    for group in catalog::GROUPS {
        let _ = write!(text, "\n## {}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", group.title);
        for metric in group.metrics {
            text.push_str(&row(metric));
        }
    }
    text
}

/// Returns a line for each: name, type and labels.
pub(crate) fn text() -> String {
    catalog::all().map(|metric| format!("{} {} {}\n", metric.name, metric.kind.name(), metric.labels.join(","))).collect()
}

fn row(Metric { name, kind, labels, help, .. }: &Metric) -> String {
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let mut meaning = (*help).to_owned();
    if let Kind::Histogram(bounds) = kind {
        let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
        let _ = write!(meaning, " Buckets: {}.", bounds.join(", "));
    }
    format!("| `{name}` | {} | {} | {meaning} |\n", kind.name(), labels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let there = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("docs/metrics.md: {error}"));
        assert!(there == markdown(), "docs/metrics.md does not belong to the code: `cargo run -- metrics --format markdown > docs/metrics.md`");
    }
}
