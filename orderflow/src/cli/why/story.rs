//! A story: what happened in the order in which it happened, as JSON and in lines for people.

use std::collections::{BTreeMap, HashMap, HashSet};

use fluvio_streams::time::{Clock as _, SystemClock, format_rfc3339};
use serde::Serialize;
use serde_json::Value;

use super::collect::{Found, Happened};
use super::pending::Pending;
use crate::limits::{WHY_CAUSES_MAX, WHY_VALUE_CHARACTERS_MAX};

/// What happened to an aggregate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Story {
    system: &'static str,
    id: String,
    /// The partition that owns it.
    partition: u32,
    happened: Vec<Line>,
    /// Timers that are set and calls that are not answered, the first to be due first.
    pending: Vec<Pending>,
    /// True if there is more than is told.
    cut: bool,
    #[serde(skip)]
    id_field: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    at: String,
    /// Time since the first that is about the aggregate, in ms.
    after_ms: i64,
    topic: String,
    partition: u32,
    offset: i64,
    #[serde(rename = "type")]
    kind: String,
    causation_id: String,
    correlation_id: String,
    trace_id: String,
    data: Value,
}

impl Story {
    /// Tells what was found.
    pub(super) fn of(found: Found) -> Self {
        let Found { system, id, id_field, partition, mut happened, pending, is_cut: cut } = found;
        let begin_ms = happened.iter().filter(|it| !is_of_breaker(&it.kind)).map(|it| it.at_ms).min().unwrap_or_default();
        in_order(&mut happened);
        let line = |Happened { at_ms, position, kind, causation, correlation, trace, data, .. }| Line {
            at: format_rfc3339(at_ms),
            after_ms: at_ms - begin_ms,
            topic: position.topic,
            partition: position.partition,
            offset: position.offset,
            kind,
            causation_id: causation,
            correlation_id: correlation,
            trace_id: trace.to_string(),
            data,
        };
        Self { system, id, partition, happened: happened.into_iter().map(line).collect(), pending, cut, id_field }
    }

    /// Prints it for people: of each record, what is new since the one before it in the same topic.
    pub(super) fn print(&self) {
        let begin = self.happened.iter().find(|line| line.after_ms >= 0).map_or("", |line| line.at.as_str());
        println!("{} {} (partition {}), from {begin}", self.system, shown(&self.id), self.partition);
        for (trace, kind) in self.traces() {
            println!("{:>14}  {trace}, begins with {}", "trace", shown(kind));
        }
        let mut known: HashMap<&str, BTreeMap<String, String>> = HashMap::new();
        for line in &self.happened {
            let topic = line.topic.strip_prefix(self.system).map_or(&*line.topic, |rest| rest.trim_start_matches('-'));
            let mut members = BTreeMap::new();
            flatten("", &line.data, &mut members);
            members.retain(|name, value| *name != "type" && !(name == self.id_field && *value == self.id));
            let before = known.entry(&line.topic).or_default();
            let is_new = |(name, value): &(&String, &String)| is_of_breaker(&line.kind) || before.get(*name) != Some(*value);
            let news: Vec<String> = members.iter().filter(is_new).map(|(name, value)| format!("{name} {}", shown(value))).collect();
            let place = format!("{}/{}", line.partition, line.offset);
            println!("{:>14}  {topic:<22} {place:>9}  {:<24} {}", relative(line.after_ms), shown(&line.kind), news.join(", "));
            if !is_of_breaker(&line.kind) {
                *before = members;
            }
        }
        let now_ms = SystemClock.now_ms();
        for Pending { due_ms, due_at, processor, name, key } in &self.pending {
            let (when, due) = match (due_ms, due_at) {
                (Some(due_ms), Some(due_at)) => (relative(due_ms - now_ms), format!("timer, due {due_at}")),
                _ => ("no answer".to_owned(), "call".to_owned()),
            };
            println!("{when:>14}  {:<22} {:>9}  {name:<24} {} ({due})", processor, "pending", shown(key));
        }
        if self.cut {
            println!("there is more, which is left out");
        }
        println!();
    }

    /// Returns the traces that its records belong to, each with the type of its first one.
    fn traces(&self) -> Vec<(&str, &str)> {
        let mut seen = HashSet::new();
        let own = self.happened.iter().filter(|line| !is_of_breaker(&line.kind));
        own.filter(|line| seen.insert(line.trace_id.as_str())).map(|line| (line.trace_id.as_str(), line.kind.as_str())).collect()
    }
}

fn is_of_breaker(kind: &str) -> bool {
    kind.starts_with("Breaker")
}

/// Sorts by time; at one time, causes come before what they caused.
fn in_order(happened: &mut Vec<Happened>) {
    let by_id: HashMap<&str, usize> = happened.iter().enumerate().map(|(index, it)| (it.id.as_str(), index)).collect();
    let cause = |it: &Happened| {
        // The answer to a call follows the request for it, whose attempt the call names.
        let of_call = || {
            let call = it.causation.strip_prefix("call:")?;
            let asked = |other: &&Happened| {
                let attempt = other.data["correlationId"].as_str().unwrap_or_default();
                other.position.topic.ends_with("-requests") && !attempt.is_empty() && call.contains(&format!("/{attempt}/"))
            };
            let mut asked = happened.iter().filter(asked);
            let request = if call.contains("/undo") { asked.next_back() } else { asked.next() };
            request.and_then(|request| by_id.get(request.id.as_str()).copied())
        };
        by_id.get(it.causation.as_str()).copied().or_else(of_call)
    };
    let causes: Vec<Option<usize>> = happened.iter().map(cause).collect();
    let depth = |mut index: usize| {
        let mut depth = 0_usize;
        // What names itself as its cause, over however many steps, is not followed for ever.
        while let Some(cause) = causes[index].filter(|_| depth < WHY_CAUSES_MAX) {
            (index, depth) = (cause, depth + 1);
        }
        depth
    };
    let depths: Vec<usize> = (0..happened.len()).map(depth).collect();
    let mut sorted: Vec<(usize, Happened)> = depths.into_iter().zip(std::mem::take(happened)).collect();
    sorted.sort_by(|(depth_a, a), (depth_b, b)| (a.at_ms, depth_a, &a.position).cmp(&(b.at_ms, depth_b, &b.position)));
    happened.extend(sorted.into_iter().map(|(_, it)| it));
}

/// Names the members of objects within objects by their paths. What is long is cut.
fn flatten(path: &str, value: &Value, members: &mut BTreeMap<String, String>) {
    if let Value::Object(object) = value {
        for (name, value) in object {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, members);
        }
        return;
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cut: String = text.chars().take(WHY_VALUE_CHARACTERS_MAX).collect();
    members.insert(path.to_owned(), if cut.len() < text.len() { format!("{cut}...") } else { cut });
}

/// Returns a text without what would move about on a terminal.
fn shown(text: &str) -> String {
    text.chars().flat_map(|character| if character.is_control() { character.escape_debug().collect::<Vec<_>>() } else { vec![character] }).collect()
}

fn relative(after_ms: i64) -> String {
    let (sign, ms) = if after_ms < 0 { ('-', after_ms.unsigned_abs()) } else { ('+', after_ms.unsigned_abs()) };
    format!("{sign}{}.{:03} s", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use fluvio_streams::record::Position;
    use fluvio_streams::trace::Trace;
    use serde_json::json;

    use super::*;

    fn happened(at_ms: i64, topic: &str, offset: i64, id: &str, causation: &str, data: Value) -> Happened {
        let position = Position { topic: format!("s-{topic}"), partition: 0, offset };
        Happened {
            at_ms,
            position,
            kind: id.to_owned(),
            id: id.to_owned(),
            causation: causation.to_owned(),
            correlation: String::new(),
            trace: Trace::of(""),
            data,
        }
    }

    /// Goal: within one millisecond, in which whole orders are placed, the story still goes from cause to effect.
    #[test]
    fn at_one_time_causes_come_before_what_they_caused() {
        let asked = json!({"correlationId": "o-1/1"});
        let mut story = vec![
            happened(5, "commands", 9, "command", "", json!({})),
            happened(5, "orders-events", 0, "requested", "command", json!({})),
            happened(5, "orders-events", 1, "placed", "reply", json!({})),
            happened(5, "payment-replies", 0, "reply", "call:s/o-1/1/accept@0-9", json!({})),
            happened(5, "payment-requests", 0, "ask", "command", asked.clone()),
            happened(9, "payment-requests", 1, "refund", "cancel", asked),
            happened(9, "a-events", 0, "refunded", "call:s/o-1/1/undo@0-9", json!({})),
            happened(9, "commands", 10, "cancel", "", json!({})),
        ];
        in_order(&mut story);
        let told: Vec<&str> = story.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(told, ["command", "requested", "ask", "reply", "placed", "cancel", "refund", "refunded"]);
    }

    #[test]
    fn causes_that_go_round_are_told_all_the_same() {
        let mut story = vec![happened(2, "x", 0, "a", "b", json!({})), happened(1, "x", 1, "b", "a", json!({})), happened(1, "x", 2, "c", "c", json!({}))];
        in_order(&mut story);
        assert_eq!(story.len(), 3);
        assert_eq!(story[2].id, "a");
    }

    #[test]
    fn what_is_shown_cannot_move_about_on_a_terminal() {
        assert_eq!(shown("치킨 \u{1b}[2J\n"), "치킨 \\u{1b}[2J\\n");
        assert_eq!((relative(-1_500), relative(61)), ("-1.500 s".to_owned(), "+0.061 s".to_owned()));
    }
}
