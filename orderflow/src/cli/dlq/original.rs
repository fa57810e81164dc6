//! The record that a dead letter is about: where it is still to be had, and whether it may be sent again.

use fluvio_streams::envelope::Provenance;
use fluvio_streams::limits::DEAD_LETTER_QUOTE_BYTES_MAX;
use fluvio_streams::log::{Log, LogError};
use fluvio_streams::record::{LogRecord, NewRecord, Position};
use fluvio_streams::system::System;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::letters::Letter;
use crate::limits::REACH_TIMEOUT;

/// The record that a letter is about.
#[derive(Debug, Clone)]
pub(super) enum Original {
    /// It still stands where the letter says.
    Standing(LogRecord),
    /// It is gone; this is what the letter quotes of it, which is all of it.
    Quoted(NewRecord),
    /// It cannot be had, and why.
    Gone(String),
}

impl Original {
    /// Finds the record of a letter.
    ///
    /// # Errors
    /// If a topic cannot be read.
    pub(super) async fn find(log: &dyn Log, dead_letters: &str, letter: &Letter) -> anyhow::Result<Self> {
        let Some(place) = letter.about() else { return Ok(Self::Gone(no_record(letter))) };
        if let Some(record) = read_one(log, &place).await? {
            return Ok(Self::Standing(record));
        }
        let at = Position { topic: dead_letters.to_owned(), partition: letter.id.partition, offset: letter.id.offset };
        let quote = read_one(log, &at).await?.and_then(|record| serde_json::from_slice::<Value>(&record.value).ok()).unwrap_or_default();
        Ok(match quoted(&quote["data"]) {
            Ok(record) => Self::Quoted(record),
            Err(why) => Self::Gone(format!("{place} is not held any more, and {why}")),
        })
    }

    /// Returns the record to append again, or why that would be wrong.
    pub(super) fn to_append(&self, system: &System, letter: &Letter) -> Result<NewRecord, String> {
        let record = match self {
            Self::Standing(record) => NewRecord { key: record.key.clone(), value: record.value.clone() },
            Self::Quoted(record) => record.clone(),
            Self::Gone(why) => return Err(why.clone()),
        };
        if !system.topology.processors.iter().any(|processor| processor.sources.iter().any(|source| source.topic == letter.topic)) {
            return Err(format!("no processor of {} reads {}: nobody would take it", system.name, letter.topic));
        }
        let Some((provenance, payload)) = sent_by_a_task(&record.value) else { return Ok(record) };
        // What tasks write among the commands are commands that they found in the wrong partition, and wrapped: unwrapped they are what was sent.
        if letter.topic == system.commands_topic {
            return Ok(NewRecord { value: payload.into(), ..record });
        }
        if letter.is_of_view() {
            return Err(format!("the view is at fault, not the record ({}): mend it and have the views rebuilt, see docs/operating.md", letter.topic));
        }
        Err(format!(
            "it was sent by transaction {} of {}/{}: who reads {} has noted that it came and drops it the second time; give the command again that makes up for it",
            provenance.sequence, provenance.journal, provenance.partition, letter.topic
        ))
    }
}

/// Reads the record at a place; `None` if it is not there.
///
/// # Errors
/// If the topic cannot be read.
pub(super) async fn read_one(log: &dyn Log, place: &Position) -> anyhow::Result<Option<LogRecord>> {
    let Position { topic, partition, offset } = place;
    let is_absent = |error: &LogError| matches!(error, LogError::NoTopic { .. } | LogError::OffsetOutOfRange { .. });
    let reading = async {
        let offsets = log.offsets(topic, *partition).await?;
        if !(offsets.start..offsets.end).contains(offset) {
            return Ok(None);
        }
        let mut reader = log.read(topic, *partition, *offset, None).await?;
        loop {
            let fetched = reader.next().await?;
            if fetched.next_offset > *offset {
                return Ok(fetched.records.into_iter().find(|record| record.offset == *offset));
            }
        }
    };
    match tokio::time::timeout(REACH_TIMEOUT, reading).await {
        Ok(Err(error)) if is_absent(&error) => Ok(None),
        Ok(read) => Ok(read?),
        Err(_) => anyhow::bail!("{place} cannot be read within {} s", REACH_TIMEOUT.as_secs()),
    }
}

fn no_record(letter: &Letter) -> String {
    match &letter.cause {
        Some(cause) => format!("it is about no record but about what happened inside `{}` (`{cause}`): there is nothing to send again", letter.topic),
        None => "it is about no record: there is nothing to send again".to_owned(),
    }
}

/// Returns the record as a letter quotes it, if that is certain to be the whole.
fn quoted(data: &Value) -> Result<NewRecord, &'static str> {
    let value = data["value"].as_str().ok_or("the letter quotes nothing")?;
    let key = data["key"].as_str();
    let texts = || key.into_iter().chain([value]);
    if texts().any(|text| text.len() >= DEAD_LETTER_QUOTE_BYTES_MAX) {
        return Err("the letter quotes only its beginning");
    }
    if texts().any(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
        return Err("it was not all text, so that the letter does not quote it byte by byte");
    }
    Ok(NewRecord { key: key.map(|key| key.to_owned().into()), value: value.to_owned().into() })
}

/// Returns which transaction a record comes from, and what it carries, if a task sent it.
fn sent_by_a_task(value: &[u8]) -> Option<(Provenance, Vec<u8>)> {
    #[derive(Deserialize)]
    struct Sent<'a> {
        provenance: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let sent: Sent<'_> = serde_json::from_slice(value).ok()?;
    Some((Provenance::parse(&sent.provenance)?, sent.data.get().as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Goal: what is sent again from a quote is byte by byte what was sent first.
    #[test]
    fn a_quote_stands_for_the_record_only_if_it_is_whole() {
        let whole = quoted(&json!({"key": "주문-1", "value": "chicken, please"})).expect("it is whole");
        assert_eq!((whole.key.as_deref(), &whole.value[..]), (Some("주문-1".as_bytes()), &b"chicken, please"[..]));
        assert_eq!(quoted(&json!({"key": null, "value": ""})).expect("an empty record is whole").key, None);
        for (spoilt, why) in [
            (json!({"key": "\u{fffd}", "value": "x"}), "not all text"),
            (json!({"key": null, "value": "\u{fffd}\u{fffd}\0"}), "not all text"),
            (json!({"key": null, "value": "x".repeat(DEAD_LETTER_QUOTE_BYTES_MAX)}), "only its beginning"),
            (json!({"key": null}), "quotes nothing"),
        ] {
            assert!(quoted(&spoilt).expect_err("it is not certain").contains(why));
        }
    }

    #[test]
    fn only_what_a_task_sent_has_a_provenance() {
        let forwarded = br#"{"specversion":"1.0","provenance":"s-orders-journal/1/2/3/4","data":{"type":"PlaceOrder", "item":7}}"#;
        let (provenance, payload) = sent_by_a_task(forwarded).expect("a task sent it");
        assert_eq!((provenance.sequence, &payload[..]), (3, &br#"{"type":"PlaceOrder", "item":7}"#[..]));
        for outside in [&b"\xff\xfe"[..], b"", br#"{"type":"PlaceOrder","provenance":"me"}"#, br#"{"type":"PlaceOrder","provenance":"me","data":{}}"#] {
            assert!(sent_by_a_task(outside).is_none());
        }
    }
}
