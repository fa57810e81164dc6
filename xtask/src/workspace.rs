//! The files of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// The workspace's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Returns the files below `directory`, sorted, as paths relative to it. Leaves out every directory that `skip` names.
pub(crate) fn files(directory: &Path, skip: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let at = directory.join(&below);
        let entries = fs::read_dir(&at).with_context(|| format!("cannot read `{}`", at.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read `{}`", at.display()))?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type().with_context(|| format!("cannot read `{}`", path.display()))?;
            if kind.is_file() {
                found.push(path);
            } else if kind.is_dir() && !skip.iter().any(|name| entry.file_name() == *name) {
                open.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a path with `/` on every system, as manifests and messages have it.
pub(crate) fn slashed(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
