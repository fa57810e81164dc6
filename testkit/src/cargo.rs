//! Cargo, for programs that cargo itself runs.

use std::process::Command;

/// Returns cargo, without what the cargo that runs this program says about this program's package: build scripts that look at it (`ring`'s) would run again, and everything above them be
/// built again, here and at the next call from outside.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") || text == "CARGO_CRATE_NAME" {
            command.env_remove(&name);
        }
    }
    command
}
