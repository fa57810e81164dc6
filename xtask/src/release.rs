//! The release binary, as its users run it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use orderflow_testkit::cargo;

/// Builds the release binary and returns its path.
pub(crate) fn binary(root: &Path) -> anyhow::Result<PathBuf> {
    build(root, None)
}

/// Returns this program, or else the release binary, which is built.
pub(crate) fn binary_or(program: Option<&Path>, root: &Path) -> anyhow::Result<PathBuf> {
    program.map_or_else(|| binary(root), |program| Ok(program.to_owned()))
}

/// Builds a release binary that says of itself that it is another version, and returns where it is below `directory`.
pub(crate) fn version(root: &Path, name: &str, directory: &Path) -> anyhow::Result<PathBuf> {
    let built = build(root, Some(&format!("{}-{name}", env!("CARGO_PKG_VERSION"))))?;
    let kept = directory.join(format!("orderflow-{name}"));
    std::fs::copy(&built, &kept).with_context(|| format!("cannot copy `{}`", built.display()))?;
    Ok(kept)
}

fn build(root: &Path, version: Option<&str>) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--release", "--package", "orderflow"]).current_dir(root);
    if let Some(version) = version {
        command.env("ORDERFLOW_VERSION", version);
    }
    let status = command.status();
    ensure!(status.context("cargo cannot be started")?.success(), "orderflow cannot be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    Ok(target.join("release/orderflow"))
}
