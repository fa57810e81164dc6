//! House rules that no compiler checks, as a test: who may depend on whom, and what may stand in a file.
//!
//! It looks at names and lines, not at meaning; what clippy can check is clippy's. Start reading at [`violations`]; the
//! rules are in [`dependencies`] and [`text`], and `STYLE.md` says why they are there.

mod dependencies;
mod text;

use std::{fs, path::Path};

use anyhow::{Context, ensure};

use crate::workspace;

/// Directories that hold nothing of ours.
const SKIPPED: [&str; 6] = [".git", ".tools", "artifacts", "node_modules", "orderflow-data", "target"];

/// Fails with every violation in the workspace at `root`.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let violations = violations(root)?;
    ensure!(violations.is_empty(), "{} house rules are broken:\n{}", violations.len(), violations.join("\n"));
    Ok(())
}

/// Returns every violation, each as a line that names the file and the rule.
fn violations(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = dependencies::violations(&dependencies::members(root)?);
    for path in workspace::files(root, &SKIPPED)? {
        if text::is_checked(&path) {
            let full = root.join(&path);
            let bytes = fs::read(&full).with_context(|| format!("cannot read `{}`", full.display()))?;
            found.extend(text::violations(&path, &String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
