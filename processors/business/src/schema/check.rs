//! Checks a value against a schema of the vocabulary that [`super`] writes, and no other.
//!
//! What it is not: a validator for schemas of others. It exists so that a law of the test world can hold every record of every test against its schema without a dependency; a test holds it
//! against a public validator.

use fluvio_streams::time::parse_rfc3339;
use serde_json::Value;

/// What is to be said of members that a schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// They are ignored, as a reader does.
    Ignored,
    /// They are a mistake: who wrote the record must describe all of it.
    Wrong,
}

/// Words that say nothing about a value.
const ANNOTATIONS: [&str; 5] = ["$schema", "$id", "title", "description", "required"];

/// Checks a value.
///
/// # Errors
/// What is wrong, and where, for example `data.items[0].price is missing`.
pub fn check(schema: &Value, value: &Value, unnamed: Unnamed) -> Result<(), String> {
    at("data", schema, value, unnamed)
}

fn at(path: &str, schema: &Value, value: &Value, unnamed: Unnamed) -> Result<(), String> {
    let schema = schema.as_object().ok_or_else(|| format!("{path} has no schema"))?;
    let wrong = |what: String| Err(format!("{path} {what}: {value}"));
    for (word, wanted) in schema {
        let number = || wanted.as_i64().unwrap_or_default();
        let holds = match word.as_str() {
            "type" => is_of_type(wanted, value),
            "const" => value == wanted,
            "enum" => wanted.as_array().is_some_and(|values| values.contains(value)),
            "minimum" => value.as_i64().is_none_or(|value| value >= number()),
            "maximum" => value.as_i64().is_none_or(|value| value <= number()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as i64 >= number()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as i64 <= number()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as i64 >= number()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as i64 <= number()),
            "format" => value.as_str().is_none_or(|text| parse_rfc3339(text).is_some()),
            "items" | "prefixItems" | "properties" | "additionalProperties" => true,
            word if ANNOTATIONS.contains(&word) || word.starts_with("x-") => true,
            word => return Err(format!("{path} has a schema with the word `{word}`, which is not known here")),
        };
        if !holds {
            return wrong(format!("must have {word} {wanted}"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(schema) = schema.get("prefixItems").and_then(|schemas| schemas.get(index)).or_else(|| schema.get("items")) {
            at(&format!("{path}[{index}]"), schema, item, unnamed)?;
        }
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return wrong(format!("must have a member `{name}`"));
        }
    }
    for (name, member) in members {
        match schema.get("properties").and_then(|properties| properties.get(name)).or_else(|| schema.get("additionalProperties")) {
            Some(schema) => at(&format!("{path}.{name}"), schema, member, unnamed)?,
            None if unnamed == Unnamed::Wrong && schema.contains_key("properties") => {
                return wrong(format!("has the member `{name}`, which its schema does not name"));
            }
            None => {}
        }
    }
    Ok(())
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => false,
    };
    match wanted {
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        name => name.as_str().is_some_and(is),
    }
}
