//! Recommendations: what a customer ordered most, and what others who ordered that also ordered.

use serde_json::{Value, json};

use crate::support::*;
use marketing::Config;

fn suggested(recommendations: &Value) -> Vec<(&str, &str, i64)> {
    let suggestions = recommendations["suggestions"].as_array().expect("there are suggestions");
    let text = |value: &'_ Value| value.as_str().map(str::to_owned).unwrap_or_default().leak() as &str;
    suggestions.iter().map(|one| (text(&one["item"]), text(&one["because"]), one["customers"].as_i64().expect("a number"))).collect()
}

fn order(shop: &mut Shop, number: u32, customer: &str, items: &[&str]) {
    let items: Vec<(&str, i64)> = items.iter().map(|item| (*item, 1)).collect();
    let now = shop.driver.now_ms();
    shop.place(&format!("o-{number}"), customer, &items, now);
    shop.driver.advance(3_000);
}

fn an_evening(shop: &mut Shop) {
    order(shop, 1, "kim", &["chicken", "cola"]);
    order(shop, 2, "lee", &["chicken"]);
    order(shop, 3, "lee", &["beer"]);
    order(shop, 4, "park", &["chicken", "beer"]);
    order(shop, 5, "park", &["chicken"]);
    order(shop, 6, "choi", &["chicken", "soup"]);
}

#[test]
fn a_customer_is_told_what_others_ordered_beside_what_they_like() {
    let mut shop = Shop::new(&config());
    an_evening(&mut shop);
    let choi = shop.recommendations("choi");
    assert_eq!(suggested(&choi), [("beer", "chicken", 2), ("cola", "chicken", 1)]);
    assert_eq!(choi["favourites"].as_array().map(Vec::len), Some(2));
    let park = shop.recommendations("park");
    assert_eq!(park["favourites"][0], json!({"item": "chicken", "times": 2}));
    assert!(suggested(&park).iter().all(|(item, ..)| *item != "beer"), "they have ordered it");
}

#[test]
fn a_customer_counts_once_however_often_they_order() {
    let mut shop = Shop::new(&config());
    for number in 1..6 {
        order(&mut shop, number, "kim", &["chicken", "cola"]);
    }
    order(&mut shop, 9, "lee", &["chicken"]);
    assert_eq!(suggested(&shop.recommendations("lee")), [("cola", "chicken", 1)]);
}

#[test]
fn an_old_answer_is_asked_for_again() {
    let mut shop = Shop::new(&Config { refresh_ms: MINUTE_MS, ..config() });
    order(&mut shop, 1, "lee", &["chicken"]);
    assert_eq!(suggested(&shop.recommendations("lee")), []);
    order(&mut shop, 2, "kim", &["chicken", "cola"]);
    order(&mut shop, 3, "lee", &["chicken"]);
    assert_eq!(suggested(&shop.recommendations("lee")), [], "what was asked is not old yet");
    shop.driver.advance(MINUTE_MS);
    order(&mut shop, 4, "lee", &["chicken"]);
    assert_eq!(suggested(&shop.recommendations("lee")), [("cola", "chicken", 1)]);
}

#[test]
fn a_customer_who_orders_no_more_is_forgotten() {
    let mut shop = Shop::new(&Config { customer_retention_ms: 20 * MINUTE_MS, ..config() });
    order(&mut shop, 1, "kim", &["chicken"]);
    shop.driver.advance(15 * MINUTE_MS);
    order(&mut shop, 2, "kim", &["chicken"]);
    shop.driver.advance(15 * MINUTE_MS);
    assert_eq!(shop.recommendations("kim")["favourites"][0]["times"], 2, "their last order counts");
    shop.driver.advance(6 * MINUTE_MS);
    assert_eq!(shop.recommendations("kim")["favourites"], json!([]));
}

#[test]
fn recommendations_are_the_same_whoever_is_killed_when() {
    killed_everywhere(an_evening, |shop| {
        ["kim", "lee", "park", "choi"].map(|customer| {
            let mut told = shop.recommendations(customer);
            told.as_object_mut().map(|told| told.remove("updatedAt"));
            told
        })
    });
}

/// As many items as a customer may name at once, with names as long as they may be.
#[test]
fn the_largest_orders_fit_into_a_transaction() {
    let mut shop = Shop::on(&config(), 1);
    for number in 0..6 {
        let names: Vec<String> = (0..100).map(|item| format!("{number}-{item}-{}", "x".repeat(500))).collect();
        let items: Vec<&str> = names.iter().map(String::as_str).collect();
        order(&mut shop, number, "kim", &items);
    }
    shop.driver.advance(60 * MINUTE_MS);
    assert_eq!(shop.driver.events("food-delivery-dead-letters"), []);
    assert_eq!(shop.recommendations("kim")["favourites"].as_array().map(Vec::len), Some(5));
}
