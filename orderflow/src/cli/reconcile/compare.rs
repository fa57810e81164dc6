//! The comparison of two records of the same money. Pure.

use std::collections::HashMap;

use business::partner::provider::Operation;
use serde::Serialize;

/// Money that was moved under a key, as one side has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Movement {
    pub(super) operation: Operation,
    /// In won; the sum, if it was moved several times.
    pub(super) amount: i64,
    /// How often.
    pub(super) count: u32,
    /// When first, ms since the Unix epoch.
    pub(super) at_ms: i64,
}

/// One side's record, by idempotency key.
pub(super) type Books = HashMap<String, Movement>;

/// In which way the two sides differ about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    /// The provider moved money of which the system does not know.
    MissingHere,
    /// The system counts on money of which the provider does not know.
    MissingThere,
    /// Both know of it and not of the same sum.
    AmountDiffers,
    /// The provider moved it more than once.
    RepeatedThere,
}

/// A key about which the two sides differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    pub(super) idempotency_key: String,
    pub(super) operation: Operation,
    pub(super) kind: Kind,
    /// In won.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) here: Option<i64>,
    /// In won.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) there: Option<i64>,
    #[serde(skip)]
    pub(super) at_ms: i64,
}

/// What came of the comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// By key.
    pub(super) differences: Vec<Difference>,
    /// Only there, and so young that the answer may be on its way. By key.
    pub(super) in_progress: Vec<Difference>,
    /// Only there, and so old that the system's record of it may have been removed.
    pub(super) older: usize,
}

/// From when on what is only there is in progress, and until when it is too old to be compared; ms since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) settled_ms: i64,
}

/// Compares what the system holds with the provider's record, which must have been read later: what the system holds is then in it.
pub(super) fn compare(here: &Books, there: &Books, span: Span) -> Comparison {
    let mut comparison = Comparison::default();
    for (key, theirs) in there {
        let difference = |kind, ours: Option<&Movement>| Difference {
            idempotency_key: key.clone(),
            operation: theirs.operation,
            kind,
            here: ours.map(|ours| ours.amount),
            there: Some(theirs.amount),
            at_ms: theirs.at_ms,
        };
        match here.get(key) {
            Some(ours) if theirs.count > 1 => comparison.differences.push(difference(Kind::RepeatedThere, Some(ours))),
            Some(ours) if ours.amount != theirs.amount => comparison.differences.push(difference(Kind::AmountDiffers, Some(ours))),
            Some(_) => {}
            None if theirs.at_ms < span.from_ms => comparison.older += 1,
            None if theirs.at_ms > span.settled_ms => comparison.in_progress.push(difference(Kind::MissingHere, None)),
            None => comparison.differences.push(difference(Kind::MissingHere, None)),
        }
    }
    for (key, ours) in here.iter().filter(|(key, _)| !there.contains_key(*key)) {
        comparison.differences.push(Difference {
            idempotency_key: key.clone(),
            operation: ours.operation,
            kind: Kind::MissingThere,
            here: Some(ours.amount),
            there: None,
            at_ms: ours.at_ms,
        });
    }
    for differences in [&mut comparison.differences, &mut comparison.in_progress] {
        differences.sort_by(|a, b| a.idempotency_key.cmp(&b.idempotency_key));
    }
    comparison
}

/// Returns the sum of what was moved so, in won.
pub(super) fn sum(books: &Books, operation: Operation) -> i64 {
    books.values().filter(|movement| movement.operation == operation).map(|movement| movement.amount).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { from_ms: 1_000, settled_ms: 9_000 };

    fn books(movements: &[(&str, i64, u32, i64)]) -> Books {
        let movement = |(key, amount, count, at_ms): &(&str, i64, u32, i64)| {
            ((*key).to_owned(), Movement { operation: Operation::Accept, amount: *amount, count: *count, at_ms: *at_ms })
        };
        movements.iter().map(movement).collect()
    }

    fn told(differences: &[Difference]) -> Vec<(&str, Kind, Option<i64>, Option<i64>)> {
        differences.iter().map(|difference| (difference.idempotency_key.as_str(), difference.kind, difference.here, difference.there)).collect()
    }

    #[test]
    fn records_that_agree_have_no_differences_whatever_their_clocks_say() {
        let comparison = compare(&books(&[("a", 1, 1, 5_000), ("b", 2, 1, 500)]), &books(&[("b", 2, 1, 9_999), ("a", 1, 1, 0)]), SPAN);
        assert_eq!(comparison, Comparison::default());
    }

    #[test]
    fn every_kind_of_difference_is_told_and_work_in_progress_is_told_apart() {
        let here =
            books(&[("agreed", 1, 1, 5_000), ("only-here", 2, 1, 5_000), ("only-here-young", 2, 1, 9_999), ("other-sum", 3, 1, 5_000), ("twice", 4, 1, 5_000)]);
        let there = books(&[
            ("agreed", 1, 1, 5_000),
            ("other-sum", 30, 1, 5_000),
            ("twice", 8, 2, 5_000),
            ("only-there", 5, 1, 9_000),
            ("only-there-young", 6, 1, 9_001),
            ("only-there-old", 7, 1, 999),
        ]);
        let comparison = compare(&here, &there, SPAN);
        let expected = [
            ("only-here", Kind::MissingThere, Some(2), None),
            ("only-here-young", Kind::MissingThere, Some(2), None),
            ("only-there", Kind::MissingHere, None, Some(5)),
            ("other-sum", Kind::AmountDiffers, Some(3), Some(30)),
            ("twice", Kind::RepeatedThere, Some(4), Some(8)),
        ];
        assert_eq!(told(&comparison.differences), expected);
        assert_eq!(told(&comparison.in_progress), [("only-there-young", Kind::MissingHere, None, Some(6))]);
        assert_eq!(comparison.older, 1);
    }
}
