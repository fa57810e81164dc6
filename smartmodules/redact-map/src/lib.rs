//! SmartModule `redact-map`: takes personal members out of records before they leave the broker, and thins as `thin-map`
//! does.
//!
//! For subscribers that have no business with addresses and names: what they never get, they can neither keep nor lose.
//! A 1:1 map, so offsets stay right.
//!
//! Parameters: `redact=address,name` names the members, and exactly one of `types=A,B` and `except=A,B` says which
//! records pass. Members of these names are taken out wherever they stand, in objects and arrays of any depth; the key
//! stays. A record that cannot be read becomes a stub, also under `except`: nobody knows what is in it. Text is not
//! looked into: JSON that was put into a string stays there.
//!
//! What passes and what is left of it is decided in the crate `routing`; this one only ties it to Fluvio, through
//! `guest`.

use guest::{Others, Params, SmartModule, Verdict};
use routing::{ParamError, Redacted, Redaction, STUB};

struct RedactMap(Redaction);

impl SmartModule for RedactMap {
    const NAME: &'static str = "redact-map";
    const OTHERS: Others = Others::Replaced(STUB);
    type Error = ParamError;

    fn from_params(params: &Params<'_>) -> Result<Self, ParamError> {
        Redaction::from_params(params.get("types"), params.get("except"), params.get("redact")).map(Self)
    }

    fn verdict(&self, value: &[u8]) -> Verdict {
        match self.0.apply(value) {
            Redacted::Nothing => Verdict::Whole,
            Redacted::Rest(rest) => Verdict::Rewritten(rest),
            Redacted::Stub => Verdict::Other,
        }
    }
}

guest::export!(map, RedactMap);
