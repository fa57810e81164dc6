//! What a topology is refused for.

use super::*;
use crate::processor::{Context, Failure, Input};

struct Idle;

impl Processor for Idle {
    fn process(&self, _input: Input<'_>, _context: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

fn reading(routing: Routing) -> Topology {
    let till = ProcessorSpec {
        name: "till".to_owned(),
        sources: vec![Source::events("shop-events", &["Sold"]), Source { routing, ..Source::events("shop-commands", &[]) }],
        sinks: Vec::new(),
        journal: "shop-till-journal".to_owned(),
        stores: Vec::new(),
        calls: Vec::new(),
        rejections: "shop-rejections".to_owned(),
        dead_letters: "shop-dead-letters".to_owned(),
        logic: Arc::new(Idle),
    };
    Topology { application: "shop".to_owned(), processors: vec![till] }
}

/// A SmartModule takes no empty list, so such a source could never be read: better to be told at the start, and by whom.
#[test]
fn an_empty_routing_list_is_refused_by_processor_and_source() {
    let redacted = |types: &[&str], fields: &[&str]| Routing::Redacted { types: names(types), fields: names(fields) };
    let refused = [
        (Routing::Types(Vec::new()), "types"),
        (Routing::Types(names(&["", " "])), "types"),
        (Routing::Except(names(&[""])), "except"),
        (redacted(&[], &["address"]), "types"),
        (redacted(&["Sold"], &[]), "redact"),
    ];
    for (routing, list) in refused {
        let error = reading(routing.clone()).check().expect_err("it is refused");
        assert_eq!(error.to_string(), format!("processor `till` reads topic `shop-commands` by an empty list `{list}`"), "{routing:?}");
    }
    // Who leaves out nothing reads everything, without a SmartModule.
    for routing in [Routing::Except(Vec::new()), Routing::Except(names(&["Sell"])), Routing::Types(names(&["Sell"])), redacted(&["Sold"], &["address"])] {
        assert_eq!(reading(routing.clone()).check(), Ok(()), "{routing:?}");
    }
}

/// Goal: Graphviz can read it: one statement a line, quotation marks and braces in pairs, whatever the names are.
#[test]
fn the_graph_is_as_graphviz_takes_it() {
    let mut topology = reading(Routing::Redacted { types: names(&["Sold"]), fields: names(&["say \"when\""]) });
    topology.processors[0].sinks = names(&["shop-events"]);
    topology.processors[0].calls = names(&["C:\\till"]);
    let text = topology.to_dot();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"digraph \"shop\" {"), Some(&"}")));
    let unescaped = |line: &str| line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
    assert!(lines.iter().all(|line| unescaped(line) % 2 == 0), "{text}");
    assert!(lines[1..lines.len() - 1].iter().all(|line| line.ends_with(';')), "{text}");
    assert_eq!(lines.iter().filter(|line| line.contains("[shape=ellipse]")).count(), 2, "a topic that is read and written is one node: {text}");
    for edge in [
        r#""shop-events" -> "processor till" [label="Sold"];"#,
        r#""shop-commands" -> "processor till" [label="Sold\nwithout say \"when\""];"#,
        r#""processor till" -> "shop-events";"#,
        r#""processor till" -> "call C:\\till" [dir=both];"#,
    ] {
        assert!(text.contains(edge), "{edge} is missing: {text}");
    }
}

#[test]
fn programs_read_what_is_read_written_and_kept() {
    let mut topology = reading(Routing::Except(names(&["Sell"])));
    let orders = Source { on_error: ErrorPolicy::Fail, ..Source::commands("shop-orders", "orderId", Routing::Except(Vec::new())) };
    topology.processors[0].sources.push(orders);
    let event = |topic: &str, routing: serde_json::Value| serde_json::json!({"topic": topic, "format": "event", "routing": routing, "onError": "dead-letter"});
    let sources = serde_json::json!([
        event("shop-events", serde_json::json!({"types": ["Sold"]})),
        event("shop-commands", serde_json::json!({"except": ["Sell"]})),
        {"topic": "shop-orders", "format": "command", "subjectField": "orderId", "routing": {"except": []}, "onError": "fail"},
    ]);
    let told = topology.to_json();
    assert_eq!((&told["application"], &told["processors"][0]["name"]), (&serde_json::json!("shop"), &serde_json::json!("till")));
    assert_eq!(told["processors"][0]["sources"], sources);
    assert_eq!(told["processors"][0]["deadLetters"], "shop-dead-letters");
    assert_eq!(topology.to_mermaid().matches("-->|all| shop_till").count(), 1, "who leaves out nothing reads all");
}
