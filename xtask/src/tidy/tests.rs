//! The workspace is tidy, and what is not tidy is found.

use super::{dependencies::Member, *};

#[test]
fn the_workspace_is_tidy() {
    check(workspace::root()).unwrap_or_else(|error| panic!("{error:#}"));
}

fn member(directory: &str, package: &str, dependencies: &[&str], dev_dependencies: &[&str]) -> Member {
    Member {
        directory: directory.to_owned(),
        package: package.to_owned(),
        dependencies: dependencies.iter().map(ToString::to_string).collect(),
        dev_dependencies: dev_dependencies.iter().map(ToString::to_string).collect(),
        inherits_lints: true,
    }
}

fn laws_broken(members: &[Member]) -> Vec<String> {
    dependencies::violations(members)
}

#[test]
fn what_the_layout_allows_is_allowed() {
    let members = [
        member("processors/food-delivery", "food-delivery", &["fluvio-streams", "serde"], &["proptest"]),
        member("streams", "fluvio-streams", &["fluvio", "tokio"], &["orderflow-broker"]),
        member("views-api", "orderflow-views", &["axum", "mongodb"], &["orderflow-testkit"]),
        member("orderflow", "orderflow", &["anyhow", "clap", "config", "metrics", "orderflow-broker"], &[]),
        member("xtask", "xtask", &["anyhow", "clap", "orderflow-testkit"], &[]),
    ];
    assert_eq!(laws_broken(&members), Vec::<String>::new());
}

#[test]
fn every_broken_law_is_named() {
    let rows = [member("processors/a", "a", &[], &[]), member("processors/b", "b", &[], &[])];
    for (directory, package, dependency, law) in [
        ("processors/c", "c", "a", "rows never import rows"),
        ("processors/c", "c", "fluvio", "a row knows no Fluvio"),
        ("processors/c", "c", "fluvio-protocol", "a row knows no Fluvio"),
        ("processors/c", "c", "tokio", "a row knows no Fluvio, runtime"),
        ("processors/c", "c", "mongodb", "a row knows no"),
        ("streams", "fluvio-streams", "b", "the runtime knows no business"),
        ("streams", "fluvio-streams", "axum", "the runtime knows no business, HTTP"),
        ("views-api", "orderflow-views", "clap", "only the binary reads flags"),
        ("views-api", "orderflow-views", "metrics-util", "only the binary maps"),
        ("broker", "orderflow-broker", "anyhow", "libraries name their errors"),
        ("views-api", "orderflow-views", "orderflow-testkit", "only tests use the testkit"),
        ("streams", "fluvio-streams", "orderflow-broker", "through Fluvio's protocol only"),
    ] {
        let members = [&rows[..], &[member(directory, package, &[dependency], &[])]].concat();
        let found = laws_broken(&members);
        assert_eq!(found.len(), 1, "{package} depends on {dependency}: {found:?}");
        assert!(found[0].contains(law), "{}", found[0]);
    }
    let careless = Member { inherits_lints: false, ..member("broker", "orderflow-broker", &[], &[]) };
    assert!(laws_broken(&[careless])[0].contains("does not inherit"));
}

#[track_caller]
fn found(path: &str, text: &str, expected: &[&str]) {
    let found = text::violations(Path::new(path), text);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found} does not say {expected}");
    }
}

#[test]
fn sources_introduce_themselves_and_stay_short() {
    found("broker/src/lib.rs", "//! A broker.\n", &[]);
    found("broker/src/lib.rs", "// A broker.\n", &["does not open with `//!`"]);
    found("broker/src/log/tests.rs", "use super::*;\n", &[]);
    found("broker/tests/conformance.rs", "use fluvio::Fluvio;\n", &[]);
    found("broker/src/lib.rs", &format!("//! Long.\n{}", "\n".repeat(699)), &[]);
    found("broker/src/lib.rs", &format!("//! Long.\n{}", "\n".repeat(700)), &["701 lines"]);
}

#[test]
fn unfinished_work_is_found() {
    let mark = concat!("TO", "DO");
    found("broker/build.rs", &format!("fn main() {{}} // {mark}: more\n"), &[":1: leftover"]);
    found("broker/build.rs", &format!("fn {mark}S() {{}}\n"), &[]);
    found("docs/style.md", &format!("Leave no {mark}.\n"), &[]);
}

#[test]
fn addresses_and_paths_of_one_machine_are_found() {
    let address = [10, 1, 2, 3].map(|part| part.to_string()).join(".");
    found("README.md", &format!("Connect to {address}:9003.\n"), &[&format!(":1: raw address {address}")]);
    found("README.md", "Connect to 127.0.0.1:9003, version 1.2.3.\n", &[]);
    let all = ["0"; 4].join(".");
    found("k8s/base.yaml", &format!("bind: {all}:8088\n"), &[]);
    found("topics/base.yaml", &format!("bind: {all}:8088\n"), &["raw address"]);
    let path = ["", "home", "kim", "orders"].join("/");
    found("README.md", &format!("cd {path}\n"), &["a path below `/home`"]);
    found("README.md", "See https://example.invalid/home/page and src/work/queue.rs.\n", &[]);
}
