//! Approvals for orders that are not known any more: the provider answered after the order's retention, or the order's id belongs to another order by now. Nobody wants that money.
//!
//! It is asked back on the word of the reply alone, so the request is *unverified*: whoever took the money looks into its own books and gives back, or refuses. A reply that is a stranger's
//! moves no money that way. Orders counts it, as taken and given back at once, when it is told that it is back; until then it is in the books of payments.

use fluvio_streams::envelope::Unreadable;
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::state::StateError;
use serde::{Deserialize, Serialize};

use crate::limits::STRAY_PAYMENTS_MAX;
use crate::payments::message::{About, RefundRequest, attempt_id};
use crate::topics;

/// Name of the state store.
pub(super) const STORE: &str = "stray-payments";
/// Name of the timer after which an answered one is forgotten.
pub(super) const TIMER: &str = "stray-retention";
/// Name of the total that counts refunds that were asked for and not answered yet.
pub(super) const TOTAL: &str = "stray_refunds_open";

/// Money that was approved for an order that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stray {
    /// How much, in won, as the approval says; 0 if it does not.
    amount: i64,
    /// True once it is back.
    refunded: bool,
}

fn key(about: &About) -> String {
    attempt_id(&about.order_id, about.attempt, about.incarnation.as_deref().unwrap_or_default())
}

/// Asks the money of an approval back, once.
pub(super) fn approved(cx: &mut Context<'_>, about: &About) -> Result<(), Failure> {
    let key = key(about);
    if cx.get::<Stray>(STORE, &key)?.is_some() {
        return Ok(());
    }
    if cx.total(TOTAL)? >= STRAY_PAYMENTS_MAX {
        return Err(Unreadable(format!("PaymentApproved: there is no order `{}`, and too many such refunds wait for their answers", about.order_id)).into());
    }
    let amount = about.amount.unwrap_or_default();
    let incarnation = about.incarnation.as_deref().unwrap_or_default();
    let request = RefundRequest { unverified: true, ..RefundRequest::new(&about.order_id, "", about.attempt, incarnation, amount) };
    cx.emit(topics::PAYMENT_REQUESTS, "RefundRequested", &about.order_id, &request);
    cx.add_total(TOTAL, 1)?;
    cx.put(STORE, &key, &Stray { amount, refunded: false });
    Ok(())
}

/// Takes the news that the money is back. Returns false if it was never asked for here.
pub(super) fn refunded(cx: &mut Context<'_>, about: &About, retention_ms: i64) -> Result<bool, StateError> {
    let key = key(about);
    let Some(stray) = cx.get::<Stray>(STORE, &key)? else { return Ok(false) };
    if !stray.refunded {
        let amount = about.amount.unwrap_or(stray.amount);
        for total in ["captured_won", "refunded_won"] {
            cx.add_total(total, amount)?;
        }
        cx.add_total(TOTAL, -1)?;
        cx.set_timer(TIMER, &key, cx.now_ms().saturating_add(retention_ms))?;
        cx.put(STORE, &key, &Stray { amount, refunded: true });
    }
    Ok(true)
}

/// Takes the news that there is nothing to give back: should the attempt be approved after all, it is asked for again. Returns false if it was never asked for here.
pub(super) fn refused(cx: &mut Context<'_>, about: &About) -> Result<bool, StateError> {
    let key = key(about);
    let Some(stray) = cx.get::<Stray>(STORE, &key)? else { return Ok(false) };
    if !stray.refunded {
        cx.add_total(TOTAL, -1)?;
        cx.delete(STORE, &key);
    }
    Ok(true)
}
