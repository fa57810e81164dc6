//! SmartModule `thin-map`: cuts every record that its subscriber does not handle to an 8-byte stub.
//!
//! A map and not a filter: behind a filter, Fluvio numbers the records that survive from zero and offsets are wrong;
//! behind a 1:1 map they stay right, so that a hole is a detected loss and lag reads zero when it is zero.
//!
//! Parameters, exactly one of them: `types=A,B` passes records of these types whole, `except=A,B` passes everything
//! but these, also what cannot be read. A stub has no key. No record makes it fail.
//!
//! What passes is decided in the crate `routing`; this one only ties it to Fluvio.

use std::sync::OnceLock;

use fluvio_smartmodule::{RecordData, Result, SmartModuleRecord, dataplane::smartmodule::SmartModuleExtraParams, eyre, smartmodule};
use routing::{STUB, Selection};

static SELECTION: OnceLock<Selection> = OnceLock::new();

#[smartmodule(init)]
fn init(params: SmartModuleExtraParams) -> Result<()> {
    let param = |name| params.get(name).map(String::as_str);
    let selection = Selection::from_params(param("types"), param("except")).map_err(|error| eyre!("thin-map: {error}"))?;
    SELECTION.set(selection).map_err(|_| eyre!("thin-map: initialised twice"))
}

#[smartmodule(map)]
fn map(record: &SmartModuleRecord) -> Result<(Option<RecordData>, RecordData)> {
    let value = record.value();
    // Without an initialisation nothing says what to drop, and passing too much is safe.
    if SELECTION.get().is_none_or(|selection| selection.passes(value.as_ref())) {
        Ok((record.key().cloned(), value.clone()))
    } else {
        Ok((None, RecordData::from(STUB.as_slice())))
    }
}
