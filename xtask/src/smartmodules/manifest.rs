//! `SOURCES.sha256`: the hashes of the artefacts and of everything they were built from, in the form that
//! `sha256sum --check` reads too.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

use crate::workspace;

const PATH: &str = "artifacts/SOURCES.sha256";
const ABOUT: &str = "\
# What the artefacts were built from. `cargo xtask smartmodules` writes this file; in the directory above,
# `sha256sum --check artifacts/SOURCES.sha256` checks it.
";
const BUILT_BY: &str = "# Built by ";

/// What the artefacts are and what they were built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) compiler: String,
    hashes: BTreeMap<String, String>,
}

impl Manifest {
    /// Computes the manifest of what is in `directory` now.
    pub(super) fn of(directory: &Path, compiler: String) -> anyhow::Result<Self> {
        let mut hashes = BTreeMap::new();
        for path in workspace::files(directory, &["target", "tests"])?.iter().filter(|path| matters(path)) {
            let full = directory.join(path);
            let bytes = fs::read(&full).with_context(|| format!("cannot read `{}`", full.display()))?;
            hashes.insert(workspace::slashed(path), format!("{:x}", Sha256::digest(bytes)));
        }
        Ok(Self { compiler, hashes })
    }

    /// Reads the recorded manifest.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(PATH);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let compiler = text
            .lines()
            .find_map(|line| line.strip_prefix(BUILT_BY))
            .with_context(|| format!("`{}` does not say which compiler built the artefacts", path.display()))?;
        let mut hashes = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (hash, file) = line.split_once("  ").with_context(|| format!("`{}` has a line that is no hash: {line}", path.display()))?;
            let doubled = hashes.insert(file.to_owned(), hash.to_owned()).is_some();
            ensure!(!doubled, "`{}` names `{file}` twice", path.display());
        }
        Ok(Self { compiler: compiler.to_owned(), hashes })
    }

    /// Records the manifest.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let lines = self.hashes.iter().map(|(file, hash)| format!("{hash}  {file}\n")).collect::<String>();
        let path = directory.join(PATH);
        fs::write(&path, format!("{ABOUT}{BUILT_BY}{}\n{lines}", self.compiler)).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Says how what is there differs from what was recorded; nothing if it does not.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let missing = self.hashes.keys().filter(|file| !now.hashes.contains_key(*file));
        let changed = now.hashes.iter().filter_map(|(file, hash)| match self.hashes.get(file) {
            None => Some(format!("`{file}` is new")),
            Some(recorded) if recorded != hash => Some(format!("`{file}` has changed")),
            Some(_) => None,
        });
        missing.map(|file| format!("`{file}` is missing")).chain(changed).collect()
    }
}

/// Whether a file goes into the artefacts, or is one. Tests and their cases do not.
fn matters(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    path.file_name().is_some_and(|name| name != "tests.rs") && matches!(extension, Some("rs" | "toml" | "lock" | "wasm"))
}
