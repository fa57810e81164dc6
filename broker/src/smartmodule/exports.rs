//! Tells from its exports what kind of transformation a module is.

use wasmparser::{BinaryReaderError, Parser, Payload};

const ARRAY_MAP: &str = "array_map";

/// The transformations there are, in the order in which the engine looks for them: a module is the first that it exports.
const KNOWN: [&str; 5] = ["filter", "map", "filter_map", ARRAY_MAP, "aggregate"];

/// Returns the transformation for which the engine will take a module; none if it is none.
///
/// # Errors
/// When the bytes are no module.
pub(super) fn transformation(wasm: &[u8]) -> Result<Option<&'static str>, BinaryReaderError> {
    let mut first = KNOWN.len();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ExportSection(exports) = payload? else { continue };
        for export in exports {
            let name = export?.name;
            first = first.min(KNOWN.iter().position(|known| *known == name).unwrap_or(first));
        }
    }
    Ok(KNOWN.get(first).copied())
}

/// Whether the engine will run a module as an array map, which makes any number of records of one. Bytes that
/// are no module at all are left for the engine to refuse.
pub(super) fn is_array_map(wasm: &[u8]) -> bool {
    matches!(transformation(wasm), Ok(Some(ARRAY_MAP)))
}
