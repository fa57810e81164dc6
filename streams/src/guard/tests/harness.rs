//! One task with nothing but a guard in it, on a virtual clock: applies what a step changes, fires timers in order, and checks after each step that the state holds together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::names::{ONLY, attempt_id, parse_place};
use super::super::record::{Partner, Record, Status};
use super::*;
use crate::breaker::BreakerConfig;
use crate::processor::{Effect, StateReader};
use crate::state::keys;
use crate::trace::Trace;

#[derive(Default)]
pub(super) struct Entries(BTreeMap<Vec<u8>, Vec<u8>>);

impl StateReader for Entries {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        Ok(self.0.range(from.to_vec()..to.to_vec()).take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// What the guard said at some time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) at_ms: i64,
    pub(super) key: String,
    pub(super) verdict: Verdict,
    /// True if it was said because of a timer.
    pub(super) by_timer: bool,
}

pub(super) struct World {
    pub(super) guard: Guard,
    pub(super) now_ms: i64,
    pub(super) said: Vec<Said>,
    pub(super) sent: Vec<Effect>,
    pub(super) steps: u64,
    /// Steps from one check of the whole state to the next.
    pub(super) check_every: u64,
    entries: Entries,
}

pub(super) const TOTALS: GuardTotals =
    GuardTotals { open_attempts: "open_attempts", queued_keys: "queued_keys", breaker_open: "breaker_open", breaker_half_open: "breaker_half_open" };

/// The defaults, with a breaker that opens after two failures of four calls and then waits for a minute.
pub(super) fn config() -> GuardConfig {
    let breaker = BreakerConfig { minimum_number_of_calls: 4, window_size: 4, permitted_calls_in_half_open: 2, ..BreakerConfig::default() };
    GuardConfig {
        breaker,
        events_topic: Some("events".to_owned()),
        totals: Some(TOTALS),
        ..GuardConfig::new("payment", "requests", "PaymentRequested", "PaymentVoidRequested")
    }
}

impl World {
    pub(super) fn new(config: GuardConfig) -> Self {
        let guard = Guard::new(config).unwrap_or_else(|error| panic!("{error}"));
        Self { guard, now_ms: 0, said: Vec::new(), sent: Vec::new(), steps: 0, check_every: 1, entries: Entries::default() }
    }

    pub(super) fn start(&mut self, key: &str) -> Verdict {
        self.start_as(key, "1st")
    }

    pub(super) fn start_as(&mut self, key: &str, incarnation: &str) -> Verdict {
        self.say(key, |guard, cx| guard.start(cx, key, incarnation, json!({ "orderId": key, "amount": 18_000 })))
    }

    pub(super) fn again(&mut self, key: &str) -> Verdict {
        self.say(key, |guard, cx| guard.again(cx, key))
    }

    /// Delivers a reply three times: only the first may mean anything, unless nothing can be remembered of it.
    pub(super) fn reply(&mut self, key: &str, attempt: u32, reply: &Reply) -> Verdict {
        self.reply_as(key, attempt, None, reply)
    }

    /// The same, naming the incarnation.
    pub(super) fn reply_as(&mut self, key: &str, attempt: u32, incarnation: Option<&str>, reply: &Reply) -> Verdict {
        let verdict = self.say(key, |guard, cx| guard.on_reply(cx, key, attempt, incarnation, reply.clone()));
        let repeated = if matches!(verdict, Verdict::Stray { .. }) { verdict.clone() } else { Verdict::Nothing };
        for _ in 0..2 {
            let again = self.say(key, |guard, cx| guard.on_reply(cx, key, attempt, incarnation, reply.clone()));
            assert_eq!(again, repeated, "{reply:?} of {key}/{attempt} repeated");
        }
        verdict
    }

    pub(super) fn accept(&mut self, key: &str, attempt: u32) -> Verdict {
        self.reply(key, attempt, &Reply::Accepted)
    }

    pub(super) fn decline(&mut self, key: &str, attempt: u32) -> Verdict {
        self.reply(key, attempt, &Reply::Declined { detail: Some("no funds".to_owned()) })
    }

    pub(super) fn fail(&mut self, key: &str, attempt: u32) -> Verdict {
        self.reply(key, attempt, &Reply::Failed { detail: None })
    }

    pub(super) fn close(&mut self, key: &str) {
        self.step(None, |guard, cx| guard.close(cx, key));
    }

    pub(super) fn force(&mut self, state: State) {
        self.step(None, |guard, cx| guard.force(cx, state));
    }

    /// Lets time pass until `now_ms`, firing what is due in order; returns what was said meanwhile.
    pub(super) fn wait_until(&mut self, now_ms: i64) -> Vec<(String, Verdict)> {
        let before = self.said.len();
        let mut fired = 0;
        while let Some(timer) = self.next_timer().filter(|timer| timer.due_ms <= now_ms) {
            fired += 1;
            assert!(fired < 10_000, "timers keep firing: {timer:?}");
            self.now_ms = self.now_ms.max(timer.due_ms);
            self.fire(&timer);
        }
        self.now_ms = now_ms;
        self.said[before..].iter().map(|said| (said.key.clone(), said.verdict.clone())).collect()
    }

    fn fire(&mut self, timer: &Timer) {
        self.entries.0.remove(&keys::timer(timer.due_ms, &timer.name, &timer.key));
        self.entries.0.remove(&keys::timer_index(&timer.name, &timer.key));
        let said = self.step(Some(&timer.correlation), |guard, cx| guard.on_timer(cx, timer)).unwrap_or_else(|| panic!("the guard does not know {timer:?}"));
        assert!(said.iter().all(|(_, verdict)| *verdict != Verdict::Nothing));
        let at_ms = self.now_ms;
        self.said.extend(said.into_iter().map(|(key, verdict)| Said { at_ms, key, verdict, by_timer: true }));
    }

    fn say(&mut self, key: &str, act: impl FnOnce(&Guard, &mut Context<'_>) -> Result<Verdict, StateError>) -> Verdict {
        let verdict = self.step(None, act);
        self.said.push(Said { at_ms: self.now_ms, key: key.to_owned(), verdict: verdict.clone(), by_timer: false });
        verdict
    }

    pub(super) fn step<T>(&mut self, correlation: Option<&str>, act: impl FnOnce(&Guard, &mut Context<'_>) -> Result<T, StateError>) -> T {
        self.steps += 1;
        let identity = format!("step-{}", self.steps);
        let mut cx = Context::new(&self.entries, self.now_ms, 0, 1, identity.clone()).caused_by(
            &identity,
            correlation.unwrap_or(&identity),
            Trace::of(correlation.unwrap_or(&identity)),
        );
        let result = act(&self.guard, &mut cx).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(cx.correlation(), correlation.unwrap_or(&identity), "the input's correlation is left as it was");
        let draft = cx.into_draft();
        self.sent.extend(draft.effects);
        for (key, value) in draft.changes {
            match value {
                Some(value) => self.entries.0.insert(key, value),
                None => self.entries.0.remove(&key),
            };
        }
        if self.steps.is_multiple_of(self.check_every) {
            self.check();
        }
        result
    }

    /// Returns what was sent of a type, as `<key>/<attempt>`.
    pub(super) fn sent(&self, kind: &str) -> Vec<String> {
        let sent = self.sent.iter().filter(|effect| effect.event.kind == kind);
        sent.map(|effect| data(effect)["correlationId"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn timers(&self) -> Vec<Timer> {
        let (from, to) = keys::family(b't');
        self.entries.0.range(from..to).map(|(_, value)| serde_json::from_slice(value).unwrap()).collect()
    }

    pub(super) fn next_timer(&self) -> Option<Timer> {
        let (from, to) = keys::family(b't');
        self.entries.0.range(from..to).next().map(|(_, value)| serde_json::from_slice(value).unwrap())
    }

    pub(super) fn partner(&self) -> Partner {
        let stored = self.entries.0.get(&keys::user(&self.guard.names.partner, ONLY));
        stored.map_or_else(|| Partner::new(Breaker::new(&self.guard.config.breaker)), |bytes| serde_json::from_slice(bytes).unwrap())
    }

    pub(super) fn records(&self) -> BTreeMap<String, Record> {
        self.entries_of(&self.guard.names.records).into_iter().map(|(key, value)| (key, serde_json::from_value(value).unwrap())).collect()
    }

    fn entries_of(&self, store: &str) -> Vec<(String, Value)> {
        let from = keys::user(store, "");
        let to = keys::after_prefix(&from);
        self.entries.0.range(from..to).map(|(key, value)| (keys::user_key(store, key), serde_json::from_slice(value).unwrap())).collect()
    }

    pub(super) fn total(&self, name: &str) -> i64 {
        self.entries.0.get(&keys::total(name)).map_or(0, |bytes| i64::from_be_bytes(bytes.as_slice().try_into().unwrap()))
    }

    /// Checks everything that must hold between two steps.
    fn check(&self) {
        let (records, partner, names) = (self.records(), self.partner(), &self.guard.names);
        let queue: BTreeSet<(i64, String)> =
            self.entries_of(&names.queue).iter().map(|(place, _)| parse_place(place).unwrap()).map(|(at, key)| (at, key.to_owned())).collect();
        let mut expected_queue = BTreeSet::new();
        let mut expected_timers = BTreeSet::new();
        let mut open = 0;
        for (key, record) in &records {
            let open_attempts = record.open_attempts();
            open += open_attempts.len();
            assert!(record.attempts.iter().filter(|attempt| attempt.status == Status::Asked).count() <= 1, "{key} is asked for twice");
            assert!(record.attempts.len() <= self.guard.config.attempts_max as usize, "{key} has too many attempts");
            if record.settled {
                assert!(open_attempts.is_empty() && record.queued_from_ms.is_none() && record.request.is_empty(), "{key} is settled: {record:?}");
                continue;
            }
            assert!(!open_attempts.is_empty() || record.queued_from_ms.is_some(), "{key} would wait for ever");
            assert!(record.queued_from_ms.is_none() || !record.is_asking(), "{key} is queued and asked");
            expected_queue.extend(record.queued_from_ms.map(|from_ms| (from_ms, key.clone())));
            expected_timers.extend(open_attempts.iter().map(|number| (names.attempt_timer.clone(), attempt_id(key, *number))));
            if record.unavailable {
                expected_timers.insert((names.unavailable_timer.clone(), key.clone()));
            }
        }
        if !queue.is_empty() {
            expected_timers.insert((names.retry_timer.clone(), ONLY.to_owned()));
        }
        if partner.breaker.wakes_at(&self.guard.config.breaker).is_some() {
            expected_timers.insert((names.breaker_timer.clone(), ONLY.to_owned()));
        }
        assert_eq!(queue, expected_queue);
        let timers: Vec<(String, String)> = self.timers().into_iter().map(|timer| (timer.name, timer.key)).collect();
        assert_eq!(timers.len(), expected_timers.len(), "{timers:?} instead of {expected_timers:?}");
        assert_eq!(timers.into_iter().collect::<BTreeSet<_>>(), expected_timers);
        let breaker_totals = match partner.breaker.state() {
            State::Open | State::ForcedOpen => (1, 0),
            State::HalfOpen => (0, 1),
            State::Closed | State::Disabled => (0, 0),
        };
        assert_eq!((self.total("breaker_open"), self.total("breaker_half_open")), breaker_totals);
        assert_eq!((self.total("open_attempts"), self.total("queued_keys")), (open as i64, queue.len() as i64));
        assert_eq!(partner.queued as usize, queue.len());
    }
}

/// Returns the payload of an effect.
pub(super) fn data(effect: &Effect) -> Value {
    serde_json::from_str(&effect.event.data).unwrap()
}
