//! What marketing brings with it, and what it never gets.

use business::testing::contract::Contract;
use fluvio_streams::system::System;
use fluvio_streams::topology::Topology;
use marketing::{Config, ConfigError, follow, names};

use crate::support::*;

fn shop(name: &'static str) -> System {
    System {
        name,
        topology: Topology { application: name.to_owned(), processors: Vec::new() },
        commands_topic: format!("{name}-commands"),
        commands: Vec::new(),
        outcome_topics: Vec::new(),
        outcome: |_, _, _| None,
        projections: Vec::new(),
        views: Vec::new(),
        follower_topics: Vec::new(),
        records: Vec::new(),
    }
}

#[test]
fn it_brings_its_topics_and_views() {
    let mut system = shop(names::SYSTEM);
    follow(&mut system, &Config::default()).expect("the settings work");
    system.topology.check().expect("it can run");
    let brought: Vec<&str> =
        system.follower_topics.iter().map(|text| text.lines().find_map(|line| line.trim().strip_prefix("name: ")).expect("a topic has a name")).collect();
    assert_eq!(brought, [names::sales(), names::events(), "food-delivery-marketing-journal".to_owned()]);
    for view in &system.views {
        let projection = system.projections.iter().find(|projection| projection.collection() == view.collection).expect("something fills it");
        assert!(view.filters.iter().all(|filter| projection.indexes().contains(filter)));
    }
}

#[test]
fn what_it_cannot_work_with_is_named() {
    assert_eq!(follow(&mut shop("mask-shop"), &Config::default()), Err(ConfigError::System("mask-shop")));
    let error = follow(&mut shop(names::SYSTEM), &Config { window_ms: 0, ..Config::default() }).expect_err("a window has a length").to_string();
    assert!(error.contains("`window_ms`"), "{error}");
    let error = follow(&mut shop(names::SYSTEM), &Config { grace_ms: -1, ..Config::default() }).expect_err("grace is no debt").to_string();
    assert!(error.contains("`grace_ms`"), "{error}");
}

/// Every record that it writes is as its contract says, and it writes one of every type that its contract names.
#[test]
fn its_records_are_as_its_contract_says() {
    let mut system = shop(names::SYSTEM);
    follow(&mut system, &config()).expect("the settings work");
    let mut shop = Shop::new(&config());
    let now = shop.driver.now_ms();
    for (order, customer, items) in [("o-1", "kim", &["tea", "rice"][..]), ("o-2", "lee", &["tea"]), ("o-3", "kim", &["soup"])] {
        shop.place(order, customer, &items.iter().map(|item| (*item, 2)).collect::<Vec<_>>(), now);
        shop.driver.advance(2 * MINUTE_MS);
    }
    shop.driver.advance(60 * MINUTE_MS);
    let contract = Contract::of(&system);
    assert_eq!(contract.holds(&shop.driver, PARTITIONS), contract.kinds());
}

#[test]
fn it_subscribes_without_personal_data() {
    let mut system = shop(names::SYSTEM);
    follow(&mut system, &Config::default()).expect("the settings work");
    let text = system.topology.to_text();
    assert!(text.contains("types OrderRequested,OrderPlaced,OrderRejected,OrderCancelled; redact address,name,customerName,phone"), "{text}");
}

/// Not in its journal, not in what it tells itself, not in the dead letters.
#[test]
fn personal_data_is_nowhere_in_its_topics() {
    let mut shop = Shop::new(&config());
    let now = shop.driver.now_ms();
    shop.place("o-1", "kim", &[("tea", 1)], now);
    // Nobody can read it: its place in the log says that something is there, and no more.
    shop.driver.pipe(&names::orders(), "o-2", r#"{"type":"OrderRequested","data":{"address":"s3cret"#);
    shop.driver.pipe(&names::orders(), "o-2", r#"{"type":"OrderPlaced","data":{"address":"s3cret","orderId":7}}"#);
    shop.driver.advance(60 * MINUTE_MS);
    let orders = names::orders();
    let mut letters = 0;
    for topic in [names::sales(), names::events(), "food-delivery-marketing-journal".to_owned(), "food-delivery-dead-letters".to_owned()] {
        for partition in 0..PARTITIONS {
            for record in shop.driver.log().fetch(&topic, partition, 0, None, usize::MAX).expect("the topic is there").records {
                let text = String::from_utf8_lossy(&record.value);
                assert!(!text.contains("s3cret"), "{topic}: {text}");
                letters += usize::from(topic.ends_with("-dead-letters") && text.contains(&orders));
            }
        }
    }
    assert_eq!(letters, 1, "what cannot be handled is a dead letter, without what must not be seen");
}
