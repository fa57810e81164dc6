//! SmartModules in the broker: every kind, by name and ad hoc, with true offsets and times.

use std::time::Duration;

use fluvio::{
    Fluvio, Offset, RecordKey, SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind, TopicProducerConfigBuilder,
    metadata::smartmodule::{SmartModuleSpec, SmartModuleWasm},
};
use fluvio_protocol::link::ErrorCode;
use fluvio_sc_schema::ApiError;
use fluvio_smartmodule::dataplane::smartmodule::Lookback;
use futures_util::StreamExt;
use orderflow_broker::{Broker, Limits, Options};

use crate::harness::{connect, create_topic, from, offsets, produce, read, read_all, start, try_read, values, within};

const EVENT_FILTER: &[u8] = include_bytes!("../../../smartmodules/artifacts/event-filter.wasm");
const THIN_MAP: &[u8] = include_bytes!("../../../smartmodules/artifacts/thin-map.wasm");
const GUARD: &[u8] = include_bytes!("../smartmodules/artifacts/guard.wasm");
const HALVE: &[u8] = include_bytes!("../smartmodules/artifacts/halve.wasm");
const SPLIT: &[u8] = include_bytes!("../smartmodules/artifacts/split.wasm");
const TALLY: &[u8] = include_bytes!("../smartmodules/artifacts/tally.wasm");

fn generic(wasm: SmartModuleInvocationWasm, params: &[(&str, &str)]) -> SmartModuleInvocation {
    let mut extra = SmartModuleExtraParams::default();
    for (name, value) in params {
        extra.insert((*name).to_owned(), (*value).to_owned());
    }
    let kind = SmartModuleKind::Generic(fluvio::SmartModuleContextData::None);
    SmartModuleInvocation { wasm, kind, params: extra, name: None }
}

fn ad_hoc(wasm: &[u8], params: &[(&str, &str)]) -> SmartModuleInvocation {
    generic(SmartModuleInvocationWasm::adhoc_from_bytes(wasm).unwrap(), params)
}

fn named(name: &str, params: &[(&str, &str)]) -> SmartModuleInvocation {
    generic(SmartModuleInvocationWasm::Predefined(name.to_owned()), params)
}

async fn upload(fluvio: &Fluvio, name: &str, wasm: &[u8]) {
    let wasm = SmartModuleWasm::from_raw_wasm_bytes(wasm).unwrap();
    let spec = SmartModuleSpec { wasm, ..SmartModuleSpec::default() };
    within(fluvio.admin().await.create(name.to_owned(), false, spec)).await.unwrap();
}

fn event(kind: &str, number: i64) -> String {
    format!(r#"{{"type":"{kind}","number":{number}}}"#)
}

/// Batches of five events of which every third is an `A`.
async fn produce_events(fluvio: &Fluvio, topic: &str, count: i64) {
    for first in (0..count).step_by(5) {
        let events: Vec<String> = (first..first + 5).map(|number| event(if number % 3 == 0 { "A" } else { "B" }, number)).collect();
        produce(fluvio, topic, &events.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn smartmodules_are_stored_listed_replaced_and_deleted() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    upload(&fluvio, "event-filter", EVENT_FILTER).await;
    upload(&fluvio, "thin-map", THIN_MAP).await;
    upload(&fluvio, "thin-map", THIN_MAP).await;
    let admin = fluvio.admin().await;
    let listed = within(admin.list_with_params::<SmartModuleSpec, String>(vec![], true)).await.unwrap();
    let names: Vec<_> = listed.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["event-filter", "thin-map"]);
    assert!(listed[0].spec.wasm.payload.is_empty());
    assert!(listed[0].spec.summary.as_ref().unwrap().wasm_length > 1000);
    let whole = within(admin.list::<SmartModuleSpec, _>(vec!["thin-map".to_owned()])).await.unwrap();
    assert_eq!(whole[0].spec.wasm.as_raw_wasm().unwrap(), THIN_MAP);

    within(admin.delete::<SmartModuleSpec>("thin-map")).await.unwrap();
    let again = within(admin.delete::<SmartModuleSpec>("thin-map")).await.unwrap_err();
    let Ok(ApiError::Code(ErrorCode::SmartModuleNotFound { name }, _)) = again.downcast() else { panic!() };
    assert_eq!(name, "thin-map");
    for name in ["../escape", "", ".hidden", "white space"] {
        let wasm = SmartModuleWasm::from_raw_wasm_bytes(THIN_MAP).unwrap();
        let spec = SmartModuleSpec { wasm, ..SmartModuleSpec::default() };
        assert!(within(admin.create(name.to_owned(), false, spec)).await.is_err(), "{name:?}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_not_stored() {
    let limits = Limits { smartmodule_wasm_bytes_max: 2 * EVENT_FILTER.len(), ..Limits::default() };
    let broker = Broker::start(Options { limits, ..Options::default() }).await.unwrap();
    let fluvio = connect(&broker).await;
    let admin = fluvio.admin().await;
    let packed = |wasm: &[u8]| SmartModuleWasm::from_raw_wasm_bytes(wasm).unwrap();
    let not_packed = SmartModuleWasm { payload: b"junk".to_vec().into(), ..packed(b"") };
    // The smallest module there is: magic number and version.
    let nothing = packed(b"\0asm\x01\0\0\0");
    let cut = packed(&EVENT_FILTER[..EVENT_FILTER.len() / 2]);
    let large = packed(&vec![0; 3 * EVENT_FILTER.len()]);
    let cases =
        [(packed(b""), "no WASM"), (packed(b"# README"), "no WASM"), (not_packed, "gzip"), (cut, "no WASM"), (nothing, "exports no"), (large, "larger than")];
    for (wasm, expected) in cases {
        let spec = SmartModuleSpec { wasm, ..SmartModuleSpec::default() };
        let refused = within(admin.create("broken".to_owned(), false, spec)).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("'broken'") && said.contains(expected), "{said}");
        let Ok(ApiError::Code(ErrorCode::SmartModuleInvalid { .. }, _)) = refused.downcast() else { panic!("{said}") };
    }
    assert!(within(admin.all::<SmartModuleSpec>()).await.unwrap().is_empty());
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_records_keep_their_offsets_and_times() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "events", 1).await;
    produce_events(&fluvio, "events", 100).await;
    upload(&fluvio, "event-filter", EVENT_FILTER).await;
    let unfiltered = read_all(&fluvio, "events").await;
    for invocation in [named("event-filter", &[("types", "A")]), ad_hoc(EVENT_FILTER, &[("types", "A")])] {
        for start in [0, 1, 3, 7, 50, 98, 99, 100] {
            let mut config = from("events", Offset::absolute(start).unwrap());
            let records = read(&fluvio, config.smartmodule(vec![invocation.clone()])).await;
            let expected: Vec<i64> = (start..100).filter(|number| number % 3 == 0).collect();
            assert_eq!(offsets(&records), expected, "start {start}");
            for record in &records {
                let original = &unfiltered[record.offset() as usize];
                assert_eq!((record.value(), record.timestamp()), (original.value(), original.timestamp()));
            }
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_whom_everything_is_filtered_out_comes_to_the_end() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "events", 1).await;
    produce_events(&fluvio, "events", 40).await;
    let nothing = ad_hoc(EVENT_FILTER, &[("types", "Nothing")]);
    for max_bytes in [1, 1_000_000] {
        let mut config = from("events", Offset::absolute(2).unwrap());
        let records = read(&fluvio, config.smartmodule(vec![nothing.clone()]).max_bytes(max_bytes)).await;
        assert_eq!(records.len(), 0);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_filtered_stream_goes_on_past_what_it_does_not_pass() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "events", 1).await;
    let mut config = from("events", Offset::end());
    let config = config.smartmodule(vec![ad_hoc(EVENT_FILTER, &[("types", "A")])]).build().unwrap();
    let mut stream = within(fluvio.consumer_with_config(config)).await.unwrap();
    for number in 0..30 {
        produce(&fluvio, "events", &[&event(if number % 10 == 9 { "A" } else { "B" }, number)]).await;
        if number % 10 == 9 {
            assert_eq!(within(stream.next()).await.unwrap().unwrap().offset(), number);
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thinned_stream_is_dense() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "events", 1).await;
    produce_events(&fluvio, "events", 60).await;
    for start in [0, 4, 33] {
        let mut config = from("events", Offset::absolute(start).unwrap());
        let records = read(&fluvio, config.smartmodule(vec![ad_hoc(THIN_MAP, &[("types", "A")])])).await;
        assert_eq!(offsets(&records), (start..60).collect::<Vec<_>>());
        for record in &records {
            let is_stub = record.value() == b"\0thinned";
            assert_eq!(is_stub, record.offset() % 3 != 0);
            assert!(record.timestamp() > 0);
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_chained() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "numbers", 1).await;
    produce(&fluvio, "numbers", &["1", "4", "8", "6", "16"]).await;
    // 4, 8, 6, 16 -> 2, 4, 3, 8 -> 1, 2, 4 -> 1, 3, 7
    let chain = vec![ad_hoc(HALVE, &[]), ad_hoc(HALVE, &[]), ad_hoc(TALLY, &[])];
    let records = read(&fluvio, from("numbers", Offset::beginning()).smartmodule(chain)).await;
    assert_eq!(values(&records), ["1", "3", "7"]);
    assert_eq!(offsets(&records), [1, 2, 4]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_starts_from_its_accumulator_and_keeps_it_over_batches() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "numbers", 1).await;
    for batch in [&["1", "2"][..], &["3"], &["4", "5"]] {
        produce(&fluvio, "numbers", batch).await;
    }
    let mut tally = ad_hoc(TALLY, &[]);
    tally.kind = SmartModuleKind::Aggregate { accumulator: b"100".to_vec() };
    let records = read(&fluvio, from("numbers", Offset::beginning()).smartmodule(vec![tally]).max_bytes(1)).await;
    assert_eq!(values(&records), ["101", "103", "106", "110", "115"]);
    assert_eq!(offsets(&records), [0, 1, 2, 3, 4]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_array_map_makes_of_a_record_has_that_records_offset() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "lists", 1).await;
    produce(&fluvio, "lists", &["a,b,c", "", "d", "e,f"]).await;
    produce(&fluvio, "lists", &["g"]).await;
    let expected = [("a", 0), ("b", 0), ("c", 0), ("d", 2), ("e", 3), ("f", 3), ("g", 4)];
    for start in [0, 1, 3] {
        let mut config = from("lists", Offset::absolute(start).unwrap());
        let records = read(&fluvio, config.smartmodule(vec![ad_hoc(SPLIT, &[])])).await;
        let found: Vec<_> = values(&records).into_iter().zip(offsets(&records)).collect();
        let expected: Vec<_> = expected.iter().filter(|(_, at)| *at >= start).map(|(value, at)| ((*value).to_owned(), *at)).collect();
        assert_eq!(found, expected);
        assert!(records.iter().all(|record| record.timestamp() > 0));
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_looks_back_before_its_stream_begins() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    let hour = Duration::from_secs(3600);
    for (number, (lookback, expected)) in [
        (Lookback::last(2), &["old"][..]),
        (Lookback::last(1000), &[]),
        (Lookback::last(0), &["old", "a", "b"]),
        (Lookback::age(hour, None), &[]),
        (Lookback::age(hour, Some(1)), &["old", "a"]),
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("values-{number}");
        create_topic(&fluvio, &topic, 1).await;
        produce(&fluvio, &topic, &["old", "a"]).await;
        produce(&fluvio, &topic, &["b"]).await;
        let mut guard = ad_hoc(GUARD, &[]);
        guard.params.set_lookback(Some(lookback.clone()));
        let records = read(&fluvio, from(&topic, Offset::beginning()).smartmodule(vec![guard])).await;
        assert_eq!(values(&records), expected, "{lookback:?}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_comes_after_the_good_ones_with_its_offset() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "values", 1).await;
    produce(&fluvio, "values", &["a", "b"]).await;
    produce(&fluvio, "values", &["c", "fail", "d"]).await;
    let mut config = from("values", Offset::beginning());
    let (good, error) = try_read(&fluvio, config.smartmodule(vec![ad_hoc(GUARD, &[])])).await;
    assert_eq!(values(&good), ["a", "b", "c"]);
    let Some(ErrorCode::SmartModuleRuntimeError(error)) = error else { panic!("{error:?}") };
    assert_eq!((error.offset, error.record_value.as_ref()), (3, &b"fail"[..]));
    assert!(error.hint.contains("told to fail"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_cannot_run_are_refused_with_their_code() {
    let limits = Limits { smartmodule_memory_bytes_max: 64 * 1024, ..Limits::default() };
    let broker = start().await;
    let small = Broker::start(Options { limits, ..Options::default() }).await.unwrap();
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "values", 1).await;
    produce(&fluvio, "values", &["trap"]).await;
    let error = async |fluvio: &Fluvio, invocation| {
        let mut config = from("values", Offset::beginning());
        try_read(fluvio, config.smartmodule(vec![invocation])).await.1.expect("an error")
    };
    assert_eq!(error(&fluvio, named("missing", &[])).await, ErrorCode::SmartModuleNotFound { name: "missing".to_owned() });
    let not_gzip = generic(SmartModuleInvocationWasm::AdHoc(b"junk".to_vec()), &[]);
    assert!(matches!(error(&fluvio, not_gzip).await, ErrorCode::SmartModuleInvalid { .. }));
    let not_wasm = error(&fluvio, ad_hoc(b"junk", &[])).await;
    assert!(matches!(not_wasm, ErrorCode::SmartModuleChainInitError(_)), "{not_wasm}");
    let no_params = error(&fluvio, ad_hoc(EVENT_FILTER, &[])).await;
    let ErrorCode::SmartModuleChainInitError(message) = no_params else { panic!("{no_params}") };
    assert!(message.contains("types"), "{message}");
    let trapped = error(&fluvio, ad_hoc(GUARD, &[])).await;
    assert!(matches!(&trapped, ErrorCode::Other(message) if message.contains("SmartModule")), "{trapped}");

    let small_fluvio = connect(&small).await;
    create_topic(&small_fluvio, "values", 1).await;
    produce(&small_fluvio, "values", &["a"]).await;
    let too_large = error(&small_fluvio, ad_hoc(GUARD, &[])).await;
    assert!(matches!(too_large, ErrorCode::SmartModuleMemoryLimitExceeded { .. }), "{too_large}");
    broker.stop().await;
    small.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_hangs_is_given_up_and_others_go_on() {
    // Long enough for a busy machine to compile a module, which is bounded by it too.
    let smartmodule_call_timeout = Duration::from_secs(8);
    let limits = Limits { smartmodule_call_timeout, smartmodule_running_max: 1, ..Limits::default() };
    let broker = Broker::start(Options { limits, ..Options::default() }).await.unwrap();
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "values", 1).await;
    produce(&fluvio, "values", &["hang"]).await;
    let mut config = from("values", Offset::beginning());
    let (_, error) = try_read(&fluvio, config.smartmodule(vec![ad_hoc(GUARD, &[])])).await;
    let Some(ErrorCode::Other(message)) = error else { panic!("{error:?}") };
    assert!(message.contains("did not return"), "{message}");

    create_topic(&fluvio, "lists", 1).await;
    produce(&fluvio, "lists", &["a,b"]).await;
    let records = read(&fluvio, from("lists", Offset::beginning()).smartmodule(vec![ad_hoc(SPLIT, &[])])).await;
    assert_eq!(values(&records), ["a", "b"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_filter_before_anything_is_stored() {
    let broker = start().await;
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "lists", 1).await;
    let producer = async |invocation| {
        let config = TopicProducerConfigBuilder::default().smartmodules(vec![invocation]).linger(Duration::from_secs(30)).build().unwrap();
        within(fluvio.topic_producer_with_config("lists", config)).await.unwrap()
    };
    let splitting = producer(ad_hoc(SPLIT, &[])).await;
    for list in ["a,b", "", "c"] {
        splitting.send(RecordKey::NULL, list).await.unwrap();
    }
    within(splitting.flush()).await.unwrap();
    // A chain lives as long as a request, so the guard forgets between two.
    let guarding = producer(ad_hoc(GUARD, &[])).await;
    for value in ["x", "x", "y"] {
        guarding.send(RecordKey::NULL, value).await.unwrap();
    }
    within(guarding.flush()).await.unwrap();
    let output = guarding.send(RecordKey::NULL, "fail").await.unwrap();
    // The client reports the refusal with the record or with the flush.
    let flushed = within(guarding.flush()).await.is_err();
    assert!(within(output.wait()).await.is_err() || flushed);

    let records = read_all(&fluvio, "lists").await;
    assert_eq!(values(&records), ["a", "b", "c", "x", "y"]);
    assert_eq!(offsets(&records), [0, 1, 2, 3, 4]);
    broker.stop().await;
}

/// Goal: streams that ask a pure module the same share its instance, and nobody can tell; others do not. The bound on chains counts instances.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_ask_a_pure_module_the_same_share_it() {
    let limits = Limits { smartmodule_chains_max: 2, ..Limits::default() };
    let broker = Broker::start(Options { limits, pure_smartmodules: vec!["thin-map".to_owned()], ..Options::default() }).await.unwrap();
    let fluvio = connect(&broker).await;
    create_topic(&fluvio, "events", 1).await;
    for (name, wasm) in [("thin-map", THIN_MAP), ("halve", HALVE)] {
        upload(&fluvio, name, wasm).await;
    }
    produce_events(&fluvio, "events", 30).await;
    let asking = |invocation: SmartModuleInvocation| from("events", Offset::beginning()).smartmodule(vec![invocation]).build().unwrap();
    // Two questions, three streams each, all open at a time: six streams, of which a broker that shares nothing would refuse four.
    let mut streams = Vec::new();
    for kind in ["A", "B"].repeat(3) {
        streams.push((kind, within(fluvio.consumer_with_config(asking(named("thin-map", &[("types", kind)])))).await.unwrap()));
    }
    for (kind, stream) in &mut streams {
        for offset in 0..30 {
            let record = within(stream.next()).await.unwrap().unwrap();
            assert_eq!(record.offset(), offset);
            let is_whole = record.value() == event(kind, offset).as_bytes();
            assert_eq!(is_whole, (offset % 3 == 0) == (*kind == "A"), "record {offset} of types={kind}");
        }
    }
    let third = || from("events", Offset::beginning()).smartmodule(vec![named("halve", &[])]).clone();
    let (records, error) = try_read(&fluvio, &mut third()).await;
    assert!(records.is_empty() && error.is_some(), "a third question needs a third instance");
    // One stream of many goes: the others do not notice.
    drop(streams.remove(0));
    produce_events(&fluvio, "events", 5).await;
    for (_, stream) in &mut streams {
        assert_eq!(within(stream.next()).await.unwrap().unwrap().offset(), 30);
    }
}
