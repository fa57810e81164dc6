//! `orderflow dlq show`: everything about one letter, with its record read again from where it stands.

use std::process::ExitCode;

use anyhow::Context as _;
use fluvio_streams::log::Log;
use fluvio_streams::record::NewRecord;
use fluvio_streams::system::System;
use fluvio_streams::time::format_rfc3339;
use serde_json::{Value, json};

use super::letters::{Letter, LetterId, Letters, State, Wanted};
use super::original::Original;
use super::{printable, state};

pub(super) async fn show(log: &dyn Log, system: &System, id: &LetterId, is_json: bool) -> anyhow::Result<ExitCode> {
    let letters = Letters::read(log, system, Wanted::default()).await?;
    let missing =
        || format!("{} holds no dead letter at {}/{}; `orderflow dlq list {}` shows those that it holds", letters.topic, id.partition, id.offset, system.name);
    let letter = letters.get(id).with_context(missing)?;
    let original = Original::find(log, &letters.topic, &letter).await?;
    let refusal = original.to_append(system, &letter).err();
    if is_json {
        let mut shown = serde_json::to_value(&letter)?;
        shown["record"] = record_json(&original);
        shown["canRedrive"] = json!(refusal.is_none());
        refusal.into_iter().for_each(|reason| shown["refusal"] = reason.into());
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(ExitCode::SUCCESS);
    }
    print(&letters, &letter, &original, refusal.as_deref());
    Ok(ExitCode::SUCCESS)
}

fn print(letters: &Letters, letter: &Letter, original: &Original, refusal: Option<&str>) {
    let line = |name: &str, text: &str| println!("{name:<10} {}", printable(text));
    line("id", &letter.id.to_string());
    line("letter", &format!("{}/{}/{}", letters.topic, letter.id.partition, letter.id.offset));
    line("when", &letter.at);
    line("processor", letter.processor.as_deref().unwrap_or("(view)"));
    line("error", &letter.error);
    match letter.about() {
        Some(place) => line("record", &place.to_string()),
        None => line("within", &format!("{}/{}", letter.topic, letter.partition)),
    }
    letter.cause.iter().for_each(|cause| line("cause", cause));
    line("redrives", &letter.redrives.to_string());
    line(
        "state",
        &match &letter.state {
            State::Open => state(letter).to_owned(),
            State::Started { at, .. } => format!("{}: a redrive began at {at} and did not say how it went", state(letter)),
            State::Redriven { at, to } => format!("{} at {at}, to {to}", state(letter)),
        },
    );
    line("redrive", &refusal.map_or_else(|| format!("orderflow dlq redrive {}", letter.id), |reason| format!("cannot be: {reason}")));
    match original {
        Original::Standing(record) => {
            println!();
            line("written", &format_rfc3339(record.timestamp_ms));
            print_record(record.key.as_deref(), &record.value);
        }
        Original::Quoted(NewRecord { key, value }) => {
            println!("\nthe record is not held any more; the letter quotes all of it");
            print_record(key.as_deref(), value);
        }
        Original::Gone(_) => {}
    }
}

fn print_record(key: Option<&[u8]>, value: &[u8]) {
    println!("{:<10} {}", "key", key.map_or_else(|| "(none)".to_owned(), |key| printable(&text(key))));
    println!("{:<10} {} bytes\n", "value", value.len());
    match serde_json::from_slice::<Value>(value).ok().and_then(|value| serde_json::to_string_pretty(&value).ok()) {
        Some(pretty) => println!("{pretty}"),
        None => text(value).lines().for_each(|line| println!("{}", printable(line))),
    }
}

/// Returns bytes as text, with those that are none as `\xff`.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

fn record_json(original: &Original) -> Value {
    let of = |from: &str, key: Option<&[u8]>, value: &[u8]| {
        let value_of = serde_json::from_slice(value).unwrap_or_else(|_| Value::String(text(value)));
        json!({"from": from, "key": key.map(text), "value": value_of, "bytes": value.len()})
    };
    match original {
        Original::Standing(record) => {
            let mut shown = of("topic", record.key.as_deref(), &record.value);
            shown["at"] = format_rfc3339(record.timestamp_ms).into();
            shown
        }
        Original::Quoted(record) => of("quote", record.key.as_deref(), &record.value),
        Original::Gone(why) => json!({"missing": why}),
    }
}
