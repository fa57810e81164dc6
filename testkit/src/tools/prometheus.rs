//! Prometheus and `promtool`, from Debian's package.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::{DebianPackage, ToolError, directory, on_path};

const PACKAGE: DebianPackage = DebianPackage {
    name: "prometheus",
    version: "2.42.0+ds-5+deb12u1",
    sha256: "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
    instead: "put prometheus and promtool on PATH or name their directory in PROMETHEUS_BIN instead",
};
/// Names a directory that holds both programs.
const VARIABLE: &str = "PROMETHEUS_BIN";

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct PrometheusTools {
    /// The server.
    pub server: PathBuf,
    /// `promtool`, which checks rules, metrics and settings.
    pub promtool: PathBuf,
}

impl PrometheusTools {
    fn within(directory: &Path) -> Self {
        Self { server: directory.join("prometheus"), promtool: directory.join("promtool") }
    }
}

/// Returns the programs: those in the directory that `PROMETHEUS_BIN` names, else those on `PATH`, else the pinned ones, installed at the first call.
///
/// # Errors
/// [`ToolError`] if there are none and the pinned ones cannot be installed.
pub fn prometheus() -> Result<PrometheusTools, ToolError> {
    if let Some(directory) = env::var_os(VARIABLE).filter(|directory| !directory.is_empty()) {
        return Ok(PrometheusTools::within(Path::new(&directory)));
    }
    match (on_path("prometheus"), on_path("promtool")) {
        (Some(server), Some(promtool)) => Ok(PrometheusTools { server, promtool }),
        _ => pinned_prometheus(&directory()),
    }
}

/// Returns the pinned programs below `tools`, and installs them if they are not there. Safe to call from any number of processes at once.
///
/// # Errors
/// [`ToolError`] if they cannot be installed.
pub fn pinned_prometheus(tools: &Path) -> Result<PrometheusTools, ToolError> {
    Ok(PrometheusTools::within(&PACKAGE.unpacked(tools)?.join("usr/bin")))
}
