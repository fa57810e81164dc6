//! The committed artefacts belong to the committed sources, and it is noticed when they do not.

use tempfile::TempDir;

use super::*;
use crate::workspace;

#[test]
fn the_committed_artefacts_belong_to_the_sources() {
    check_hashes(&workspace::root().join("smartmodules")).unwrap_or_else(|error| panic!("{error:#}"));
}

/// A directory with a source, a lock file and an artefact, recorded.
fn recorded() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (path, text) in [
        ("Cargo.lock", "lock"),
        ("thin-map/src/lib.rs", "source"),
        ("thin-map/src/tests.rs", "test"),
        ("thin-map/tests/it.rs", "test"),
        ("target/release/build.rs", "rubbish"),
        ("artifacts/thin-map.wasm", "wasm"),
    ] {
        write(&directory, path, text);
    }
    Manifest::of(directory.path(), "rustc 1.2.3".to_owned()).and_then(|manifest| manifest.write(directory.path())).expect("the manifest is written");
    directory
}

fn write(directory: &TempDir, path: &str, text: &str) {
    let path = directory.path().join(path);
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory is created");
    fs::write(path, text).expect("a file is written");
}

#[track_caller]
fn refused(directory: &TempDir, because: &str) {
    let error = check_hashes(directory.path()).expect_err("the check fails").to_string();
    assert!(error.contains(because), "{error}");
}

#[test]
fn a_recorded_state_is_accepted_whatever_the_tests_become() {
    let directory = recorded();
    write(&directory, "thin-map/src/tests.rs", "another test");
    write(&directory, "thin-map/tests/more.rs", "another test");
    write(&directory, "target/release/build.rs", "other rubbish");
    check_hashes(directory.path()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_changed_new_or_missing_file_is_named() {
    let directory = recorded();
    write(&directory, "thin-map/src/lib.rs", "another source");
    refused(&directory, "`thin-map/src/lib.rs` has changed");

    let directory = recorded();
    write(&directory, "thin-map/src/new.rs", "source");
    refused(&directory, "`thin-map/src/new.rs` is new");

    let directory = recorded();
    fs::remove_file(directory.path().join("Cargo.lock")).expect("a file is removed");
    refused(&directory, "`Cargo.lock` is missing");

    let directory = recorded();
    write(&directory, "artifacts/thin-map.wasm", "other wasm");
    refused(&directory, "`artifacts/thin-map.wasm` has changed");
}
