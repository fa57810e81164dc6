//! `orderflow topology`: what runs, printed from what runs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::systems;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A paragraph per processor
    Text,
    /// A flowchart for Markdown
    Mermaid,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    for system in systems::all()? {
        match arguments.format {
            Format::Text => print!("{}", system.topology.to_text()),
            Format::Mermaid => print!("{}", system.topology.to_mermaid()),
        }
    }
    Ok(ExitCode::SUCCESS)
}
