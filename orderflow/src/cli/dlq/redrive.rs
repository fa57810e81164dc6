//! Sending the records of dead letters again: each at most once per letter, and no record more often than is allowed.
//!
//! For each letter: `RedriveStarted`, the record, `Redriven` with its new place. A redrive that was interrupted between the first two is found out by looking for the record where it would stand.

use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use fluvio_streams::log::Log;
use fluvio_streams::record::{NewRecord, Position};
use fluvio_streams::system::System;
use fluvio_streams::time::{Clock as _, SystemClock, format_rfc3339, parse_rfc3339};
use serde::Serialize;

use super::super::scan::scan;
use super::letters::{Letter, LetterId, Letters, Note, State};
use super::original::Original;
use crate::limits::{DLQ_APPEND_WITHIN, DLQ_INTERRUPTED_AFTER_MS};

/// How letters are to be redriven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Only say what would be done.
    pub(super) is_dry: bool,
    /// A record is not redriven more often.
    pub(super) replays_max: u32,
    /// Also letters that were redriven already.
    pub(super) again: bool,
}

/// What came of one letter.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub(super) enum Outcome {
    /// Its record stands there now.
    Redriven { to: String },
    /// Its record had been appended by a redrive that did not come to its end; that is noted now.
    Settled { to: String },
    /// Its record would be appended to this partition.
    WouldRedrive { to: String },
    /// It must not be, and why.
    Refused { reason: String },
    /// It should have been, and why it is not.
    Failed { reason: String },
}

/// Redrives a letter.
pub(super) async fn redrive(log: &dyn Log, system: &System, letters: &mut Letters, id: &LetterId, rules: Rules) -> Outcome {
    match try_redrive(log, system, letters, id, rules).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed { reason: format!("{error:#}") },
    }
}

async fn try_redrive(log: &dyn Log, system: &System, letters: &mut Letters, id: &LetterId, rules: Rules) -> anyhow::Result<Outcome> {
    let refused = |reason: String| Ok(Outcome::Refused { reason });
    let Some(letter) = letters.get(id) else { return refused(format!("{} holds no dead letter there", letters.topic)) };
    let original = Original::find(log, &letters.topic, &letter).await?;
    let record = match original.to_append(system, &letter) {
        Ok(record) => record,
        Err(reason) => return refused(reason),
    };
    match &letter.state {
        State::Open => {}
        State::Redriven { at, to } if !rules.again => {
            return refused(format!("it was redriven at {at} and stands at {to}; with --again it is redriven once more, whatever came of that"));
        }
        State::Redriven { .. } => {}
        State::Started { at, from } => {
            if let Some(place) = find_again(log, letters, &letter, &record, *from).await? {
                let to = place.to_string();
                if !rules.is_dry {
                    note_redriven(log, letters, &letter, letter.latest, place).await?;
                }
                return Ok(Outcome::Settled { to });
            }
            let age_ms = SystemClock.now_ms() - parse_rfc3339(at).unwrap_or_default();
            if age_ms < DLQ_INTERRUPTED_AFTER_MS {
                return refused(format!("somebody began to redrive it at {at}; if that was interrupted, try again in {} s", DLQ_INTERRUPTED_AFTER_MS / 1_000));
            }
        }
    }
    if letter.redrives >= rules.replays_max {
        let times = letter.redrives;
        return refused(format!(
            "its record was redriven {times} times and came back each time; mend the cause, then allow one more with --max-replays {}",
            times + 1
        ));
    }
    let partitions = log.partitions(&letter.topic).await?;
    if letter.partition >= partitions {
        return refused(format!("{} has no partition {}", letter.topic, letter.partition));
    }
    if rules.is_dry {
        return Ok(Outcome::WouldRedrive { to: format!("{}/{}", letter.topic, letter.partition) });
    }
    append(log, letters, &letter, record).await
}

/// Appends the record of a letter that may be redriven.
async fn append(log: &dyn Log, letters: &mut Letters, letter: &Letter, record: NewRecord) -> anyhow::Result<Outcome> {
    let Letter { id, topic, partition, .. } = letter;
    let writer = log.writer(topic, *partition).await?;
    let from = log.offsets(topic, *partition).await?.end;
    let began = Instant::now();
    let started = Note::RedriveStarted {
        letter: id.to_string(),
        after: letter.latest,
        topic: topic.clone(),
        partition: *partition,
        from,
        redrives: letter.redrives + 1,
        at: format_rfc3339(SystemClock.now_ms()),
    };
    let started_at = write(log, letters, id.partition, &started).await.context("nothing was sent, for it cannot be noted")?;
    letters.read_on(log, id.partition).await?;
    if letters.get(id).is_none_or(|letter| letter.latest != started_at) {
        return Ok(Outcome::Refused { reason: "somebody else began to redrive it at this moment".to_owned() });
    }
    ensure!(began.elapsed() < DLQ_APPEND_WITHIN, "the cluster is too slow: nothing was sent; try again in {} s", DLQ_INTERRUPTED_AFTER_MS / 1_000);
    let offset = match writer.append(vec![record]).await {
        Ok(offset) => offset,
        Err(error) => bail!(
            "it is not known whether the record was appended to {topic}/{partition} ({error}); the same command finds out in {} s",
            DLQ_INTERRUPTED_AFTER_MS / 1_000
        ),
    };
    let place = Position { topic: topic.clone(), partition: *partition, offset };
    let to = place.to_string();
    note_redriven(log, letters, letter, started_at, place)
        .await
        .with_context(|| format!("its record stands at {to}, but that cannot be noted; the same command makes up for it"))?;
    Ok(Outcome::Redriven { to })
}

/// Looks for the record of an interrupted redrive, where it would stand. Records that are known to have come from others are not it.
async fn find_again(log: &dyn Log, letters: &Letters, letter: &Letter, record: &NewRecord, from: i64) -> anyhow::Result<Option<Position>> {
    let mut found = None;
    scan(log, &letter.topic, letter.partition, from, None, |read| {
        let place = Position { topic: letter.topic.clone(), partition: letter.partition, offset: read.offset };
        if found.is_none() && read.key == record.key && read.value == record.value && !letters.is_redriven(&place) {
            found = Some(place);
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

async fn note_redriven(log: &dyn Log, letters: &mut Letters, letter: &Letter, after: i64, place: Position) -> anyhow::Result<()> {
    let note = Note::Redriven {
        letter: letter.id.to_string(),
        after,
        topic: place.topic,
        partition: place.partition,
        offset: place.offset,
        redrives: letter.redrives + 1,
        at: format_rfc3339(SystemClock.now_ms()),
    };
    write(log, letters, letter.id.partition, &note).await?;
    letters.read_on(log, letter.id.partition).await
}

/// Writes a note among the dead letters; returns where it stands.
async fn write(log: &dyn Log, letters: &Letters, partition: u32, note: &Note) -> anyhow::Result<i64> {
    let value = serde_json::to_vec(note).context("a note is JSON")?;
    let writer = log.writer(&letters.topic, partition).await?;
    Ok(writer.append(vec![NewRecord { key: None, value: value.into() }]).await?)
}

#[cfg(test)]
mod tests;
