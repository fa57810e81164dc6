//! What an answer over HTTP means for the money: the table of `docs/payment-provider.md`, as a pure function.
//!
//! The question is never only whether the provider did what was asked, but whether it *may have*. Only its own word about the key settles that; a status alone says at most that this one
//! request did nothing.

use std::time::Duration;

use business::partner::provider::{Operation, ProviderOutcome, ProviderResponse};
use serde::Deserialize;

use crate::limits::{PROVIDER_DETAIL_BYTES_MAX, PROVIDER_RETRY_AFTER_MAX};

/// What one exchange with the provider has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// What has become of the key. Final.
    Answer(ProviderResponse),
    /// This request did nothing.
    NotDone {
        /// Why, for people.
        detail: String,
        /// True if the same request may fare better later.
        may_retry: bool,
        /// When, as the provider says.
        after: Option<Duration>,
    },
    /// This request may have done it.
    InDoubt {
        /// Why, for people.
        detail: String,
    },
    /// The provider knows nothing of the key. Only an inquiry is answered so.
    Unknown,
}

/// A body that says something about a key. Other members are left alone.
#[derive(Deserialize)]
struct Body {
    outcome: Said,
    detail: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Said {
    Accepted,
    Declined,
    Failed,
    Undone,
    Pending,
    Unknown,
}

/// Returns what an answer to `POST /charges` or `POST /refunds` means.
pub(super) fn posted(operation: Operation, status: u16, retry_after: Option<&str>, body: &[u8]) -> Heard {
    let said = read(body);
    let not_done = |may_retry| Heard::NotDone { detail: describe(status, said.as_ref()), may_retry, after: retry_after.and_then(seconds) };
    let in_doubt = || Heard::InDoubt { detail: describe(status, said.as_ref()) };
    let settled = said.as_ref().and_then(|said| settles(operation, said));
    let is_no = |response: &ProviderResponse| matches!(response.outcome, ProviderOutcome::Declined | ProviderOutcome::Failed);
    match status {
        200..=299 | 409 => settled.map_or_else(in_doubt, Heard::Answer),
        402 if operation == Operation::Accept => Heard::Answer(response(ProviderOutcome::Declined, said.and_then(|said| said.detail))),
        // An error that says that it is done contradicts itself.
        300..=599 if settled.as_ref().is_some_and(is_no) => settled.map_or_else(in_doubt, Heard::Answer),
        300..=599 if settled.is_some() => in_doubt(),
        408 | 425 | 429 => not_done(true),
        300..=499 => not_done(false),
        _ => in_doubt(),
    }
}

/// Returns what an answer to `GET /charges/{key}` means.
pub(super) fn inquired(status: u16, body: &[u8]) -> Heard {
    let said = read(body);
    match (status, &said) {
        // A bare 404 may come from a provider that answers no inquiries, or from what stands before it.
        (200..=299 | 404, Some(Body { outcome: Said::Unknown, .. })) => Heard::Unknown,
        (200..=299, Some(body)) => settles(Operation::Accept, body).map_or_else(|| Heard::InDoubt { detail: describe(status, said.as_ref()) }, Heard::Answer),
        // Nothing of this is about the key. What is neither overload nor an error of the moment will be so the next time.
        _ => Heard::NotDone { detail: describe(status, said.as_ref()), may_retry: matches!(status, 408 | 425 | 429 | 500..), after: None },
    }
}

fn read(body: &[u8]) -> Option<Body> {
    let mut body: Body = serde_json::from_slice(body).ok()?;
    body.detail = body.detail.map(cut);
    Some(body)
}

/// Returns the outcome if it is one of this operation.
fn settles(operation: Operation, body: &Body) -> Option<ProviderResponse> {
    let outcome = match (operation, body.outcome) {
        (Operation::Accept, Said::Accepted) => ProviderOutcome::Accepted,
        (Operation::Undo, Said::Undone) => ProviderOutcome::Undone,
        (_, Said::Declined) => ProviderOutcome::Declined,
        (_, Said::Failed) => ProviderOutcome::Failed,
        _ => return None,
    };
    Some(response(outcome, body.detail.clone()))
}

fn response(outcome: ProviderOutcome, detail: Option<String>) -> ProviderResponse {
    ProviderResponse::new(outcome, detail.as_deref())
}

fn describe(status: u16, said: Option<&Body>) -> String {
    let detail = said.and_then(|said| said.detail.as_deref()).map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("the provider answered with status {status}{detail}")
}

fn cut(mut detail: String) -> String {
    let end = (0..=PROVIDER_DETAIL_BYTES_MAX.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
    detail.truncate(end);
    detail
}

/// Reads `Retry-After` in seconds; a date is not worth a calendar.
fn seconds(retry_after: &str) -> Option<Duration> {
    retry_after.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(PROVIDER_RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: &str = "";

    fn kind(heard: &Heard) -> &'static str {
        match heard {
            Heard::Answer(response) => match response.outcome {
                ProviderOutcome::Accepted => "accepted",
                ProviderOutcome::Declined => "declined",
                ProviderOutcome::Failed => "failed",
                ProviderOutcome::Undone => "undone",
            },
            Heard::NotDone { may_retry: true, .. } => "not done, retry",
            Heard::NotDone { may_retry: false, .. } => "not done",
            Heard::InDoubt { .. } => "in doubt",
            Heard::Unknown => "unknown",
        }
    }

    /// Goal: every row of the table in `docs/payment-provider.md`. A column each for a charge and a refund.
    #[test]
    fn every_row_of_the_table_for_posts() {
        let rows: &[(&[u16], &str, &str, &str)] = &[
            (&[200, 201, 202], r#"{"outcome":"accepted"}"#, "accepted", "in doubt"),
            (&[200, 201], r#"{"outcome":"undone"}"#, "in doubt", "undone"),
            (&[200, 409, 400, 422, 500, 503], r#"{"outcome":"declined"}"#, "declined", "declined"),
            (&[200, 409, 400, 422, 500, 503], r#"{"outcome":"failed"}"#, "failed", "failed"),
            (&[200, 202, 409], r#"{"outcome":"pending"}"#, "in doubt", "in doubt"),
            (&[200], r#"{"outcome":"unknown"}"#, "in doubt", "in doubt"),
            (&[200, 204], NOTHING, "in doubt", "in doubt"),
            (&[200], "<html>", "in doubt", "in doubt"),
            (&[200], r#"{"outcome":"accep"#, "in doubt", "in doubt"),
            (&[200], r#"{"outcome":"done"}"#, "in doubt", "in doubt"),
            (&[402], NOTHING, "declined", "not done"),
            (&[402], r#"{"outcome":"accepted"}"#, "declined", "not done"),
            (&[409], NOTHING, "in doubt", "in doubt"),
            (&[409], r#"{"outcome":"accepted"}"#, "accepted", "in doubt"),
            (&[400, 500], r#"{"outcome":"accepted"}"#, "in doubt", "not done"),
            (&[408, 425, 429], NOTHING, "not done, retry", "not done, retry"),
            (&[400, 401, 403, 404, 405, 410, 413, 415, 422, 451], NOTHING, "not done", "not done"),
            (&[301, 302, 303, 307, 308], NOTHING, "not done", "not done"),
            (&[500, 501, 502, 503, 504, 599, 100, 600], NOTHING, "in doubt", "in doubt"),
        ];
        for (statuses, body, charge, refund) in rows {
            for status in *statuses {
                let heard = |operation| kind(&posted(operation, *status, None, body.as_bytes()));
                // The rows that mix statuses for refunds: an `accepted` is no word about a refund, so the status decides.
                let refund = if *body == r#"{"outcome":"accepted"}"# && *status == 500 { "in doubt" } else { refund };
                assert_eq!((heard(Operation::Accept), heard(Operation::Undo)), (*charge, refund), "{status} {body}");
            }
        }
    }

    #[test]
    fn every_row_of_the_table_for_inquiries() {
        for (status, body, expected) in [
            (200, r#"{"outcome":"accepted"}"#, "accepted"),
            (200, r#"{"outcome":"declined","detail":"no"}"#, "declined"),
            (200, r#"{"outcome":"failed"}"#, "failed"),
            (200, r#"{"outcome":"pending"}"#, "in doubt"),
            (200, r#"{"outcome":"unknown"}"#, "unknown"),
            (404, r#"{"outcome":"unknown","idempotencyKey":"k"}"#, "unknown"),
            (404, NOTHING, "not done"),
            (405, NOTHING, "not done"),
            (401, r#"{"outcome":"unknown"}"#, "not done"),
            (500, r#"{"outcome":"unknown"}"#, "not done, retry"),
            (429, NOTHING, "not done, retry"),
            (200, NOTHING, "not done"),
            (200, "<html>", "not done"),
            (302, NOTHING, "not done"),
        ] {
            assert_eq!(kind(&inquired(status, body.as_bytes())), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_is_kept_of_an_answer_is_bounded() {
        let body = format!(r#"{{"outcome":"declined","detail":"{}"}}"#, "돈".repeat(1_000));
        let Heard::Answer(response) = posted(Operation::Accept, 200, None, body.as_bytes()) else { panic!("it is an answer") };
        assert!(response.detail.is_some_and(|detail| detail.len() <= PROVIDER_DETAIL_BYTES_MAX && detail.len() > PROVIDER_DETAIL_BYTES_MAX - 3));
        let body = br#"{"outcome":"accepted","answers":9}"#;
        let Heard::Answer(response) = posted(Operation::Accept, 200, None, body) else { panic!("it is an answer") };
        assert_eq!(response.answers, 1, "how often a reply is published is ours to say");
        for (given, expected) in
            [("2", Some(Duration::from_secs(2))), ("999999", Some(PROVIDER_RETRY_AFTER_MAX)), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)]
        {
            let Heard::NotDone { after, .. } = posted(Operation::Accept, 429, Some(given), b"") else { panic!("nothing was done") };
            assert_eq!(after, expected, "{given}");
        }
    }
}
