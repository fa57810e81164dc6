//! Acceptances for aggregates that are not known any more: the partner answered after the retention, or the id belongs to another aggregate by now. Nobody wants what it did.
//!
//! It is to be undone on the word of the reply alone, so the request is *unverified*: whoever did it looks into its own books and undoes, or refuses. A reply that is a stranger's moves
//! nothing that way. The front counts it, as done and undone at once, when it is told that it is undone; until then it is in the books of the partner. Then the front also says so, in an event
//! of its own: it is about no aggregate that a view could show, but somebody's money is back, and the partner may still know whose.

use fluvio_streams::envelope::Unreadable;
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::StoreSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::limits::STRAYS_MAX;
use crate::names::Names;
use crate::partner::message::{ATTEMPT_KEY, Replied, UndoRequest, attempt_id};

/// Name of the state store.
pub(super) const STORE: &str = "strays";
/// Name of the timer after which an answered one is forgotten.
pub(super) const TIMER: &str = "stray-retention";

/// What was accepted for an aggregate that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stray {
    /// How much, in won, as the acceptance says; 0 if it does not.
    amount: i64,
    /// Whose, as the acceptance says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_id: Option<String>,
    /// True once it is undone.
    undone: bool,
}

/// Returns the state store.
pub(super) fn store() -> StoreSpec {
    StoreSpec::of::<Stray>(STORE).keyed_by(ATTEMPT_KEY)
}

fn key(replied: &Replied) -> String {
    attempt_id(&replied.id, replied.attempt, replied.incarnation.as_deref().unwrap_or_default())
}

/// Asks for the undoing of an acceptance, once.
pub(super) fn accepted(cx: &mut Context<'_>, names: &Names, requests: &str, replied: &Replied) -> Result<(), Failure> {
    let key = key(replied);
    let [_, _, _, _, open, ..] = *names.totals;
    if cx.get::<Stray>(STORE, &key)?.is_some() {
        return Ok(());
    }
    if cx.total(open)? >= STRAYS_MAX {
        let (accepted, noun) = (names.partner.accepted, names.words.noun.to_lowercase());
        return Err(Unreadable(format!("{accepted}: there is no {noun} `{}`, and too many such undoings wait for their answers", replied.id)).into());
    }
    let amount = replied.amount.unwrap_or_default();
    let incarnation = replied.incarnation.as_deref().unwrap_or_default();
    let customer_id = replied.customer_id.as_deref().unwrap_or_default();
    let request = UndoRequest { names, id: &replied.id, customer_id, attempt: replied.attempt, incarnation, amount, unverified: true };
    cx.emit(requests, names.partner.undo_request, &replied.id, &request);
    cx.add_total(open, 1)?;
    cx.put(STORE, &key, &Stray { amount, customer_id: replied.customer_id.clone(), undone: false });
    Ok(())
}

/// Takes the news that it is undone, and passes it on to `events`, once. Returns false if that was never asked for here.
pub(super) fn undone(cx: &mut Context<'_>, names: &Names, events: &str, replied: &Replied, retention_ms: i64) -> Result<bool, StateError> {
    let key = key(replied);
    let [accepted, undone, _, _, open, ..] = *names.totals;
    let Some(stray) = cx.get::<Stray>(STORE, &key)? else { return Ok(false) };
    if !stray.undone {
        let amount = replied.amount.unwrap_or(stray.amount);
        for total in [accepted, undone] {
            cx.add_total(total, amount)?;
        }
        cx.add_total(open, -1)?;
        cx.set_timer(TIMER, &key, cx.now_ms().saturating_add(retention_ms))?;
        // The partner has looked into its books: its word counts more than that of the acceptance.
        let customer_id = replied.customer_id.clone().or(stray.customer_id);
        tell(cx, names, events, replied, amount, customer_id.as_deref());
        cx.put(STORE, &key, &Stray { amount, customer_id, undone: true });
    }
    Ok(true)
}

fn tell(cx: &mut Context<'_>, names: &Names, events: &str, replied: &Replied, amount: i64, customer_id: Option<&str>) {
    let mut told = Map::from_iter([
        (names.id_field.to_owned(), json!(replied.id)),
        ("incarnation".to_owned(), json!(replied.incarnation.as_deref().unwrap_or_default())),
        ("attempt".to_owned(), json!(replied.attempt)),
    ]);
    told.extend(customer_id.map(|customer| ("customerId".to_owned(), json!(customer))));
    told.extend(names.amount_field.map(|_| ("amount".to_owned(), json!(amount))));
    cx.emit(events, names.words.stray_undone, &replied.id, &told);
}

/// Takes the news that there is nothing to undo: should the attempt be accepted after all, it is asked for again. Returns false if that was never asked for here.
pub(super) fn refused(cx: &mut Context<'_>, names: &Names, replied: &Replied) -> Result<bool, StateError> {
    let key = key(replied);
    let [_, _, _, _, open, ..] = *names.totals;
    let Some(stray) = cx.get::<Stray>(STORE, &key)? else { return Ok(false) };
    if !stray.undone {
        cx.add_total(open, -1)?;
        cx.delete(STORE, &key);
    }
    Ok(true)
}
