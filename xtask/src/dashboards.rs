//! Makes the dashboards of Grafana in `grafana/dashboards` from a description: what they show is written once, how a panel looks another time, and the three systems share one.
//!
//! What it is not: it does not know which metrics there are. `orderflow/tests/observability` runs every expression against a running system. Start reading at [`boards`].

mod boards;
mod panel;
mod schema;

use std::{fs, path::Path};

use anyhow::{Context, ensure};

/// Where they are, in the workspace.
const DIRECTORY: &str = "grafana/dashboards";

/// Writes all dashboards, and removes those that are none any more.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let directory = root.join(DIRECTORY);
    fs::create_dir_all(&directory).with_context(|| format!("cannot create `{}`", directory.display()))?;
    for name in names(&directory)? {
        fs::remove_file(directory.join(&name)).with_context(|| format!("cannot remove `{name}`"))?;
    }
    for (name, text) in texts()? {
        fs::write(directory.join(&name), text).with_context(|| format!("cannot write `{name}`"))?;
    }
    Ok(())
}

/// Fails unless the files are what would be written, and Grafana's public types take them; needs node and npm.
pub(crate) fn check_with_schema(root: &Path) -> anyhow::Result<()> {
    check(root)?;
    schema::check(root, &texts()?)
}

/// Fails unless the files are what would be written.
fn check(root: &Path) -> anyhow::Result<()> {
    let directory = root.join(DIRECTORY);
    let (there, wanted) = (names(&directory)?, texts()?);
    let wrong = wanted.iter().filter(|(name, text)| fs::read_to_string(directory.join(name)).ok().as_ref() != Some(text)).map(|(name, _)| name.clone());
    let strange = there.into_iter().filter(|name| !wanted.iter().any(|(known, _)| known == name));
    let found: Vec<String> = wrong.chain(strange).collect();
    ensure!(found.is_empty(), "dashboards do not belong to their description, run `cargo xtask dashboards`: {}", found.join(", "));
    Ok(())
}

/// Returns the files: names and contents.
fn texts() -> anyhow::Result<Vec<(String, String)>> {
    let text =
        |board: &panel::Board| Ok((format!("{}.json", board.uid), serde_json::to_string_pretty(&board.to_json()).context("a dashboard is JSON")? + "\n"));
    boards::all().iter().map(text).collect()
}

fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read `{}`", directory.display()))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboards_in_the_repository_belong_to_their_description() {
        check(crate::workspace::root()).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn names_of_dashboards_and_of_panels_on_one_are_there_once() {
        let boards = boards::all();
        for board in &boards {
            assert_eq!(boards.iter().filter(|other| other.uid == board.uid || other.title == board.title).count(), 1, "{}", board.uid);
            let panels: Vec<&str> = board.rows.iter().flat_map(|row| &row.panels).map(|panel| panel.title.as_str()).collect();
            for title in &panels {
                assert_eq!(panels.iter().filter(|other| *other == title).count(), 1, "{}: {title}", board.uid);
            }
        }
    }
}
