//! The topology as text, as a Mermaid flowchart, as a Graphviz graph, and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{ErrorPolicy, ProcessorSpec, Routing, Source, StoreSpec, Topology};
use crate::envelope::Format;

impl Topology {
    /// Returns a description for people, one processor a paragraph.
    pub fn to_text(&self) -> String {
        let mut text = format!("application {}\n", self.application);
        for processor in &self.processors {
            let _ = writeln!(text, "\n  processor {}", processor.name);
            for source in &processor.sources {
                let parameters: Vec<String> = source.routing.parameters().into_iter().map(|(name, list)| format!("{name} {list}")).collect();
                let _ = writeln!(text, "    <-- {}  [{}]", source.topic, parameters.join("; "));
            }
            for sink in &processor.sinks {
                let _ = writeln!(text, "    --> {sink}");
            }
            let _ = writeln!(text, "    journal {}", processor.journal);
            if !processor.stores.is_empty() {
                let _ = writeln!(text, "    stores  {}", processor.stores.iter().map(store_text).collect::<Vec<_>>().join(", "));
            }
            if !processor.calls.is_empty() {
                let _ = writeln!(text, "    calls   {}", processor.calls.join(", "));
            }
        }
        text
    }

    /// Returns a Mermaid flowchart: topics are stadiums, processors boxes, outside systems hexagons.
    pub fn to_mermaid(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        for processor in &self.processors {
            let name = node(&self.application, &processor.name);
            let _ = writeln!(text, "  {name}[{}]", processor.name);
            for source in &processor.sources {
                let label = label(&source.routing).join("<br/>");
                let _ = writeln!(text, "  {}([{}]) -->|{label}| {name}", node("topic", &source.topic), source.topic);
            }
            for sink in &processor.sinks {
                let _ = writeln!(text, "  {name} --> {}([{sink}])", node("topic", sink));
            }
            let _ = writeln!(text, "  {name} -.-> {}[({})]", node("topic", &processor.journal), processor.journal);
            for call in &processor.calls {
                let _ = writeln!(text, "  {name} <--> {}{{{{{call}}}}}", node("call", call));
            }
        }
        text
    }

    /// Returns a Graphviz graph: topics are ellipses, journals cylinders, processors boxes, outside systems hexagons.
    pub fn to_dot(&self) -> String {
        let mut text = format!("digraph {} {{\n  rankdir=LR;\n", quoted(&self.application));
        let mut nodes = BTreeSet::new();
        let mut edges = String::new();
        for processor in &self.processors {
            let name = quoted(&format!("processor {}", processor.name));
            nodes.insert(format!("{name} [shape=box, label={}]", quoted(&processor.name)));
            for source in &processor.sources {
                nodes.insert(format!("{} [shape=ellipse]", quoted(&source.topic)));
                let _ = writeln!(edges, "  {} -> {name} [label={}];", quoted(&source.topic), quoted(&label(&source.routing).join("\n")));
            }
            for sink in &processor.sinks {
                nodes.insert(format!("{} [shape=ellipse]", quoted(sink)));
                let _ = writeln!(edges, "  {name} -> {};", quoted(sink));
            }
            nodes.insert(format!("{} [shape=cylinder]", quoted(&processor.journal)));
            let _ = writeln!(edges, "  {name} -> {} [style=dotted, dir=both];", quoted(&processor.journal));
            for call in &processor.calls {
                let target = quoted(&format!("call {call}"));
                nodes.insert(format!("{target} [shape=hexagon, label={}]", quoted(call)));
                let _ = writeln!(edges, "  {name} -> {target} [dir=both];");
            }
        }
        for node in nodes {
            let _ = writeln!(text, "  {node};");
        }
        text + &edges + "}\n"
    }

    /// Returns the topology for programs: `application`, and of each of `processors` its `name`, `sources` (`topic`, `format`: `event` or `command`, `subjectField` of commands, `routing`: lists of names
    /// as the SmartModule takes them, `types`, `except`, `redact`; `onError`: `dead-letter`, `skip` or `fail`), `sinks`, `journal`, `stores`, `storeVersions` (by store), `calls`, `rejections` and `deadLetters`. Members may be added.
    pub fn to_json(&self) -> Value {
        json!({"application": self.application, "processors": self.processors.iter().map(processor_json).collect::<Vec<_>>()})
    }
}

/// Returns the name of a store, and the version of its values if that is not the first.
fn store_text(store: &StoreSpec) -> String {
    match store.version() {
        1 => store.name().to_owned(),
        version => format!("{} (version {version})", store.name()),
    }
}

fn processor_json(processor: &ProcessorSpec) -> Value {
    json!({
        "name": processor.name,
        "sources": processor.sources.iter().map(source_json).collect::<Vec<_>>(),
        "sinks": processor.sinks,
        "journal": processor.journal,
        "stores": processor.stores.iter().map(StoreSpec::name).collect::<Vec<_>>(),
        "storeVersions": processor.stores.iter().map(|store| (store.name().to_owned(), json!(store.version()))).collect::<Map<_, _>>(),
        "calls": processor.calls,
        "rejections": processor.rejections,
        "deadLetters": processor.dead_letters,
    })
}

fn source_json(source: &Source) -> Value {
    let routing = match &source.routing {
        Routing::Types(types) => json!({"types": types}),
        Routing::Except(types) => json!({"except": types}),
        Routing::Redacted { types, fields } => json!({"types": types, "redact": fields}),
    };
    let on_error = match source.on_error {
        ErrorPolicy::DeadLetter => "dead-letter",
        ErrorPolicy::Skip => "skip",
        ErrorPolicy::Fail => "fail",
    };
    match source.format {
        Format::Event => json!({"topic": source.topic, "format": "event", "routing": routing, "onError": on_error}),
        Format::Command { subject_field } => {
            json!({"topic": source.topic, "format": "command", "subjectField": subject_field, "routing": routing, "onError": on_error})
        }
    }
}

/// Returns the lines that say what of a topic is read.
fn label(routing: &Routing) -> Vec<String> {
    match routing {
        Routing::Types(types) => types.clone(),
        Routing::Except(types) if types.is_empty() => vec!["all".to_owned()],
        Routing::Except(types) => [&["all but".to_owned()], &types[..]].concat(),
        Routing::Redacted { types, fields } => [&types[..], &[format!("without {}", fields.join(", "))]].concat(),
    }
}

/// Returns a text as Graphviz takes it, line by line.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Returns an identifier that Mermaid takes.
fn node(kind: &str, name: &str) -> String {
    format!("{kind}_{name}").replace('-', "_")
}
