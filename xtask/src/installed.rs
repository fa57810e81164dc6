//! Checkers from public registries, installed below `.tools` and pinned with all they need by lock files in `xtask/<name>`.
//!
//! What is there already is used if it was made from the same files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// Returns where the checker `name` is installed: a copy of its files, which stand in `xtask/<name>`, and beside them what `install` puts there.
pub(crate) fn of(root: &Path, name: &str, files: &[&str], install: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let (from, installed) = (root.join("xtask").join(name), root.join(".tools").join(name));
    let read = |directory: &Path| files.iter().map(|name| fs::read(directory.join(name))).collect::<Result<Vec<_>, _>>();
    let wanted = read(&from).with_context(|| format!("cannot read the files of `{}`", from.display()))?;
    if read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(installed);
    }
    let staging = installed.with_extension("new");
    for old in [&staging, &installed] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove `{}`", old.display()))?;
        }
    }
    fs::create_dir_all(&staging).with_context(|| format!("cannot create `{}`", staging.display()))?;
    for (name, content) in files.iter().zip(wanted) {
        fs::write(staging.join(name), content).with_context(|| format!("cannot write `{name}` below `{}`", staging.display()))?;
    }
    install(&staging)?;
    fs::rename(&staging, &installed).with_context(|| format!("cannot move what was installed to `{}`", installed.display()))?;
    Ok(installed)
}

/// Installs what `package-lock.json` in this directory pins. No package runs a script of its own. `what`: what it brings, for people.
pub(crate) fn npm(directory: &Path, what: &str) -> anyhow::Result<()> {
    match Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(directory).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`npm ci` fails with {status}: {what} is not to be had"),
        Err(error) => Err(error).with_context(|| format!("cannot run `npm`: install Node.js 20 or later with npm, which brings {what}")),
    }
}

/// Installs the wheels that `requirements.txt` in this directory pins by their hashes into its `python`. `what`: what they bring, for people.
pub(crate) fn pip(directory: &Path, what: &str) -> anyhow::Result<()> {
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check"];
    let status = Command::new("python3").args(pip).args(["--target", "python", "--requirement", "requirements.txt"]).current_dir(directory).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`pip install` fails with {status}: {what} cannot be had"),
        Err(error) => Err(error).with_context(|| format!("cannot run `python3`: install Python 3.11 or later with pip, which brings {what}")),
    }
}
