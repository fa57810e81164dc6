//! Every topic file is what `fluvio topic create --config` takes and what the contract promises.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fluvio_controlplane_metadata::topic::{TopicSpec, config::TopicConfig};
use fluvio_sc_schema::shared::validate_resource_name;

const FOOD_DELIVERY: [&str; 14] = [
    "assignment",
    "commands",
    "dead-letters",
    "notifications-events",
    "notifications-journal",
    "orders-events",
    "orders-journal",
    "payment-replies",
    "payment-requests",
    "payments-events",
    "payments-journal",
    "rejections",
    "store-events",
    "store-journal",
];

const SECONDS_PER_DAY: u32 = 24 * 60 * 60;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("topics")
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory of topics can be read");
    entries.map(|entry| entry.expect("an entry can be read").path()).collect()
}

fn text(path: &Path) -> String {
    path.file_stem().and_then(|stem| stem.to_str()).expect("a file name is text").to_owned()
}

/// Every topic file as (system, file name without extension, its configuration): of the businesses, and those that followers bring with them.
fn topics() -> Vec<(String, String, TopicConfig)> {
    let rows = entries(&Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("processors"));
    let brought = rows.into_iter().map(|row| row.join("topics")).filter(|directory| directory.is_dir());
    // The business that `docs/adding-a-business.md` adds is held to the same.
    let exercise = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("processors").join("business/tests/flower_shop/topics");
    brought.chain([exercise, directory()]).flat_map(|directory| topics_below(&directory)).collect()
}

fn topics_below(directory: &Path) -> Vec<(String, String, TopicConfig)> {
    let systems = entries(directory).into_iter().filter(|path| path.is_dir());
    // The schemas and golden records of their records stand in directories beside them.
    let files = systems.flat_map(|system| entries(&system).into_iter().filter(|path| path.is_file()).map(move |file| (text(&system), file)));
    files
        .map(|(system, file)| {
            assert_eq!(file.extension().and_then(|it| it.to_str()), Some("yaml"), "{} is YAML", file.display());
            let config = TopicConfig::from_file(&file).unwrap_or_else(|error| panic!("{} does not parse: {error:#}", file.display()));
            (system, text(&file), config)
        })
        .collect()
}

#[test]
fn food_delivery_has_its_topics() {
    let found: BTreeSet<String> = topics_below(&directory()).into_iter().filter(|(system, ..)| system == "food-delivery").map(|(_, name, _)| name).collect();
    assert_eq!(found, FOOD_DELIVERY.map(str::to_owned).into());
}

#[test]
fn every_topic_is_valid_and_named_after_its_file() {
    for (system, name, config) in topics() {
        let topic = config.meta.name.clone();
        assert_eq!(topic, format!("{system}-{name}"));
        validate_resource_name(&topic).unwrap_or_else(|error| panic!("{topic}: {error}"));
        assert_eq!(TopicSpec::from(config).validate_config(), None, "what is wrong with {topic}");
    }
}

#[test]
fn the_topics_of_a_system_are_co_partitioned() {
    for (_, name, config) in topics() {
        // In this one the instances agree, so there can be only one order.
        let wanted = if name == "assignment" { 1 } else { 4 };
        assert_eq!(config.partition.count, Some(wanted), "partitions of {}", config.meta.name);
    }
}

#[test]
fn journals_outlive_every_order_and_the_rest_a_long_weekend() {
    for (_, name, config) in topics() {
        let topic = config.meta.name.clone();
        let spec = TopicSpec::from(config);
        let kept_s = spec.retention_secs();
        if name == "assignment" {
            assert!(kept_s <= SECONDS_PER_DAY, "{topic} is written all the time and read near its end only, and is kept {kept_s} s");
        } else if name.ends_with("-journal") {
            assert!(kept_s >= 99 * 365 * SECONDS_PER_DAY, "{topic} is kept {kept_s} s");
            let size_max = spec.get_storage().and_then(|storage| storage.max_partition_size);
            assert!(size_max.is_some_and(|bytes| bytes >= 1 << 50), "{topic} is cut at {size_max:?} bytes");
        } else {
            assert!(kept_s >= 7 * SECONDS_PER_DAY, "{topic} is kept {kept_s} s");
        }
    }
}
