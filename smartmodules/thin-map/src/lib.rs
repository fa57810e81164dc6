//! SmartModule `thin-map`: cuts every record that its subscriber does not handle to an 8-byte stub.
//!
//! A map and not a filter: behind a filter, Fluvio numbers the records that survive from zero and offsets are wrong;
//! behind a 1:1 map they stay right, so that a hole is a detected loss and lag reads zero when it is zero.
//!
//! Parameters, exactly one of them: `types=A,B` passes records of these types whole, `except=A,B` passes everything
//! but these, also what cannot be read. A stub has no key. No record makes it fail.
//!
//! What passes is decided in the crate `routing`; this one only ties it to Fluvio, through `guest`.

use guest::{Others, Params, SmartModule, Verdict};
use routing::{ParamError, STUB, Selection};

struct ThinMap(Selection);

impl SmartModule for ThinMap {
    const NAME: &'static str = "thin-map";
    const OTHERS: Others = Others::Replaced(STUB);
    type Error = ParamError;

    fn from_params(params: &Params<'_>) -> Result<Self, ParamError> {
        Selection::from_params(params.get("types"), params.get("except")).map(Self)
    }

    fn verdict(&self, value: &[u8]) -> Verdict {
        Verdict::whole_if(self.0.passes(value))
    }
}

guest::export!(map, ThinMap);
