//! The contracts of the systems as files: a JSON Schema for every type of record, and an AsyncAPI document for every application. They are made from the code and committed, and the committed
//! ones are what was promised: a change that breaks somebody is found by comparing the two.
//!
//! What it is not: it describes nothing; rows and `business::schema` do. Start reading at [`files`], then [`check`]; the policy stands in `docs/contracts.md`.

mod asyncapi;
mod compatibility;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fluvio_streams::system::{RecordSpec, System};
use serde_json::{Value, json};

/// The file of the envelope of all events.
const ENVELOPE: &str = "topics/cloudevent.json";
/// Where the house tells its readers of breaks.
const CHANGELOG: &str = "CHANGELOG.md";

/// A file of the contracts, as the code makes it.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Below the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) content: Value,
    /// The type of record that it describes; `None` for what is derived from all of them.
    pub(crate) record: Option<RecordSpec>,
}

/// What is wrong with the committed files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A file is not what the code makes, and nobody is broken: it is to be written anew.
    Stale(PathBuf),
    /// The code breaks what was promised.
    Break(PathBuf, String),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stale(path) => write!(formatter, "{}: is not what the code makes; run `orderflow contracts write`", path.display()),
            Self::Break(path, what) => write!(formatter, "{}: breaks what was promised: {what}", path.display()),
        }
    }
}

/// Returns every file of the contracts of these systems.
pub(crate) fn files(systems: &[System]) -> Vec<File> {
    let mut files =
        vec![File { path: ENVELOPE.into(), content: with_header("urn:orderflow:cloudevent", "CloudEvent", business::schema::envelope()), record: None }];
    for system in systems {
        let contract = system.contract();
        let mut applications: BTreeMap<Option<&str>, Vec<&RecordSpec>> = BTreeMap::new();
        contract.iter().for_each(|record| applications.entry(record.follower).or_default().push(record));
        for (follower, records) in applications {
            let (root, name) = match follower {
                Some(follower) => (PathBuf::from("processors").join(follower), format!("{} {follower}", system.name)),
                None => (PathBuf::new(), system.name.to_owned()),
            };
            let path = root.join("docs/asyncapi").join(format!("{}.json", system.name));
            files.push(File { path, content: asyncapi::document(&name, &records), record: None });
            files.extend(records.into_iter().map(|record| {
                let (topic, kind) = (&record.topic, &record.kind);
                let path = directory(&root, system.name, "schemas", topic).join(format!("{kind}.json"));
                let mut content = with_header(&format!("urn:orderflow:{topic}:{kind}"), kind, record.schema.clone());
                content["x-topic"] = json!(topic);
                content["x-version"] = json!(version(&record.schema));
                File { path, content, record: Some(record.clone()) }
            }));
        }
    }
    files
}

/// Returns where files about a topic stand.
fn directory(root: &Path, system: &str, what: &str, topic: &str) -> PathBuf {
    let name = topic.strip_prefix(system).map_or(topic, |name| name.trim_start_matches('-'));
    root.join("topics").join(system).join(what).join(name)
}

fn with_header(id: &str, title: &str, mut schema: Value) -> Value {
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!(id);
    schema["title"] = json!(title);
    schema
}

fn version(schema: &Value) -> u64 {
    schema["x-version"].as_u64().unwrap_or(1)
}

/// Compares the committed files below `root` with the code.
///
/// # Errors
/// If a file cannot be read or is not JSON.
pub(crate) fn check(root: &Path, files: &[File]) -> anyhow::Result<Vec<Finding>> {
    let changelog = fs::read_to_string(root.join(CHANGELOG)).with_context(|| format!("cannot read `{CHANGELOG}` below `{}`", root.display()))?;
    let mut found = Vec::new();
    let mut directories = BTreeSet::new();
    for file in files {
        let committed = read(&root.join(&file.path))?;
        if let Some(record) = &file.record {
            directories.extend(file.path.parent().map(Path::to_owned));
            found.extend(broken(record, committed.as_ref(), &file.content, &changelog).map(|what| Finding::Break(file.path.clone(), what)));
        }
        if committed.as_ref() != Some(&file.content) {
            found.push(Finding::Stale(file.path.clone()));
        }
    }
    // What was promised and is not known to the code any more.
    let topics: BTreeSet<&Path> = directories.iter().filter_map(|directory| directory.parent()).collect();
    for path in topics.into_iter().map(|topic| below(root, topic)).collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten() {
        if !files.iter().any(|file| file.path == path) {
            found.push(Finding::Break(path, "the code has no such record any more; who means it deletes the file, and says so in the changelog".to_owned()));
        }
    }
    Ok(found)
}

/// Returns what the code breaks of what was committed for a type of record.
fn broken(record: &RecordSpec, committed: Option<&Value>, made: &Value, changelog: &str) -> Option<String> {
    let (kind, now) = (&record.kind, version(made));
    let is_told = |version: u64| changelog.lines().any(|line| line.contains(&format!("`{kind}`")) && line.contains(&format!("version {version}")));
    if now > 1 && !is_told(now) {
        return Some(format!("it is version {now}, but no line of {CHANGELOG} has `{kind}` and \"version {now}\""));
    }
    let before = committed.map_or(now, version);
    if now == before + 1 {
        return None;
    }
    if now != before {
        return Some(format!("the version goes from {before} to {now}, not by one"));
    }
    let breaks = compatibility::breaks(record.writer, committed?, made);
    (!breaks.is_empty()).then(|| breaks.join("; "))
}

/// Writes the files below `root`. Returns how many have changed.
///
/// # Errors
/// If one cannot be written, or if the code breaks what was promised: nothing is written then.
pub(crate) fn write(root: &Path, files: &[File]) -> anyhow::Result<usize> {
    let breaks: Vec<String> = check(root, files)?.iter().filter(|finding| matches!(finding, Finding::Break(..))).map(ToString::to_string).collect();
    anyhow::ensure!(breaks.is_empty(), "nothing is written:\n{}", breaks.join("\n"));
    let mut written = 0;
    for file in files {
        let path = root.join(&file.path);
        if read(&path)?.as_ref() == Some(&file.content) {
            continue;
        }
        let text = serde_json::to_string_pretty(&file.content).with_context(|| format!("`{}` is no JSON", path.display()))?;
        fs::create_dir_all(path.parent().unwrap_or(root)).with_context(|| format!("cannot create the directory of `{}`", path.display()))?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write `{}`", path.display()))?;
        written += 1;
    }
    Ok(written)
}

/// Reads a JSON file; `None` if there is none.
fn read(path: &Path) -> anyhow::Result<Option<Value>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    };
    serde_json::from_str(&text).map(Some).with_context(|| format!("`{}` is not JSON", path.display()))
}

/// Returns the files below a directory, as paths below `root`, sorted.
fn below(root: &Path, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let at = root.join(directory);
    if !at.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&at).with_context(|| format!("cannot read `{}`", at.display()))? {
        let path = directory.join(entry.with_context(|| format!("cannot read `{}`", at.display()))?.file_name());
        if root.join(&path).is_dir() {
            found.extend(below(root, &path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
