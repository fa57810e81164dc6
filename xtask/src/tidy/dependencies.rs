//! Who may depend on whom. `ARCHITECTURE.md` has the picture; these are its laws.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Package with what all rows share.
const SHARED: &str = "business";

/// A workspace member, as its manifest describes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    /// Its directory, relative to the workspace's.
    pub(super) directory: String,
    pub(super) package: String,
    pub(super) dependencies: Vec<String>,
    pub(super) dev_dependencies: Vec<String>,
    pub(super) inherits_lints: bool,
}

impl Member {
    /// Whether it is a business or a follower of some: a row of the layout.
    fn is_row(&self) -> bool {
        self.is_domain() && self.package != SHARED
    }

    /// Whether it holds rules of businesses: a row, or what all rows share.
    fn is_domain(&self) -> bool {
        self.directory.starts_with("processors/")
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.dependencies.iter().chain(&self.dev_dependencies)
    }
}

/// Reads the manifests of the workspace at `root`.
pub(super) fn members(root: &Path) -> anyhow::Result<Vec<Member>> {
    let workspace = manifest(root)?;
    let directories = workspace.get("workspace").and_then(|table| table.get("members")?.as_array());
    let directories = directories.context("the root manifest lists no members")?;
    directories
        .iter()
        .map(|directory| {
            let directory = directory.as_str().context("a member is named by a string")?;
            let manifest = manifest(&root.join(directory))?;
            let package = manifest.get("package").and_then(|table| table.get("name")?.as_str());
            Ok(Member {
                directory: directory.to_owned(),
                package: package.with_context(|| format!("`{directory}` has no package name"))?.to_owned(),
                dependencies: [names(&manifest, "dependencies"), names(&manifest, "build-dependencies")].concat(),
                dev_dependencies: names(&manifest, "dev-dependencies"),
                inherits_lints: manifest.get("lints").and_then(|table| table.get("workspace")?.as_bool()).unwrap_or(false),
            })
        })
        .collect()
}

fn manifest(directory: &Path) -> anyhow::Result<toml::Table> {
    let path: PathBuf = directory.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    text.parse().with_context(|| format!("cannot parse `{}`", path.display()))
}

/// The packages that a table of dependencies names, also under another name (`package = "..."`) and for one target.
fn names(manifest: &toml::Table, table: &str) -> Vec<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let tables = manifest.get(table).into_iter().chain(targets.filter_map(|target| target.get(table)));
    let entries = tables.filter_map(toml::Value::as_table).flatten();
    entries.map(|(name, value)| value.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned()).collect()
}

/// Returns how `members` break the laws.
pub(super) fn violations(members: &[Member]) -> Vec<String> {
    members.iter().flat_map(|member| of_member(member, members)).collect()
}

fn of_member(member: &Member, members: &[Member]) -> Vec<String> {
    let rows: Vec<&str> = members.iter().filter(|it| it.is_row()).map(|it| it.package.as_str()).collect();
    let is_row = |name: &String| rows.contains(&name.as_str());
    let mut found = Vec::new();
    let mut forbid = |name: &String, law: &str| {
        found.push(format!("{}/Cargo.toml: depends on `{name}`, but {law}", member.directory));
    };
    for name in member.all() {
        if member.is_domain() {
            if is_row(name) {
                forbid(name, "rows never import rows, and what they share knows none");
            }
            if is_fluvio(name) || is_tokio(name) || is_http_or_store(name) {
                forbid(name, "a row knows no Fluvio, runtime, HTTP or database");
            }
        }
        if member.package == "fluvio-streams" && (is_row(name) || name == SHARED || is_http_or_store(name)) {
            forbid(name, "the runtime knows no business, HTTP or database");
        }
        if matches!(name.as_str(), "clap" | "config") && !is_binary(member) {
            forbid(name, "only the binary reads flags and files");
        }
        if name.starts_with("metrics") && member.package != "orderflow" {
            forbid(name, "only the binary maps events to metrics");
        }
    }
    for name in &member.dependencies {
        // Tests may: the official client's own errors are of this kind.
        if name == "anyhow" && !is_binary(member) {
            forbid(name, "libraries name their errors");
        }
        if name == "orderflow-testkit" && member.package != "xtask" {
            forbid(name, "only tests use the testkit");
        }
        if name == "orderflow-broker" && member.package != "orderflow" {
            forbid(name, "the embedded broker is met through Fluvio's protocol only");
        }
    }
    if !member.inherits_lints {
        found.push(format!("{}/Cargo.toml: does not inherit the workspace's lints", member.directory));
    }
    found
}

fn is_binary(member: &Member) -> bool {
    matches!(member.package.as_str(), "orderflow" | "xtask")
}

fn is_fluvio(name: &str) -> bool {
    name == "fluvio" || (name.starts_with("fluvio-") && name != "fluvio-streams")
}

fn is_tokio(name: &str) -> bool {
    name == "tokio" || name.starts_with("tokio-")
}

fn is_http_or_store(name: &str) -> bool {
    matches!(name, "axum" | "mongodb" | "reqwest" | "hyper") || name.starts_with("tower")
}
