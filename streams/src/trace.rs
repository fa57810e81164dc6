//! Traces: which chain of records, timers and calls goes back to one command, in the terms of W3C Trace Context.
//!
//! A record says it in its `traceparent` (the distributed tracing extension of CloudEvents; of a command, a member beside `commandId`): the trace, and the *span* that wrote it. A span is one
//! input that a task took, one call to the outside, or one event that a view folded. A record without one belongs to the trace that follows from its correlation id. Span ids follow from what
//! is journaled. So whoever takes a task over, replays it or sends its effects again says the same of them, and nothing has to be remembered of a trace that was not given by its sender.
//!
//! What it is not: it measures nothing and exports nothing. What was traced is told to an [`crate::telemetry::Observer`] that asks for it.

use std::fmt;
use std::hash::Hasher as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip128::{Hasher128 as _, SipHasher};

use crate::journal::Transaction;

/// Bit of the flags that says that the sender records the trace.
const SAMPLED: u8 = 1;

/// A trace: its id, which is never 0, and its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    id: u128,
    flags: u8,
}

/// A place in a trace: what a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Trace.
    pub trace: Trace,
    /// Span in it; `None` if nobody has said which.
    pub span: Option<Span>,
}

/// Id of a span, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span(u64);

/// Which command something goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its correlation id.
    pub correlation: String,
    /// Its trace.
    pub trace: Trace,
}

impl Origin {
    /// Returns what was kept: the trace only if it does not follow from the correlation id.
    pub fn kept(correlation: &str, trace: Option<Trace>) -> Self {
        Self { correlation: correlation.to_owned(), trace: trace.unwrap_or_else(|| Trace::of(correlation)) }
    }
}

impl Trace {
    /// Returns the trace of everything under a correlation id whose command came without one.
    pub fn of(correlation: &str) -> Self {
        Self { id: hash(&[b"trace", correlation.as_bytes()]).max(1), flags: SAMPLED }
    }

    /// Returns the trace, unless it follows from the correlation id: only then must it be kept.
    pub fn unless_of(self, correlation: &str) -> Option<Self> {
        Some(self).filter(|trace| *trace != Self::of(correlation))
    }

    /// Returns the id as 16 bytes.
    pub fn id(self) -> [u8; 16] {
        self.id.to_be_bytes()
    }

    /// Returns true if the sender of the trace records it, so that others should, too.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns a span that is named by what it is: the same names give the same span.
    pub fn span(self, names: &[&str]) -> Span {
        let id = self.id.to_be_bytes();
        let parts: Vec<&[u8]> = std::iter::once(&id[..]).chain(names.iter().map(|name| name.as_bytes())).collect();
        Span((hash(&parts) as u64).max(1))
    }

    /// Returns the trace at a span.
    pub fn at(self, span: Span) -> TraceContext {
        TraceContext { trace: self, span: Some(span) }
    }
}

/// As 32 hexadecimal digits: the `trace_id` of logs.
impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.id)
    }
}

impl Span {
    /// Returns the id as 8 bytes.
    pub fn id(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl TraceContext {
    /// Returns what holds under a correlation id whose command came without a `traceparent`.
    pub fn of(correlation: &str) -> Self {
        Self { trace: Trace::of(correlation), span: None }
    }

    /// Reads a `traceparent`. `None` if it is none, or of a version that does not begin as the known one: then it is to be ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_shaped = bytes.len() >= 55 && text.is_ascii() && [2, 35, 52].into_iter().all(|at| bytes[at] == b'-');
        if !is_shaped || (&text[..2] == "00" && bytes.len() > 55) || (bytes.len() > 55 && bytes[55] != b'-') {
            return None;
        }
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let (version, id, span, flags) = (&text[..2], &text[3..35], &text[36..52], &text[53..55]);
        if version == "ff" || ![version, id, span, flags].into_iter().all(is_hex) {
            return None;
        }
        let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        Some(Self { trace: Trace { id, flags: u8::from_str_radix(flags, 16).ok()? }, span: Some(Span(span)) })
    }
}

/// As a `traceparent`. One without a span names the one that a trace begins with.
impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span(span) = self.span.unwrap_or_else(|| self.trace.span(&[]));
        write!(formatter, "00-{:032x}-{span:016x}-{:02x}", self.trace.id, self.trace.flags)
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{}` is no traceparent", text.escape_debug())))
    }
}

/// As its `traceparent`.
impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TraceContext { trace: *self, span: None }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Trace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TraceContext::deserialize(deserializer).map(|context| context.trace)
    }
}

/// Returns the span of the input that a task takes: `causation` is what its effects name as their cause.
pub fn span_of_input(trace: Trace, journal: &str, partition: u32, causation: &str) -> Span {
    trace.span(&[journal, &partition.to_string(), causation])
}

/// Returns the span of a call to the outside.
pub fn span_of_call(trace: Trace, id: &str) -> Span {
    trace.span(&["call", id])
}

/// What an input of a task was, for telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputTraced {
    /// Its trace and span.
    pub context: TraceContext,
    /// The span that caused it, if that is known.
    pub parent: Option<Span>,
    /// Event or command type, name of the timer, or `answer`.
    pub what: String,
    /// Position, timer or call.
    pub cause: String,
    /// Aggregate id that it is about, where it is known.
    pub subject: Option<String>,
    /// `taken`, `rejected` or `unreadable`.
    pub outcome: &'static str,
}

/// Entry under which a transaction carries the traces of its effects that do not follow from their correlation ids. Only those of the transaction itself mean anything: what is left of it in a
/// store means nothing. It is an entry and no member of the transaction, so that programs which know nothing of traces read the journal all the same.
const ENTRY: &[u8] = b"w";

impl Transaction {
    /// Writes down the traces of its effects. Changes must be in the order of their keys, and stay so.
    pub(crate) fn carry_traces(&mut self) {
        let traces: Vec<(u32, Trace)> = (0..).zip(&self.effects).filter_map(|(index, effect)| Some((index, effect.event.trace?))).collect();
        if traces.is_empty() {
            return;
        }
        let bytes = rmp_serde::to_vec(&traces).unwrap_or_else(|error| panic!("traces serialize: {error}"));
        let at = self.changes.partition_point(|(key, _)| key.as_slice() < ENTRY);
        self.changes.insert(at, (ENTRY.to_vec(), Some(bytes)));
    }

    /// Gives the traces back to its effects, after it was read.
    pub(crate) fn regain_traces(&mut self) {
        let Some((_, Some(bytes))) = self.changes.iter().rev().find(|(key, _)| key == ENTRY) else { return };
        let traces: Vec<(u32, Trace)> = rmp_serde::from_slice(bytes).unwrap_or_default();
        for (index, trace) in traces {
            if let Some(effect) = self.effects.get_mut(index as usize) {
                effect.event.trace = Some(trace);
            }
        }
    }
}

fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher::new();
    for part in parts {
        hasher.write(part);
        // What no text contains, so that two ways to cut one text differ.
        hasher.write_u8(0xff);
    }
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_reads_back_as_it_was_written() {
        let context = TraceContext::parse(GIVEN).expect("it is the one of the specification");
        assert_eq!((context.to_string().as_str(), context.trace.is_sampled()), (GIVEN, true));
        assert_eq!(context.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let stored: TraceContext = serde_json::from_str(&serde_json::to_string(&context).expect("it serializes")).expect("it reads");
        assert_eq!(stored, context);
        let trace: Trace = serde_json::from_str(&serde_json::to_string(&context.trace).expect("it serializes")).expect("it reads");
        assert_eq!(trace, context.trace);
    }

    #[test]
    fn what_is_no_traceparent_is_ignored_and_newer_versions_are_read_as_far_as_they_are_known() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473가-00f067aa0ba902b7-0",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
        assert_eq!(TraceContext::parse(&format!("01{}-more", &GIVEN[2..])), TraceContext::parse(GIVEN));
    }

    /// Whoever replays a journal, with whatever build, must come to the same: these are for ever.
    #[test]
    fn what_follows_from_names_is_always_the_same() {
        let trace = Trace::of("c-1");
        assert_eq!(trace.unless_of("c-1"), None);
        assert_eq!(trace.unless_of("c-2"), Some(trace));
        assert_ne!(trace.span(&["a", "bc"]), trace.span(&["ab", "c"]));
        assert_ne!(trace.span(&["a"]), Trace::of("c-2").span(&["a"]));
        assert_eq!(trace.at(span_of_input(trace, "orders-journal", 3, "c-1")).to_string(), "00-f4d28208452c3a21a3b208e7ef53ee4d-ecb4f2238ad52d0a-01");
    }
}
