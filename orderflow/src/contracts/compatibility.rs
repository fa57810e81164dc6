//! Whether a change of a schema breaks anybody outside. The policy, in words, is in `docs/contracts.md`.
//!
//! There is one question, asked in one direction or in both: does whoever reads by one schema get along with what is written by another? For events the old readers must get along with the
//! new records; for commands the new reader with the old ones; for requests and replies, both.

use fluvio_streams::system::Writer;
use serde_json::{Map, Value};

/// Words that say nothing about what a record may be.
const ANNOTATIONS: [&str; 4] = ["$schema", "$id", "title", "description"];

/// Returns what the new schema breaks; empty if nobody notices.
pub(crate) fn breaks(writer: Writer, old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", old, new, writer, &mut found);
    found
}

fn compare(path: &str, old: &Value, new: &Value, writer: Writer, found: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        found.push(format!("`{path}` has another schema"));
        return;
    };
    let in_words = if path.is_empty() { "the record" } else { path };
    if writer != Writer::Outside {
        reads(in_words, old, new, "may now be", found);
    }
    if writer != Writer::System {
        reads(in_words, new, old, "may not be any more", found);
    }
    // Nobody's member goes without a word, whether they read or write it, and whether it had to be there or not.
    let none = Map::new();
    let members = |schema: &Map<String, Value>| schema.get("properties").and_then(Value::as_object).unwrap_or(&none).clone();
    let after = members(new);
    for (name, before) in members(old) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match after.get(&name) {
            Some(after) => compare(&below, &before, after, writer, found),
            None => found.push(format!("`{below}` is gone")),
        }
    }
    for word in ["items", "additionalProperties"] {
        if let (Some(before), Some(after)) = (old.get(word), new.get(word)) {
            compare(&format!("{path}[]"), before, after, writer, found);
        }
    }
}

/// Checks that who reads by `reader` takes everything that is written by `written`, members and items aside.
fn reads(path: &str, reader: &Map<String, Value>, written: &Map<String, Value>, change: &str, found: &mut Vec<String>) {
    for (word, wanted) in reader {
        let given = written.get(word);
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let takes = match word.as_str() {
            word if ANNOTATIONS.contains(&word) || word.starts_with("x-") => true,
            "type" => given.is_some_and(|given| types(given).iter().all(|kind| types(wanted).contains(kind))),
            "enum" | "const" => {
                let (wanted, given) = (values(reader), values(written));
                given.is_some_and(|given| wanted.is_some_and(|wanted| given.iter().all(|value| wanted.contains(value))))
            }
            "minimum" | "minLength" | "minItems" => given.is_some_and(|given| number(given) >= number(wanted)),
            "maximum" | "maxLength" | "maxItems" => given.is_some_and(|given| number(given) <= number(wanted)),
            "required" => {
                let missing = strings(wanted).into_iter().filter(|name| !given.is_some_and(|given| strings(given).contains(name)));
                found.extend(missing.map(|name| format!("`{name}` of {path} {change} left out")));
                true
            }
            "items" | "additionalProperties" => given.is_some(),
            "properties" => true,
            // What is not understood must not change.
            _ => given == Some(wanted),
        };
        if !takes {
            let of = |schema: Option<&Value>| schema.map_or_else(|| "anything".to_owned(), Value::to_string);
            found.push(format!("`{word}` of {path}: {change} {}, beyond {}", of(given), of(Some(wanted))));
        }
    }
}

fn types(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Returns the only values that a schema allows, if it lists them.
fn values(schema: &Map<String, Value>) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(values)) => values.as_array().map(|values| values.iter().collect()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use Writer::{Either, Outside, System};
    use serde_json::json;

    use super::*;

    fn order() -> Value {
        json!({
            "type": "object",
            "description": "An order.",
            "properties": {
                "id": {"type": "string", "maxLength": 256},
                "status": {"type": "string", "enum": ["Placed", "Cancelled"]},
                "price": {"type": "integer", "minimum": 0, "maximum": 1_000},
                "note": {"type": "string"},
                "items": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}},
            },
            "required": ["id", "status"],
        })
    }

    /// Says in words who is broken by a change: readers of events, writers of commands.
    fn broken(change: impl Fn(&mut Value)) -> &'static str {
        let (old, mut new) = (order(), order());
        change(&mut new);
        let is_broken = |writer| !breaks(writer, &old, &new).is_empty();
        assert_eq!(is_broken(Either), is_broken(System) || is_broken(Outside), "who does both is broken by either");
        match (is_broken(System), is_broken(Outside)) {
            (false, false) => "nobody",
            (true, false) => "readers",
            (false, true) => "writers",
            (true, true) => "both",
        }
    }

    fn remove(schema: &mut Value, pointer: &str, name: &str) {
        schema.pointer_mut(pointer).and_then(Value::as_object_mut).expect("there is such an object").remove(name).expect("there is such a member");
    }

    /// A change of a schema.
    type Change = Box<dyn Fn(&mut Value)>;

    #[test]
    fn each_change_breaks_whom_it_breaks() {
        let set = |pointer: &'static str, value: Value| -> Change {
            Box::new(move |schema| *schema.pointer_mut(pointer).expect("there is such a place") = value.clone())
        };
        let table: Vec<(&str, Change, &str)> = vec![
            ("nothing", Box::new(|_| {}), "nobody"),
            ("other words", set("/description", json!("What somebody ordered.")), "nobody"),
            ("a new member", Box::new(|schema| schema["properties"]["late"] = json!({"type": "boolean"})), "nobody"),
            (
                "a new required member",
                Box::new(|schema| {
                    schema["properties"]["late"] = json!({"type": "boolean"});
                    schema["required"] = json!(["id", "late", "status"]);
                }),
                "writers",
            ),
            ("a member is required from now on", set("/required", json!(["id", "note", "status"])), "writers"),
            ("a member may be left out from now on", set("/required", json!(["id"])), "readers"),
            ("a member is gone", Box::new(|schema| remove(schema, "/properties", "note")), "both"),
            ("a member has another type", set("/properties/note/type", json!("integer")), "both"),
            ("a member may be null", set("/properties/note/type", json!(["string", "null"])), "readers"),
            ("one more value", set("/properties/status/enum", json!(["Placed", "Cancelled", "Lost"])), "readers"),
            ("one value fewer", set("/properties/status/enum", json!(["Placed"])), "writers"),
            ("values in another order", set("/properties/status/enum", json!(["Cancelled", "Placed"])), "nobody"),
            ("values are not listed any more", Box::new(|schema| remove(schema, "/properties/status", "enum")), "readers"),
            ("values are listed from now on", set("/properties/note", json!({"type": "string", "enum": ["a"]})), "writers"),
            ("longer texts", set("/properties/id/maxLength", json!(512)), "readers"),
            ("shorter texts", set("/properties/id/maxLength", json!(64)), "writers"),
            ("no limit", Box::new(|schema| remove(schema, "/properties/id", "maxLength")), "readers"),
            ("a new limit", set("/properties/note", json!({"type": "string", "maxLength": 9})), "writers"),
            ("lower numbers", set("/properties/price/minimum", json!(-1)), "readers"),
            ("only higher numbers", set("/properties/price/minimum", json!(1)), "writers"),
            ("empty lists", set("/properties/items/minItems", json!(0)), "readers"),
            ("inside of a list, a member is gone", Box::new(|schema| remove(schema, "/properties/items/items/properties", "item")), "both"),
            ("inside of a list, a member may be left out", set("/properties/items/items/required", json!([])), "readers"),
            ("inside of a list, another type", set("/properties/items/items/properties/item/type", json!("integer")), "both"),
            ("items are of any kind", Box::new(|schema| remove(schema, "/properties/items", "items")), "readers"),
            ("a word that is not understood", set("/properties/note", json!({"type": "string", "pattern": "^a"})), "writers"),
        ];
        for (change, apply, expected) in table {
            assert_eq!(broken(apply), expected, "{change}");
        }
    }

    #[test]
    fn what_is_broken_is_named() {
        let mut new = order();
        new["properties"]["items"]["items"]["properties"]["item"]["type"] = json!("integer");
        remove(&mut new, "/properties", "note");
        let found = breaks(System, &order(), &new).join("; ");
        assert!(found.contains("`note` is gone") && found.contains("items[].item"), "{found}");
    }
}
