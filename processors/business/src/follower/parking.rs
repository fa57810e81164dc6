//! Commands that came before their aggregate: people send `PlaceOrder` and `AcceptOrder` in one go, and the two reach a follower through topics without a common order.
//!
//! They wait a short while, a bounded number of them, and are then taken in their order or refused.

use fluvio_streams::processor::{Context, Failure, Rejection};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::StoreSpec;

use super::FollowerNames;
use super::state::Parked;
use crate::limits::{PARKED_COMMANDS_MAX, PARKED_COMMANDS_PER_AGGREGATE_MAX};

/// Name of the timer after which parked commands are refused.
pub(super) const TIMER: &str = "parked";
/// Name of the state store.
const STORE: &str = "parked-commands";

/// Returns the state store.
pub(super) fn store() -> StoreSpec {
    StoreSpec::of::<Vec<Parked>>(STORE)
}

/// Parks a command.
pub(super) fn park(cx: &mut Context<'_>, follower: &FollowerNames, id: &str, command: Parked, park_ms: i64) -> Result<(), Failure> {
    let [total] = *follower.totals;
    let mut parked: Vec<Parked> = cx.get(STORE, id)?.unwrap_or_default();
    if cx.total(total)? >= PARKED_COMMANDS_MAX || parked.len() >= PARKED_COMMANDS_PER_AGGREGATE_MAX {
        return Err(Rejection::new(follower.overloaded, format!("too many commands wait for what {} does not know", follower.title)).into());
    }
    if parked.is_empty() {
        cx.set_timer(TIMER, id, cx.now_ms() + park_ms)?;
    }
    cx.add_total(total, 1)?;
    parked.push(command);
    cx.put(STORE, id, &parked);
    Ok(())
}

/// Takes all parked commands of an aggregate, in their order.
pub(super) fn take(cx: &mut Context<'_>, follower: &FollowerNames, id: &str) -> Result<Vec<Parked>, StateError> {
    let parked: Vec<Parked> = cx.get(STORE, id)?.unwrap_or_default();
    if !parked.is_empty() {
        cx.delete(STORE, id);
        cx.cancel_timer(TIMER, id)?;
        cx.add_total(follower.totals[0], -(parked.len() as i64))?;
    }
    Ok(parked)
}

/// Tells the sender of a parked command that it is refused.
pub(super) fn refuse(cx: &mut Context<'_>, rejections: &str, id: &str, command: &Parked, rejection: &Rejection) {
    cx.set_origin(&command.origin());
    command.sent.refuse(cx, rejections, id, rejection);
}
