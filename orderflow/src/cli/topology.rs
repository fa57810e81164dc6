//! `orderflow topology`: what an instance runs, printed from what runs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::roles::{Roles, Selection};
use crate::systems;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    selection: Selection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A paragraph per processor
    Text,
    /// A flowchart for Markdown
    Mermaid,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let selection = &arguments.selection;
    selection.check(&Roles::default())?;
    for system in selection.running(&selection.systems(systems::all()?)?)? {
        match arguments.format {
            Format::Text => print!("{}", system.topology.to_text()),
            Format::Mermaid => print!("{}", system.topology.to_mermaid()),
        }
    }
    Ok(ExitCode::SUCCESS)
}
