//! The compose file: by its public schema, and by what we promise of it: nothing is published beyond loopback, no password has a default, every file that is mounted is there.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use serde_json::Value;

const FILE: &str = "compose.yaml";

/// Fails unless the file fits.
pub(super) fn check(root: &Path, schema: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read `{FILE}`"))?;
    let compose = read(&text)?;
    let schema = fs::read_to_string(schema).with_context(|| format!("cannot read `{}`", schema.display()))?;
    let schema: Value = serde_json::from_str(&schema).context("the schema is no JSON")?;
    let validator = jsonschema::validator_for(&schema).context("the schema of compose files is none")?;
    let problems: Vec<String> = validator.iter_errors(&compose).map(|error| format!("{}: {error}", error.instance_path())).collect();
    ensure!(problems.is_empty(), "`{FILE}`:\n{}", problems.join("\n"));
    let broken = broken_promises(&compose, |path| root.join(path).exists());
    ensure!(broken.is_empty(), "`{FILE}`:\n{}", broken.join("\n"));
    let services = compose["services"].as_object().map_or(0, serde_json::Map::len);
    println!("compose: {services} services fit the schema");
    Ok(())
}

fn read(text: &str) -> anyhow::Result<Value> {
    let mut compose: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).with_context(|| format!("`{FILE}` is no YAML"))?;
    compose.apply_merge().with_context(|| format!("`{FILE}` merges what cannot be merged"))?;
    serde_json::to_value(compose).with_context(|| format!("`{FILE}` is no JSON"))
}

/// Returns what it does not keep of what we promise.
fn broken_promises(compose: &Value, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, service) in compose["services"].as_object().into_iter().flatten() {
        for port in service["ports"].as_array().into_iter().flatten() {
            if !port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:")) {
                broken.push(format!("{name}: {port} is published beyond loopback"));
            }
        }
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let source = volume.split(':').next().unwrap_or_default();
            let is_known = if source.starts_with('.') { is_there(source) } else { compose["volumes"].get(source).is_some() };
            if !is_known {
                broken.push(format!("{name}: there is no `{source}` to mount"));
            }
        }
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let is_secret = variable.contains("PASSWORD") || variable == "ORDERFLOW_MONGODB";
            if is_secret && !value.as_str().is_some_and(|value| value.contains("_PASSWORD:?")) {
                broken.push(format!("{name}: {variable} has a default, or none that must be given"));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn our_file_keeps_its_promises_and_one_that_does_not_is_found_out() {
        let root = workspace::root();
        let text = fs::read_to_string(root.join(FILE)).expect("it is there");
        let broken = |text: &str| broken_promises(&read(text).expect("it is YAML"), |path| root.join(path).exists());
        assert_eq!(broken(&text), Vec::<String>::new());
        for (ours, other, says) in [
            ("127.0.0.1:8088:8088", "8088:8088", "beyond loopback"),
            ("./deploy/prometheus.yml", "./deploy/none.yml", "to mount"),
            ("${ORDERFLOW_GRAFANA_PASSWORD:?put a password for Grafana into .env}", "admin", "has a default"),
        ] {
            assert!(text.contains(ours));
            assert!(broken(&text.replace(ours, other)).iter().any(|line| line.contains(says)), "{says}");
        }
    }
}
