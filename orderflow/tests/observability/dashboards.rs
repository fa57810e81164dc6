//! The dashboards as files: what Grafana needs is there, and every expression names metrics that there are.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::catalogue::{Catalogue, metrics_of};
use crate::rules::{read_yaml, repository};

/// A dashboard.
pub(crate) struct Dashboard {
    pub(crate) file: String,
    pub(crate) content: Value,
}

/// A query of a panel.
pub(crate) struct Query {
    pub(crate) place: String,
    pub(crate) expression: String,
    /// The panel says when there is nothing to be seen.
    pub(crate) may_be_empty: bool,
}

pub(crate) fn all() -> Vec<Dashboard> {
    let entries = fs::read_dir(repository("grafana/dashboards")).expect("there are dashboards");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("they can be listed").path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a dashboard is text");
        let content = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Dashboard { file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), content }
    };
    paths.iter().map(read).collect()
}

impl Dashboard {
    fn panels(&self) -> &[Value] {
        self.content["panels"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Returns the queries, with what is chosen put in their places: all systems.
    pub(crate) fn queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            let (title, description) = (panel["title"].as_str().unwrap_or_default(), panel["description"].as_str().unwrap_or_default());
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().unwrap_or_default().replace("$__rate_interval", "10s").replace("$system", ".*");
                assert!(!expression.contains('$'), "{}: {title}: a variable that nobody knows in {expression}", self.file);
                queries.push(Query { place: format!("{}: {title}", self.file), expression, may_be_empty: description.contains("Empty if ") });
            }
        }
        queries
    }
}

/// (left, top, right, bottom)
fn place(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or_else(|| panic!("{} has a place", panel["title"])));
    [x, y, x + w, y + h]
}

#[test]
fn dashboards_are_as_grafana_reads_them() {
    let mut uids = BTreeSet::new();
    for dashboard in all() {
        let Dashboard { file, content } = &dashboard;
        let uid = content["uid"].as_str().expect("it has an id");
        assert_eq!(*file, format!("{uid}.json"));
        assert!(uid.len() <= 40 && uids.insert(uid.to_owned()), "{uid}");
        assert!(content["schemaVersion"].as_u64().is_some_and(|version| version >= 36), "{file}");
        assert!(content.get("id").is_none(), "{file}: an id is another Grafana's");
        let variables: Vec<&str> = content["templating"]["list"].as_array().into_iter().flatten().filter_map(|variable| variable["name"].as_str()).collect();
        let (mut ids, mut places) = (BTreeSet::new(), Vec::new());
        let mut is_in_row = false;
        for panel in dashboard.panels() {
            let title = panel["title"].as_str().expect("a panel has a title");
            assert!(ids.insert(panel["id"].as_u64().expect("a panel has a number")), "{file}: {title}: its number is there twice");
            let [left, top, right, bottom] = place(panel);
            assert!(right <= 24 && left < right && top < bottom, "{file}: {title} is within the grid");
            let is_free = |[l, t, r, b]: &[u64; 4]| right <= *l || *r <= left || bottom <= *t || *b <= top;
            assert!(places.iter().all(is_free), "{file}: {title} lies on another panel");
            places.push([left, top, right, bottom]);
            if panel["type"] == "row" {
                assert!(title.contains('?'), "{file}: the row `{title}` answers a question");
                is_in_row = true;
                continue;
            }
            assert!(is_in_row, "{file}: {title} stands in a row");
            assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap_or_default()), "{file}: {title}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{file}: {title} has a unit");
            let targets = panel["targets"].as_array().expect("a panel has queries");
            let letters: BTreeSet<&str> = targets.iter().filter_map(|target| target["refId"].as_str()).collect();
            assert!(!targets.is_empty() && letters.len() == targets.len(), "{file}: {title}: its queries have letters of their own");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{file}: {title}");
                let expression = target["expr"].as_str().unwrap_or_default();
                assert!(!expression.is_empty(), "{file}: {title}");
                assert!(!expression.contains("$system") || variables.contains(&"system"), "{file}: {title}: nobody can choose a system");
            }
        }
        assert!(variables.contains(&"datasource"), "{file}");
    }
}

#[test]
fn the_provisioned_source_is_the_one_that_dashboards_choose() {
    let source = &read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0];
    assert_eq!((&source["type"], &source["uid"]), (&Value::from("prometheus"), &Value::from("prometheus")));
    for Dashboard { file, content } in all() {
        assert_eq!(content["templating"]["list"][0]["current"]["value"], source["uid"], "{file}");
    }
    assert!(read_yaml("grafana/provisioning/dashboards/orderflow.yaml")["providers"][0]["options"]["path"].is_string());
}

#[tokio::test]
async fn dashboards_name_only_metrics_that_there_are_and_leave_none_out() {
    let catalogue = Catalogue::of_the_program().await;
    let mut shown = BTreeSet::new();
    for query in all().iter().flat_map(Dashboard::queries) {
        for metric in metrics_of(&query.expression) {
            assert!(catalogue.exports(&metric), "{} names `{metric}`, which nobody exports", query.place);
            shown.insert(metric);
        }
    }
    let is_shown = |name: &str| ["", "_bucket", "_sum", "_count"].iter().any(|end| shown.contains(&format!("{name}{end}")));
    // What lines of others say already.
    let left_out = ["orderflow_consumergroup_lag_max", "process_virtual_memory_bytes"];
    let missing: Vec<&str> = catalogue.names().filter(|name| !is_shown(name) && !left_out.contains(name)).collect();
    assert!(missing.is_empty(), "no dashboard shows {missing:?}");
}
