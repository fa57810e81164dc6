//! The records that every business has, described by its names.

use fluvio_streams::envelope::TRACEPARENT;
use fluvio_streams::system::{RecordSpec, Writer};
use serde_json::{Value, json};

use super::{Object, count, flag, free_text, id, nullable, one_of, text, time, traceparent, won};
use crate::follower::FollowerNames;
use crate::front::commands::{BREAKER_FORCED, FORCE_BREAKER, RESET_BREAKER};
use crate::front::state::Status;
use crate::names::Names;
use crate::rules::Business;
use crate::topics;

/// States of a breaker, as commands and events name them.
const BREAKER_STATES: [&str; 5] = ["closed", "open", "half-open", "forced-open", "disabled"];

/// An operator begins to send the record of a dead letter again.
pub const REDRIVE_STARTED: &str = "RedriveStarted";
/// It is there again.
pub const REDRIVEN: &str = "Redriven";

/// Returns the record of a type that a system writes.
pub fn event(topic: &str, kind: &str, object: Object, description: &str) -> RecordSpec {
    record(topic, kind, Writer::System, object, description)
}

/// Returns the record of a request, or of an answer to one.
pub fn message(topic: &str, kind: &str, object: Object, description: &str) -> RecordSpec {
    record(topic, kind, Writer::Either, object, description)
}

fn record(topic: &str, kind: &str, writer: Writer, object: Object, description: &str) -> RecordSpec {
    RecordSpec { topic: topic.to_owned(), kind: kind.to_owned(), writer, follower: None, schema: object.schema(description) }
}

/// Returns the schema of a command of a type: `fields` are those beside `type`, `commandId` and `traceparent`.
pub fn command(kind: &str, fields: Object, description: &str) -> Value {
    let type_of = json!({"const": kind, "description": "Command type."});
    let command_id = id("Chosen by the sender: the same command sent twice under it has the effect of once.");
    Object::default().must("type", type_of).may("commandId", command_id).may(TRACEPARENT, traceparent()).and(fields).schema(description)
}

/// Returns the schema of a command of a business: of its front or of a follower.
pub fn of_command<B: Business>(kind: &str) -> Value {
    let names = B::NAMES;
    let noun = names.words.noun.to_lowercase();
    let about = || Object::default().must(names.id_field, id(&format!("Which {noun}.")));
    let reason = || free_text("Why, for people.");
    match kind {
        kind if kind == names.open => {
            let new = id(&format!("Id of the new {noun}. Left out, the record's key is the id, or the system assigns one."));
            command(kind, Object::default().may(names.id_field, new).and(B::describe().command), &format!("To have the {noun} established."))
        }
        kind if names.retry.is_some_and(|(retry, _)| kind == retry) => command(kind, about(), &format!("To have a deferred {noun} tried again now.")),
        kind if kind == names.cancel => command(kind, about().may("reason", reason()), &format!("To end the {noun}.")),
        kind => command(kind, about().may("reason", reason()), &format!("To take this step with the {noun}.")),
    }
}

/// Returns every type of record that a business with these followers has, beside its commands.
pub fn of_business<B: Business>(followers: &[FollowerNames]) -> Vec<RecordSpec> {
    let names = &B::NAMES;
    let mut records = front::<B>();
    records.extend(requests::<B>());
    records.extend(partner(names));
    for names_of_follower in followers {
        records.extend(follower(names, names_of_follower));
    }
    records.extend(operator(names));
    records.extend(outcomes(names));
    records
}

/// Returns the id of an aggregate and its incarnation, which most records have.
fn about(names: &Names) -> Object {
    let noun = names.words.noun.to_lowercase();
    let incarnation = text(&format!("Which {noun} of this id: an id may be used again when the one that had it is forgotten."));
    Object::default().must(names.id_field, id(&format!("Which {noun}."))).must("incarnation", incarnation)
}

fn attempt() -> Value {
    count(1, "Attempt, from 1.")
}

/// A reason code. More of them may come with time, so that they are no closed list.
fn reason() -> Value {
    text("Reason code. Others may be added.")
}

/// The events of the front.
fn front<B: Business>() -> Vec<RecordSpec> {
    let names = &B::NAMES;
    let words = &names.words;
    let (topic, noun) = (topics::events(names.system, names.collection), words.noun.to_lowercase());
    let statuses: Vec<&str> = Status::all(names).into_iter().map(|status| status.name(names)).collect();
    let described = B::describe();
    let [done, undone] = names.partner.account;
    let sum = |what: &str| count(0, &format!("{what}, in won or, where no money is involved, in numbers."));
    let account = Object::default()
        .must("attempts", count(0, "Attempts so far."))
        .must(done, sum("Done by the partner"))
        .must(undone, sum("Undone by the partner"))
        .schema("What the partner has done.");
    let mut common = about(names)
        .must("customerId", id("Whose."))
        .and(described.details)
        .must("status", one_of(&statuses, "Status after the event."))
        .must(names.partner.pair, account);
    if let Some(field) = names.amount_field {
        common = common.must(field, won("What is paid."));
    }
    let event = |kind: &str, object: Object, description: &str| event(&topic, kind, common.clone().and(object), description);
    let detail = || text("What the partner or a follower said.");
    let with_attempt = || Object::default().must("attempt", attempt());
    let undoing = || if names.amount_field.is_some() { with_attempt().must("amount", won("How much was undone.")) } else { with_attempt() };
    let stray = self::about(names).may("customerId", id("Whose; left out if it is not known any more.")).and(undoing());
    let mut records = vec![
        event(words.requested, described.told, &format!("The {noun} is on record, not yet established.")),
        event(words.established, with_attempt().must("late", flag("Whether the answer came after the deadline.")), &format!("The {noun} is established.")),
        event(words.rejected, Object::default().must("reason", reason()).may("detail", detail()), &format!("The {noun} will not be established, or no more.")),
        event(words.deferred, Object::default().must("reason", reason()).may("attempt", attempt()), "Not yet; the customer will be told."),
        event(words.abandoned, Object::default().must("reason", reason()), &format!("The {noun} ended while somebody waited for the partner's answer.")),
        event(words.cancelled, Object::default().may("reason", text("As the customer said, or a reason code.")), &format!("The {noun} is cancelled.")),
        event(words.status_changed, Object::default().must("previousStatus", one_of(&statuses, "Status before.")), "A follower went on."),
        event(words.unwanted, with_attempt(), "The partner accepted what nobody wants any more; it is being undone."),
        event(words.undone, undoing(), "What the partner did for an attempt is undone."),
        self::event(&topic, words.stray_undone, stray, &format!("What the partner did for an attempt is undone, of a {noun} that is not known any more.")),
    ];
    if names.retry.is_some() {
        records.push(event(words.attempt_started, with_attempt(), "The customer asked for a new attempt."));
    }
    records
}

/// What the front asks of its partner.
fn requests<B: Business>() -> Vec<RecordSpec> {
    let (names, partner) = (&B::NAMES, &B::NAMES.partner);
    let topic = topics::requests(names.system, partner.pair);
    let mut about = about(names).must("attempt", attempt()).must("correlationId", text("`<id>/<attempt>`: names the attempt."));
    if names.amount_field.is_some() {
        about = about.must("amount", won("How much; 0 in an unverified undoing if it is not known."));
    }
    let customer = || id("Whose.");
    let told = B::describe().request;
    let request = about
        .clone()
        .must("customerId", customer())
        .and(told.clone())
        .must("deadlineAt", time("When the customer stops waiting."))
        .must("giveUpAt", time("When nobody wants it any more."));
    let void = about.clone().must("customerId", customer()).and(told);
    let undo = about
        .must("customerId", text("Whose; empty if it is not known."))
        .may("unverified", flag("True if who asks no longer knows what was done: the partner's own books say whether it is due."));
    vec![
        message(&topic, partner.request, request, "To do it, once for each attempt."),
        message(&topic, partner.void_request, void, "Nobody wants the attempt any more."),
        message(&topic, partner.undo_request, undo, "To undo what was done for the attempt, once."),
    ]
}

/// What a partner answers and tells.
fn partner(names: &Names) -> Vec<RecordSpec> {
    let partner = &names.partner;
    let said = |object: Object| object.may("detail", text("What the provider said."));
    let answer = || Object::default().must(names.id_field, id("As asked.")).must("attempt", attempt());
    let rest = || {
        let rest = Object::default()
            .must("customerId", text("As asked; empty if it was not known."))
            .must("correlationId", text("`<id>/<attempt>`, as asked."))
            .may("incarnation", text("As asked. Who leaves it out answers to the one that has the id now."));
        if names.amount_field.is_some() { rest.must("amount", won("How much, as asked.")) } else { rest }
    };
    let kinds = [
        (partner.accepted, "Done."),
        (partner.declined, "No."),
        (partner.failed, "It could not be found out; nothing was done."),
        (partner.voided, "Dropped in time; nothing was done."),
        (partner.undone, "It is undone."),
        (partner.undo_refused, "An unverified undoing is not due."),
    ];
    let (events, replies) = (topics::events(names.system, partner.processor), topics::replies(names.system, partner.pair));
    let mut records: Vec<RecordSpec> = kinds.iter().map(|(kind, what)| event(&events, kind, said(answer().and(rest())), what)).collect();
    // Whoever stands in for the partner must say which attempt it is, and may say the rest.
    records.extend(kinds.iter().map(|(kind, what)| message(&replies, kind, said(answer().and(rest().optional())), what)));
    let counted = |what: &str| count(0, &format!("{what} in the window."));
    let transition = Object::default()
        .must("name", text("Whose breaker."))
        .must("from", one_of(&BREAKER_STATES, "State before."))
        .must("to", one_of(&BREAKER_STATES, "State after."))
        .must("partition", count(0, "Partition whose task asks."))
        .must("at", time("When."))
        .must("calls", counted("Calls"))
        .must("failedCalls", counted("Calls that failed"))
        .must("slowCalls", counted("Calls that were slow"));
    records.push(event(&events, "BreakerTransitioned", transition, "The breaker in front of the partner changed its state."));
    let forced = Object::default()
        .must("name", text("Whose breaker."))
        .must("from", one_of(&BREAKER_STATES, "State before."))
        .must("to", one_of(&BREAKER_STATES, "State after."))
        .must("partition", count(0, "Partition whose task asks."))
        .must("reset", flag("True if it is as if new."))
        .may("operator", free_text("Who ordered it."))
        .may("reason", free_text("Why, as the operator said."));
    records.push(event(&events, BREAKER_FORCED, forced, "What an operator ordered of the breaker is done."));
    records
}

fn follower(names: &Names, follower: &FollowerNames) -> Vec<RecordSpec> {
    let topic = topics::events(names.system, follower.events);
    let command = Object::default()
        .must("type", text("Command type."))
        .must("id", text("Id that its sender gave it, else where it stood."))
        .must("position", text("Where it was read."))
        .schema("The command that led to it.");
    let on_command = || about(names).may("reason", free_text("As the sender said.")).must("command", command.clone());
    let taken = follower.commands.iter().map(|command| event(&topic, command.event, on_command(), &format!("What `{}` asked for is done.", command.kind)));
    let followed = follower
        .opened
        .iter()
        .map(|kind| (*kind, "It has come here."))
        .chain(follower.cancelled.iter().map(|kind| (*kind, "It was cancelled after it had come here.")));
    taken.chain(followed.map(|(kind, what)| event(&topic, kind, about(names), what))).collect()
}

/// The commands of an operator.
fn operator(names: &Names) -> [RecordSpec; 2] {
    let record = |kind: &str, fields: Object, description| {
        let fields = fields.may("operator", free_text("Who orders it.")).may("reason", free_text("Why, for people."));
        RecordSpec {
            topic: topics::commands(names.system),
            kind: kind.to_owned(),
            writer: Writer::Outside,
            follower: None,
            schema: command(kind, fields, description),
        }
    };
    let state = Object::default().must("state", one_of(&BREAKER_STATES, "The state to put it in."));
    [
        record(FORCE_BREAKER, state, "To put the breaker of the task that reads it into a state."),
        record(RESET_BREAKER, Object::default(), "To make the breaker of the task that reads it as if new."),
    ]
}

/// What becomes of commands that have no effect.
fn outcomes(names: &Names) -> Vec<RecordSpec> {
    let rejected = Object::default()
        .must("commandType", text("Command type."))
        .must("commandId", text("Id that its sender gave it, else where it stood."))
        .must("subject", nullable(text("What the command is about, where it says so.")))
        .must("reason", reason())
        .must("detail", text("Why, for people."))
        .must("position", text("Where the command was read."));
    let letter = Object::default()
        .must("topic", text("Where the record stands; a journal if it is a timer or an answer of an outside system."))
        .must("partition", count(0, "Where it stands."))
        .may("offset", count(0, "Where it stands."))
        .must("processor", text("Who could not take it."))
        .must("error", text("Why, for people."))
        .may("key", nullable(text("The record's key, its beginning.")))
        .may("value", text("The record's value, its beginning."))
        .may("cause", text("Which timer or answer it is."));
    let note = || {
        Object::default()
            .must("letter", text("Which dead letter: system, partition and offset."))
            .must("after", count(0, "Offset of what was said last about the letter, itself first. What follows something else does not count."))
            .must("topic", text("Where the record is appended again."))
            .must("partition", count(0, "Where the record is appended again."))
            .must("redrives", count(1, "Which time it is that the record is appended again."))
            .must("at", time("When."))
    };
    let started = note().must("from", count(0, "The record will stand at this offset or later."));
    let redriven = note().must("offset", count(0, "Where the record stands now."));
    let dead_letters = &topics::dead_letters(names.system);
    vec![
        event(&topics::rejections(names.system), "CommandRejected", rejected, "A rule refused a command."),
        event(dead_letters, "DeadLetter", letter, "Nobody could read or take a record."),
        message(dead_letters, REDRIVE_STARTED, started, "An operator is about to have the record of a dead letter appended again."),
        message(dead_letters, REDRIVEN, redriven, "The record of a dead letter was appended again."),
    ]
}
