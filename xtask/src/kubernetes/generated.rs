//! Manifests that are made from other files: the rules of Prometheus as an object of its operator. Nobody keeps a copy by hand.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use serde_yaml_ng::Value;

/// Where it is.
const RULE: &str = "k8s/components/monitoring/prometheus-rule.yaml";
/// What it is made from: rules files as Prometheus takes them.
const SOURCES: [&str; 2] = ["grafana/prometheus/rules.yml", "k8s/scaling/rules.yaml"];

/// Writes the manifests.
pub(super) fn write(root: &Path) -> anyhow::Result<()> {
    let path = root.join(RULE);
    fs::write(&path, rule(root)?).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Fails unless the manifests are as they would be written.
pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    let path = root.join(RULE);
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    ensure!(found == rule(root)?, "`{RULE}` does not belong to {}: run `cargo xtask kubernetes --write`", SOURCES.join(" and "));
    Ok(())
}

/// Returns the groups of all rules.
pub(crate) fn groups(root: &Path) -> anyhow::Result<Vec<Value>> {
    let mut groups = Vec::new();
    for path in SOURCES.map(|source| -> PathBuf { root.join(source) }) {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let file: Value = serde_yaml_ng::from_str(&text).with_context(|| format!("cannot parse `{}`", path.display()))?;
        let found = file.get("groups").and_then(Value::as_sequence).with_context(|| format!("`{}` has no groups of rules", path.display()))?;
        groups.extend(found.iter().cloned());
    }
    Ok(groups)
}

fn rule(root: &Path) -> anyhow::Result<String> {
    let groups = serde_yaml_ng::to_string(&groups(root)?).context("the rules cannot be written as YAML")?;
    let mut text = format!("# Made by `cargo xtask kubernetes --write` from {}.\n", SOURCES.join(" and "));
    text += "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: orderflow\n  labels:\n    app.kubernetes.io/name: orderflow\n    app.kubernetes.io/part-of: orderflow\nspec:\n  groups:\n";
    for line in groups.lines() {
        // What is empty stays so: nobody wants blanks at the end of a line.
        if !line.is_empty() {
            text += "    ";
            text += line;
        }
        text.push('\n');
    }
    Ok(text)
}
