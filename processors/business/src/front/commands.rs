//! What people may send to a business, and what comes of it: the commands for the HTTP layer, and what all processors of commands share.

use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Rejection};
use fluvio_streams::system::{CommandSpec, FieldError, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fields::Fields;
use crate::follower::FollowerNames;
use crate::names::{Names, Words};
use crate::rules::{Business, Opening};
use crate::schema::records::of_command;

/// Command of an operator: puts the breaker of the task that reads it into a state. See [`super::operator`].
pub const FORCE_BREAKER: &str = "ForceBreaker";
/// Command of an operator: makes the breaker of the task that reads it as if new. See [`super::operator`].
pub const RESET_BREAKER: &str = "ResetBreaker";
/// Event: what an operator ordered is done.
pub const BREAKER_FORCED: &str = "BreakerForced";

/// How reason codes end by which a sender is told to try again later: `StoreOverloaded`.
pub const OVERLOADED: &str = "Overloaded";

/// A command to a front.
#[derive(Debug, Clone, PartialEq)]
pub enum Command<D> {
    /// To have something established.
    Open(Opening<D>),
    /// To have the partner asked again.
    Retry,
    /// To end it.
    Cancel {
        /// Why, for people.
        reason: Option<String>,
    },
}

/// Reads the command of type `kind` from its JSON object; `None` if the front takes no such command.
///
/// # Errors
/// [`FieldError`] naming the field that is missing or wrong.
pub fn read<B: Business>(kind: &str, body: &Value) -> Result<Option<Command<B::Details>>, FieldError> {
    let fields = Fields::of(body, "")?;
    match kind {
        kind if kind == B::NAMES.open => B::open(fields).map(|opening| Some(Command::Open(opening))),
        kind if kind == B::NAMES.cancel => Ok(Some(Command::Cancel { reason: fields.text("reason")?.map(str::to_owned) })),
        kind if B::NAMES.retry.is_some_and(|(retry, _)| kind == retry) => Ok(Some(Command::Retry)),
        _ => Ok(None),
    }
}

/// Returns every command of a business with these followers.
pub fn specs<B: Business>(followers: &[FollowerNames]) -> Vec<CommandSpec> {
    let names = B::NAMES;
    let (subject_field, id_prefix) = (names.id_field, names.id_prefix);
    let spec = |kind, collection, verb| CommandSpec { kind, collection, verb, subject_field, id_prefix, check: check::<B>, schema: of_command::<B> };
    let mut specs = vec![spec(names.open, names.collection, None)];
    specs.extend(names.retry.map(|(kind, verb)| spec(kind, names.collection, Some(verb))));
    specs.push(spec(names.cancel, names.collection, Some("cancel")));
    for follower in followers {
        specs.extend(follower.commands.iter().map(|command| spec(command.kind, follower.collection, Some(command.verb))));
    }
    specs.extend(B::commands());
    specs
}

/// Checks a command object by the rules by which the processors read it.
fn check<B: Business>(body: &Value) -> Result<(), FieldError> {
    let fields = Fields::of(body, "")?;
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_id_there = fields.identifier(B::NAMES.id_field)?.is_some();
    explicit_id(body)?;
    if read::<B>(kind, body)?.is_none() {
        // A follower takes it, and reads no more than why.
        fields.text("reason")?;
    }
    if kind != B::NAMES.open && !is_id_there {
        return Err(fields.wrong(B::NAMES.id_field, "is missing"));
    }
    Ok(())
}

/// Reads an event as the outcome of the command that it correlates with.
///
/// What is deferred has its outcome; what becomes of it later is news, not an outcome.
pub fn outcome<B: Business>(command: &str, event: &str, data: &Value) -> Option<(Outcome, Option<String>)> {
    let Names { words, open, retry, cancel, .. } = B::NAMES;
    let reason = || data.get("reason").and_then(Value::as_str).map(str::to_owned);
    match event {
        "DeadLetter" => return Some((Outcome::Refused, Some("Unreadable".to_owned()))),
        "CommandRejected" => {
            let outcome = match reason().as_deref() {
                Some("DuplicateCommand") => Outcome::Repeated,
                Some(code) if code == words.unknown => Outcome::Unknown,
                Some(code) if code.ends_with(OVERLOADED) => Outcome::Overloaded,
                _ => Outcome::Refused,
            };
            return Some((outcome, reason()));
        }
        _ => {}
    }
    if let Some(outcome) = B::outcome(command, event, data) {
        return Some(outcome);
    }
    let asks = command == open || retry.is_some_and(|(retry, _)| command == retry);
    if asks {
        return match event {
            event if event == words.established => Some((Outcome::Done, None)),
            event if event == words.deferred => Some((Outcome::Deferred, reason())),
            event if event == words.rejected && reason().as_deref() == Some(words.declined) => Some((Outcome::Declined, reason())),
            event if event == words.rejected || event == words.abandoned => Some((Outcome::Refused, reason())),
            _ => None,
        };
    }
    if [FORCE_BREAKER, RESET_BREAKER].contains(&command) {
        return (event == BREAKER_FORCED).then_some((Outcome::Done, None));
    }
    if command == cancel {
        return (event == words.cancelled).then_some((Outcome::Done, None));
    }
    // What a follower took has come to the front; that it declines is what it was told to do.
    (event == words.status_changed || event == words.rejected).then_some((Outcome::Done, None))
}

/// Returns the id that the sender gave to the command. It is read from the command itself, since a forwarded one travels in an envelope with an id of its own.
///
/// # Errors
/// [`FieldError`] if it is no id.
pub fn explicit_id(body: &Value) -> Result<Option<&str>, FieldError> {
    Fields::of(body, "")?.identifier("commandId")
}

/// Refuses a command that was taken before.
///
/// # Errors
/// [`Rejection`] if it was.
pub fn refuse_duplicate(taken: &[String], command_id: Option<&str>) -> Result<(), Rejection> {
    match command_id.filter(|id| taken.iter().any(|taken| taken == id)) {
        Some(id) => Err(Rejection::new("DuplicateCommand", format!("the command `{id}` was taken before"))),
        None => Ok(()),
    }
}

/// Adds a command's id to those taken; of more than `max`, the oldest go.
pub fn remember(taken: &mut Vec<String>, command_id: Option<&str>, max: usize) {
    taken.extend(command_id.map(str::to_owned));
    taken.drain(..taken.len().saturating_sub(max));
}

/// A command as its sender knows it: by this it is named if it is refused later than in the step that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Command type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id that the sender gave it, else where it stood when it was sent.
    pub id: String,
    /// Where it was read.
    pub position: String,
}

impl Sent {
    /// Returns the command of a message. One that was forwarded travels in an envelope with an id of its own, but under the correlation of what was sent.
    pub fn of(message: &Message, command_id: Option<&str>) -> Self {
        let identity = if message.provenance.is_some() { &message.correlation } else { &message.id };
        Self { kind: message.kind.clone(), id: command_id.unwrap_or(identity).to_owned(), position: message.position.to_string() }
    }

    /// Tells the sender that the command is refused, in the shape in which the runtime tells it of any other. The context carries the command's correlation.
    pub fn refuse(&self, cx: &mut Context<'_>, rejections: &str, id: &str, rejection: &Rejection) {
        let data = json!({
            "commandType": self.kind,
            "commandId": self.id,
            "subject": id,
            "reason": rejection.reason,
            "detail": rejection.detail,
            "position": self.position,
        });
        cx.emit_to(rejections, cx.partition(), "CommandRejected", id, &data);
    }
}

/// Returns the refusal of a command for an aggregate that is not there.
pub fn unknown(words: &Words, id: &str) -> Rejection {
    Rejection::new(words.unknown, format!("there is no {} `{id}`", words.noun.to_lowercase()))
}

/// Returns the reason why a record about no aggregate cannot be read.
pub fn no_id(names: &Names, kind: &str) -> Unreadable {
    Unreadable(format!("{kind}: field `{}` is missing, and the record has no key to take its place", names.id_field))
}
