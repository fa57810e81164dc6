//! The committed contracts are what the code makes, and what was once written can still be read.

use fluvio_streams::envelope::{self, Format};
use fluvio_streams::record::Position;
use fluvio_streams::system::Writer;
use fluvio_streams::testing::TestDriver;
use fluvio_streams::topology::{ErrorPolicy, Topology};
use jsonschema::Validator;
use serde_json::Map;

use super::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the binary is in the workspace")
}

fn systems() -> Vec<System> {
    crate::systems::all().expect("the settings work")
}

/// Goal: what is committed is what the code makes, and what the code makes breaks nothing that was promised.
#[test]
fn the_committed_contracts_are_what_the_code_makes() {
    let found = check(root(), &files(&systems())).expect("the files can be read");
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
}

/// A record that somebody once wrote.
struct Golden {
    path: PathBuf,
    /// Version of the contract under which it was written.
    version: u64,
    record: RecordSpec,
    system: usize,
    key: Option<String>,
    value: Value,
}

impl Golden {
    /// Whether it is a CloudEvent, and not a plain object.
    fn is_event(&self) -> bool {
        self.value.get("specversion").is_some()
    }

    /// What its schema is about.
    fn data(&self) -> &Value {
        if self.is_event() { &self.value["data"] } else { &self.value }
    }
}

/// Returns the golden records of every type: `<type>.json`, `<type>.<what is special>.json`, and `<type>.v<n>.json` of past versions.
fn golden() -> Vec<Golden> {
    let mut found = Vec::new();
    for (system, of) in systems().iter().enumerate() {
        for record in of.contract() {
            let parent = record.follower.map(|follower| PathBuf::from("processors").join(follower)).unwrap_or_default();
            for path in below(root(), &directory(&parent, of.name, "golden", &record.topic)).expect("a directory can be read") {
                let name = path.file_stem().and_then(|name| name.to_str()).expect("a file name is text").to_owned();
                let (kind, what) = name.split_once('.').unwrap_or((&name, ""));
                if kind != record.kind {
                    continue;
                }
                let past = what.strip_prefix('v').and_then(|version| version.parse().ok());
                let mut file = read(&root().join(&path)).expect("it is JSON").expect("it is there");
                let value = file["value"].take();
                assert_eq!(value["type"], json!(kind), "{}", path.display());
                let key = file["key"].as_str().map(str::to_owned);
                found.push(Golden { path, version: past.unwrap_or_else(|| version(&record.schema)), record: record.clone(), system, key, value });
            }
        }
    }
    found
}

#[test]
fn every_type_has_a_golden_record_of_every_version() {
    let golden = golden();
    let contracts: Vec<RecordSpec> = systems().iter().flat_map(System::contract).collect();
    let missing = contracts.iter().flat_map(|record| {
        let versions = 1..=version(&record.schema);
        let has = |version: &u64| golden.iter().any(|golden| (&golden.record, golden.version) == (record, *version));
        versions.filter(|version| !has(version)).map(|version| format!("{} {}, version {version}", record.topic, record.kind)).collect::<Vec<_>>()
    });
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "types without a golden record: put one that was really written below `golden`");
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes members that a schema does not name a mistake.
fn closed(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(|value| *value = closed(value.take()));
        if object.get("properties").is_some_and(Value::is_object) && object.get("type") == Some(&json!("object")) {
            object.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    schema
}

/// Goal: a public validator says that golden records are as the schemas say. A member that only the record has, or only the schema demands, shows.
#[test]
fn golden_records_are_as_their_schemas_say() {
    let envelope = validator(&closed(business::schema::envelope()));
    for golden in golden().iter().filter(|golden| golden.version == version(&golden.record.schema)) {
        let path = golden.path.display();
        let mut data = golden.data().clone();
        if golden.is_event() {
            envelope.validate(&golden.value).unwrap_or_else(|error| panic!("{path}: {error}"));
        } else if golden.record.writer == Writer::Either {
            data.as_object_mut().expect("a plain record is an object").remove("type");
        }
        validator(&closed(golden.record.schema.clone())).validate(&data).unwrap_or_else(|error| panic!("{path}: {error} at `{}`", error.instance_path()));
    }
}

/// Goal: the check that every test of a business makes says what a public validator says, also of records with something wrong.
#[test]
fn our_own_check_agrees_with_a_public_validator() {
    use business::schema::check::{Unnamed, check};
    let wrong = [
        Value::Null,
        json!(-1),
        json!(1.5),
        json!(i64::MAX),
        json!(""),
        json!("x".repeat(600)),
        json!([]),
        json!({}),
        json!([{}]),
        json!("2026-01-01T00:00:00Z"),
    ];
    let (mut taken, mut refused) = (0, 0);
    for golden in golden() {
        let schema = &golden.record.schema;
        let public = validator(schema);
        let members: Vec<String> = golden.data().as_object().expect("data is an object").keys().cloned().collect();
        let spoiled = members.iter().flat_map(|name| {
            let without = |value: Option<&Value>| {
                let mut data = golden.data().clone();
                data.as_object_mut().expect("data is an object").remove(name);
                value.into_iter().for_each(|value| data[name] = value.clone());
                data
            };
            wrong.iter().map(|value| without(Some(value))).chain([without(None)]).collect::<Vec<_>>()
        });
        for data in spoiled {
            let ours = check(schema, &data, Unnamed::Ignored);
            assert_eq!(ours.is_ok(), public.is_valid(&data), "{}: {ours:?} of {data}", golden.path.display());
            *(if ours.is_ok() { &mut taken } else { &mut refused }) += 1;
        }
    }
    assert!(taken > 100 && refused > 1_000, "{taken} are taken, {refused} are refused");
}

/// Goal: what was once written can be read today, by whoever reads it: the check of commands, every view, every processor.
#[test]
fn golden_records_can_still_be_read() {
    let systems = systems();
    for golden in golden() {
        let system = &systems[golden.system];
        let path = golden.path.display();
        if let Some(command) = system.commands.iter().find(|command| command.kind == golden.record.kind && golden.record.writer == Writer::Outside) {
            (command.check)(&golden.value).unwrap_or_else(|error| panic!("{path}: field `{}` {}", error.field, error.detail));
        }
        for projection in system.projections.iter().filter(|projection| projection.topic() == golden.record.topic) {
            let position = Position { topic: golden.record.topic.clone(), partition: 0, offset: 0 };
            let message =
                envelope::read(Format::Event, position, None, golden.value.to_string().as_bytes(), 0).unwrap_or_else(|error| panic!("{path}: {error}"));
            if projection.routing().passes(Some(&message.kind)) {
                let id = projection.document_id(&message).unwrap_or_else(|error| panic!("{path}: {error}"));
                assert!(id.is_some(), "{path} is of no document");
                projection.fold(None, &message).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        }
        let misread = misread(system, &golden);
        assert_eq!(misread, [""; 0], "{path}");
    }
}

/// Lets every processor that reads the topic of a record read it, and returns what those say that cannot make out its shape. That nothing is known of what it is about is another matter.
fn misread(system: &System, golden: &Golden) -> Vec<String> {
    let mut processors = system.topology.processors.clone();
    processors.retain(|processor| processor.sources.iter().any(|source| source.topic == golden.record.topic && source.on_error == ErrorPolicy::DeadLetter));
    if processors.is_empty() {
        return Vec::new();
    }
    let dead_letters = processors[0].dead_letters.clone();
    let mut driver = TestDriver::new(Topology { processors, ..system.topology.clone() }, 1);
    driver.pipe_to(&golden.record.topic, 0, golden.key.as_deref().map(str::as_bytes), golden.value.to_string().as_bytes());
    driver.run_until_idle();
    let errors = driver.events(&dead_letters).into_iter().map(|letter| letter.data["error"].as_str().unwrap_or_default().to_owned());
    errors
        .filter(|error| ["field", "invalid", "expected", "is no command", "is no reply", "is no request", "is not a"].iter().any(|words| error.contains(words)))
        .collect()
}

/// A repository with what was promised before a change.
fn promised(record: &RecordSpec) -> (tempfile::TempDir, File) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join(CHANGELOG), "# Changelog\n").expect("a file can be written");
    let mut content = with_header("urn:test", &record.kind, record.schema.clone());
    content["x-version"] = json!(version(&record.schema));
    let file = File { path: "topics/tea/schemas/events/Poured.json".into(), content, record: Some(record.clone()) };
    (directory, file)
}

fn changed(file: &File, schema: Value) -> File {
    let mut record = file.record.clone().expect("it is of a record");
    record.schema = schema;
    promised(&record).1
}

fn poured() -> RecordSpec {
    let schema = json!({"type": "object", "properties": {"cup": {"type": "string"}, "ml": {"type": "integer"}}, "required": ["cup"]});
    RecordSpec { topic: "tea-events".to_owned(), kind: "Poured".to_owned(), writer: Writer::System, follower: None, schema }
}

/// Goal: a break is stopped, unless its version says that it is meant and the changelog says so to everybody.
#[test]
fn a_break_must_be_meant_and_told() {
    let (directory, file) = promised(&poured());
    let root = directory.path();
    let check_of = |file: &File| check(root, std::slice::from_ref(file)).expect("the files can be read");
    assert_eq!(check_of(&file), [Finding::Stale(file.path.clone())], "it is new");
    assert_eq!(write(root, std::slice::from_ref(&file)).expect("nobody is broken"), 1);
    assert_eq!(check_of(&file), []);

    let added = changed(
        &file,
        json!({"type": "object", "properties": {"cup": {"type": "string"}, "ml": {"type": "integer"}, "hot": {"type": "boolean"}}, "required": ["cup"]}),
    );
    assert_eq!(check_of(&added), [Finding::Stale(file.path.clone())], "nobody is broken, it is only to be written");

    let without = json!({"type": "object", "properties": {"cup": {"type": "string"}}, "required": ["cup"]});
    let broken = changed(&file, without.clone());
    assert!(matches!(&check_of(&broken)[..], [Finding::Break(_, what), Finding::Stale(_)] if what == "`ml` is gone"), "{:?}", check_of(&broken));
    assert!(write(root, std::slice::from_ref(&broken)).expect_err("nothing is written").to_string().contains("`ml` is gone"));
    assert_eq!(check_of(&file), [], "nothing was written");

    let mut meant = without;
    meant["x-version"] = json!(2);
    let meant = changed(&file, meant);
    assert!(matches!(&check_of(&meant)[..], [Finding::Break(_, what), _] if what.contains(CHANGELOG)), "{:?}", check_of(&meant));
    fs::write(root.join(CHANGELOG), "- `Poured` is version 2: `ml` is gone.\n").expect("a file can be written");
    assert_eq!(check_of(&meant), [Finding::Stale(file.path.clone())]);
    assert_eq!(write(root, std::slice::from_ref(&meant)).expect("it is meant"), 1);
    assert_eq!(check_of(&meant), []);

    let other = File { path: "topics/tea/schemas/events/Served.json".into(), ..meant };
    assert!(
        matches!(&check_of(&other)[..], [_, Finding::Break(path, what)] if *path == file.path && what.contains("no such record")),
        "{:?}",
        check_of(&other)
    );
}

/// Every reference of a document leads somewhere.
fn unresolved(document: &Value, at: &Value, found: &mut Vec<String>) {
    if let Some(reference) = at.get("$ref").and_then(Value::as_str) {
        let is_there = reference.strip_prefix('#').is_some_and(|pointer| document.pointer(pointer).is_some());
        found.extend((!is_there).then_some(reference).map(str::to_owned));
    }
    at.as_object().into_iter().flat_map(Map::values).chain(at.as_array().into_iter().flatten()).for_each(|below| unresolved(document, below, found));
}

fn documents() -> Vec<File> {
    files(&systems()).into_iter().filter(|file| file.path.components().any(|part| part.as_os_str() == "asyncapi")).collect()
}

/// Goal: the documents are what the AsyncAPI initiative's own schema says, also where there is no node for the public parser, which CI runs.
#[test]
fn the_documents_are_as_the_specification_s_schema_says() {
    let schema = include_str!("../../tests/asyncapi/asyncapi-3.0.0.schema.json");
    let schema = jsonschema::draft7::new(&serde_json::from_str(schema).expect("it is JSON")).unwrap_or_else(|error| panic!("{error}"));
    for File { path, content, .. } in documents() {
        schema.validate(&content).unwrap_or_else(|error| panic!("{}: {error} at `{}`", path.display(), error.instance_path()));
        let mut wrong = content;
        wrong["channels"]["nowhere"] = json!({"address": 7});
        assert!(!schema.is_valid(&wrong), "what is wrong is noticed");
    }
}

/// Goal: what no schema says: every reference leads somewhere, and nothing is left over.
#[test]
fn the_documents_hold_together() {
    let documents = documents();
    assert!(documents.len() >= systems().len());
    for File { path, content, .. } in documents {
        let path = path.display();
        let mut found = Vec::new();
        unresolved(&content, &content, &mut found);
        assert_eq!(found, [""; 0], "{path} refers to what is not there");
        assert_eq!(content["asyncapi"], "3.0.0", "{path}");
        assert!(content["info"]["title"].is_string() && content["info"]["version"].is_string(), "{path}");
        let channels = content["channels"].as_object().expect("there are channels");
        let operations = content["operations"].as_object().expect("there are operations");
        for (name, operation) in operations {
            assert!(operation["action"] == "send" || operation["action"] == "receive", "{path}: {name}");
            let channel = operation["channel"]["$ref"].as_str().expect("an operation has a channel");
            let messages = operation["messages"].as_array().expect("an operation has messages");
            // As the specification demands, an operation's messages are those of its channel, not of the components.
            assert!(messages.iter().all(|message| message["$ref"].as_str().is_some_and(|message| message.starts_with(channel))), "{path}: {name}");
        }
        for (name, channel) in channels {
            assert_eq!(channel["address"], json!(name), "{path}");
            assert!(operations.values().any(|operation| operation["channel"]["$ref"] == json!(format!("#/channels/{name}"))), "{path}: nobody uses {name}");
        }
        for (name, message) in content["components"]["messages"].as_object().expect("there are messages") {
            validator(&json!({"components": content["components"], "allOf": [message["payload"]]}));
            assert!(message["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{path}: {name} says what it is");
        }
    }
}
