//! The dead letters from the command line: seen, looked into, sent again, and not for ever.

use serde_json::{Value, json};

use crate::support::{COMMANDS, DEAD_LETTERS, EVENTS, Instance, REJECTIONS, run};

const KEY: &[u8] = b"o-1";

/// Runs `orderflow dlq --json`; returns its exit code and what it printed.
async fn dlq(instance: &Instance, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(&[&["dlq", "--json", "--fluvio", &instance.address("sc")], arguments].concat()).await;
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), told)
}

/// Runs `orderflow dlq`; returns its exit code and what it said, for people.
async fn dlq_text(instance: &Instance, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["dlq", "--fluvio", &instance.address("sc")], arguments].concat()).await;
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Waits until so many dead letters are there; returns them as `list` shows them.
async fn letters(instance: &Instance, count: usize) -> Vec<Value> {
    let is_letter = |record: &&Value| record["type"] == "DeadLetter";
    instance.consume(DEAD_LETTERS, |records| records.iter().filter(is_letter).count() >= count).await;
    let (code, listed) = dlq(instance, &["list", "food-delivery"]).await;
    assert_eq!(code, Some(0));
    listed.as_array().expect("it is a list").clone()
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().expect("a letter has an id")
}

#[tokio::test]
async fn a_record_that_nobody_can_read_is_listed_shown_and_sent_again_but_not_for_ever() {
    let instance = Instance::start(&[]).await;
    instance.produce(COMMANDS, Some(KEY), b"chicken, \xff please".to_vec()).await;
    let listed = letters(&instance, 1).await;
    let [letter] = &listed[..] else { panic!("there is one letter: {listed:?}") };
    assert_eq!((letter["topic"].as_str(), letter["offset"].as_i64(), letter["processor"].as_str()), (Some(COMMANDS), Some(0), Some("orders")));
    assert_eq!((letter["state"].as_str(), letter["redrives"].as_u64()), (Some("open"), Some(0)));
    let (code, said) = dlq_text(&instance, &["show", id(letter)]).await;
    // Which bytes they are stands in the topic; the letter has only their likeness.
    assert!(code == Some(0) && said.contains("chicken, \\xff please") && said.contains(&format!("orderflow dlq redrive {}", id(letter))), "{said}");

    let (code, told) = dlq(&instance, &["redrive", id(letter), "--dry-run"]).await;
    assert_eq!((code, told[0]["outcome"].as_str()), (Some(0), Some("wouldRedrive")), "{told}");
    for times in 1..=3 {
        let (code, told) = dlq(&instance, &["redrive", "--all", "--topic", COMMANDS]).await;
        assert_eq!((code, told[0]["outcome"].as_str(), told.as_array().map(Vec::len)), (Some(0), Some("redriven"), Some(1)), "{told}");
        let listed = letters(&instance, times + 1).await;
        let open: Vec<&Value> = listed.iter().filter(|letter| letter["state"] == "open").collect();
        assert_eq!((open.len(), open[0]["redrives"].as_u64()), (1, Some(times as u64)), "{listed:?}");
    }
    let listed = letters(&instance, 4).await;
    let last = listed.iter().find(|letter| letter["state"] == "open").expect("it came back");
    for arguments in [&["redrive", id(last)][..], &["redrive", id(letter)]] {
        let (code, told) = dlq(&instance, arguments).await;
        assert_eq!((code, told[0]["outcome"].as_str()), (Some(1), Some("refused")), "{told}");
    }
    let (code, told) = dlq(&instance, &["redrive", "--all"]).await;
    assert_eq!((code, told[0]["outcome"].as_str()), (Some(0), Some("refused")), "{told}");
    assert!(told[0]["reason"].as_str().is_some_and(|reason| reason.contains("--max-replays 4")), "{told}");
    let (_, told) = dlq(&instance, &["redrive", id(last), "--max-replays", "4"]).await;
    assert_eq!(told[0]["outcome"], "redriven");
    assert_eq!(letters(&instance, 5).await.len(), 5);
    // The notes among the letters disturb nobody.
    instance.command("o-1", &json!({"type": "PlaceOrder", "item": "chicken"})).await;
    instance.order("o-1", "Placed").await;
    assert_eq!(instance.get("/health/ready").await.0, 200);
}

/// Goal: a redriven record is a command like any other: same key, same partition, taken by whoever takes commands.
#[tokio::test]
async fn what_is_sent_again_is_taken_by_who_reads_it() {
    let instance = Instance::start(&[]).await;
    instance.command("o-1", &json!({"type": "PlaceOrder", "orderId": "o-1", "item": "chicken"})).await;
    let placed = instance.consume(EVENTS, |events| !events.is_empty()).await;
    let (partition, offset) = placed[0]["data"]["incarnation"].as_str().and_then(|place| place.split_once('-')).expect("an order says where it was placed");
    let (partition, offset): (u32, i64) = (partition.parse().expect("a partition"), offset.parse().expect("an offset"));
    // A letter as of an orders processor that could not take it.
    let data = json!({"topic": COMMANDS, "partition": partition, "offset": offset, "processor": "orders", "error": "too new", "key": "o-1", "value": "{}"});
    instance.produce(DEAD_LETTERS, None, json!({"type": "DeadLetter", "time": "2026-01-01T00:00:00Z", "data": data}).to_string()).await;
    let listed = letters(&instance, 1).await;
    assert_eq!(dlq(&instance, &["list", "--since", "1h"]).await.1, json!([]), "it says to be older");
    let (code, told) = dlq(&instance, &["redrive", id(&listed[0])]).await;
    assert_eq!((code, told[0]["to"].as_str()), (Some(0), Some(&*format!("{COMMANDS}/{partition}/{}", offset + 1))), "{told}");
    let rejected = instance.consume(REJECTIONS, |rejections| !rejections.is_empty()).await;
    assert_eq!((rejected[0]["subject"].as_str(), rejected[0]["data"]["reason"].as_str()), (Some("o-1"), Some("OrderExists")));
}

#[tokio::test]
async fn what_cannot_be_asked_is_answered_with_what_can() {
    let instance = Instance::start(&[]).await;
    for (arguments, said) in [
        (&["show", "17"][..], "SYSTEM/PARTITION/OFFSET"),
        (&["show", "food-delivery/0/17"], "orderflow dlq list food-delivery"),
        (&["show", "flower-shop/0/17"], "there is no system `flower-shop`; there are food-delivery, movie-booking, mask-shop"),
        (&["redrive"], "<ID>"),
        (&["redrive", "flower-shop/0/17"], "there is no system `flower-shop`"),
        (&["redrive", "food-delivery/0/17"], "holds no dead letter there"),
        (&["redrive", "food-delivery/0/17", "--topic", "x"], "--topic and --since choose among --all"),
        (&["list", "--since", "soon"], "`90s`, `30m`, `24h` or `7d`"),
        (&["list", "mask-shop"], "there are no topics of mask-shop"),
    ] {
        let (code, text) = dlq_text(&instance, arguments).await;
        assert!(code != Some(0) && text.contains(said), "{arguments:?}: {text}");
    }
}
