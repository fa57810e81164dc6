//! Committed transactions whose effects the brokers have not all acknowledged, and the wire form of effects.

use std::collections::VecDeque;

use super::{Outgoing, Stop};
use crate::envelope::{self, Provenance};
use crate::journal::{Cursor, Transaction};
use crate::processor::Effect;
use crate::topology::ProcessorSpec;

struct Unsent {
    /// Where the transaction stands in the journal: a successor reads from here.
    cursor: Cursor,
    epoch: u64,
    sequence: u64,
    time_ms: i64,
    effects: VecDeque<Effect>,
    unacknowledged: usize,
}

/// Effects of one transaction: (epoch, sequence, time, effects).
pub(super) type Batch = (u64, u64, i64, VecDeque<Effect>);

pub(super) struct Outbox {
    unsent: VecDeque<Unsent>,
    /// Effects of transactions up to this one have all been acknowledged.
    sent: u64,
    /// Where to read from if nothing is unsent and nothing has been applied since.
    start: Cursor,
}

impl Outbox {
    pub(super) fn new(start: Cursor, sent: u64) -> Self {
        Self { unsent: VecDeque::new(), sent, start }
    }

    pub(super) fn len(&self) -> usize {
        self.unsent.len()
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns where a successor must begin to read, for it to find every unsent effect; `end` if there is none.
    pub(super) fn cursor(&self, end: &Cursor) -> Cursor {
        self.unsent.front().map_or_else(|| if end.offset >= self.start.offset { end.clone() } else { self.start.clone() }, |unsent| unsent.cursor.clone())
    }

    /// Takes a transaction that counts, its effects out of it; `cursor` stands before it. Its own word on what was sent is heard first.
    pub(super) fn push(&mut self, cursor: Cursor, transaction: &mut Transaction) {
        self.forget_up_to(transaction.sent);
        if transaction.sequence <= self.sent {
            return;
        }
        self.unsent.push_back(Unsent {
            cursor,
            epoch: transaction.epoch,
            sequence: transaction.sequence,
            time_ms: transaction.time_ms,
            unacknowledged: transaction.effects.len(),
            effects: std::mem::take(&mut transaction.effects).into(),
        });
        self.settle();
    }

    pub(super) fn acknowledge(&mut self, sequence: u64, count: usize) {
        if let Some(unsent) = self.unsent.iter_mut().find(|unsent| unsent.sequence == sequence) {
            unsent.unacknowledged = unsent.unacknowledged.saturating_sub(count);
        }
        self.settle();
    }

    /// Returns the effects of one transaction. They stay here until they are acknowledged.
    pub(super) fn effects_of(&self, sequence: u64) -> Vec<Batch> {
        self.unsent.iter().filter(|unsent| unsent.sequence == sequence).map(batch).collect()
    }

    /// Returns all effects that a predecessor may not have sent.
    pub(super) fn unsent_effects(&self) -> Vec<Batch> {
        self.unsent.iter().map(batch).collect()
    }

    fn forget_up_to(&mut self, sequence: u64) {
        while self.unsent.front().is_some_and(|unsent| unsent.sequence <= sequence) {
            self.unsent.pop_front();
        }
        self.sent = self.sent.max(sequence);
    }

    fn settle(&mut self) {
        while self.unsent.front().is_some_and(|unsent| unsent.unacknowledged == 0) {
            self.sent = self.unsent.pop_front().map_or(self.sent, |unsent| unsent.sequence);
        }
    }
}

fn batch(unsent: &Unsent) -> Batch {
    (unsent.epoch, unsent.sequence, unsent.time_ms, unsent.effects.clone())
}

/// Renders effects as records. The same transaction gives the same bytes, whoever sends it.
pub(super) fn render(application: &str, spec: &ProcessorSpec, partition: u32, batches: Vec<Batch>) -> Result<Vec<Outgoing>, Stop> {
    let source = format!("/{application}/{}/{partition}", spec.name);
    let mut outgoing = Vec::new();
    for (epoch, sequence, time_ms, effects) in batches {
        for (index, effect) in (0u32..).zip(effects) {
            let provenance = Provenance { journal: spec.journal.clone(), partition, epoch, sequence, index };
            let value = envelope::render(&effect.event, &provenance, &source, time_ms).map_err(|error| Stop::Journal(error.to_string()))?;
            outgoing.push(Outgoing { sequence, topic: effect.topic, partition: effect.partition, key: effect.event.subject, value });
        }
    }
    Ok(outgoing)
}
