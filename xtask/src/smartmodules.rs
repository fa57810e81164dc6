//! Builds the SmartModules, and proves that the committed artefacts belong to their sources.
//!
//! The proof has two halves. Every test run compares the sources and the artefacts with the hashes in
//! `SOURCES.sha256`, which is quick and needs no WASM target. `--check` also builds them anew: the build is
//! reproducible, so the same compiler gives the same bytes wherever the checkout is. Start reading at [`update`].

mod build;
mod manifest;

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use manifest::Manifest;

/// The packages that are SmartModules, named as Fluvio's users name them.
const MODULES: [&str; 3] = ["event-filter", "redact-map", "thin-map"];

/// Builds the SmartModules in `directory`, and writes them and what they were built from to its `artifacts`.
pub(crate) fn update(directory: &Path) -> anyhow::Result<()> {
    let artifacts = directory.join("artifacts");
    fs::create_dir_all(&artifacts).with_context(|| format!("cannot create `{}`", artifacts.display()))?;
    for (name, bytes) in build::modules(directory)? {
        let path = artifacts.join(&name);
        fs::write(&path, &bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
        println!("{name}: {} bytes", bytes.len());
    }
    let manifest = Manifest::of(directory, build::compiler()?)?;
    manifest.write(directory)
}

/// Fails unless the committed artefacts belong to the sources in `directory`.
pub(crate) fn check(directory: &Path) -> anyhow::Result<()> {
    check_hashes(directory)?;
    let compiler = build::compiler()?;
    let recorded = Manifest::read(directory)?.compiler;
    let built = build::modules(directory)?;
    if compiler != recorded {
        println!("the sources build; not comparing bytes, since {recorded} built the artefacts and this is {compiler}");
        return Ok(());
    }
    for (name, bytes) in built {
        let path = directory.join("artifacts").join(&name);
        let committed = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        ensure!(committed == bytes, "artifacts/{name} differs from what {compiler} makes of the sources; run `cargo xtask smartmodules`");
        println!("{name}: the same {} bytes", bytes.len());
    }
    Ok(())
}

fn check_hashes(directory: &Path) -> anyhow::Result<()> {
    let recorded = Manifest::read(directory)?;
    let differences = recorded.differences(&Manifest::of(directory, recorded.compiler.clone())?);
    ensure!(differences.is_empty(), "the SmartModules do not belong to their sources, run `cargo xtask smartmodules`:\n{}", differences.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests;
