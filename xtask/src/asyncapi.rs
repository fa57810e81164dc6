//! Holds the AsyncAPI documents against the public parser, `@asyncapi/parser`, which is installed below `.tools` with npm, pinned with all it needs by `xtask/asyncapi/package-lock.json`.
//!
//! What it is not: the tests hold the documents against the code and check their essentials without node; this is for what only the parser knows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};

use crate::workspace;

/// What is installed; the first two pin it.
const FILES: [&str; 3] = ["package.json", "package-lock.json", "validate.mjs"];
/// Directories that hold no documents of ours.
const SKIPPED: [&str; 4] = [".git", ".tools", "node_modules", "target"];

/// Parses every document of the workspace at `root`.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let documents = documents(root)?;
    ensure!(!documents.is_empty(), "there are no AsyncAPI documents: run `orderflow contracts write`");
    let installed = install(root)?;
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

/// Returns where the parser is installed. What is there already is used if it was made from the same files.
fn install(root: &Path) -> anyhow::Result<PathBuf> {
    let (from, installed) = (root.join("xtask/asyncapi"), root.join(".tools/asyncapi"));
    let read = |directory: &Path| FILES.iter().map(|name| fs::read(directory.join(name))).collect::<Result<Vec<_>, _>>();
    let wanted = read(&from).with_context(|| format!("cannot read the files of `{}`", from.display()))?;
    if read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(installed);
    }
    let staging = root.join(".tools/asyncapi.new");
    for old in [&staging, &installed] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove `{}`", old.display()))?;
        }
    }
    fs::create_dir_all(&staging).with_context(|| format!("cannot create `{}`", staging.display()))?;
    for (name, content) in FILES.iter().zip(wanted) {
        fs::write(staging.join(name), content).with_context(|| format!("cannot write `{name}` below `{}`", staging.display()))?;
    }
    // No package runs a script of its own here.
    let npm = Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&staging).status();
    match npm {
        Ok(status) if status.success() => {}
        Ok(status) => bail!("`npm ci` fails with {status}: the public parser `@asyncapi/parser` is not to be had"),
        Err(error) => return Err(error).context("cannot run `npm`: install Node.js 20 or later with npm, which brings the public parser `@asyncapi/parser`"),
    }
    fs::rename(&staging, &installed).with_context(|| format!("cannot move what was installed to `{}`", installed.display()))?;
    Ok(installed)
}
