//! What commands and events look like, as JSON Schema (2020-12): a row describes its own fields in [`Described`], the rest is composed from its names, once, in [`records`].
//!
//! What it is not: it checks nothing when records are read or written; [`crate::fields`] does. A schema is what others may rely on: it promises no more than the code takes, and describes all
//! that the code writes. `business::testing` holds every record of every test against it.

pub mod check;
pub mod records;

use fluvio_streams::envelope::TRACEPARENT;
use serde_json::{Map, Value, json};

use crate::limits::{AMOUNT_WON_MAX, TEXT_BYTES_MAX};

/// The members of an object, some of them required.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Object {
    members: Map<String, Value>,
    required: Vec<String>,
}

impl Object {
    /// Adds a member that is always there.
    pub fn must(mut self, name: &str, schema: Value) -> Self {
        self.required.push(name.to_owned());
        self.may(name, schema)
    }

    /// Adds a member that may be left out.
    pub fn may(mut self, name: &str, schema: Value) -> Self {
        self.members.insert(name.to_owned(), schema);
        self
    }

    /// Adds the members of another object.
    pub fn and(mut self, other: Self) -> Self {
        self.members.extend(other.members);
        self.required.extend(other.required);
        self
    }

    /// Makes every member one that may be left out.
    pub fn optional(self) -> Self {
        Self { required: Vec::new(), ..self }
    }

    /// Returns the schema of the object.
    pub fn schema(mut self, description: &str) -> Value {
        self.required.sort();
        json!({"type": "object", "description": description, "properties": self.members, "required": self.required})
    }
}

/// What a business adds to the records that all businesses have.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Described {
    /// Fields of the command that opens an aggregate, beside the id and `commandId`.
    pub command: Object,
    /// Members of [`Business::Details`](crate::Business::Details), which stand in every event of the front.
    pub details: Object,
    /// What is told once, with the first event.
    pub told: Object,
    /// What the partner is told, beside the id, the customer and the amount.
    pub request: Object,
}

/// Returns the schema of an id.
pub fn id(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": fluvio_streams::limits::ID_BYTES_MAX, "description": description})
}

/// Returns the schema of a text of any length.
pub fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

/// Returns the schema of a free text that somebody sends: its limit is one of bytes, of which a character has one or more.
pub fn free_text(description: &str) -> Value {
    json!({"type": "string", "maxLength": TEXT_BYTES_MAX, "description": description})
}

/// Returns the schema of one of these texts. Readers may rely on there being no other: one more is a break.
pub fn one_of(values: &[&str], description: &str) -> Value {
    json!({"type": "string", "enum": values, "description": description})
}

/// Returns the schema of a time.
pub fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": format!("{description} RFC 3339 UTC.")})
}

/// Returns the schema of a whole number from `min` to `max`.
pub fn integer(min: i64, max: i64, description: &str) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": max, "description": description})
}

/// Returns the schema of a whole number from `min`.
pub fn count(min: i64, description: &str) -> Value {
    json!({"type": "integer", "minimum": min, "description": description})
}

/// Returns the schema of an amount of money.
pub fn won(description: &str) -> Value {
    integer(0, AMOUNT_WON_MAX, &format!("{description} In won."))
}

/// Returns the schema of a yes or no.
pub fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

/// Returns the schema of a list of at least `min` of these.
pub fn list(min: usize, items: Value, description: &str) -> Value {
    json!({"type": "array", "minItems": min, "items": items, "description": description})
}

/// Returns the schema of an object whose members' names are data.
pub fn map(values: Value, description: &str) -> Value {
    json!({"type": "object", "additionalProperties": values, "description": description})
}

/// Returns the same schema, but `null` is one of its values.
pub fn nullable(mut schema: Value) -> Value {
    let kind = schema["type"].take();
    schema["type"] = json!([kind, "null"]);
    schema
}

/// Returns the schema of what says to which trace a record belongs.
pub fn traceparent() -> Value {
    text("W3C Trace Context: the trace that goes back to the command, and the span that wrote this. What is no `traceparent` is ignored.")
}

/// Returns the schema of an envelope: the CloudEvent around every event. Its `data` is of the schema of its `type` in its topic.
pub fn envelope() -> Value {
    let must = [
        ("specversion", json!({"const": "1.0", "description": "CloudEvents version."})),
        ("type", text("Event type: it says of which schema `data` is.")),
        ("id", text("The same when an event is written again after a crash.")),
        ("source", text("Processor and partition that wrote it.")),
        ("subject", text("Id of what it is about; also the record's key.")),
        ("time", time("When it happened.")),
        ("datacontenttype", json!({"const": "application/json", "description": "What `data` is."})),
        ("causationid", text("Id of the record that caused it.")),
        ("correlationid", text("Id of the command at the root of the chain.")),
        ("provenance", text("Which effect of which transaction of which journal it is.")),
        ("data", json!({"type": "object", "description": "What the event says."})),
    ];
    must.into_iter()
        .fold(Object::default(), |object, (name, schema)| object.must(name, schema))
        .may(TRACEPARENT, traceparent())
        .schema("A CloudEvent in JSON, with what is said of it beside its data.")
}
