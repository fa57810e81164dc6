//! What a guard does within one step of its task.
//!
//! An attempt is *open* while the partner may still accept it; a key has at most one attempt that is asked (younger than its deadline), and a key in the queue has none.
//! A settled key has no open attempt, no timer and no place in the queue. Start reading at [`Step::reply`].

use serde_json::{Map, Value, json};

use super::names::{ONLY, attempt_id, parse_attempt_id, parse_place, place};
use super::record::{Attempt, Partner, Record, Status};
use super::{BreakerChange, Deferral, Guard, PartnerAnswer, Reply, Verdict};
use crate::breaker::{Breaker, State, Transition};
use crate::limits::RETRY_CATCH_UP_MS;
use crate::processor::{Context, Timer};
use crate::state::StateError;
use crate::time::format_rfc3339;
use crate::trace::Origin;

/// One use of a guard: loads what it knows of the partner, and stores it again in [`Step::finish`].
pub(super) struct Step<'g, 'c, 's> {
    guard: &'g Guard,
    cx: &'c mut Context<'s>,
    now_ms: i64,
    /// Where the input goes back to; that of the key is put in its place while something is done for a key.
    origin: Origin,
    partner: Partner,
    /// What it was at the beginning, to write it only if it changes.
    loaded: Partner,
}

impl<'g, 'c, 's> Step<'g, 'c, 's> {
    pub(super) fn begin(guard: &'g Guard, cx: &'c mut Context<'s>) -> Result<Self, StateError> {
        let stored: Option<Partner> = cx.get(&guard.names.partner, ONLY)?;
        let loaded = stored.unwrap_or_else(|| Partner::new(Breaker::new(&guard.config.breaker)));
        Ok(Self { now_ms: cx.now_ms(), origin: cx.origin(), guard, cx, partner: loaded.clone(), loaded })
    }

    /// Sets the task's own timers and stores what has changed of the partner.
    pub(super) fn finish(mut self) -> Result<(), StateError> {
        self.set_retry_timer()?;
        self.set_breaker_timer()?;
        if self.partner != self.loaded {
            self.cx.put(&self.guard.names.partner, ONLY, &self.partner);
        }
        self.cx.set_origin(&self.origin);
        Ok(())
    }

    pub(super) fn start(&mut self, key: &str, incarnation: &str, request: Map<String, Value>) -> Result<Verdict, StateError> {
        if self.load(key)?.is_some() {
            return Ok(Verdict::Nothing);
        }
        let mut record = Record::new(request, &self.origin, incarnation);
        let verdict = self.ask_or_queue(key, &mut record)?;
        self.store(key, &record);
        Ok(verdict)
    }

    pub(super) fn again(&mut self, key: &str) -> Result<Verdict, StateError> {
        let Some(mut record) = self.load(key)? else { return Ok(Verdict::Nothing) };
        if record.settled || record.is_asking() || self.has_no_attempt_left(&record) {
            return Ok(Verdict::Nothing);
        }
        let verdict = self.ask_or_queue(key, &mut record)?;
        self.store(key, &record);
        Ok(verdict)
    }

    pub(super) fn reply(&mut self, key: &str, number: u32, incarnation: Option<&str>, reply: Reply) -> Result<Verdict, StateError> {
        let unknown = if reply == Reply::Accepted { Verdict::Stray { attempt: number } } else { Verdict::Nothing };
        let record = self.load(key)?.filter(|record| incarnation.is_none_or(|incarnation| incarnation == record.incarnation));
        let Some(mut record) = record else { return Ok(unknown) };
        let Some(attempt) = record.attempt_mut(number) else { return Ok(unknown) };
        let verdict = match attempt.status {
            Status::Accepted | Status::Unwanted => return Ok(Verdict::Nothing),
            Status::Ended if reply != Reply::Accepted => return Ok(Verdict::Nothing),
            Status::Ended => {
                attempt.status = Status::Unwanted;
                let took_ms = self.now_ms - attempt.started_ms;
                self.note("unwanted", true, took_ms);
                Verdict::Unwanted { attempt: number }
            }
            Status::Asked | Status::Overdue => self.answered(key, &mut record, number, reply)?,
        };
        self.store(key, &record);
        Ok(verdict)
    }

    /// Takes the first answer to an open attempt.
    fn answered(&mut self, key: &str, record: &mut Record, number: u32, reply: Reply) -> Result<Verdict, StateError> {
        let Some(attempt) = record.attempt_mut(number) else { return Ok(Verdict::Nothing) };
        let duration_ms = self.now_ms - attempt.started_ms;
        let late = attempt.status == Status::Overdue || duration_ms >= self.guard.config.deadline_ms;
        let outcome = match &reply {
            Reply::Accepted => "accepted",
            Reply::Declined { .. } => "declined",
            Reply::Failed { .. } => "failed",
        };
        self.note(outcome, late, duration_ms);
        // The breaker has counted an overdue attempt when its deadline passed.
        if attempt.status == Status::Asked {
            self.report(duration_ms, late || matches!(reply, Reply::Failed { .. }))?;
        }
        attempt.status = if reply == Reply::Accepted { Status::Accepted } else { Status::Ended };
        self.no_longer_open(key, number)?;
        match reply {
            Reply::Accepted => {
                self.settle(key, record)?;
                Ok(Verdict::Accepted { attempt: number, late })
            }
            // Another attempt may still be accepted: it decides.
            Reply::Declined { .. } if !record.open_attempts().is_empty() => Ok(Verdict::Nothing),
            Reply::Declined { detail } => {
                self.settle(key, record)?;
                Ok(Verdict::Declined { attempt: number, detail })
            }
            Reply::Failed { .. } => {
                record.failures += 1;
                if record.is_asking() || record.queued_from_ms.is_some() {
                    return Ok(Verdict::Nothing);
                }
                let from_ms = self.now_ms.saturating_add(self.backoff_ms(record));
                self.queue(key, record, Some(number), from_ms)
            }
        }
    }

    pub(super) fn timer(&mut self, timer: &Timer) -> Result<Option<Vec<(String, Verdict)>>, StateError> {
        let names = &self.guard.names;
        let verdict = if timer.name == names.attempt_timer {
            let Some((key, number)) = parse_attempt_id(&timer.key) else { return Ok(Some(Vec::new())) };
            Some((key.to_owned(), self.attempt_timer(key, number)?))
        } else if timer.name == names.unavailable_timer {
            Some((timer.key.clone(), self.unavailable_timer(&timer.key)?))
        } else if timer.name == names.retry_timer {
            self.partner.retry_timer_ms = None;
            return Ok(Some(self.retries(timer.due_ms)?));
        } else if timer.name == names.breaker_timer {
            self.partner.breaker_timer_ms = None;
            let transitions = self.partner.breaker.advance(self.now_ms, &self.guard.config.breaker);
            self.announce(&transitions)?;
            None
        } else {
            return Ok(None);
        };
        Ok(Some(verdict.into_iter().filter(|(_, verdict)| *verdict != Verdict::Nothing).collect()))
    }

    /// The deadline of an attempt has passed, or its give-up time.
    fn attempt_timer(&mut self, key: &str, number: u32) -> Result<Verdict, StateError> {
        let Some(mut record) = self.load(key)? else { return Ok(Verdict::Nothing) };
        let Some(attempt) = record.attempt_mut(number) else { return Ok(Verdict::Nothing) };
        let verdict = match attempt.status {
            Status::Asked => {
                attempt.status = Status::Overdue;
                let started_ms = attempt.started_ms;
                self.report(self.now_ms - started_ms, true)?;
                let give_up_ms = started_ms.saturating_add(self.guard.config.give_up_ms);
                self.cx.set_timer(&self.guard.names.attempt_timer, &attempt_id(key, number), give_up_ms)?;
                Verdict::Deferred { attempt: Some(number), reason: Deferral::TimedOut }
            }
            Status::Overdue => {
                self.void(key, &mut record, number)?;
                record.failures += 1;
                self.gave_up_on(key, &mut record, number)?
            }
            Status::Accepted | Status::Ended | Status::Unwanted => return Ok(Verdict::Nothing),
        };
        self.store(key, &record);
        Ok(verdict)
    }

    /// Decides what becomes of a key whose attempt was voided for want of an answer.
    fn gave_up_on(&mut self, key: &str, record: &mut Record, number: u32) -> Result<Verdict, StateError> {
        if !record.open_attempts().is_empty() || record.queued_from_ms.is_some() {
            return Ok(Verdict::Nothing);
        }
        // A key that was promised retries for longer than this attempt took gets them.
        if record.unavailable {
            return self.queue(key, record, Some(number), self.now_ms);
        }
        self.settle(key, record)?;
        Ok(Verdict::GaveUp { reason: Deferral::TimedOut })
    }

    fn unavailable_timer(&mut self, key: &str) -> Result<Verdict, StateError> {
        let Some(mut record) = self.load(key)?.filter(|record| !record.settled) else { return Ok(Verdict::Nothing) };
        self.settle(key, &mut record)?;
        self.store(key, &record);
        Ok(Verdict::GaveUp { reason: Deferral::Unavailable })
    }

    /// Asks for the keys at the head of the queue, each in its turn. A timer that fires late, because a transaction takes as long as a turn or because the machine is busy, does not slow the
    /// pace down: the turns that have passed meanwhile are made up for, but not those of a long absence.
    fn retries(&mut self, due_ms: i64) -> Result<Vec<(String, Verdict)>, StateError> {
        // Rounded up: a rate that does not divide the second is a limit still.
        let pace_ms = i64::from(1_000_u32.div_ceil(self.guard.config.retries_per_second));
        let mut turn_ms = due_ms.max(self.partner.retry_from_ms).max(self.now_ms.saturating_sub(RETRY_CATCH_UP_MS));
        let mut verdicts = Vec::new();
        while turn_ms <= self.now_ms {
            let Some(verdict) = self.retry()? else { break };
            verdicts.push(verdict);
            turn_ms += pace_ms;
            self.partner.retry_from_ms = turn_ms;
        }
        Ok(verdicts)
    }

    /// Asks for the key at the head of the queue, if the breaker lets it.
    fn retry(&mut self) -> Result<Option<(String, Verdict)>, StateError> {
        let Some((from_ms, key)) = self.head()? else { return Ok(None) };
        let Some(mut record) = self.load(&key)? else { return Ok(None) };
        // The timer may have been set for a key that has left the queue.
        if self.now_ms < from_ms || !self.acquire()? {
            return Ok(None);
        }
        let verdict = self.ask(&key, &mut record)?;
        self.store(&key, &record);
        Ok(Some((key, verdict)))
    }

    pub(super) fn close(&mut self, key: &str) -> Result<(), StateError> {
        if let Some(mut record) = self.load(key)?.filter(|record| !record.settled) {
            self.settle(key, &mut record)?;
            self.store(key, &record);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, key: &str) -> Result<(), StateError> {
        self.close(key)?;
        self.cx.delete(&self.guard.names.records, key);
        Ok(())
    }

    pub(super) fn force(&mut self, state: State) -> Result<(), StateError> {
        let config = &self.guard.config.breaker;
        let mut transitions = self.partner.breaker.advance(self.now_ms, config);
        transitions.extend(self.partner.breaker.transition_to(state, self.now_ms, config));
        self.announce(&transitions)
    }

    pub(super) fn reset(&mut self) -> Result<(), StateError> {
        let config = &self.guard.config.breaker;
        let mut transitions = self.partner.breaker.advance(self.now_ms, config);
        transitions.extend(self.partner.breaker.reset(self.now_ms, config));
        self.announce(&transitions)
    }

    fn ask_or_queue(&mut self, key: &str, record: &mut Record) -> Result<Verdict, StateError> {
        if self.acquire()? {
            return self.ask(key, record);
        }
        if record.queued_from_ms.is_some() {
            return Ok(Verdict::Deferred { attempt: None, reason: Deferral::Unavailable });
        }
        self.queue(key, record, None, self.now_ms)
    }

    /// Makes an attempt. The breaker has permitted it.
    fn ask(&mut self, key: &str, record: &mut Record) -> Result<Verdict, StateError> {
        let config = &self.guard.config;
        self.leave_queue(key, record)?;
        record.attempts.push(Attempt { started_ms: self.now_ms, generation: self.partner.breaker.generation(), status: Status::Asked });
        let attempt = record.attempts.len() as u32;
        let deadline_ms = self.now_ms.saturating_add(config.deadline_ms);
        let mut request = self.about(key, record, attempt);
        request.insert("deadlineAt".to_owned(), format_rfc3339(deadline_ms).into());
        request.insert("giveUpAt".to_owned(), format_rfc3339(self.now_ms.saturating_add(config.give_up_ms)).into());
        self.cx.emit(&config.request_topic, config.request_kind, key, &request);
        self.cx.set_timer(&self.guard.names.attempt_timer, &attempt_id(key, attempt), deadline_ms)?;
        self.add_total(|totals| totals.open_attempts, 1)?;
        Ok(Verdict::Requested { attempt })
    }

    /// Lets a key wait for the partner, unless there is no room or no further attempt for it.
    fn queue(&mut self, key: &str, record: &mut Record, attempt: Option<u32>, from_ms: i64) -> Result<Verdict, StateError> {
        let config = &self.guard.config;
        if self.partner.queued >= config.queue_max || self.has_no_attempt_left(record) {
            if !record.open_attempts().is_empty() {
                return Ok(Verdict::Nothing);
            }
            self.settle(key, record)?;
            return Ok(Verdict::GaveUp { reason: Deferral::Unavailable });
        }
        record.queued_from_ms = Some(from_ms);
        self.partner.queued += 1;
        self.cx.put(&self.guard.names.queue, &place(from_ms, key), &());
        self.add_total(|totals| totals.queued_keys, 1)?;
        if !record.unavailable {
            record.unavailable = true;
            let give_up_ms = self.now_ms.saturating_add(config.unavailable_give_up_ms);
            self.cx.set_timer(&self.guard.names.unavailable_timer, key, give_up_ms)?;
        }
        Ok(Verdict::Deferred { attempt, reason: Deferral::Unavailable })
    }

    fn leave_queue(&mut self, key: &str, record: &mut Record) -> Result<(), StateError> {
        let Some(from_ms) = record.queued_from_ms.take() else { return Ok(()) };
        self.partner.queued = self.partner.queued.saturating_sub(1);
        self.cx.delete(&self.guard.names.queue, &place(from_ms, key));
        self.add_total(|totals| totals.queued_keys, -1)
    }

    /// Ends a key for good: nothing of it stays but what recognises replies.
    fn settle(&mut self, key: &str, record: &mut Record) -> Result<(), StateError> {
        for attempt in record.open_attempts() {
            self.void(key, record, attempt)?;
        }
        self.leave_queue(key, record)?;
        if record.unavailable {
            self.cx.cancel_timer(&self.guard.names.unavailable_timer, key)?;
        }
        record.settled = true;
        record.request = Map::new();
        Ok(())
    }

    /// Asks the partner to drop an open attempt.
    fn void(&mut self, key: &str, record: &mut Record, number: u32) -> Result<(), StateError> {
        let Some(attempt) = record.attempt_mut(number) else { return Ok(()) };
        if attempt.status == Status::Asked {
            self.partner.breaker.release(attempt.generation);
        }
        attempt.status = Status::Ended;
        let request = self.about(key, record, number);
        self.cx.emit(&self.guard.config.request_topic, self.guard.config.void_kind, key, &request);
        self.no_longer_open(key, number)
    }

    fn no_longer_open(&mut self, key: &str, number: u32) -> Result<(), StateError> {
        self.cx.cancel_timer(&self.guard.names.attempt_timer, &attempt_id(key, number))?;
        self.add_total(|totals| totals.open_attempts, -1)
    }

    /// Returns what the business asked, with the attempt that it is about.
    fn about(&self, key: &str, record: &Record, attempt: u32) -> Map<String, Value> {
        let mut request = record.request.clone();
        request.insert("attempt".to_owned(), attempt.into());
        request.insert("correlationId".to_owned(), attempt_id(key, attempt).into());
        request.insert("incarnation".to_owned(), record.incarnation.as_str().into());
        request
    }

    fn has_no_attempt_left(&self, record: &Record) -> bool {
        record.attempts.len() >= self.guard.config.attempts_max as usize
    }

    fn backoff_ms(&self, record: &Record) -> i64 {
        let doublings = record.failures.saturating_sub(1).min(32);
        self.guard.config.backoff_ms.saturating_mul(1 << doublings).min(self.guard.config.backoff_ms_max)
    }

    fn acquire(&mut self) -> Result<bool, StateError> {
        let acquisition = self.partner.breaker.try_acquire(self.now_ms, &self.guard.config.breaker);
        self.announce(&acquisition.transitions)?;
        Ok(acquisition.permitted)
    }

    fn report(&mut self, duration_ms: i64, failed: bool) -> Result<(), StateError> {
        let (breaker, config) = (&mut self.partner.breaker, &self.guard.config.breaker);
        let transitions = if failed { breaker.on_failure(self.now_ms, duration_ms, config) } else { breaker.on_success(self.now_ms, duration_ms, config) };
        self.announce(&transitions)
    }

    /// Notes an answer for telemetry.
    fn note(&mut self, outcome: &'static str, late: bool, took_ms: i64) {
        self.cx.draft.partner_answers.push(PartnerAnswer { guard: self.guard.config.name, outcome, late, took_ms });
    }

    fn announce(&mut self, transitions: &[Transition]) -> Result<(), StateError> {
        for Transition { from, to, at_ms, counts } in transitions {
            let is_open = |state: &State| i64::from(matches!(state, State::Open | State::ForcedOpen));
            let is_half_open = |state: &State| i64::from(*state == State::HalfOpen);
            self.add_total(|totals| totals.breaker_open, is_open(to) - is_open(from))?;
            self.add_total(|totals| totals.breaker_half_open, is_half_open(to) - is_half_open(from))?;
            self.cx.draft.breaker_changes.push(BreakerChange { guard: self.guard.config.name, from: *from, to: *to });
            let Some(topic) = &self.guard.config.events_topic else { continue };
            let (name, partition) = (self.guard.config.name, self.cx.partition());
            let data = json!({
                "name": name, "from": from, "to": to, "partition": partition, "at": format_rfc3339(*at_ms),
                "calls": counts.calls, "failedCalls": counts.failed, "slowCalls": counts.slow,
            });
            self.cx.emit_to(topic, partition, "BreakerTransitioned", name, &data);
        }
        Ok(())
    }

    /// Sets the timer for the next retry: never one without a queue, and none before the breaker could let a call through.
    fn set_retry_timer(&mut self) -> Result<(), StateError> {
        let due_ms = match self.head()? {
            Some((from_ms, _)) => from_ms.max(self.partner.retry_from_ms).max(self.permits_at()).max(self.now_ms),
            None => {
                if self.partner.retry_timer_ms.take().is_some() {
                    self.cx.cancel_timer(&self.guard.names.retry_timer, ONLY)?;
                }
                return Ok(());
            }
        };
        // Too early a timer finds nothing to do and is set again; moving it each time would cost more.
        if self.partner.retry_timer_ms.is_none_or(|set_ms| set_ms > due_ms) {
            self.partner.retry_timer_ms = Some(due_ms);
            self.cx.set_timer(&self.guard.names.retry_timer, ONLY, due_ms)?;
        }
        Ok(())
    }

    fn permits_at(&self) -> i64 {
        let config = &self.guard.config;
        self.partner.breaker.permits_at(&config.breaker).unwrap_or_else(|| {
            // Half-open waits for answers, which come or time out; forced open waits for an operator. Both set the timer anew, so this is only to be safe.
            let wait_ms = if self.partner.breaker.state() == State::HalfOpen { config.deadline_ms } else { config.breaker.wait_duration_in_open_ms };
            self.now_ms.saturating_add(wait_ms)
        })
    }

    fn set_breaker_timer(&mut self) -> Result<(), StateError> {
        let due_ms = self.partner.breaker.wakes_at(&self.guard.config.breaker);
        if due_ms == self.partner.breaker_timer_ms {
            return Ok(());
        }
        self.partner.breaker_timer_ms = due_ms;
        match due_ms {
            Some(due_ms) => self.cx.set_timer(&self.guard.names.breaker_timer, ONLY, due_ms),
            None => self.cx.cancel_timer(&self.guard.names.breaker_timer, ONLY),
        }
    }

    /// Returns the head of the queue: from when on it may be retried, and which key it is.
    fn head(&self) -> Result<Option<(i64, String)>, StateError> {
        if self.partner.queued == 0 {
            return Ok(None);
        }
        let first = self.cx.scan::<()>(&self.guard.names.queue, "", None, 1)?;
        Ok(first.first().and_then(|(place, ())| parse_place(place)).map(|(from_ms, key)| (from_ms, key.to_owned())))
    }

    /// Loads a key; what is done from here on carries its correlation and its trace.
    fn load(&mut self, key: &str) -> Result<Option<Record>, StateError> {
        let record: Option<Record> = self.cx.get(&self.guard.names.records, key)?;
        match &record {
            Some(record) => self.cx.set_origin(&record.origin()),
            None => self.cx.set_origin(&self.origin),
        }
        Ok(record)
    }

    fn store(&mut self, key: &str, record: &Record) {
        self.cx.put(&self.guard.names.records, key, record);
    }

    fn add_total(&mut self, name: fn(&super::GuardTotals) -> &'static str, amount: i64) -> Result<(), StateError> {
        match &self.guard.config.totals {
            Some(totals) => self.cx.add_total(name(totals), amount),
            None => Ok(()),
        }
    }
}
