//! The cases of `cases.json` against the logic; `xtask` runs the same cases against the built SmartModules.

use std::collections::BTreeMap;

use routing::{Filter, Redacted, Redaction, Selection};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    module: String,
    params: BTreeMap<String, String>,
    #[serde(default)]
    records: Vec<Record>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    value: Option<String>,
    hex: Option<String>,
    out: String,
    rest: Option<String>,
}

impl Record {
    fn bytes(&self) -> Vec<u8> {
        match (&self.value, &self.hex) {
            (Some(value), None) => value.clone().into_bytes(),
            (None, Some(hex)) => (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits")).collect(),
            _ => panic!("a record has either `value` or `hex`"),
        }
    }
}

enum Module {
    ThinMap(Selection),
    RedactMap(Redaction),
    EventFilter(Filter),
}

impl Module {
    /// What becomes of a record, and what is left of it if it is rewritten.
    fn out(&self, value: &[u8]) -> (&'static str, Option<Vec<u8>>) {
        let out = match self {
            Self::RedactMap(redaction) => match redaction.apply(value) {
                Redacted::Nothing => "pass",
                Redacted::Rest(rest) => return ("rest", Some(rest)),
                Redacted::Stub => "stub",
            },
            Self::ThinMap(selection) if selection.passes(value) => "pass",
            Self::ThinMap(_) => "stub",
            Self::EventFilter(filter) if filter.passes(value) => "pass",
            Self::EventFilter(_) => "drop",
        };
        (out, None)
    }
}

#[test]
fn every_case_ends_as_it_says() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../cases.json")).expect("cases.json holds cases");
    for case in cases {
        let param = |name: &str| case.params.get(name).map(String::as_str);
        let (types, except) = (param("types"), param("except"));
        let built = match case.module.as_str() {
            "thin-map" => Selection::from_params(types, except).map(Module::ThinMap),
            "redact-map" => Redaction::from_params(types, except, param("redact")).map(Module::RedactMap),
            "event-filter" => Filter::from_params(types, except, param("subject")).map(Module::EventFilter),
            other => panic!("case {:?}: no module {other:?}", case.name),
        };
        match (built, &case.error) {
            (Err(error), Some(expected)) => {
                let error = error.to_string();
                assert!(error.contains(expected), "case {:?}: {error}", case.name);
            }
            (Ok(module), None) => {
                assert!(!case.records.is_empty(), "case {:?} has records", case.name);
                for record in &case.records {
                    let bytes = record.bytes();
                    let out = module.out(&bytes);
                    let text = String::from_utf8_lossy(&bytes);
                    assert_eq!(out, (record.out.as_str(), record.rest.clone().map(String::into_bytes)), "case {:?}, record {text:?}", case.name);
                }
            }
            (Ok(_), Some(_)) => panic!("case {:?} was accepted", case.name),
            (Err(error), None) => panic!("case {:?} was refused: {error}", case.name),
        }
    }
}
