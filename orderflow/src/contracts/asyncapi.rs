//! The AsyncAPI 3.0 document of a system, or of a follower that brings records of its own: which topics there are, what is written to them and by whom.
//!
//! What it is not: it knows no business; everything comes from what the system says of its records.

use std::collections::{BTreeMap, BTreeSet};

use fluvio_streams::system::{RecordSpec, Writer};
use serde_json::{Map, Value, json};

/// Returns the document of an application with these records.
pub(crate) fn document(application: &str, records: &[&RecordSpec]) -> Value {
    let mut topics: BTreeMap<&str, Vec<&RecordSpec>> = BTreeMap::new();
    records.iter().for_each(|record| topics.entry(&record.topic).or_default().push(record));
    let (mut channels, mut messages, mut operations) = (Map::new(), Map::new(), Map::new());
    for (topic, records) in &topics {
        let names: BTreeMap<&str, String> = records.iter().map(|record| (record.kind.as_str(), format!("{topic}.{}", record.kind))).collect();
        let listed: Map<String, Value> = names.iter().map(|(kind, name)| ((*kind).to_owned(), reference(&format!("/components/messages/{name}")))).collect();
        channels.insert((*topic).to_owned(), json!({"address": topic, "title": topic, "messages": listed}));
        messages.extend(records.iter().map(|record| (names[record.kind.as_str()].clone(), message(record))));
        operations.extend(of_topic(topic, records, &topics));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": application,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Made from the code by `orderflow contracts write`. Records are JSON; their key is the id of what they are about. Members that a schema does not name may come and are to be ignored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:9003", "protocol": "fluvio", "description": "The broker that `orderflow up` brings; any Fluvio cluster does as well."}},
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {"CloudEvent": business::schema::envelope()},
            "correlationIds": {"command": {"description": "Id of the command at the root of the chain.", "location": "$message.payload#/correlationid"}},
        },
    })
}

fn reference(path: &str) -> Value {
    json!({"$ref": format!("#{path}")})
}

fn message(record: &RecordSpec) -> Value {
    let RecordSpec { kind, schema, .. } = record;
    let summary = &schema["description"];
    if record.writer == Writer::Outside {
        return json!({"name": kind, "title": kind, "summary": summary, "payload": schema});
    }
    let of_this_type = json!({"type": "object", "properties": {"type": {"const": kind}, "data": schema}});
    let mut message = json!({
        "name": kind,
        "title": kind,
        "summary": summary,
        "correlationId": reference("/components/correlationIds/command"),
        "payload": {"allOf": [reference("/components/schemas/CloudEvent"), of_this_type]},
    });
    if record.writer == Writer::Either {
        message["description"] =
            json!("Programs other than this one may write it as a plain object as well: the members of `data` and `type`, without the envelope.");
    }
    message
}

/// Returns what the application does with a topic: it sends what it writes and receives what it reads.
fn of_topic(topic: &str, records: &[&RecordSpec], topics: &BTreeMap<&str, Vec<&RecordSpec>>) -> Vec<(String, Value)> {
    let does = |action: &str, writers: [Writer; 2]| {
        let kinds: BTreeSet<&str> = records.iter().filter(|record| writers.contains(&record.writer)).map(|record| record.kind.as_str()).collect();
        let messages: Vec<Value> = kinds.iter().map(|kind| reference(&format!("/channels/{topic}/messages/{kind}"))).collect();
        let mut operation = json!({"action": action, "channel": reference(&format!("/channels/{topic}")), "messages": messages});
        let replies = topic.strip_suffix("-requests").map(|pair| format!("{pair}-replies"));
        if let Some(replies) = replies.filter(|replies| topics.contains_key(replies.as_str())) {
            operation["reply"] = json!({"channel": reference(&format!("/channels/{replies}"))});
        }
        (!kinds.is_empty()).then(|| (format!("{action}.{topic}"), operation))
    };
    [does("send", [Writer::System, Writer::Either]), does("receive", [Writer::Outside, Writer::Either])].into_iter().flatten().collect()
}
