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
