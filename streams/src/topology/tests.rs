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
