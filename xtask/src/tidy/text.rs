//! What may stand in a file.

use std::{net::Ipv4Addr, path::Path};

use crate::workspace::slashed;

/// Lines of a source file. A file that needs more has more than one idea in it.
const LINES_MAX: usize = 700;

/// Marks of unfinished work.
const LEFTOVERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// First parts of paths that exist on one person's machine.
const PERSONAL: [&str; 5] = ["home", "root", "Users", "work", "workspace"];

/// Whether a file is ours to check: text that people write.
pub(super) fn is_checked(path: &Path) -> bool {
    const EXTENSIONS: [&str; 12] = ["css", "html", "js", "json", "md", "py", "rs", "sh", "toml", "ts", "yaml", "yml"];
    match path.extension().and_then(|it| it.to_str()) {
        Some(extension) => EXTENSIONS.contains(&extension),
        None => path.starts_with(".ci"),
    }
}

/// Returns how the text of the file at `path` breaks the rules.
pub(super) fn violations(path: &Path, text: &str) -> Vec<String> {
    let name = slashed(path);
    let mut found = Vec::new();
    let is_source = name.ends_with(".rs");
    if is_source && text.lines().count() > LINES_MAX {
        found.push(format!("{name}: {} lines, at most {LINES_MAX} are readable", text.lines().count()));
    }
    if is_source && must_introduce_itself(path) && !text.starts_with("//!") {
        found.push(format!("{name}: does not open with `//!`, what it is and what it is not"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        // Prose may speak of the marks; the rest may not carry them.
        let leftover = LEFTOVERS.iter().find(|mark| !name.ends_with(".md") && has_word(line, mark));
        if let Some(mark) = leftover {
            found.push(format!("{name}:{number}: leftover `{mark}`"));
        }
        if let Some(address) = raw_address(line, name.starts_with("k8s/")) {
            found.push(format!("{name}:{number}: raw address {address}, only loopback is allowed"));
        }
        if let Some(directory) = PERSONAL.iter().find(|directory| has_path(line, directory)) {
            found.push(format!("{name}:{number}: a path below `/{directory}` exists on one machine only"));
        }
    }
    found
}

/// Crates and modules do; tests beside the code are introduced by it.
fn must_introduce_itself(path: &Path) -> bool {
    path.iter().any(|part| part == "src") && !path.ends_with("tests.rs")
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_');
        !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next())
    })
}

/// The first IPv4 address that is not loopback. In Kubernetes manifests a container may bind every interface of its pod.
fn raw_address(line: &str, may_bind_all: bool) -> Option<Ipv4Addr> {
    let numbers = line.split(|it: char| !it.is_ascii_digit() && it != '.');
    let mut addresses = numbers.filter_map(|text| text.trim_matches('.').parse::<Ipv4Addr>().ok());
    addresses.find(|address| {
        let is_allowed = address.is_loopback() || (may_bind_all && address.is_unspecified());
        !is_allowed
    })
}

fn has_path(line: &str, directory: &str) -> bool {
    line.match_indices(&format!("/{directory}/")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|it| it.is_alphanumeric() || "._-~}/*".contains(it))
    })
}
