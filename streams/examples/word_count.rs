//! Counts words: `cargo run -p fluvio-streams --example word_count [HOST:PORT]`, by default on an embedded broker.
//!
//! Then `fluvio produce lines` takes lines like `{"type":"Say","text":"to be or not to be"}`, and `fluvio consume counts` tells the counts.

use std::{error::Error, sync::Arc};

use fluvio_streams::fluvio::{FluvioLog, FluvioLogOptions};
use fluvio_streams::log::{Log, NewTopic};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::runtime::{Options, Runtime};
use fluvio_streams::state::store::MemoryStores;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};

#[derive(serde::Deserialize)]
struct Line {
    text: String,
}

/// Cuts lines into words, and sends each to the task that counts it.
fn split(input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
    let Input::Message(line) = input else { return Ok(()) };
    line.decode::<Line>()?.text.split_whitespace().for_each(|word| cx.emit("words", "WordSaid", word, &1));
    Ok(())
}

/// Counts how often each word was said.
fn count(input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
    let Input::Message(said) = input else { return Ok(()) };
    let word = said.subject.as_deref().unwrap_or_default();
    let count = cx.get::<u64>("count", word)?.unwrap_or(0) + 1;
    cx.put("count", word, &count);
    cx.emit("counts", "WordCounted", word, &count);
    Ok(())
}

type Logic = fn(Input<'_>, &mut Context<'_>) -> Result<(), Failure>;

struct Step(Logic);

impl Processor for Step {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        (self.0)(input, cx)
    }
}

fn step(name: &str, source: Source, sink: &str, logic: Logic) -> ProcessorSpec {
    let (journal, stores, calls) = (format!("{name}-journal"), vec![name.into()], vec![]);
    let (rejections, dead_letters) = ("rejections".to_owned(), "dead-letters".to_owned());
    let logic = Arc::new(Step(logic));
    ProcessorSpec { name: name.to_owned(), sources: vec![source], sinks: vec![sink.to_owned()], journal, stores, calls, rejections, dead_letters, logic }
}

/// Starts counting on a cluster, or wherever the log is.
pub(crate) async fn start(log: Arc<dyn Log>) -> Result<Runtime, Box<dyn Error>> {
    let everything = Routing::Except(vec![]);
    let lines = Source::commands("lines", "line", everything.clone());
    let words = Source { routing: everything, ..Source::events("words", &[]) };
    let processors = vec![step("split", lines, "words", split), step("count", words, "counts", count)];
    let topology = Topology { application: "word-count".to_owned(), processors };
    for name in topology.topics() {
        log.ensure_topic(&NewTopic { name, partitions: 2, retention_seconds: None, segment_bytes: None }).await?;
    }
    Ok(Runtime::start(&topology, Options::new(log, Arc::new(MemoryStores::default()), "example")).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = orderflow_broker::Broker::start(orderflow_broker::Options::default()).await?;
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| broker.sc_addr().to_string());
    let runtime = start(FluvioLog::connect(FluvioLogOptions::new(&endpoint)).await?).await?;
    println!("counting the words of `lines` into `counts` at {endpoint}; Ctrl-C ends it");
    tokio::signal::ctrl_c().await?;
    runtime.stop().await;
    Ok(())
}
