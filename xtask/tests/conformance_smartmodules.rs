//! The SmartModules of the broker's conformance tests belong to their sources: what is there is what `build.sh` recorded.
//!
//! It is quick and needs no WASM target. That a new build gives the same bytes shows `git diff` after `build.sh`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("broker").join("tests/smartmodules")
}

/// Returns the hashes of sources and artefacts by path. Whatever cargo built beside them is neither.
fn hashes(directory: &Path) -> BTreeMap<String, String> {
    let mut hashes = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(directory.join(&below)).expect("the directory can be read") {
            let entry = entry.expect("the directory can be read");
            let path = below.join(entry.file_name());
            if entry.file_type().expect("its type is known").is_dir() {
                open.extend((entry.file_name() != "target").then_some(path));
            } else if path.extension().is_some_and(|extension| ["rs", "toml", "lock", "sh", "wasm"].iter().any(|known| extension == *known)) {
                let bytes = fs::read(directory.join(&path)).expect("the file can be read");
                let name = path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
                hashes.insert(name, format!("{:x}", Sha256::digest(bytes)));
            }
        }
    }
    hashes
}

fn recorded(directory: &Path) -> BTreeMap<String, String> {
    let record = fs::read_to_string(directory.join("artifacts/SOURCES.sha256")).expect("the record can be read");
    let lines = record.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once("  ").expect("a hash and a path")).map(|(hash, path)| (path.to_owned(), hash.to_owned())).collect()
}

#[test]
fn the_modules_of_the_conformance_tests_belong_to_their_sources() {
    let directory = directory();
    let (found, recorded) = (hashes(&directory), recorded(&directory));
    assert_eq!(found, recorded, "the SmartModules do not belong to their sources: run broker/tests/smartmodules/build.sh");
    assert!(found.contains_key("src/lib.rs") && found.keys().filter(|path| path.ends_with(".wasm")).count() == 4, "{found:?}");
}

#[test]
fn the_modules_of_the_conformance_tests_name_no_path_of_the_machine_that_built_them() {
    for path in recorded(&directory()).into_keys().filter(|path| path.ends_with(".wasm")) {
        let wasm = fs::read(directory().join(&path)).expect("the artefact can be read");
        let holds = |text: &str| wasm.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(!holds("/.cargo/"), "{path} holds the path of a registry: run broker/tests/smartmodules/build.sh");
        assert!(holds("/registry/"), "{path} holds no path at all: this test looks for the wrong thing");
    }
}
