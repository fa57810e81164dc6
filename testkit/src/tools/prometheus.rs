//! Prometheus and `promtool`, from Debian's package: downloaded by apt, unpacked without being installed, so that nobody has to be root.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{ToolError, directory, install_once, on_path};

/// The package and its hash.
const PACKAGE: &str = "prometheus=2.42.0+ds-5+deb12u1";
const PACKAGE_SHA256: &str = "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55";
const VERSION: &str = "2.42.0";
/// Names a directory that holds both programs.
const VARIABLE: &str = "PROMETHEUS_BIN";
const INSTEAD: &str = "put prometheus and promtool on PATH or name their directory in PROMETHEUS_BIN instead; the package is Debian 12's for x86-64";

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
    let place = tools.join(format!("prometheus-{VERSION}"));
    install_once(tools, &place, |staging| {
        let what = format!("Debian's package `{PACKAGE}`");
        unpack(staging).map_err(|reason| ToolError::Install { what, instead: INSTEAD, reason })?;
        Ok(staging.join("unpacked/usr/bin"))
    })?;
    Ok(PrometheusTools::within(&place))
}

fn unpack(staging: &Path) -> Result<(), String> {
    if let Err(known) = download(staging, &[]) {
        // A fresh machine does not know what there is. It is asked for, into a directory of our own.
        fs::create_dir_all(staging.join("State-lists/partial")).map_err(|error| error.to_string())?;
        let own = ["State::lists", "Cache"].map(|name| format!("Dir::{name}={}", staging.join(name.replace("::", "-")).display()));
        let options: Vec<&str> = own.iter().flat_map(|option| ["-o", option]).collect();
        run(Command::new("apt-get").arg("-qq").args(&options).arg("update").current_dir(staging))
            .and_then(|_| download(staging, &options))
            .map_err(|error| format!("{known}; {error}"))?;
    }
    let found = fs::read_dir(staging).map_err(|error| error.to_string())?;
    let package = found.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.ok_or("apt-get brought no package")?;
    let said = run(Command::new("sha256sum").arg(&package))?;
    if !said.starts_with(PACKAGE_SHA256) {
        return Err(format!("what arrived is not what was pinned: sha256 {said}"));
    }
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(staging.join("unpacked"))).map(drop)
}

fn download(staging: &Path, options: &[&str]) -> Result<(), String> {
    run(Command::new("apt-get").arg("-qq").args(options).args(["download", PACKAGE]).current_dir(staging)).map(drop)
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name} does not run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))),
    }
}
