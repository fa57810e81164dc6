//! `orderflow why`: everything that happened to an order (a booking, ...) across the topics of its system, in the order in which it happened.
//!
//! It reads the topics and nothing else, so it tells the same whoever runs what. Start reading at `collect` (what belongs to the story), then `pending` (what it still waits for) and `story` (in
//! which order, in which words).

mod collect;
mod pending;
mod story;

use std::process::ExitCode;

use clap::Args;

use self::collect::collect;
use super::scan::{connect, find, present};
use crate::systems;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// System, for example `food-delivery`; or the id, which is then searched in all systems
    #[arg(value_name = "SYSTEM|ID")]
    system_or_id: String,
    /// Id of an order, a booking, ...
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Cluster (its SC), or embedded broker, that holds the topics
    #[arg(long, env = "ORDERFLOW_FLUVIO", value_name = "HOST:PORT", default_value = "127.0.0.1:9003")]
    fluvio: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    super::tokio_runtime()?.block_on(tell(arguments))
}

async fn tell(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let systems = systems::all()?;
    let (searched, id) = match &arguments.id {
        Some(id) => (std::slice::from_ref(find(&systems, &arguments.system_or_id)?), id),
        None => (&systems[..], &arguments.system_or_id),
    };
    let log = connect(&arguments.fluvio).await?;
    let present = present(&*log, searched).await?;
    let mut stories = Vec::new();
    for (system, partitions) in &present {
        stories.extend(collect(&*log, system, *partitions, id).await?.map(story::Story::of));
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&stories)?);
    } else {
        stories.iter().for_each(story::Story::print);
    }
    if stories.is_empty() {
        let names: Vec<&str> = present.iter().map(|(system, _)| system.name).collect();
        eprintln!("nothing is known of `{}` in {}", id.escape_debug(), names.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
