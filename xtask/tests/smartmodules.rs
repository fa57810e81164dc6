//! The committed SmartModules, run by Fluvio's own engine, do what the cases of `cases.json` say.

use std::{collections::BTreeMap, fs, path::PathBuf};

use fluvio_smartengine::{SmartEngine, SmartModuleChainBuilder, SmartModuleChainInstance, SmartModuleConfig};
use fluvio_smartmodule::{
    Record, RecordData, SMARTMODULE_TIMESTAMPS_VERSION,
    dataplane::smartmodule::{SmartModuleExtraParams, SmartModuleInput},
};
use serde::Deserialize;

const STUB: &[u8] = b"\0thinned";

#[derive(Deserialize)]
struct Case {
    name: String,
    module: String,
    params: BTreeMap<String, String>,
    #[serde(default)]
    records: Vec<CaseRecord>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct CaseRecord {
    value: Option<String>,
    hex: Option<String>,
    out: String,
    rest: Option<String>,
}

impl CaseRecord {
    fn bytes(&self) -> Vec<u8> {
        match (&self.value, &self.hex) {
            (Some(value), None) => value.clone().into_bytes(),
            (None, Some(hex)) => (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits")).collect(),
            _ => panic!("a record has either `value` or `hex`"),
        }
    }
}

fn path(below: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("smartmodules").join(below)
}

fn cases(module: &str) -> Vec<Case> {
    let text = fs::read_to_string(path("cases.json")).expect("the cases can be read");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases.json holds cases");
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.module == module).collect();
    assert!(!cases.is_empty(), "there are cases for {module}");
    cases
}

/// Memory that a module may have: far less than the batches of these tests take together.
const MEMORY_BYTES_MAX: usize = 4 << 20;

fn chain(module: &str, params: &BTreeMap<String, String>) -> Result<SmartModuleChainInstance, String> {
    let wasm = fs::read(path(&format!("artifacts/{module}.wasm"))).expect("the artefact can be read");
    let config = SmartModuleConfig::builder()
        .smartmodule_names(vec![module.to_owned()])
        .params(SmartModuleExtraParams::new(params.clone(), None))
        .build()
        .expect("the configuration is complete");
    let mut builder = SmartModuleChainBuilder::from((config, wasm));
    builder.set_store_memory_limit(MEMORY_BYTES_MAX);
    builder.initialize(&SmartEngine::new()).map_err(|error| format!("{error:?}"))
}

fn keyed(key: &str, value: Vec<u8>) -> Record {
    let mut record = Record::new_key_value(key, value);
    record.preamble.set_offset_delta(0);
    record
}

/// Runs one batch through a SmartModule and returns keys and values of what comes out.
fn process(chain: &mut SmartModuleChainInstance, records: Vec<Record>) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let input = SmartModuleInput::try_from_records(records, SMARTMODULE_TIMESTAMPS_VERSION).expect("records encode");
    let output = chain.process(input).expect("the module does not trap");
    assert!(output.error.is_none(), "the module reports {:?}", output.error);
    let bytes = |data: &RecordData| data.as_ref().to_vec();
    output.successes.iter().map(|record| (record.key().map(bytes), bytes(record.value()))).collect()
}

/// What a record must come out as, if it comes out.
fn expected(key: &str, record: &CaseRecord) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    match record.out.as_str() {
        "pass" => Some((Some(key.as_bytes().to_vec()), record.bytes())),
        "rest" => Some((Some(key.as_bytes().to_vec()), record.rest.clone().expect("it says what is left").into_bytes())),
        "stub" => Some((None, STUB.to_vec())),
        "drop" => None,
        other => panic!("no outcome is called {other:?}"),
    }
}

fn every_case_of(module: &str) {
    for case in cases(module) {
        match (chain(module, &case.params), &case.error) {
            (Ok(mut chain), None) => {
                let keys: Vec<String> = (0..case.records.len()).map(|n| format!("o-{n}")).collect();
                let records = keys.iter().zip(&case.records).map(|(key, record)| keyed(key, record.bytes())).collect();
                let wanted: Vec<_> = keys.iter().zip(&case.records).filter_map(|(key, record)| expected(key, record)).collect();
                assert_eq!(process(&mut chain, records), wanted, "case {:?}", case.name);
            }
            (Err(error), Some(expected)) => {
                assert!(error.contains(expected) && error.contains(module), "case {:?}: {error}", case.name);
            }
            (Ok(_), Some(_)) => panic!("case {:?} was accepted", case.name),
            (Err(error), None) => panic!("case {:?} was refused: {error}", case.name),
        }
    }
}

#[test]
fn thin_map_does_what_its_cases_say() {
    every_case_of("thin-map");
}

#[test]
fn redact_map_does_what_its_cases_say() {
    every_case_of("redact-map");
}

#[test]
fn event_filter_does_what_its_cases_say() {
    every_case_of("event-filter");
}

/// Offsets stay dense: as many records come out as went in, at their places.
#[test]
fn redact_map_maps_one_to_one() {
    let params = BTreeMap::from([("types".to_owned(), "Wanted".to_owned()), ("redact".to_owned(), "address".to_owned())]);
    let mut chain = chain("redact-map", &params).expect("the parameters are right");
    let values = [r#"{"type":"Wanted","address":"Seoul"}"#, r#"{"type":"Wanted"}"#, r#"{"type":"Other","address":"Seoul"}"#, r#"{"address":"Seoul"#, ""];
    let out = process(&mut chain, values.iter().map(|value| keyed("k", (*value).into())).collect());
    let whole = (Some(b"k".to_vec()), br#"{"type":"Wanted"}"#.to_vec());
    let stub = (None, STUB.to_vec());
    assert_eq!(out, [whole.clone(), whole, stub.clone(), stub.clone(), stub]);
}

#[test]
fn thin_map_maps_batch_after_batch_one_to_one() {
    let params = BTreeMap::from([("types".to_owned(), "Wanted".to_owned())]);
    let mut chain = chain("thin-map", &params).expect("the parameters are right");
    let values = [r#"{"type":"Wanted"}"#, r#"{"type":"Other"}"#, "", "\0thinned"];
    for batch in 0..200 {
        let records = (0..100).map(|n| keyed("k", values[(batch + n) % values.len()].into())).collect();
        let out = process(&mut chain, records);
        assert_eq!(out.len(), 100, "batch {batch}");
        for (n, (_, value)) in out.iter().enumerate() {
            let whole = (batch + n) % values.len() == 0;
            assert_eq!(value.as_slice(), if whole { values[0].as_bytes() } else { STUB }, "batch {batch}, record {n}");
        }
    }
}

/// A stream may last for months, so a module must not keep what it has returned, as Fluvio's own macros make it do.
#[test]
fn a_long_stream_takes_no_more_memory_than_a_short_one() {
    let value = format!(r#"{{"type":"Wanted","data":"{}","address":"Seoul"}}"#, "x".repeat(1 << 10));
    for module in ["thin-map", "redact-map", "event-filter"] {
        let redact = (module == "redact-map").then(|| ("redact".to_owned(), "address".to_owned()));
        let params = [("types".to_owned(), "Wanted".to_owned())].into_iter().chain(redact).collect();
        let mut chain = chain(module, &params).expect("the parameters are right");
        for batch in 0..4 * (MEMORY_BYTES_MAX >> 10) / 100 {
            let records = (0..100).map(|_| keyed("k", value.clone().into_bytes())).collect();
            assert_eq!(process(&mut chain, records).len(), 100, "{module}, batch {batch}");
        }
    }
}
