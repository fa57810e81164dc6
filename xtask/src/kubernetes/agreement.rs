//! What must hold between the manifests, and between them and the program: numbers that stand in several places, and promises that no schema knows.

use std::{fs, path::Path};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{Document, generated};

/// What the rules record for those that scale.
pub(crate) const SCALING_LAG: &str = "orderflow:scaling_lag:records";
const ADAPTER: &str = "k8s/scaling/prometheus-adapter.yaml";

/// Checks the documents of one overlay.
///
/// # Errors
/// What does not agree with what.
pub(super) fn check(root: &Path, documents: &[Document]) -> anyhow::Result<()> {
    let of_kind = |kind: &'static str| documents.iter().filter(move |document| document.kind() == kind);
    let partitions =
        of_kind("ConfigMap").find_map(|config| config.at("/data/ORDERFLOW_PARTITIONS").as_str()).context("nobody says how many partitions there are")?;
    for scaler in of_kind("HorizontalPodAutoscaler").chain(of_kind("ScaledObject")) {
        let scaler = Scaler::of(scaler)?;
        ensure!(scaler.replicas_max.to_string() == partitions, "`{}` scales to {}, and there are {partitions} partitions", scaler.target, scaler.replicas_max);
        let target = of_kind("Deployment").find(|deployment| deployment.name() == scaler.target);
        let target = target.with_context(|| format!("what scales `{}` scales nothing", scaler.target))?;
        ensure!(target.at("/spec/replicas").is_null(), "`{}` says itself how many there are, and is scaled", scaler.target);
        ensure!(
            scaler.target_value == hold_value(root)?,
            "`{}` has {} records a replica, and the rules have {}",
            scaler.target,
            scaler.target_value,
            hold_value(root)?
        );
    }
    for deployment in of_kind("Deployment") {
        releases_in_order(deployment, documents)?;
    }
    for document in documents {
        for volume in document.list("/spec/template/spec/volumes") {
            let Some(secret) = volume.pointer("/secret/secretName").and_then(Value::as_str) else { continue };
            let is_there = of_kind("Secret").any(|found| found.name() == secret);
            ensure!(is_there, "`{}` needs the secret `{secret}`, which nobody makes", document.name());
        }
    }
    Ok(())
}

/// A new one runs before an old one goes, it is asked whether it is ready, and a drained node leaves enough of them.
fn releases_in_order(deployment: &Document, documents: &[Document]) -> anyhow::Result<()> {
    let name = deployment.name();
    ensure!(deployment.at("/spec/strategy/rollingUpdate/maxUnavailable") == 0, "`{name}` may be without a replica during a release");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = format!("/spec/template/spec/containers/0/{probe}/httpGet/path");
        let wanted = if probe == "livenessProbe" { "/health/live" } else { "/health/ready" };
        ensure!(deployment.text(&path) == wanted, "`{name}` has another {probe} than {wanted}");
    }
    ensure!(!deployment.list("/spec/template/spec/topologySpreadConstraints").is_empty(), "`{name}` is not spread");
    let selector = deployment.at("/spec/selector");
    let budget = documents.iter().any(|document| document.kind() == "PodDisruptionBudget" && document.at("/spec/selector") == selector);
    ensure!(budget, "`{name}` has no disruption budget");
    Ok(())
}

/// An HPA, or what KEDA makes one of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaler {
    /// Name of the Deployment.
    pub(crate) target: String,
    pub(crate) replicas_min: u32,
    pub(crate) replicas_max: u32,
    /// What one replica is for.
    pub(crate) target_value: u32,
    /// As `autoscaling/v2` has it.
    pub(crate) behavior: Value,
    /// What Prometheus is asked.
    pub(crate) query: String,
}

impl Scaler {
    /// Reads an HPA or a ScaledObject.
    ///
    /// # Errors
    /// If it is none, or scales by something else.
    pub(crate) fn of(document: &Document) -> anyhow::Result<Self> {
        let number =
            |pointer: &str| document.at(pointer).as_u64().and_then(|number| u32::try_from(number).ok()).with_context(|| format!("{pointer} is no number"));
        let value = |pointer: &str| document.text(pointer).parse().with_context(|| format!("{pointer} is no number"));
        let target = document.text("/spec/scaleTargetRef/name").to_owned();
        match document.kind() {
            "HorizontalPodAutoscaler" => {
                ensure!(
                    document.list("/spec/metrics").len() == 1 && document.text("/spec/metrics/0/external/target/type") == "AverageValue",
                    "`{target}` is scaled by something else"
                );
                let labels = document.at("/spec/metrics/0/external/metric/selector/matchLabels").as_object().cloned().unwrap_or_default();
                Ok(Self {
                    target,
                    replicas_min: number("/spec/minReplicas")?,
                    replicas_max: number("/spec/maxReplicas")?,
                    target_value: value("/spec/metrics/0/external/target/averageValue")?,
                    behavior: document.at("/spec/behavior").clone(),
                    query: adapted(document.text("/spec/metrics/0/external/metric/name"), &labels)?,
                })
            }
            "ScaledObject" => Ok(Self {
                target,
                replicas_min: number("/spec/minReplicaCount")?,
                replicas_max: number("/spec/maxReplicaCount")?,
                target_value: value("/spec/triggers/0/metadata/threshold")?,
                behavior: document.at("/spec/advanced/horizontalPodAutoscalerConfig/behavior").clone(),
                query: document.text("/spec/triggers/0/metadata/query").to_owned(),
            }),
            kind => bail!("a {kind} scales nothing"),
        }
    }
}

/// Returns what prometheus-adapter asks Prometheus for an external metric of the namespace `orderflow` with these labels: its rule, filled in as its documentation says.
fn adapted(metric: &str, labels: &serde_json::Map<String, Value>) -> anyhow::Result<String> {
    let root = crate::workspace::root();
    let text = fs::read_to_string(root.join(ADAPTER)).with_context(|| format!("cannot read `{ADAPTER}`"))?;
    let values = Document::all(&text)?.into_iter().next().with_context(|| format!("`{ADAPTER}` is empty"))?;
    let rules = values.list("/rules/external");
    let rule =
        rules.iter().find(|rule| rule.pointer("/name/as").and_then(Value::as_str) == Some(metric)).with_context(|| format!("the adapter has no `{metric}`"))?;
    let is_namespaced = rule.pointer("/resources/overrides/namespace/resource").and_then(Value::as_str) == Some("namespace");
    ensure!(is_namespaced, "the adapter does not keep namespaces apart");
    let text = |name: &str| rule.pointer(name).and_then(Value::as_str).with_context(|| format!("the adapter's rule has no `{name}`"));
    let series = text("/seriesQuery")?.split('{').next().unwrap_or_default();
    ensure!(text("/name/matches")? == format!("^{series}$"), "the adapter's rule for `{metric}` does not match its series");
    let matchers: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!(r#"{name}="{}""#, value.as_str().unwrap_or_default()))
        .chain([String::from(r#"namespace="orderflow""#)])
        .collect();
    Ok(text("/metricsQuery")?.replace("<<.Series>>", series).replace("<<.LabelMatchers>>", &matchers.join(",")))
}

/// Returns what the rules take one replica for when they hold the number of replicas.
pub(crate) fn hold_value(root: &Path) -> anyhow::Result<u32> {
    let groups = generated::groups(root)?;
    let rules = groups.iter().filter_map(|group| group.get("rules")?.as_sequence()).flatten();
    let mut lag = rules.filter(|rule| rule.get("record").and_then(|name| name.as_str()) == Some(SCALING_LAG));
    let expression = lag.next().and_then(|rule| rule.get("expr")?.as_str()).with_context(|| format!("no rule records `{SCALING_LAG}`"))?;
    let factor = expression.trim_end().rsplit_once("orderflow:scaling_instances:count * ").and_then(|(_, factor)| factor.parse().ok());
    factor.with_context(|| format!("`{SCALING_LAG}` does not end with what a replica is for"))
}
