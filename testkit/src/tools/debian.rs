//! Packages of Debian 12 for x86-64: downloaded by apt, unpacked without being installed, so that nobody has to be root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{ToolError, install_once};

/// A pinned package.
#[derive(Debug, Clone, Copy)]
pub struct DebianPackage {
    /// Name, for example `prometheus`.
    pub name: &'static str,
    /// Version, whole.
    pub version: &'static str,
    /// Hash of the package's file.
    pub sha256: &'static str,
    /// What to do where it cannot be had.
    pub instead: &'static str,
}

impl DebianPackage {
    /// Returns the directory below `tools` that holds the package's files as they would lie below `/`, and unpacks them if they are not there. Safe to call from any number of processes at once.
    ///
    /// # Errors
    /// [`ToolError`] if it cannot be had.
    pub fn unpacked(&self, tools: &Path) -> Result<PathBuf, ToolError> {
        let place = tools.join(format!("debian-{}-{}", self.name, self.version));
        install_once(tools, &place, |staging| {
            self.unpack(staging).map_err(|reason| ToolError::Install {
                what: format!("Debian 12's package `{}={}` for x86-64", self.name, self.version),
                instead: self.instead,
                reason,
            })
        })?;
        Ok(place)
    }

    fn unpack(&self, staging: &Path) -> Result<PathBuf, String> {
        if let Err(known) = self.download(staging, &[]) {
            // A fresh machine does not know what there is. It is asked for, into a directory of our own.
            fs::create_dir_all(staging.join("State-lists/partial")).map_err(|error| error.to_string())?;
            let own = ["State::lists", "Cache"].map(|name| format!("Dir::{name}={}", staging.join(name.replace("::", "-")).display()));
            let options: Vec<&str> = own.iter().flat_map(|option| ["-o", option]).collect();
            run(Command::new("apt-get").arg("-qq").args(&options).arg("update").current_dir(staging))
                .and_then(|_| self.download(staging, &options))
                .map_err(|error| format!("{known}; {error}"))?;
        }
        let found = fs::read_dir(staging).map_err(|error| error.to_string())?;
        let package = found.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        let package = package.ok_or("apt-get brought no package")?;
        let said = run(Command::new("sha256sum").arg(&package))?;
        if !said.starts_with(self.sha256) {
            return Err(format!("what arrived is not what was pinned: sha256 {said}"));
        }
        let unpacked = staging.join("unpacked");
        run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked))?;
        Ok(unpacked)
    }

    fn download(&self, staging: &Path, options: &[&str]) -> Result<(), String> {
        let package = format!("{}={}", self.name, self.version);
        run(Command::new("apt-get").arg("-qq").args(options).args(["download", &package]).current_dir(staging)).map(drop)
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name} does not run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))),
    }
}
