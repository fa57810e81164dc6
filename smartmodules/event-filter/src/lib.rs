//! SmartModule `event-filter`: passes the records of some types or of one subject, for people and programs outside.
//!
//! `fluvio consume food-delivery-orders-events --smartmodule event-filter -e types=OrderPlaced`
//!
//! Parameters, at least one of them; a record passes if it meets all that are given: `types=A,B` (its type is listed),
//! `except=A,B` (its type is not listed), `subject=o-1` (a CloudEvent's `subject`, or a command's `orderId`).
//!
//! It is not for subscriptions between processors: behind a filter Fluvio's offsets are wrong; see `thin-map`.
//! What passes is decided in the crate `routing`; this one only ties it to Fluvio, through `guest`.

use guest::{Others, Params, SmartModule, Verdict};
use routing::{Filter, ParamError};

struct EventFilter(Filter);

impl SmartModule for EventFilter {
    const NAME: &'static str = "event-filter";
    const OTHERS: Others = Others::Dropped;
    type Error = ParamError;

    fn from_params(params: &Params<'_>) -> Result<Self, ParamError> {
        Filter::from_params(params.get("types"), params.get("except"), params.get("subject")).map(Self)
    }

    fn verdict(&self, value: &[u8]) -> Verdict {
        Verdict::whole_if(self.0.passes(value))
    }
}

guest::export!(filter, EventFilter);
