//! Commands that came before their order: people send `PlaceOrder` and `AcceptOrder` in one go, and the two reach the store through topics without a common order.
//!
//! They wait a short while, a bounded number of them, and are then taken in their order or refused.

use fluvio_streams::processor::{Context, Failure, Rejection};
use fluvio_streams::state::StateError;

use super::state::Parked;
use crate::limits::{PARKED_COMMANDS_MAX, PARKED_COMMANDS_PER_ORDER_MAX};

/// Name of the timer after which parked commands are refused.
pub(super) const TIMER: &str = "parked";
/// Name of the total that counts parked commands.
pub(super) const TOTAL: &str = "store_commands_parked";
/// Name of the state store.
pub(super) const STORE: &str = "parked-commands";

/// Parks a command.
pub(super) fn park(cx: &mut Context<'_>, order_id: &str, command: Parked, park_ms: i64) -> Result<(), Failure> {
    let mut parked: Vec<Parked> = cx.get(STORE, order_id)?.unwrap_or_default();
    if cx.total(TOTAL)? >= PARKED_COMMANDS_MAX || parked.len() >= PARKED_COMMANDS_PER_ORDER_MAX {
        return Err(Rejection::new("StoreOverloaded", "too many commands wait for orders that the store does not know").into());
    }
    if parked.is_empty() {
        cx.set_timer(TIMER, order_id, cx.now_ms() + park_ms)?;
    }
    cx.add_total(TOTAL, 1)?;
    parked.push(command);
    cx.put(STORE, order_id, &parked);
    Ok(())
}

/// Takes all parked commands of an order, in their order.
pub(super) fn take(cx: &mut Context<'_>, order_id: &str) -> Result<Vec<Parked>, StateError> {
    let parked: Vec<Parked> = cx.get(STORE, order_id)?.unwrap_or_default();
    if !parked.is_empty() {
        cx.delete(STORE, order_id);
        cx.cancel_timer(TIMER, order_id)?;
        cx.add_total(TOTAL, -(parked.len() as i64))?;
    }
    Ok(parked)
}

/// Tells the sender of a parked command that it is refused.
pub(super) fn refuse(cx: &mut Context<'_>, order_id: &str, command: &Parked, rejection: &Rejection) {
    cx.set_correlation(&command.correlation);
    command.sent.refuse(cx, order_id, rejection);
}
