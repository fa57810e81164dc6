//! Compiles the SmartModules, reproducibly.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use orderflow_testkit::cargo;

use super::MODULES;

const TARGET: &str = "wasm32-unknown-unknown";

/// Variables that change what a build produces, beside every `CARGO_PROFILE_*` and `CARGO_TARGET_*`.
const BUILD_VARIABLES: [&str; 6] =
    ["CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTFLAGS"];

/// Builds every SmartModule and returns it under its artefact's name.
pub(super) fn modules(directory: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    provide_target()?;
    let target_directory = directory.join("target");
    let mut command = cargo();
    command.current_dir(directory).args(["build", "--release", "--locked", "--target", TARGET]);
    command.args(MODULES.iter().flat_map(|module| ["--package", module]));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let prefixed = ["CARGO_PROFILE_", "CARGO_TARGET_"].iter().any(|prefix| text.starts_with(prefix));
        if prefixed || BUILD_VARIABLES.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_TARGET_DIR", &target_directory);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(directory)?.join("\x1f".as_ref()));
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "the SmartModules do not build");

    let built = target_directory.join(TARGET).join("release");
    MODULES
        .iter()
        .map(|module| {
            let path = built.join(format!("{}.wasm", module.replace('-', "_")));
            let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            Ok((format!("{module}.wasm"), bytes))
        })
        .collect()
}

/// The compiler that builds the SmartModules, as it names itself.
pub(super) fn compiler() -> anyhow::Result<String> {
    Ok(run(Command::new(rustc()).arg("--version"))?.trim().to_owned())
}

/// The compiler flags: those of the SmartModules' `.cargo/config.toml`, which the variable overrides, and the removal
/// of this machine's paths, which panic messages would carry into the artefacts.
fn flags(directory: &Path) -> anyhow::Result<Vec<OsString>> {
    let config_path = directory.join(".cargo/config.toml");
    let config = fs::read_to_string(&config_path).with_context(|| format!("cannot read `{}`", config_path.display()))?;
    let config: toml::Table = config.parse().with_context(|| format!("cannot parse `{}`", config_path.display()))?;
    let configured = config
        .get("target")
        .and_then(|targets| targets.get(TARGET)?.get("rustflags")?.as_array())
        .with_context(|| format!("`{}` has no rustflags for {TARGET}", config_path.display()))?;
    let mut flags: Vec<OsString> = configured.iter().filter_map(|flag| flag.as_str().map(OsString::from)).collect();

    flags.push(remap(directory, "/smartmodules"));
    let sources = cargo_home()?.join("registry/src");
    let registries = fs::read_dir(&sources).with_context(|| format!("cannot read `{}`", sources.display()))?;
    for registry in registries {
        flags.push(remap(&registry?.path(), "/registry"));
    }
    Ok(flags)
}

fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Sees to it that the compiler has the standard library for the target.
fn provide_target() -> anyhow::Result<()> {
    let library = run(Command::new(rustc()).args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    if let Err(error) = run(Command::new("rustup").args(["target", "add", TARGET])) {
        bail!(
            "the Rust target {TARGET} is not installed and rustup cannot add it ({error:#}). Where rustup cannot \
             download, install the target with the compiler's own package (on Debian `rustc-web`, `cargo-web`, \
             `rust-web-src` and `lld`), and build with its cargo and `-Z build-std=std,panic_abort`"
        );
    }
    Ok(())
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => Ok(env::home_dir().context("neither CARGO_HOME nor a home directory is known")?.join(".cargo")),
    }
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
