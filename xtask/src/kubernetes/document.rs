//! A Kubernetes object, as YAML has it.

use anyhow::Context;
use serde::Deserialize as _;
use serde_json::Value;

/// A Kubernetes object.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct Document(Value);

impl Document {
    /// Reads all objects of a YAML stream.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn all(text: &str) -> anyhow::Result<Vec<Self>> {
        let stream = serde_yaml_ng::Deserializer::from_str(text);
        let values = stream.map(|document| Value::deserialize(document).context("this is no YAML"));
        values.filter(|value| !matches!(value, Ok(Value::Null))).map(|value| value.map(Self)).collect()
    }

    pub(crate) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Returns what stands at a JSON pointer; null if nothing does.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Returns the text at a JSON pointer; an empty one if there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// Returns the list at a JSON pointer; an empty one if there is none.
    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }
}
