//! Marketing can be taken away: deleting its crate, the lines of the manifests that name it, and its one line in the binary leaves a workspace that builds, and a binary whose tests pass.
//!
//! It is done in a copy, for real. The copy is compiled into the same target directory, so that no dependency is compiled again; what is ours has another version there, hence other artefacts
//! (another place alone would not do: cargo knows packages of a workspace by their relative paths). Nothing is put over what other tests use, since neither checking nor unit tests install a
//! program. The copy stays where it is and is only brought up to date, so that what has not changed
//! is not compiled again either.

use std::{
    fs,
    path::{Path, PathBuf},
};

use orderflow_testkit::cargo;
use serde_json::Value;

/// The crate, as the workspace's manifest names it.
const CRATE: &str = "processors/marketing";
/// (file, what the line has that names the crate): of code, and of manifests.
const LINES: [(&str, &str); 3] =
    [("orderflow/src/systems.rs", "marketing::"), ("orderflow/Cargo.toml", "marketing.workspace"), ("Cargo.toml", "marketing = {")];
/// The version of the workspace, and that of the copy.
const VERSION: &str = "version = \"0.1.0\"";
const COPY_VERSION: &str = "version = \"0.1.0-without-marketing\"";
/// Directories that hold nothing of ours.
const SKIPPED: [&str; 5] = [".git", ".tools", "node_modules", "orderflow-data", "target"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// Where this test was compiled to: it is in `<target>/<profile>/deps`.
fn target_directory() -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    this.ancestors().nth(3).expect("a test is in a target directory").to_owned()
}

/// Brings the copy of a directory of the workspace up to date, without marketing. `below` is its path in the workspace.
fn copy(below: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is created");
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join(below)).expect("the workspace can be read") {
        let entry = entry.expect("the workspace can be read");
        let (kind, name) = (entry.file_type().expect("its kind is known"), entry.file_name());
        let (path, copied) = (below.join(&name), to.join(&name));
        let is_skipped = SKIPPED.iter().any(|skipped| name == *skipped) || path == Path::new(CRATE);
        if kind.is_dir() && !is_skipped {
            copy(&path, &copied);
        } else if kind.is_file() {
            let content = without_marketing(&path, fs::read(entry.path()).expect("a file can be read"));
            if fs::read(&copied).ok().as_ref() != Some(&content) {
                fs::write(&copied, content).expect("a file is written");
            }
        } else {
            continue;
        }
        names.push(name);
    }
    for entry in fs::read_dir(to).expect("the copy can be read") {
        let entry = entry.expect("the copy can be read");
        if !names.contains(&entry.file_name()) {
            let is_directory = entry.file_type().expect("its kind is known").is_dir();
            let removed = if is_directory { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.expect("what is no more is removed");
        }
    }
}

/// Returns what a file says once nobody names marketing; what has a version has that of the copy.
fn without_marketing(path: &Path, content: Vec<u8>) -> Vec<u8> {
    let content = lines_without_marketing(path, content);
    if !path.ends_with("Cargo.toml") {
        return content;
    }
    String::from_utf8(content).expect("it is text").replacen(VERSION, COPY_VERSION, 1).into_bytes()
}

fn lines_without_marketing(path: &Path, content: Vec<u8>) -> Vec<u8> {
    let Some((_, name)) = LINES.iter().find(|(file, _)| path == Path::new(file)) else {
        let is_test_of_this = path.starts_with("xtask");
        let may_name_crates = path.extension().is_some_and(|extension| extension == "rs" || extension == "toml");
        let text = String::from_utf8_lossy(&content);
        let is_named = ["marketing::", "marketing.workspace"].iter().any(|name| text.contains(name));
        assert!(is_test_of_this || !may_name_crates || !is_named, "{} knows marketing", path.display());
        // The documents of the contracts say of which version they are.
        let is_document = path.starts_with("docs/asyncapi");
        return if is_document { text.replace("\"version\": \"0.1.0\"", "\"version\": \"0.1.0-without-marketing\"").into_bytes() } else { content };
    };
    let text = String::from_utf8(content).expect("it is text");
    let (gone, kept): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains(name));
    assert_eq!(gone.len(), 1, "one line of {} names it: {gone:?}", path.display());
    let member = format!("\"{CRATE}\", ");
    (kept.join("\n") + "\n").replacen(&member, "", 1).into_bytes()
}

/// Runs cargo in the copy, and returns what it printed.
fn run(copied: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = cargo();
    command.current_dir(copied).args(arguments).arg("--offline").env("CARGO_TARGET_DIR", target_directory());
    let output = command.output().expect("cargo runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "cargo {} fails:\n{}\n{}", arguments.join(" "), said(&output.stdout), said(&output.stderr));
    output.stdout
}

/// A package of ours that had the version of the original would be compiled over it, and others would find that it is not what they were compiled with.
fn assert_nothing_is_compiled_over_the_original(copied: &Path) {
    let metadata: Value = serde_json::from_slice(&run(copied, &["metadata", "--format-version=1"])).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    assert!(ours.len() > 10, "{} packages are ours", ours.len());
    for package in ours {
        assert!(COPY_VERSION.contains(package["version"].as_str().expect("it has a version")), "{} has a version of its own", package["name"]);
        assert_ne!(format!("version = {}", package["version"]), VERSION, "{} would be compiled over the original", package["name"]);
    }
}

#[test]
fn deleting_marketing_and_its_line_leaves_a_workspace_that_builds_and_passes() {
    let copied = target_directory().join("without-marketing");
    copy(Path::new(""), &copied);
    assert!(!copied.join(CRATE).exists(), "its crate is gone");
    assert_nothing_is_compiled_over_the_original(&copied);
    run(&copied, &["check", "--workspace", "--all-targets", "--quiet"]);
    run(&copied, &["test", "--workspace", "--bin", "orderflow", "--quiet"]);
}
