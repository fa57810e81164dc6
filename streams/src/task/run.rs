//! A run: from inputs to one transaction.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Phase, RunReport, Stop, Task, UnreadableInput, Work, recovery};
use crate::envelope::{self, Format, Message, Unreadable};
use crate::journal::{JournalRecord, Transaction};
use crate::limits::{DEAD_LETTER_QUOTE_BYTES_MAX, JOURNAL_RECORD_BYTES_MAX, RECORD_BYTES_MAX, RUN_BYTES_MAX};
use crate::partitioner::partition_for;
use crate::processor::{Context, Draft, Effect, Failure, Input, Place, Rejection, StateReader};
use crate::record::{LogRecord, Position};
use crate::state::{Change, StateError, keys};
use crate::telemetry::UnreadableReason;
use crate::topology::{ErrorPolicy, STUB};
use crate::trace::{InputTraced, TraceContext, span_of_input};

/// After so many inputs without an effect, progress is journaled all the same, so that a restart does not read them again.
const UNJOURNALED_INPUTS_MAX: usize = 10_000;

/// A transaction that waits for its acknowledgement.
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    pub(super) fingerprint: u64,
    pub(super) bytes: usize,
}

/// What a run has gathered so far.
#[derive(Default)]
pub(super) struct Run {
    pub(super) changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    effects: Vec<Effect>,
    causes: Vec<String>,
    pub(super) bytes: usize,
    report: RunReport,
}

impl Run {
    fn take(&mut self, cause: String, draft: Draft) {
        self.bytes += cause.len() + draft_bytes(&draft);
        self.causes.push(cause);
        self.changes.extend(draft.changes);
        for effect in &draft.effects {
            match self.report.emitted.get_mut(&effect.event.kind) {
                Some(count) => *count += 1,
                None => drop(self.report.emitted.insert(effect.event.kind.clone(), 1)),
            }
        }
        self.effects.extend(draft.effects);
        self.report.breaker_changes.extend(draft.breaker_changes);
        self.report.traced.extend(draft.traced);
        self.report.partner_answers.extend(draft.partner_answers);
        self.report.inputs += 1;
    }
}

fn draft_bytes(draft: &Draft) -> usize {
    let changes: usize = draft.changes.iter().map(|(key, value)| 8 + key.len() + value.as_ref().map_or(0, Vec::len)).sum();
    let effects =
        draft.effects.iter().map(|effect| 64 + effect.topic.len() + effect.event.data.len() + 2 * effect.event.correlation.len() + effect.event.subject.len());
    changes + effects.sum::<usize>()
}

/// The state as the next input of a run sees it.
struct RunState<'a> {
    store: &'a dyn StateReader,
    changes: &'a BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl StateReader for RunState<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.store.get(key),
        }
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let overlay = self.changes.range(from.to_vec()..to.to_vec());
        let deleted = overlay.clone().filter(|(_, value)| value.is_none()).count();
        let mut merged: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            self.store.range(from, to, limit.saturating_add(deleted))?.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(overlay.map(|(key, value)| (key.clone(), value.clone())));
        Ok(merged.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).take(limit).collect())
    }
}

/// What became of one record.
enum Verdict {
    /// Nothing to do but to go on.
    Skipped,
    /// Taken before.
    Repeated,
    /// The processor took it.
    Taken(String, Draft),
    /// The business said no.
    Rejected(String, Draft, String),
    /// Nobody can read it.
    Unreadable(UnreadableReason, Option<(String, Draft)>),
}

impl Task {
    /// Makes a transaction of as many of `work` as fit, in order, and returns its journal record; what is left stays in `work`. `None`: the inputs changed nothing.
    ///
    /// # Errors
    /// [`Stop`]: the incarnation must end.
    ///
    /// # Panics
    /// If the task does not own, or a transaction is pending.
    pub fn step(&mut self, work: &mut std::collections::VecDeque<Work>, now_ms: i64) -> Result<(Option<Vec<u8>>, RunReport), Stop> {
        assert!(matches!(self.phase, Phase::Owner { .. }) && self.pending.is_none(), "one transaction at a time, by the owner");
        let now_ms = now_ms.max(self.last_time_ms);
        let mut run = Run::default();
        let mut taken = 0;
        while taken < crate::limits::RUN_INPUTS_MAX && run.bytes < RUN_BYTES_MAX {
            let Some(work) = work.pop_front() else { break };
            taken += 1;
            match work {
                Work::Record(source, record) => self.take_record(&mut run, source, record, now_ms)?,
                Work::Timer(key) => self.take_timer(&mut run, &key, now_ms)?,
                Work::CallResult(result) => self.take_call_result(&mut run, &result, now_ms)?,
            }
        }
        self.unjournaled_inputs += taken;
        if run.changes.is_empty() && run.effects.is_empty() && self.unjournaled_inputs < UNJOURNALED_INPUTS_MAX {
            return Ok((None, run.report));
        }
        let report = std::mem::take(&mut run.report);
        Ok((Some(self.seal(run, now_ms)?), report))
    }

    /// Returns where the effects of the next input of a run will stand.
    fn place(&self, run: &Run) -> Place<'_> {
        Place { journal: &self.spec.journal, sequence: self.next_sequence(), effects_before: run.effects.len() }
    }

    /// Returns the sequence number of the transaction that is made next.
    fn next_sequence(&self) -> u64 {
        self.applied.fold.sequence + 1
    }

    /// Makes the transaction of a run, and takes along a part of a snapshot.
    pub(super) fn seal(&mut self, mut run: Run, now_ms: i64) -> Result<Vec<u8>, Stop> {
        self.check_declared(&run.changes)?;
        run.changes.extend(self.schema.change());
        let kept = self.keep(&run, now_ms)?;
        for (source, offset) in self.spec.sources.iter().zip(&self.source_offsets) {
            run.changes.insert(keys::source(&source.topic), Some(offset.to_be_bytes().to_vec()));
        }
        let mut transaction = Transaction {
            owner: self.owner.clone(),
            epoch: self.applied.fold.epoch,
            sequence: self.next_sequence(),
            time_ms: now_ms,
            sent: self.outbox.sent(),
            causes: run.causes,
            changes: run.changes.into_iter().collect(),
            effects: run.effects,
            restore_point: self.snapshots.restore_point(self.outbox.sent()),
            kept,
        };
        transaction.carry_traces();
        let record = JournalRecord::Transaction(transaction);
        let bytes = record.encode();
        if let JournalRecord::Transaction(transaction) = record {
            self.pending = Some(Pending { transaction, fingerprint: recovery::fingerprint(&bytes), bytes: bytes.len() });
        }
        Ok(bytes)
    }

    fn take_record(&mut self, run: &mut Run, source: usize, record: LogRecord, now_ms: i64) -> Result<(), Stop> {
        let expected = self.source_offsets[source];
        if record.offset < expected {
            run.report.repeated += 1;
            return Ok(());
        }
        if record.offset > expected {
            return Err(Stop::Gap { topic: self.spec.sources[source].topic.clone(), expected, got: record.offset });
        }
        let verdict = self.judge(run, source, &record, now_ms)?;
        self.source_offsets[source] = record.offset + 1;
        match verdict {
            Verdict::Skipped => {}
            Verdict::Repeated => run.report.repeated += 1,
            Verdict::Taken(cause, draft) => run.take(cause, draft),
            Verdict::Rejected(cause, mut draft, reason) => {
                draft.traced.iter_mut().for_each(|traced| traced.outcome = "rejected");
                run.report.rejected.push(reason);
                run.take(cause, draft);
            }
            Verdict::Unreadable(reason, letter) => {
                run.report.unreadable.push(UnreadableInput { source: Some(source), reason, dead_lettered: letter.is_some() });
                if let Some((cause, draft)) = letter {
                    run.take(cause, draft);
                }
            }
        }
        Ok(())
    }

    fn judge(&self, run: &Run, source_index: usize, record: &LogRecord, now_ms: i64) -> Result<Verdict, Stop> {
        if record.value == STUB {
            return Ok(Verdict::Skipped);
        }
        let source = &self.spec.sources[source_index];
        let position = Position { topic: source.topic.clone(), partition: self.partition, offset: record.offset };
        let state = RunState { store: &*self.store, changes: &run.changes };
        let read = match record.value.len() {
            length if length > RECORD_BYTES_MAX => Err(Unreadable(format!("value has {length} bytes, at most {RECORD_BYTES_MAX} are taken"))),
            _ => envelope::read(source.format, position.clone(), record.key.as_deref(), &record.value, record.timestamp_ms),
        };
        let message = match read {
            Ok(message) => message,
            Err(error) => {
                let correlation = position.to_string();
                return self.unreadable(
                    &state,
                    source.on_error,
                    &position,
                    record,
                    (&correlation, TraceContext::of(&correlation)),
                    (UnreadableReason::Malformed, &error.0),
                    now_ms,
                    None,
                );
            }
        };
        // The broker routes by the same rule; here it also holds for a broker that does not.
        if !source.routing.passes(Some(&message.kind)) {
            return Ok(Verdict::Skipped);
        }
        let progress = match self.progress_of_sender(&state, &message)? {
            Some(progress) => progress,
            None => return Ok(Verdict::Repeated),
        };
        let context = || {
            let mut context = Context::new(&state, now_ms, self.partition, self.partitions, position.to_string()).with_stores(&self.spec.stores).caused_by(
                &message.id,
                &message.correlation,
                message.trace.trace,
            );
            context.draft.changes.extend(progress.clone());
            context.draft.traced = self.traced(message.trace, &message.id, &message.kind, &position.to_string(), message.subject.as_deref());
            context.in_transaction(self.place(run))
        };
        if let (Format::Command { .. }, Some(subject)) = (source.format, &message.subject)
            && partition_for(subject.as_bytes(), self.partitions) != self.partition
        {
            let mut context = context();
            context.forward(&source.topic, subject, &message);
            return Ok(Verdict::Taken(position.to_string(), context.into_draft()));
        }
        let mut working = context();
        match self.spec.logic.process(Input::Message(&message), &mut working) {
            Ok(()) => {
                let draft = working.into_draft();
                if draft_bytes(&draft) + RUN_BYTES_MAX > JOURNAL_RECORD_BYTES_MAX {
                    let error = format!("{}: handling it changes more than one transaction may hold", message.kind);
                    return self.unreadable(
                        &state,
                        source.on_error,
                        &position,
                        record,
                        (&message.correlation, message.trace),
                        (UnreadableReason::TooLarge, &error),
                        now_ms,
                        progress,
                    );
                }
                Ok(Verdict::Taken(position.to_string(), draft))
            }
            Err(Failure::Rejected(rejection)) => {
                let mut context = context();
                self.emit_rejection(&mut context, &message, &rejection);
                Ok(Verdict::Rejected(position.to_string(), context.into_draft(), rejection.reason))
            }
            Err(Failure::Unreadable(error)) => self.unreadable(
                &state,
                source.on_error,
                &position,
                record,
                (&message.correlation, message.trace),
                (UnreadableReason::Refused, &error.0),
                now_ms,
                progress,
            ),
            Err(Failure::State(error)) => Err(Stop::State(error)),
        }
    }

    /// Returns the change that remembers the message's sender, if it has one; `None` if the message was taken before.
    fn progress_of_sender(&self, state: &RunState<'_>, message: &Message) -> Result<Option<Option<Change>>, Stop> {
        let Some(provenance) = &message.provenance else { return Ok(Some(None)) };
        let key = keys::sender(&message.position.topic, &provenance.journal, provenance.partition);
        let taken = state.get(&key)?.map(|bytes| taken_of_sender(&message.position.topic, &bytes)).transpose()?;
        if let Some((epoch, sequence, index)) = taken
            && (provenance.sequence, u64::from(provenance.index)) <= (sequence, index)
        {
            if provenance.epoch > epoch {
                return Err(Stop::SenderWentBack { sender: format!("{}/{}", provenance.journal, provenance.partition) });
            }
            return Ok(None);
        }
        let value =
            rmp_serde::to_vec(&(provenance.epoch, provenance.sequence, provenance.index)).unwrap_or_else(|error| panic!("three numbers serialize: {error}"));
        Ok(Some(Some((key, Some(value)))))
    }

    fn emit_rejection(&self, context: &mut Context<'_>, message: &Message, rejection: &Rejection) {
        let subject = message.subject.clone().unwrap_or_else(|| message.id.clone());
        // One that was forwarded travels in an envelope with an id of its own, but under the correlation of what was sent.
        let sent_as = if message.provenance.is_some() { &message.correlation } else { &message.id };
        let data = json!({
            "commandType": message.kind,
            "commandId": sent_as,
            "subject": message.subject,
            "reason": rejection.reason,
            "detail": rejection.detail,
            "position": message.position.to_string(),
        });
        context.emit_to(&self.spec.rejections, self.partition, "CommandRejected", &subject, &data);
    }

    #[expect(clippy::too_many_arguments, reason = "one place writes dead letters, and they say all of this")]
    fn unreadable(
        &self,
        state: &RunState<'_>,
        policy: ErrorPolicy,
        position: &Position,
        record: &LogRecord,
        (correlation, trace): (&str, TraceContext),
        (reason, error): (UnreadableReason, &str),
        now_ms: i64,
        progress: Option<Change>,
    ) -> Result<Verdict, Stop> {
        match policy {
            ErrorPolicy::Skip => return Ok(Verdict::Unreadable(reason, None)),
            ErrorPolicy::Fail => return Err(Stop::Policy { position: position.to_string(), detail: error.to_owned() }),
            ErrorPolicy::DeadLetter => {}
        }
        let mut context = Context::new(state, now_ms, self.partition, self.partitions, position.to_string()).with_stores(&self.spec.stores).caused_by(
            &position.to_string(),
            correlation,
            trace.trace,
        );
        context.draft.changes.extend(progress);
        context.draft.traced = self.traced(trace, &position.to_string(), "DeadLetter", &position.to_string(), None);
        let quote = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(DEAD_LETTER_QUOTE_BYTES_MAX)]).into_owned();
        let data = json!({
            "topic": position.topic,
            "partition": position.partition,
            "offset": position.offset,
            "processor": self.spec.name,
            "error": error,
            "key": record.key.as_deref().map(quote),
            "value": quote(&record.value),
        });
        context.emit_to(&self.spec.dead_letters, self.partition, "DeadLetter", &position.to_string(), &data);
        context.draft.traced.iter_mut().for_each(|traced| traced.outcome = "unreadable");
        Ok(Verdict::Unreadable(reason, Some((position.to_string(), context.into_draft()))))
    }

    fn take_timer(&mut self, run: &mut Run, key: &[u8], now_ms: i64) -> Result<(), Stop> {
        let state = RunState { store: &*self.store, changes: &run.changes };
        // An earlier input of this run may have moved or cancelled it.
        if run.changes.get(key).is_some_and(Option::is_none) {
            return Ok(());
        }
        let Some(timer) = self.timer(key)? else { return Ok(()) };
        let place = self.place(run);
        let cause = format!("timer:{}/{}/{}", timer.name, timer.key, timer.due_ms);
        let identity = format!("{}/{}/{cause}", self.spec.journal, self.partition);
        let context = || {
            let mut context = Context::new(&state, now_ms, self.partition, self.partitions, identity.clone()).with_stores(&self.spec.stores).caused_by(
                &cause,
                &timer.correlation,
                timer.trace().trace,
            );
            context.draft.changes.insert(key.to_vec(), None);
            context.draft.changes.insert(keys::timer_index(&timer.name, &timer.key), None);
            context.draft.traced = self.traced(timer.trace(), &cause, &timer.name, &cause, Some(&timer.key));
            context.in_transaction(place)
        };
        let mut working = context();
        let draft = match self.spec.logic.process(Input::Timer(&timer), &mut working) {
            Ok(()) => working.into_draft(),
            Err(failure) => {
                let draft = self.failed_inside(context(), failure, &cause)?;
                run.report.unreadable.push(UnreadableInput { source: None, reason: UnreadableReason::Timer, dead_lettered: true });
                draft
            }
        };
        run.take(cause, draft);
        Ok(())
    }

    fn take_call_result(&mut self, run: &mut Run, result: &crate::processor::CallResult, now_ms: i64) -> Result<(), Stop> {
        let state = RunState { store: &*self.store, changes: &run.changes };
        let key = keys::call(&result.call.id);
        if state.get(&key)?.is_none() {
            run.report.repeated += 1;
            return Ok(());
        }
        let place = self.place(run);
        let cause = format!("call:{}", result.call.id);
        let identity = format!("{}/{}/{cause}", self.spec.journal, self.partition);
        let context = || {
            let mut context = Context::new(&state, now_ms, self.partition, self.partitions, identity.clone()).with_stores(&self.spec.stores).caused_by(
                &cause,
                &result.call.correlation,
                result.call.trace().trace,
            );
            context.draft.changes.insert(key.clone(), None);
            context.draft.traced = self.traced(result.call.span(), &cause, "answer", &cause, None);
            context.in_transaction(place)
        };
        let mut working = context();
        let draft = match self.spec.logic.process(Input::CallResult(result), &mut working) {
            Ok(()) => working.into_draft(),
            Err(failure) => {
                let draft = self.failed_inside(context(), failure, &cause)?;
                run.report.unreadable.push(UnreadableInput { source: None, reason: UnreadableReason::Answer, dead_lettered: true });
                draft
            }
        };
        run.take(cause, draft);
        Ok(())
    }

    /// Returns what is told of an input, if anybody wants to know: where it comes from, what its effects name as their cause, and what it is.
    fn traced(&self, from: TraceContext, causation: &str, what: &str, cause: &str, subject: Option<&str>) -> Option<InputTraced> {
        self.is_traced.then(|| InputTraced {
            context: from.trace.at(span_of_input(from.trace, &self.spec.journal, self.partition, causation)),
            parent: from.span,
            what: what.to_owned(),
            cause: cause.to_owned(),
            subject: subject.map(str::to_owned),
            outcome: "taken",
        })
    }

    /// A timer or an answer that the processor cannot take is not a sender's fault: it goes to the dead letters, so that nothing is lost silently.
    fn failed_inside(&self, mut context: Context<'_>, failure: Failure, cause: &str) -> Result<Draft, Stop> {
        let error = match failure {
            Failure::State(error) => return Err(Stop::State(error)),
            Failure::Rejected(rejection) => format!("{}: {}", rejection.reason, rejection.detail),
            Failure::Unreadable(error) => error.0,
        };
        let data = json!({"topic": self.spec.journal, "partition": self.partition, "processor": self.spec.name, "error": error, "cause": cause});
        context.emit_to(&self.spec.dead_letters, self.partition, "DeadLetter", cause, &data);
        context.draft.traced.iter_mut().for_each(|traced| traced.outcome = "unreadable");
        Ok(context.into_draft())
    }
}

/// Reads how far a sender was taken: epoch, sequence, index. A newer program may have added numbers, which change nothing about these; anything else must not be taken for a sender that is new.
fn taken_of_sender(topic: &str, bytes: &[u8]) -> Result<(u64, u64, u64), StateError> {
    let unreadable = |detail: String| StateError::Entry { key: format!("progress of a sender to {topic}"), detail };
    let numbers: Vec<u64> = rmp_serde::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    match numbers[..] {
        [epoch, sequence, index, ..] => Ok((epoch, sequence, index)),
        _ => Err(unreadable(format!("it has {} numbers", numbers.len()))),
    }
}
