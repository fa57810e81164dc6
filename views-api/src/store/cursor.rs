//! Where a page ended, as readers carry it.

use std::fmt;
use std::str::FromStr;

use crate::limits::DOCUMENT_ID_BYTES_MAX;

/// The last document of a page. Its text form is opaque to readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Creation time of the document, ms since the Unix epoch.
    pub created_ms: i64,
    /// Its id.
    pub id: String,
}

/// Text that is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cursor was not made by this server")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.created_ms.to_be_bytes();
        bytes.iter().chain(self.id.as_bytes()).try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        if text.len() > 2 * (8 + DOCUMENT_ID_BYTES_MAX) || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotACursor);
        }
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| NotACursor);
        let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
        let (created, id) = bytes.split_first_chunk::<8>().ok_or(NotACursor)?;
        let id = String::from_utf8(id.to_vec()).map_err(|_| NotACursor)?;
        Ok(Self { created_ms: i64::from_be_bytes(*created), id })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_form_leads_back(created_ms: i64, id in ".{0,40}") {
            let cursor = Cursor { created_ms, id };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn other_text_is_refused_without_a_panic(text in ".{0,60}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
