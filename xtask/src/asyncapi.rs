//! Holds the AsyncAPI documents against the public parser, `@asyncapi/parser`, which is installed below `.tools` with npm, pinned with all it needs by `xtask/asyncapi/package-lock.json`.
//!
//! What it is not: the tests hold the documents against the code and check their essentials without node; this is for what only the parser knows.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::{installed, workspace};

/// What is installed; the first two pin it.
const FILES: [&str; 3] = ["package.json", "package-lock.json", "validate.mjs"];
/// Directories that hold no documents of ours.
const SKIPPED: [&str; 4] = [".git", ".tools", "node_modules", "target"];

/// Parses every document of the workspace at `root`.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let documents = documents(root)?;
    ensure!(!documents.is_empty(), "there are no AsyncAPI documents: run `orderflow contracts write`");
    let installed = installed::of(root, "asyncapi", &FILES, |directory| installed::npm(directory, "the public parser `@asyncapi/parser`"))?;
    let status = Command::new("node")
        .arg(installed.join("validate.mjs"))
        .args(&documents)
        .current_dir(root)
        .status()
        .context("cannot run `node`: install Node.js 20 or later")?;
    ensure!(status.success(), "the public parser finds errors in the documents");
    Ok(())
}

/// Returns the documents, as paths below `root`.
fn documents(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = workspace::files(root, &SKIPPED)?;
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "json") && path.parent().is_some_and(|directory| directory.ends_with("docs/asyncapi"))
    });
    Ok(files)
}
