//! Holds the dashboards against Grafana's public types, `@grafana/schema`, which are installed below `.tools` with npm, pinned by `xtask/grafana/package-lock.json`: a wrong type, a member that is missing
//! and one that nobody knows are found by the compiler of TypeScript.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};

use crate::installed;

/// What is installed; the first two pin it.
const FILES: [&str; 3] = ["package.json", "package-lock.json", "shapes.ts"];

/// Fails unless each of the dashboards, by name and text, is one.
pub(super) fn check(root: &Path, boards: &[(String, String)]) -> anyhow::Result<()> {
    let installed = installed::of(root, "grafana", &FILES, |directory| installed::npm(directory, "the public types `@grafana/schema`"))?;
    let mut program = "import type { Board } from './shapes.js';\n".to_owned();
    for (number, (name, text)) in boards.iter().enumerate() {
        program += &format!("// {name}\nexport const board{number}: Board = {};\n", text.trim_end());
    }
    let path = installed.join("boards.ts");
    fs::write(&path, program).with_context(|| format!("cannot write `{}`", path.display()))?;
    let settings = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"];
    let mut compiler = Command::new("node");
    compiler.arg("node_modules/typescript/bin/tsc").args(settings).arg("boards.ts").current_dir(&installed);
    let status = compiler.status().context("cannot run `node`: install Node.js 20 or later")?;
    ensure!(status.success(), "the public types of Grafana do not take the dashboards: see `{}`", path.display());
    Ok(())
}
