//! Reads the parameters of the SmartModules. Only their text; what they select is in [`crate::Selection`] and
//! [`crate::Filter`].

use crate::{
    limits::{NAME_BYTES_MAX, NAMES_MAX},
    scan::JsonStr,
};

/// Why parameters were refused. The text names the parameter, because it is all that the person at the CLI sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// None of the parameters was given, and without one the module would do nothing.
    #[error("missing parameter: give {0}, for example `types=OrderPlaced,OrderRejected`")]
    Missing(&'static str),
    /// A redaction that does not say what to take out.
    #[error("missing parameter: give `redact`, for example `redact=address,name`")]
    NothingToRedact,
    /// Parameters that contradict each other.
    #[error("parameters `types` and `except` exclude each other: give one of them")]
    Both,
    /// A parameter without a single name in it.
    #[error("parameter `{0}` is empty")]
    Empty(&'static str),
    /// More names than [`NAMES_MAX`].
    #[error("parameter `{0}` lists more than {NAMES_MAX} names")]
    TooMany(&'static str),
    /// A name longer than [`NAME_BYTES_MAX`].
    #[error("parameter `{0}` has a name of more than {NAME_BYTES_MAX} bytes")]
    TooLong(&'static str),
}

/// The names that a parameter lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(Vec<String>);

impl Names {
    /// Reads `A,B,C`. Blanks around a name and empty places between commas are overlooked.
    pub(crate) fn parse(parameter: &'static str, list: &str) -> Result<Self, ParamError> {
        let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Err(ParamError::Empty(parameter));
        }
        if names.len() > NAMES_MAX {
            return Err(ParamError::TooMany(parameter));
        }
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(ParamError::TooLong(parameter));
        }
        Ok(Self(names.into_iter().map(str::to_owned).collect()))
    }

    pub(crate) fn contains(&self, name: JsonStr<'_>) -> bool {
        self.0.iter().any(|listed| name.is(listed))
    }
}

/// Reads a parameter that is one name.
pub(crate) fn name(parameter: &'static str, value: &str) -> Result<String, ParamError> {
    let value = value.trim();
    if value.is_empty() {
        return Err(ParamError::Empty(parameter));
    }
    if value.len() > NAME_BYTES_MAX {
        return Err(ParamError::TooLong(parameter));
    }
    Ok(value.to_owned())
}
