//! Tells from its exports what kind of transformation a module is.

use wasmparser::{Parser, Payload};

/// The transformations that the engine looks for before `array_map`; a module is the first that it exports.
const PREFERRED: [&str; 3] = ["filter", "map", "filter_map"];

/// Whether the engine will run a module as an array map, which makes any number of records of one. Bytes that
/// are no module at all are left for the engine to refuse.
pub(super) fn is_array_map(wasm: &[u8]) -> bool {
    let mut found = false;
    for payload in Parser::new(0).parse_all(wasm) {
        let Ok(payload) = payload else { return false };
        let Payload::ExportSection(exports) = payload else { continue };
        for export in exports {
            let Ok(export) = export else { return false };
            if PREFERRED.contains(&export.name) {
                return false;
            }
            found |= export.name == "array_map";
        }
    }
    found
}
