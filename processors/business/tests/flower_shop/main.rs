//! A fourth business, as an exercise that stays done: [`business`] and its topics are all that it takes, and every law of the others holds for it.

mod business;

use std::fs;
use std::path::{Path, PathBuf};

use ::business::testing::evening::{CUSTOMERS, Drawn, Evenings, pick};
use ::business::testing::{World, killed_everywhere};
use ::business::{Business as _, Config};
use fluvio_streams::system::System;
use fluvio_streams::testing::Random;
use serde_json::json;

use crate::business::FlowerShop;

/// Lines that a business may take, its topics included.
const LINES_MAX: usize = 200;
const EVENINGS: u64 = 60;

fn shop(config: &Config) -> System {
    business::system(config).unwrap_or_else(|error| panic!("{error}"))
}

fn world() -> World<FlowerShop> {
    World::new(shop(&Config::default()), 2, None)
}

fn order(world: &mut World<FlowerShop>, bouquet: &str, customer: &str) {
    world.send("OrderBouquet", bouquet, json!({"customerId": customer, "flower": "peonies", "price": 30_000, "card": "With love"}));
    world.driver.advance(700);
}

#[test]
fn bouquets_are_paid_tied_and_handed_over_wherever_a_task_dies() {
    killed_everywhere(world, |world| {
        order(world, "f-1", "kim");
        world.send("TieBouquet", "f-1", json!({}));
        world.send("HandOver", "f-1", json!({}));
        order(world, "f-2", "lee");
        world.send("TieBouquet", "f-2", json!({}));
        world.driver.advance(100);
        world.send("CancelBouquet", "f-2", json!({"reason": "she said no"}));
        order(world, "f-3", "simulate-decline");
        world.driver.advance(10_000);
        world.assert_status("f-1", "HandedOver");
        world.assert_status("f-2", "Cancelled");
        world.assert_status("f-3", "Rejected");
        assert_eq!(world.driver.kinds("flower-shop-florist-events", "f-2"), ["BouquetTied", "BouquetTakenApart"]);
        assert_eq!((world.total("captured_won"), world.total("refunded_won")), (60_000, 30_000));
        assert_eq!(world.documents("bouquets")["f-1"]["flower"], "peonies");
    });
}

#[test]
fn the_laws_hold_on_any_evening() {
    Evenings { system: shop, command, law: |_: &World<FlowerShop>| {} }.everything_happens(EVENINGS);
}

fn command(random: &mut Random) -> Drawn {
    let id = format!("f-{}", random.below(4));
    let kind = pick(random, &["OrderBouquet", "OrderBouquet", "CancelBouquet", "TieBouquet", "TieBouquet", "HandOver"]);
    let fields = if kind == "OrderBouquet" { json!({"flower": "tulips", "price": random.below(9), "customerId": pick(random, &CUSTOMERS)}) } else { json!({}) };
    Drawn { kind, id_field: FlowerShop::NAMES.id_field, id, fields }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flower_shop")
}

/// Returns all files of the business, with what they say.
fn files() -> Vec<(PathBuf, String)> {
    let topics = fs::read_dir(directory().join("topics/flower-shop")).expect("there are topics").map(|entry| entry.expect("it can be read").path());
    let mut paths: Vec<PathBuf> = topics.chain([directory().join("business.rs")]).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).expect("it can be read"))).collect()
}

#[test]
fn it_takes_at_most_200_lines() {
    let lines: usize = files().iter().map(|(_, text)| text.lines().count()).sum();
    assert!(lines <= LINES_MAX, "{lines} lines");
}

#[test]
fn its_topics_are_described() {
    let named = |text: &str| text.lines().find_map(|line| Some(line.strip_prefix("meta: { name: ")?.strip_suffix(" }")?.to_owned()));
    let described = files().iter().filter_map(|(_, text)| named(text)).collect();
    assert_eq!(shop(&Config::default()).topology.topics(), described);
}

/// Goal: the page that leads through it shows what is there.
#[test]
fn the_page_about_adding_a_business_quotes_these_files() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/adding-a-business.md");
    let page = fs::read_to_string(&page).expect("there is such a page");
    let sources = files();
    let mut quoted = 0;
    for block in page.split("\n```").filter_map(|block| block.strip_prefix("rust\n").or_else(|| block.strip_prefix("yaml\n"))) {
        let is_there = sources.iter().any(|(_, text)| text.contains(block.trim_end()));
        assert!(is_there, "the page quotes what no file says:\n{block}");
        quoted += 1;
    }
    assert!(quoted >= 4, "{quoted} pieces of the files are quoted");
}
