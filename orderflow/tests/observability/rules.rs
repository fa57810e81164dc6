//! The rules for alerts: valid, tried in both directions, and each with a runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use orderflow_testkit::tools;
use serde_json::Value;

use crate::catalogue::{Catalogue, metrics_of};

/// A rule for an alert.
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) expression: String,
    runbook: String,
}

/// Returns a path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

pub(crate) fn read_yaml(path: &str) -> Value {
    let text = fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn alerts() -> Vec<Alert> {
    let file = read_yaml("grafana/prometheus/rules.yml");
    let rules = file["groups"].as_array().expect("there are groups").iter().flat_map(|group| group["rules"].as_array().expect("a group has rules"));
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned();
    let alert = |rule: &Value| Alert { name: text(&rule["alert"]), expression: text(&rule["expr"]), runbook: text(&rule["annotations"]["runbook_url"]) };
    rules.map(alert).collect()
}

#[track_caller]
fn promtool(arguments: &[&str]) {
    let promtool = tools::prometheus()
        .unwrap_or_else(|error| panic!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()))
        .promtool;
    let output = Command::new(promtool).args(arguments).current_dir(repository("grafana/prometheus")).output().expect("promtool runs");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn promtool_takes_the_rules_and_each_fires_when_it_should_and_only_then() {
    promtool(&["check", "rules", "rules.yml"]);
    promtool(&["test", "rules", "rules.test.yml"]);
}

#[test]
fn every_alert_is_tried_in_both_directions() {
    let file = read_yaml("grafana/prometheus/rules.test.yml");
    let mut tried: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for test in file["tests"].as_array().expect("there are tests") {
        for expected in test["alert_rule_test"].as_array().expect("each is about an alert") {
            let fires = expected["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            tried.entry(expected["alertname"].as_str().unwrap_or_default().to_owned()).or_default().insert(fires);
        }
    }
    let known: Vec<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for name in &known {
        assert_eq!(tried.get(name).map(BTreeSet::len), Some(2), "{name} is tried to fire and not to fire");
    }
    assert!(tried.keys().all(|name| known.contains(name)), "tests are about alerts that there are");
}

#[test]
fn every_alert_has_a_runbook_that_knows_it_and_stands_in_the_list() {
    let directory = repository("docs/runbooks");
    let list = fs::read_to_string(directory.join("README.md")).expect("there is a list");
    for Alert { name, runbook, .. } in alerts() {
        let file = runbook.rsplit_once("/docs/runbooks/").map(|(_, file)| file).unwrap_or_else(|| panic!("{name}: {runbook} is a runbook of this repository"));
        let text = fs::read_to_string(directory.join(file)).unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
        assert!(text.contains(&format!("`{name}`")), "{file} speaks of {name}");
        let line = list.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_else(|| panic!("{name} stands in the list"));
        assert!(line.contains(&format!("({file})")), "the list sends {name} to {file}");
    }
}

#[tokio::test]
async fn rules_and_runbooks_name_only_metrics_that_there_are() {
    let catalogue = Catalogue::of_the_program().await;
    for Alert { name, expression, .. } in alerts() {
        for metric in metrics_of(&expression) {
            assert!(catalogue.exports(&metric), "{name} names `{metric}`, which nobody exports");
        }
    }
    for entry in fs::read_dir(repository("docs/runbooks")).expect("there are runbooks").map(|entry| entry.expect("they can be listed").path()) {
        let text = fs::read_to_string(&entry).expect("a runbook is text");
        for metric in text.split('`').skip(1).step_by(2).flat_map(metrics_of) {
            let is_known = catalogue.exports(&metric) || catalogue.names().any(|name| name == metric);
            assert!(is_known, "{} names `{metric}`, which nobody exports", entry.display());
        }
    }
}
