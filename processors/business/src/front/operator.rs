//! What an operator may order: to put the breaker in front of the partner into a state, or to make it as if new.
//!
//! Each task has a breaker of its own, so such a command has no aggregate and no key: it stands in a partition and is meant for the task of that partition. `orderflow breaker` sends one to each.
//!
//! | command | fields |
//! |---|---|
//! | `ForceBreaker` | state: `closed`, `open` (until its wait is over), `half-open`, `forced-open` (until somebody orders otherwise) or `disabled`; operator, reason |
//! | `ResetBreaker` | operator, reason |
//!
//! Its outcome is `BreakerForced`, among the events of the partner, also if nothing had to change.

use fluvio_streams::breaker::State;
use fluvio_streams::guard::Guard;
use fluvio_streams::processor::{Context, Failure};
use fluvio_streams::topology::StoreSpec;
use serde_json::{Value, json};

use super::commands::{self, BREAKER_FORCED, FORCE_BREAKER, RESET_BREAKER};
use crate::fields::{self, Fields};
use crate::limits::COMMAND_IDS_MAX;
use crate::names::Names;
use crate::topics;

/// Name of the state store: the ids of the last commands, under [`ONLY`].
const STORE: &str = "operator";
const ONLY: &str = "command-ids";

/// Returns the state store.
pub(super) fn store() -> StoreSpec {
    StoreSpec::of::<Vec<String>>(STORE)
}

/// Returns true for the commands of an operator.
pub(super) fn is_command(kind: &str) -> bool {
    [FORCE_BREAKER, RESET_BREAKER].contains(&kind)
}

/// Does what is ordered, and says so.
pub(super) fn obey(cx: &mut Context<'_>, names: &Names, guard: &Guard, kind: &str, body: &Value) -> Result<(), Failure> {
    let in_words = |error| fields::unreadable(kind, &error);
    let fields = Fields::of(body, "").map_err(in_words)?;
    let (operator, reason) = (fields.text("operator").map_err(in_words)?, fields.text("reason").map_err(in_words)?);
    let wanted = if kind == FORCE_BREAKER { Some(state(fields).map_err(in_words)?) } else { None };
    let command_id = commands::explicit_id(body).map_err(in_words)?;
    let mut taken: Vec<String> = cx.get(STORE, ONLY)?.unwrap_or_default();
    commands::refuse_duplicate(&taken, command_id)?;
    if command_id.is_some() {
        commands::remember(&mut taken, command_id, COMMAND_IDS_MAX);
        cx.put(STORE, ONLY, &taken);
    }

    let from = guard.breaker_state(cx)?;
    match wanted {
        Some(state) => guard.force(cx, state)?,
        None => guard.reset(cx)?,
    }
    let (topic, partition) = (topics::events(names.system, names.partner.processor), cx.partition());
    let mut data = json!({"name": names.partner.pair, "from": from, "to": guard.breaker_state(cx)?, "partition": partition, "reset": wanted.is_none()});
    for (name, text) in [("operator", operator), ("reason", reason)] {
        text.into_iter().for_each(|text| data[name] = text.into());
    }
    cx.emit_to(&topic, partition, BREAKER_FORCED, names.partner.pair, &data);
    Ok(())
}

fn state(fields: Fields<'_>) -> Result<State, fluvio_streams::system::FieldError> {
    let state = fields.get("state").and_then(|state| serde_json::from_value(state.clone()).ok());
    state.ok_or_else(|| fields.wrong("state", "must be one of closed, open, half-open, forced-open, disabled"))
}
