//! Reads the fields of a JSON object and names the field that is wrong: the one set of rules by which HTTP checks a command and a processor reads it.
//!
//! `null` counts as absent, and members that nobody asks for are ignored.

use fluvio_streams::envelope::{Unreadable, is_identifier};
use fluvio_streams::system::FieldError;
use serde_json::Value;

use crate::limits::TEXT_BYTES_MAX;

/// An object and its path in the command, empty for the command itself.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    object: &'a serde_json::Map<String, Value>,
    path: &'a str,
}

impl<'a> Fields<'a> {
    /// Returns the fields of an object.
    ///
    /// # Errors
    /// [`FieldError`] if `value` is none.
    pub fn of(value: &'a Value, path: &'a str) -> Result<Self, FieldError> {
        match value.as_object() {
            Some(object) => Ok(Self { object, path }),
            None => Err(FieldError { field: path.to_owned(), detail: "must be an object".to_owned() }),
        }
    }

    /// Returns a member that is there and not null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Returns the error that `name` is wrong.
    pub fn wrong(&self, name: &str, detail: impl Into<String>) -> FieldError {
        let field = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        FieldError { field, detail: detail.into() }
    }

    /// Returns an id: 1 to 256 bytes without control characters.
    pub fn identifier(&self, name: &str) -> Result<Option<&'a str>, FieldError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_identifier(text) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "must be a string of 1 to 256 bytes without control characters")),
        }
    }

    /// Returns a free text.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, FieldError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= TEXT_BYTES_MAX => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, format!("must be a string of at most {TEXT_BYTES_MAX} bytes"))),
        }
    }

    /// Returns a whole number from `min` to `max`.
    pub fn integer(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>, FieldError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_i64().filter(|number| (min..=max).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(name, format!("must be a whole number from {min} to {max}"))),
        }
    }
}

/// Returns the error as the reason why a record of type `kind` cannot be read.
pub fn unreadable(kind: &str, error: &FieldError) -> Unreadable {
    Unreadable(format!("{kind}: field `{}` {}", error.field, error.detail))
}
