//! The topology as text and as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Routing, Topology};

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
                let _ = writeln!(text, "    stores  {}", processor.stores.join(", "));
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
                let label = match &source.routing {
                    Routing::Types(types) => types.join("<br/>"),
                    Routing::Except(types) => format!("all but<br/>{}", types.join("<br/>")),
                    Routing::Redacted { types, fields } => format!("{}<br/>without {}", types.join("<br/>"), fields.join(", ")),
                };
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
}

/// Returns an identifier that Mermaid takes.
fn node(kind: &str, name: &str) -> String {
    format!("{kind}_{name}").replace('-', "_")
}
