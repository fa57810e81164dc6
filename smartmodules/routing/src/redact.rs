//! Takes members out of records: what a subscriber must not see does not leave the broker.

use crate::{
    params::{Names, ParamError},
    scan::Scanner,
    select::Selection,
};

/// What `redact-map` does: passes some types, or everything but some types, without the members of some names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    selection: Selection,
    names: Names,
}

/// What is left of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redacted {
    /// Nothing had to be taken out: it passes as it is.
    Nothing,
    /// It passes without the members: everything else is as it was, byte by byte, but for blanks beside what is gone.
    Rest(Vec<u8>),
    /// A stub: it does not pass, or it cannot be read and nobody knows what is in it.
    Stub,
}

impl Redaction {
    /// Builds a redaction from the parameters `types` and `except`, exactly one of which must be given, and `redact`.
    ///
    /// # Errors
    /// [`ParamError`], which names the parameter.
    pub fn from_params(types: Option<&str>, except: Option<&str>, redact: Option<&str>) -> Result<Self, ParamError> {
        let names = redact.ok_or(ParamError::NothingToRedact)?;
        Ok(Self { selection: Selection::from_params(types, except)?, names: Names::parse("redact", names)? })
    }

    /// Takes the members out of a record, wherever in it they stand and however their names are escaped.
    pub fn apply(&self, value: &[u8]) -> Redacted {
        match self.selection.passes_readable(value) {
            Some(true) => self.rest(value).unwrap_or(Redacted::Stub),
            Some(false) | None => Redacted::Stub,
        }
    }

    /// Copies what stands between the members. The text is well-formed, so a quote outside of a string begins a string,
    /// and a string before a colon is a name: no containers have to be kept track of.
    fn rest(&self, value: &[u8]) -> Option<Redacted> {
        let mut scanner = Scanner::new(value)?;
        let mut rest = Vec::new();
        let mut copied = 0;
        while let Some((start, string)) = scanner.next_string() {
            if !scanner.colon() || !self.names.contains(string) {
                continue;
            }
            scanner.value()?;
            let mut end = scanner.at();
            if copied == 0 {
                rest.reserve_exact(value.len());
            }
            rest.extend_from_slice(value.get(copied..start)?);
            // One of the two commas around the member goes with it: the one before, or, if it is the first, the one behind.
            rest.truncate(rest.trim_ascii_end().len());
            if rest.last() == Some(&b',') {
                rest.pop();
            } else {
                scanner.comma();
                end = scanner.at();
            }
            copied = end;
        }
        if copied == 0 {
            return Some(Redacted::Nothing);
        }
        rest.extend_from_slice(value.get(copied..)?);
        Some(Redacted::Rest(rest))
    }
}

#[cfg(test)]
mod tests;
