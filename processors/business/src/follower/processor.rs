//! Wires the rules of a follower to the task.

use std::marker::PhantomData;
use std::sync::Arc;

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor, Timer};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, names};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::decide::decide;
use super::state::{Followed, Parked, Progress};
use super::{FollowerNames, parking};
use crate::config::Config;
use crate::fields::{self, Fields};
use crate::front::commands::{self, Sent};
use crate::limits::COMMAND_IDS_MAX;
use crate::names::Names;
use crate::rules::Business;
use crate::topics;

const RETENTION_TIMER: &str = "retention";

/// What is needed of an event of the front.
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    incarnation: String,
}

/// The processor of a follower.
#[derive(Debug)]
pub struct Follower<B> {
    names: FollowerNames,
    store: String,
    commands: String,
    events: String,
    rejections: String,
    park_ms: i64,
    retention_ms: i64,
    business: PhantomData<B>,
}

/// Returns a follower as part of the topology.
pub fn spec<B: Business>(follower: FollowerNames, config: &Config) -> ProcessorSpec {
    let Names { system, collection, id_field, words, .. } = B::NAMES;
    let kinds: Vec<&str> = follower.commands.iter().map(|command| command.kind).collect();
    let logic = Follower::<B> {
        names: follower,
        store: format!("{}-{collection}", follower.processor),
        commands: topics::commands(system),
        events: topics::events(system, follower.events),
        rejections: topics::rejections(system),
        park_ms: config.park_ms,
        retention_ms: config.retention_ms,
        business: PhantomData,
    };
    ProcessorSpec {
        name: follower.processor.to_owned(),
        sources: vec![
            Source::commands(&logic.commands, id_field, Routing::Types(names(&kinds))),
            // What is not, or never, established is followed to refuse its commands for the right reason.
            Source::events(&topics::events(system, collection), &[words.established, words.deferred, words.rejected, words.cancelled]),
        ],
        sinks: vec![logic.events.clone()],
        journal: topics::journal(system, follower.processor),
        stores: vec![StoreSpec::of::<Followed>(&logic.store).keyed_by(id_field), parking::store().keyed_by(id_field)],
        calls: Vec::new(),
        rejections: logic.rejections.clone(),
        dead_letters: topics::dead_letters(system),
        logic: Arc::new(logic),
    }
}

impl<B: Business> Processor for Follower<B> {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == self.commands => self.command(message, cx),
            Input::Message(message) => self.follow(message, cx),
            Input::Timer(timer) => Ok(self.timer(timer, cx)?),
            Input::CallResult(_) => Ok(()),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        self.names.totals
    }

    fn timers(&self) -> Option<Vec<String>> {
        Some(names(&[RETENTION_TIMER, parking::TIMER]))
    }
}

impl<B: Business> Follower<B> {
    fn command(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let body: Value = message.decode()?;
        let in_words = |error| fields::unreadable(&message.kind, &error);
        let reason = Fields::of(&body, "").and_then(|fields| fields.text("reason")).map_err(in_words)?;
        let command_id = commands::explicit_id(&body).map_err(in_words)?;
        let id = message.subject.as_deref().ok_or_else(|| commands::no_id(&B::NAMES, &message.kind))?;
        let command = Parked {
            sent: Sent::of(message, command_id),
            command_id: command_id.map(str::to_owned),
            reason: reason.map(str::to_owned),
            correlation: message.correlation.clone(),
            trace: message.trace.trace.unless_of(&message.correlation),
        };
        match cx.get::<Followed>(&self.store, id)? {
            Some(mut followed) => Ok(self.take(cx, id, &mut followed, &command)?),
            None => parking::park(cx, &self.names, id, command, self.park_ms),
        }
    }

    /// Applies a command to an aggregate that the follower knows.
    fn take(&self, cx: &mut Context<'_>, id: &str, followed: &mut Followed, command: &Parked) -> Result<(), Failure> {
        commands::refuse_duplicate(&followed.command_ids, command.command_id.as_deref())?;
        let stage_command = self.names.commands.iter().find(|known| known.kind == command.sent.kind);
        let stage_command = stage_command.ok_or_else(|| Unreadable(format!("{} does not take `{}`", self.names.title, command.sent.kind)))?;
        followed.progress = decide(&B::NAMES.words, &self.names, stage_command, followed.progress)?;
        commands::remember(&mut followed.command_ids, command.command_id.as_deref(), COMMAND_IDS_MAX);
        // The front may refuse the command yet, if the customer cancels meanwhile, and must then name it.
        self.emit(cx, stage_command.event, id, &followed.incarnation, Some(command));
        Ok(self.put(cx, id, followed)?)
    }

    /// Follows an event of the front.
    fn follow(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let words = &B::NAMES.words;
        let id = message.subject.as_deref().ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", message.kind)))?;
        let About { incarnation } = message.decode()?;
        let known = cx.get::<Followed>(&self.store, id)?;
        if known.as_ref().is_some_and(|followed| followed.incarnation != incarnation) {
            // The id is used again, and the aggregate that had it is not forgotten here yet.
            cx.cancel_timer(RETENTION_TIMER, id)?;
        }
        let known = known.filter(|followed| followed.incarnation == incarnation);
        let is_past = known.as_ref().is_some_and(|followed| followed.progress != Progress::NotEstablished);
        let progress = match message.kind.as_str() {
            kind if kind == words.established => Progress::Stage(0),
            kind if kind == words.deferred => Progress::NotEstablished,
            kind if kind == words.rejected => Progress::Rejected,
            kind if kind == words.cancelled => Progress::Cancelled,
            kind => return Err(Unreadable(format!("{} does not follow `{kind}`", self.names.title)).into()),
        };
        let mut followed = known.unwrap_or_else(|| Followed { incarnation, ..Followed::default() });
        match progress {
            // The front's word is final: whatever the follower has done with it ends.
            Progress::Cancelled if is_past && followed.progress != Progress::Cancelled => {
                for event in self.names.cancelled {
                    self.emit(cx, event, id, &followed.incarnation, None);
                }
            }
            // A repeated event, or the follower's own refusal, which comes back as a rejection.
            _ if is_past => return Ok(()),
            Progress::Stage(_) => {
                if let Some(event) = self.names.opened {
                    self.emit(cx, event, id, &followed.incarnation, None);
                }
            }
            _ => {}
        }
        followed.progress = progress;
        self.put(cx, id, &followed)?;
        self.take_parked(cx, id, &mut followed)
    }

    /// Takes or refuses the commands that waited for the aggregate.
    fn take_parked(&self, cx: &mut Context<'_>, id: &str, followed: &mut Followed) -> Result<(), Failure> {
        for command in parking::take(cx, &self.names, id)? {
            cx.set_origin(&command.origin());
            match self.take(cx, id, followed, &command) {
                Ok(()) => {}
                Err(Failure::Rejected(rejection)) => parking::refuse(cx, &self.rejections, id, &command, &rejection),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn put(&self, cx: &mut Context<'_>, id: &str, followed: &Followed) -> Result<(), StateError> {
        if followed.progress.is_final(B::NAMES.stages.len()) {
            cx.set_timer(RETENTION_TIMER, id, cx.now_ms().saturating_add(self.retention_ms))?;
        }
        cx.put(&self.store, id, followed);
        Ok(())
    }

    fn timer(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), StateError> {
        if timer.name == RETENTION_TIMER {
            cx.delete(&self.store, &timer.key);
            return Ok(());
        }
        let unknown = commands::unknown(&B::NAMES.words, &timer.key);
        for command in parking::take(cx, &self.names, &timer.key)? {
            parking::refuse(cx, &self.rejections, &timer.key, &command, &unknown);
        }
        Ok(())
    }

    fn emit(&self, cx: &mut Context<'_>, kind: &str, id: &str, incarnation: &str, command: Option<&Parked>) {
        let mut data = Map::from_iter([(B::NAMES.id_field.to_owned(), Value::from(id))]);
        if !incarnation.is_empty() {
            data.insert("incarnation".to_owned(), Value::from(incarnation));
        }
        if let Some(command) = command {
            data.extend(command.reason.as_deref().map(|reason| ("reason".to_owned(), Value::from(reason))));
            data.insert("command".to_owned(), json!(command.sent));
        }
        cx.emit(&self.events, kind, id, &data);
    }
}
