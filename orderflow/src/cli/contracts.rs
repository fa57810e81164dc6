//! `orderflow contracts`: the schemas of all records and the AsyncAPI documents, as files, against the code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::contracts;
use crate::systems;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Root of the repository
    #[arg(long, value_name = "DIRECTORY", default_value = ".", global = true)]
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Write what the code makes; writes nothing if that breaks somebody outside
    Write,
    /// Say what is not as the code makes it, and what that breaks; exits with 1 if there is anything
    Check,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let files = contracts::files(&systems::all()?);
    match arguments.action {
        Action::Write => println!("{} of {} files written", contracts::write(&arguments.dir, &files)?, files.len()),
        Action::Check => {
            let found = contracts::check(&arguments.dir, &files)?;
            if !found.is_empty() {
                found.iter().for_each(|finding| println!("{finding}"));
                return Ok(ExitCode::FAILURE);
            }
            println!("{} files are as the code makes them", files.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_as_the_code_makes_it_and_what_is_spoilt_is_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let dir = directory.path().to_owned();
        std::fs::write(dir.join("CHANGELOG.md"), "").expect("a file can be written");
        let succeeds = |action| run(&Arguments { action, dir: dir.clone() }).expect("the files can be read") == ExitCode::SUCCESS;
        assert!(!succeeds(Action::Check), "there is nothing yet");
        assert!(succeeds(Action::Write));
        assert!(succeeds(Action::Check));
        std::fs::remove_file(dir.join("docs/asyncapi/mask-shop.json")).expect("the document is there");
        assert!(!succeeds(Action::Check), "a document is gone");
    }
}
