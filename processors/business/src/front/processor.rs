//! Wires the rules of a front to the task: loads an aggregate, lets the rules decide, writes what follows.

use std::marker::PhantomData;
use std::sync::Arc;

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::guard::{Deferral, Guard, Reply, Verdict};
use fluvio_streams::processor::{Context, Failure, Input, Processor, Rejection, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, names};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::commands::{self, Command, Sent};
use super::decide;
use super::event::{Event, Published};
use super::operator;
use super::state::{Account, Aggregate, Capture, Status, incarnation};
use super::stray;
use crate::config::Config;
use crate::fields;
use crate::follower::FollowerNames;
use crate::names::Names;
use crate::partner::message::{Replied, UndoRequest};
use crate::rules::{Business, Followed, Opening};
use crate::topics;

const RETENTION_TIMER: &str = "retention";
const PREPARE_TIMER: &str = "prepare";

/// The processor of a front.
#[derive(Debug)]
pub struct Front<B> {
    guard: Guard,
    wiring: Wiring,
    followers: Vec<FollowerNames>,
    config: Config,
    business: PhantomData<B>,
}

/// The topics of a front.
#[derive(Debug)]
struct Wiring {
    commands: String,
    replies: String,
    requests: String,
    events: String,
    followers: Vec<String>,
}

/// Returns the front as part of the topology.
pub fn spec<B: Business>(guard: Guard, config: &Config, followers: &[FollowerNames]) -> ProcessorSpec {
    let Names { system, collection, id_field, partner, .. } = B::NAMES;
    let wiring = Wiring {
        commands: topics::commands(system),
        replies: topics::replies(system, partner.pair),
        requests: topics::requests(system, partner.pair),
        events: topics::events(system, collection),
        followers: followers.iter().map(|follower| topics::events(system, follower.events)).collect(),
    };
    let others: Vec<&str> = followers.iter().flat_map(|follower| follower.commands).map(|command| command.kind).collect();
    let others = [others, B::commands().iter().map(|command| command.kind).collect()].concat();
    // It owns the garbage of the topics that people and other programs write to.
    let mut sources = vec![
        Source::commands(&wiring.commands, id_field, Routing::Except(names(&others))),
        Source::commands(&wiring.replies, id_field, Routing::Except(names(&[partner.voided]))),
    ];
    sources.extend(followers.iter().zip(&wiring.followers).map(|(follower, topic)| {
        let events: Vec<&str> = follower.commands.iter().map(|command| command.event).collect();
        Source::events(topic, &events)
    }));
    sources.extend(B::sources());
    let mut sinks = vec![wiring.events.clone(), wiring.requests.clone(), topics::events(system, partner.processor)];
    sinks.extend(B::sinks());
    ProcessorSpec {
        name: collection.to_owned(),
        sources,
        sinks,
        journal: topics::journal(system, collection),
        stores: [vec![StoreSpec::of::<Aggregate<B::Details>>(collection).keyed_by(id_field), stray::store(), operator::store()], guard.stores()].concat(),
        calls: Vec::new(),
        rejections: topics::rejections(system),
        dead_letters: topics::dead_letters(system),
        logic: Arc::new(Front::<B> { guard, wiring, followers: followers.to_vec(), config: config.clone(), business: PhantomData }),
    }
}

impl<B: Business> Processor for Front<B> {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == self.wiring.commands => self.command(message, cx),
            Input::Message(message) if message.position.topic == self.wiring.replies => self.reply(message, cx),
            Input::Message(message) => self.follow(message, cx),
            Input::Timer(timer) => self.timer(timer, cx),
            Input::CallResult(_) => Ok(()),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        B::NAMES.totals
    }

    fn timers(&self) -> Option<Vec<String>> {
        Some([names(&[RETENTION_TIMER, PREPARE_TIMER, stray::TIMER]), self.guard.timers()].concat())
    }
}

/// An aggregate on the desk: taken out of the store, changed, put back.
struct Desk<'d, 'c, B: Business> {
    front: &'d Front<B>,
    cx: &'d mut Context<'c>,
    id: &'d str,
    aggregate: Aggregate<B::Details>,
    before: Account,
}

impl<'d, 'c, B: Business> Desk<'d, 'c, B> {
    fn open(front: &'d Front<B>, cx: &'d mut Context<'c>, id: &'d str) -> Result<Option<Self>, StateError> {
        let aggregate: Option<Aggregate<B::Details>> = cx.get(B::NAMES.collection, id)?;
        Ok(aggregate.map(|aggregate| Self { front, before: aggregate.account(), cx, id, aggregate }))
    }

    /// Folds an event in and publishes it, and what is undone because of it.
    fn record(&mut self, event: &Event) {
        let undoing: Vec<u32> = self.aggregate.undoing().collect();
        self.aggregate.apply(event);
        let (names, wiring) = (&B::NAMES, &self.front.wiring);
        self.cx.emit(&wiring.events, event.kind(&names.words), self.id, &Published::new(names, self.id, &self.aggregate, event));
        for attempt in self.aggregate.undoing().filter(|attempt| !undoing.contains(attempt)) {
            let Aggregate { customer_id, incarnation, amount, .. } = &self.aggregate;
            let request = UndoRequest { names, id: self.id, customer_id, attempt, incarnation, amount: *amount, unverified: false };
            self.cx.emit(&wiring.requests, names.partner.undo_request, self.id, &request);
        }
        B::changed(self.cx, self.id, &self.aggregate, event);
    }

    /// Asks the partner, now that everything is prepared.
    fn ask(&mut self, answers_command: bool) -> Result<(), StateError> {
        let mut request =
            Map::from_iter([(B::NAMES.id_field.to_owned(), Value::from(self.id)), ("customerId".to_owned(), Value::from(self.aggregate.customer_id.as_str()))]);
        if B::NAMES.amount_field.is_some() {
            request.insert("amount".to_owned(), Value::from(self.aggregate.amount));
        }
        request.extend(B::request(&self.aggregate));
        let verdict = self.front.guard.start(self.cx, self.id, &self.aggregate.incarnation, Value::Object(request))?;
        self.settle(verdict, answers_command);
        Ok(())
    }

    /// Notes and publishes what became of the question to the partner.
    fn settle(&mut self, verdict: Verdict, answers_command: bool) {
        if let Verdict::Requested { attempt } | Verdict::Deferred { attempt: Some(attempt), .. } = verdict {
            self.aggregate.attempts = self.aggregate.attempts.max(attempt);
        }
        if let Some(event) = decide::verdict(&B::NAMES.words, &self.aggregate, verdict, answers_command) {
            self.record(&event);
        }
    }

    /// Ends it: `event` is a cancellation or a rejection that does not come from the partner.
    fn end(&mut self, event: &Event, abandoned: Option<&str>) -> Result<(), StateError> {
        if self.aggregate.status.is_waiting() {
            self.front.guard.close(self.cx, self.id)?;
            self.cx.cancel_timer(PREPARE_TIMER, self.id)?;
        }
        if let Some(reason) = abandoned.filter(|_| self.aggregate.status == Status::Pending) {
            let origin = self.cx.origin();
            self.resume();
            self.record(&Event::Abandoned { reason: reason.to_owned() });
            self.cx.set_origin(&origin);
        }
        self.record(event);
        Ok(())
    }

    /// Goes on as what goes back to the command that the aggregate last obeyed.
    fn resume(&mut self) {
        self.cx.set_origin(&self.aggregate.origin());
    }

    fn close(self) -> Result<(), StateError> {
        let (after, before) = (self.aggregate.account(), self.before);
        let [accepted, undone, live, open, ..] = *B::NAMES.totals;
        self.cx.add_total(accepted, after.accepted - before.accepted)?;
        self.cx.add_total(undone, after.undone - before.undone)?;
        self.cx.add_total(live, after.live - before.live)?;
        self.cx.add_total(open, after.open - before.open)?;
        if self.aggregate.status.is_final(&B::NAMES) {
            let due_ms = self.cx.now_ms().saturating_add(self.front.config.retention_ms);
            self.cx.set_timer(RETENTION_TIMER, self.id, due_ms)?;
        }
        self.cx.put(B::NAMES.collection, self.id, &self.aggregate);
        Ok(())
    }
}

impl<B: Business> Front<B> {
    fn command(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let names = &B::NAMES;
        let body: Value = message.decode()?;
        if operator::is_command(&message.kind) {
            return operator::obey(cx, names, &self.guard, &message.kind, &body);
        }
        let in_words = |error| fields::unreadable(&message.kind, &error);
        let command = commands::read::<B>(&message.kind, &body).map_err(in_words)?;
        let command = command.ok_or_else(|| Unreadable(format!("`{}` is no command of {}", message.kind, names.system)))?;
        let command_id = commands::explicit_id(&body).map_err(in_words)?;
        let command = match command {
            Command::Open(opening) => {
                let id = message.subject.clone().unwrap_or_else(|| cx.assign_id(names.id_prefix));
                return self.place(cx, &id, opening, command_id, message);
            }
            command => command,
        };
        let id = message.subject.as_deref().ok_or_else(|| commands::no_id(names, &message.kind))?;
        let Some(mut desk) = Desk::open(self, cx, id)? else { return Err(commands::unknown(&names.words, id).into()) };
        commands::refuse_duplicate(&desk.aggregate.command_ids, command_id)?;
        match command {
            Command::Retry => self.retry(&mut desk)?,
            Command::Cancel { reason } => {
                let event = decide::cancel(names, desk.aggregate.status, reason)?;
                desk.end(&event, Some(names.words.cancelled))?;
                desk.aggregate.obey(desk.cx.origin());
            }
            Command::Open(_) => {}
        }
        desk.aggregate.remember(command_id);
        Ok(desk.close()?)
    }

    fn place(&self, cx: &mut Context<'_>, id: &str, opening: Opening<B::Details>, command_id: Option<&str>, message: &Message) -> Result<(), Failure> {
        let words = &B::NAMES.words;
        if let Some(aggregate) = cx.get::<Aggregate<B::Details>>(B::NAMES.collection, id)? {
            commands::refuse_duplicate(&aggregate.command_ids, command_id)?;
            return Err(Rejection::new(words.exists, format!("there is already {} `{id}`", words.noun.to_lowercase())).into());
        }
        let Opening { customer_id, amount, details, told } = opening;
        let aggregate = Aggregate::new(incarnation(&message.position), customer_id, amount, details, message.origin());
        let mut desk = Desk { front: self, before: aggregate.account(), cx, id, aggregate };
        desk.record(&Event::Requested { told });
        if B::prepare(desk.cx, id, &desk.aggregate)? {
            desk.ask(true)?;
        } else {
            desk.cx.set_timer(PREPARE_TIMER, id, desk.cx.now_ms().saturating_add(self.config.deadline_ms))?;
        }
        desk.aggregate.remember(command_id);
        Ok(desk.close()?)
    }

    fn retry(&self, desk: &mut Desk<'_, '_, B>) -> Result<(), Failure> {
        let words = &B::NAMES.words;
        decide::retry(&B::NAMES, desk.aggregate.status)?;
        let origin = desk.cx.origin();
        let verdict = self.guard.again(desk.cx, desk.id)?;
        match verdict {
            Verdict::Nothing if desk.aggregate.attempts >= self.guard.config().attempts_max => {
                return Err(Rejection::new(words.exhausted, "it was tried too often").into());
            }
            Verdict::Nothing => return Err(decide::in_progress(words).into()),
            Verdict::Requested { attempt } => desk.record(&Event::AttemptStarted { attempt }),
            verdict => desk.settle(verdict, true),
        }
        desk.aggregate.obey(origin);
        Ok(())
    }

    fn reply(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let (names, partner) = (&B::NAMES, &B::NAMES.partner);
        let replied = Replied::read(names, message)?;
        let reply = match message.kind.as_str() {
            kind if kind == partner.accepted => Reply::Accepted,
            kind if kind == partner.declined => Reply::Declined { detail: replied.detail.clone() },
            kind if kind == partner.failed => Reply::Failed { detail: replied.detail.clone() },
            kind if kind == partner.undone => return self.undone(&replied, cx),
            kind if kind == partner.undo_refused && stray::refused(cx, names, &replied)? => return Ok(()),
            kind if kind == partner.undo_refused => return Err(not_to_be_undone(kind, replied.attempt).into()),
            kind => return Err(Unreadable(format!("`{kind}` is no reply of {}", partner.processor)).into()),
        };
        let accepts = reply == Reply::Accepted;
        let aggregate = self.addressed(&replied, cx)?;
        if aggregate.is_none() && !accepts {
            return Err(nobody(names, &message.kind, &replied.id).into());
        }
        // What the guard does goes back to the command that the aggregate last obeyed.
        let origin = aggregate.as_ref().map_or_else(|| cx.origin(), Aggregate::origin);
        cx.set_origin(&origin);
        let verdict = match self.guard.on_reply(cx, &replied.id, replied.attempt, replied.incarnation.as_deref(), reply)? {
            Verdict::Stray { .. } => {
                cx.set_origin(&message.origin());
                return stray::accepted(cx, names, &self.wiring.requests, &replied);
            }
            verdict => verdict,
        };
        let Some(mut desk) = Desk::open(self, cx, &replied.id)? else { return Ok(()) };
        let verdict = match verdict {
            // The attempt that the customer waits for is lost, but an earlier one is still open and decides: until then it is deferred.
            Verdict::Nothing if !accepts && replied.attempt == desk.aggregate.attempts && desk.aggregate.status == Status::Pending => {
                Verdict::Deferred { attempt: Some(replied.attempt), reason: Deferral::TimedOut }
            }
            Verdict::Nothing => return Ok(()),
            verdict => verdict,
        };
        desk.settle(verdict, false);
        Ok(desk.close()?)
    }

    /// Takes the news that something is undone: of the aggregate that has the id, or of one that is not known any more.
    fn undone(&self, replied: &Replied, cx: &mut Context<'_>) -> Result<(), Failure> {
        let (names, attempt) = (&B::NAMES, replied.attempt);
        if self.addressed(replied, cx)?.is_some_and(|aggregate| aggregate.captures.contains_key(&attempt))
            && let Some(mut desk) = Desk::open(self, cx, &replied.id)?
        {
            match desk.aggregate.captures.get(&attempt) {
                Some(Capture::Undoing) => {
                    desk.resume();
                    desk.record(&Event::Undone { attempt });
                    return Ok(desk.close()?);
                }
                Some(Capture::Undone) => return Ok(()),
                Some(Capture::Kept) | None => return Err(not_to_be_undone(names.partner.undone, attempt).into()),
            }
        }
        let was_asked_for = stray::undone(cx, names, &self.wiring.events, replied, self.config.retention_ms)?;
        if was_asked_for { Ok(()) } else { Err(not_to_be_undone(names.partner.undone, attempt).into()) }
    }

    /// Returns the aggregate that a reply is about, if it is known.
    fn addressed(&self, replied: &Replied, cx: &Context<'_>) -> Result<Option<Aggregate<B::Details>>, StateError> {
        let aggregate: Option<Aggregate<B::Details>> = cx.get(B::NAMES.collection, &replied.id)?;
        Ok(aggregate.filter(|aggregate| replied.incarnation.as_ref().is_none_or(|incarnation| *incarnation == aggregate.incarnation)))
    }

    /// Takes an event of a follower, or of what else the business reads.
    fn follow(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Data {
            incarnation: Option<String>,
            reason: Option<String>,
            command: Option<Sent>,
        }
        let names = &B::NAMES;
        let id = message.subject.as_deref().ok_or_else(|| commands::no_id(names, &message.kind))?;
        let Data { incarnation, reason, command } = message.decode()?;
        let is_of_one = incarnation.is_some();
        let desk = Desk::open(self, cx, id)?.filter(|desk| incarnation.is_none_or(|incarnation| incarnation == desk.aggregate.incarnation));
        let Some(follower) = self.wiring.followers.iter().position(|topic| *topic == message.position.topic) else {
            return match desk {
                Some(desk) => self.follow_other(message, desk),
                // It is about one that has ended and is forgotten, which was told when it ended.
                None if is_of_one => Ok(()),
                None => Err(nobody(names, &message.kind, id).into()),
            };
        };
        let event = match &desk {
            Some(desk) => decide::follow(names, desk.aggregate.status, &message.kind, self.followers[follower].declines(&message.kind), reason),
            None => Err(commands::unknown(&names.words, id).into()),
        };
        match (event, desk) {
            (Ok(event), Some(mut desk)) => {
                desk.record(&event);
                desk.aggregate.obey(message.origin());
                Ok(desk.close()?)
            }
            // The follower took the command, but the front's word is final: its sender is told, by the name of what was sent.
            (Err(Failure::Rejected(rejection)), _) if command.is_some() => {
                let rejections = topics::rejections(names.system);
                command.into_iter().for_each(|command| command.refuse(cx, &rejections, id, &rejection));
                Ok(())
            }
            (Err(failure), _) => Err(failure),
            (Ok(_), None) => Ok(()),
        }
    }

    fn follow_other(&self, message: &Message, mut desk: Desk<'_, '_, B>) -> Result<(), Failure> {
        match B::follow(message, &desk.aggregate)? {
            Followed::Ready if desk.aggregate.status.is_waiting() && desk.aggregate.attempts == 0 => {
                desk.resume();
                desk.cx.cancel_timer(PREPARE_TIMER, desk.id)?;
                desk.ask(false)?;
            }
            Followed::Reject { reason, detail } if desk.aggregate.status.is_waiting() => {
                desk.resume();
                desk.end(&Event::Rejected { reason, detail }, None)?;
            }
            Followed::Cancel { reason } if decide::cancel(&B::NAMES, desk.aggregate.status, None).is_ok() => {
                desk.end(&Event::Cancelled { reason: Some(reason.clone()) }, Some(&reason))?;
            }
            Followed::Ready | Followed::Reject { .. } | Followed::Cancel { .. } | Followed::Nothing => return Ok(()),
        }
        Ok(desk.close()?)
    }

    fn timer(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), Failure> {
        match timer.name.as_str() {
            RETENTION_TIMER => return Ok(self.forget(&timer.key, cx)?),
            stray::TIMER => {
                cx.delete(stray::STORE, &timer.key);
                return Ok(());
            }
            PREPARE_TIMER => return Ok(self.unprepared(&timer.key, cx)?),
            _ => {}
        }
        for (id, verdict) in self.guard.on_timer(cx, timer)?.unwrap_or_default() {
            let Some(mut desk) = Desk::open(self, cx, &id)? else { continue };
            desk.resume();
            desk.settle(verdict, false);
            desk.close()?;
        }
        Ok(())
    }

    /// What had to be prepared did not come: the customer is told that it takes longer, and in the end that it comes to nothing.
    fn unprepared(&self, id: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
        let Some(mut desk) = Desk::open(self, cx, id)? else { return Ok(()) };
        let reason = B::UNPREPARED.to_owned();
        desk.resume();
        match desk.aggregate.status {
            Status::Pending => {
                desk.record(&Event::Deferred { reason, attempt: None });
                desk.cx.set_timer(PREPARE_TIMER, id, desk.cx.now_ms().saturating_add(self.config.unavailable_give_up_ms))?;
            }
            Status::Deferred => desk.end(&Event::Rejected { reason, detail: None }, None)?,
            _ => return Ok(()),
        }
        desk.close()
    }

    /// Forgets what has ended, unless something is still to be undone.
    fn forget(&self, id: &str, cx: &mut Context<'_>) -> Result<(), StateError> {
        let Some(desk) = Desk::open(self, cx, id)? else { return Ok(()) };
        if desk.aggregate.account().open > 0 {
            return desk.close();
        }
        cx.delete(B::NAMES.collection, id);
        self.guard.forget(cx, id)
    }
}

fn nobody(names: &Names, kind: &str, id: &str) -> Unreadable {
    Unreadable(format!("{kind}: there is no {} `{id}`", names.words.noun.to_lowercase()))
}

fn not_to_be_undone(kind: &str, attempt: u32) -> Unreadable {
    Unreadable(format!("{kind}: attempt {attempt} was not to be undone"))
}
