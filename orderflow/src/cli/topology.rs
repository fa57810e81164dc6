//! `orderflow topology`: what an instance runs, printed from what runs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use fluvio_streams::topology::Topology;
use serde_json::Value;

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
    /// A graph for Graphviz, one per system
    Dot,
    /// A list of systems, for programs
    Json,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let selection = &arguments.selection;
    selection.check(&Roles::default())?;
    let running = selection.running(&selection.systems(systems::all()?)?)?;
    let print = |text: fn(&Topology) -> String| running.iter().for_each(|system| print!("{}", text(&system.topology)));
    match arguments.format {
        Format::Text => print(Topology::to_text),
        Format::Mermaid => print(Topology::to_mermaid),
        Format::Dot => print(Topology::to_dot),
        Format::Json => {
            let systems: Vec<Value> = running.iter().map(|system| system.topology.to_json()).collect();
            println!("{}", serde_json::to_string_pretty(&systems)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
