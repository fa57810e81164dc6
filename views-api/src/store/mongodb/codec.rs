//! Documents as BSON, without loss: what BSON cannot hold as it is, is stored as JSON text.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document as BsonDocument, doc};
use serde_json::{Map, Number, Value};

use super::super::StoreError;
use crate::limits::BSON_DEPTH_MAX;
use crate::view::{Document, View};

pub(super) fn encode(view: &View, document: &Document) -> BsonDocument {
    let value = match &document.value {
        Value::Object(members) => object_to_bson(members, BSON_DEPTH_MAX).map(Bson::Document),
        _ => None,
    };
    doc! {
        "_id": &document.id,
        "partition": i64::from(document.partition),
        "offset": document.offset,
        "createdMs": document.created_ms,
        "keys": keys(view, document),
        "taken": taken(document),
        "document": value.unwrap_or_else(|| Bson::String(document.value.to_string())),
    }
}

/// What is folded in of each sender: names of journals may be anything, so they are values and not fields.
fn taken(document: &Document) -> Vec<Bson> {
    let of_sender = |(sender, (sequence, index)): (&String, &(u64, u32))| doc! { "sender": sender, "sequence": *sequence as i64, "index": i64::from(*index) };
    document.taken.iter().map(|entry| Bson::Document(of_sender(entry))).collect()
}

fn taken_of(stored: &BsonDocument) -> BTreeMap<String, (u64, u32)> {
    let of_sender = |entry: &Bson| {
        let entry = entry.as_document()?;
        let sender = entry.get_str("sender").ok()?.to_owned();
        Some((sender, (u64::try_from(integer(entry, "sequence")?).ok()?, u32::try_from(integer(entry, "index")?).ok()?)))
    };
    // Documents of older programs have none.
    stored.get_array("taken").map(|entries| entries.iter().filter_map(of_sender).collect()).unwrap_or_default()
}

/// Returns the indexed fields.
pub(super) fn keys(view: &View, document: &Document) -> BsonDocument {
    view.index_entries(&document.value).into_iter().map(|(field, text)| (field.to_owned(), Bson::String(text))).collect()
}

pub(super) fn decode(view: &View, stored: BsonDocument) -> Result<Document, StoreError> {
    let id = stored.get_str("_id").unwrap_or_default().to_owned();
    let damaged = |detail: String| StoreError::Damaged { view: view.name(), key: id.clone(), detail };
    let value = match stored.get("document") {
        Some(Bson::Document(members)) => object_from_bson(members).ok_or_else(|| damaged("field `document` holds more than JSON".to_owned()))?,
        Some(Bson::String(text)) => serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?,
        _ => return Err(damaged("field `document` is missing".to_owned())),
    };
    let taken = taken_of(&stored);
    let number = |field: &str| integer(&stored, field).ok_or_else(|| damaged(format!("field `{field}` is not an integer")));
    let partition = u32::try_from(number("partition")?).map_err(|error| damaged(error.to_string()))?;
    Ok(Document { partition, offset: number("offset")?, created_ms: number("createdMs")?, id: id.clone(), taken, value })
}

/// Returns an integer member; servers and shells write them in three types.
pub(super) fn integer(document: &BsonDocument, field: &str) -> Option<i64> {
    match document.get(field)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        _ => None,
    }
}

pub(super) fn texts(values: &[Bson]) -> Vec<String> {
    values.iter().filter_map(Bson::as_str).map(str::to_owned).collect()
}

/// `None` if BSON would lose something: names that operators or paths could be taken for, integers beyond i64, or too many levels.
fn object_to_bson(members: &Map<String, Value>, depth: usize) -> Option<BsonDocument> {
    let depth = depth.checked_sub(1)?;
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('$') && !name.contains(['.', '\0']);
    let member = |(name, value): (&String, &Value)| is_plain(name).then(|| Some((name.clone(), to_bson(value, depth)?)))?;
    members.iter().map(member).collect()
}

fn to_bson(value: &Value, depth: usize) -> Option<Bson> {
    match value {
        Value::Null => Some(Bson::Null),
        Value::Bool(flag) => Some(Bson::Boolean(*flag)),
        Value::String(text) => Some(Bson::String(text.clone())),
        Value::Number(number) if number.is_f64() => number.as_f64().map(Bson::Double),
        Value::Number(number) => number.as_i64().map(Bson::Int64),
        Value::Array(values) => {
            let depth = depth.checked_sub(1)?;
            values.iter().map(|value| to_bson(value, depth)).collect::<Option<Vec<_>>>().map(Bson::Array)
        }
        Value::Object(members) => object_to_bson(members, depth).map(Bson::Document),
    }
}

fn object_from_bson(members: &BsonDocument) -> Option<Value> {
    members.iter().map(|(name, value)| Some((name.clone(), from_bson(value)?))).collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn from_bson(value: &Bson) -> Option<Value> {
    match value {
        Bson::Null => Some(Value::Null),
        Bson::Boolean(flag) => Some(Value::Bool(*flag)),
        Bson::String(text) => Some(Value::String(text.clone())),
        Bson::Double(number) => Number::from_f64(*number).map(Value::Number),
        Bson::Int32(number) => Some(Value::from(*number)),
        Bson::Int64(number) => Some(Value::from(*number)),
        Bson::Array(values) => values.iter().map(from_bson).collect::<Option<Vec<_>>>().map(Value::Array),
        Bson::Document(members) => object_from_bson(members),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn round_trip(value: Value) -> (bool, Value) {
        let view = View { system: "s".into(), collection: "c".into(), topic: "t".into(), indexes: vec![] };
        let stored =
            encode(&view, &Document { id: "d".into(), partition: 3, offset: 7, created_ms: -1, taken: BTreeMap::from([("j/0".into(), (7, 1))]), value });
        let is_native = matches!(stored.get("document"), Some(Bson::Document(_)));
        (is_native, decode(&view, stored).unwrap().value)
    }

    #[test]
    fn plain_documents_are_native_and_come_back_as_they_were() {
        let value = json!({"z": 1, "a": [1.5, null, true, {"k": "v"}], "least": i64::MIN, "empty": {}});
        let (is_native, back) = round_trip(value.clone());
        assert!(is_native);
        assert_eq!(back.to_string(), value.to_string(), "also the order of members is kept");
    }

    #[test]
    fn what_bson_cannot_hold_comes_back_as_it_was_too() {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        for value in [
            json!({"$set": 1}),
            json!({"a.b": 1}),
            json!({"": 1}),
            json!({"a\u{0}": 1}),
            json!({"n": u64::MAX}),
            json!({ "deep": deep }),
            json!("text"),
            json!(null),
        ] {
            let (is_native, back) = round_trip(value.clone());
            assert!(!is_native, "{value}");
            assert_eq!(back, value);
        }
    }
}
