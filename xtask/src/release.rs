//! The release binary, as its users run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Builds the release binary and returns its path.
pub(crate) fn binary(root: &Path) -> anyhow::Result<PathBuf> {
    let status = Command::new(env!("CARGO")).args(["build", "--release", "--package", "orderflow"]).current_dir(root).status();
    ensure!(status.context("cargo cannot be started")?.success(), "orderflow cannot be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    Ok(target.join("release/orderflow"))
}
