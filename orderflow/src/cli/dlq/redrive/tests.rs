//! Redrives against a log in memory: what comes back is counted, what was interrupted is settled, and of two at a time one is second.

use fluvio_streams::log::memory::MemoryLog;
use fluvio_streams::record::LogRecord;
use serde_json::{Value, json};

use super::super::letters::Wanted;
use super::*;

const COMMANDS: &str = "food-delivery-commands";
const REPLIES: &str = "food-delivery-payment-replies";
const LETTERS: &str = "food-delivery-dead-letters";
const PARTITION: u32 = 1;
const RULES: Rules = Rules { is_dry: false, replays_max: 3, again: false };

struct Shop {
    log: MemoryLog,
    system: System,
}

impl Shop {
    fn new() -> Self {
        let system = crate::systems::all().expect("the settings work").remove(0);
        let log = MemoryLog::default();
        system.topology.topics().iter().for_each(|topic| log.create(topic, 2));
        Self { log, system }
    }

    fn append(&self, topic: &str, key: Option<&'static [u8]>, value: impl Into<Vec<u8>>) -> i64 {
        let record = NewRecord { key: key.map(Into::into), value: value.into().into() };
        self.log.append(topic, PARTITION, 1_000, record).expect("the topic is there")
    }

    /// Writes the letter about a record, as a task does.
    fn letter(&self, topic: &str, offset: i64) -> LetterId {
        let about = self.at(topic, offset);
        let quote = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let data = json!({
            "topic": topic, "partition": PARTITION, "offset": offset, "processor": "orders", "error": "no JSON",
            "key": about.key.as_deref().map(quote), "value": quote(&about.value),
        });
        self.letter_of(&data, "c-1")
    }

    fn letter_of(&self, data: &Value, correlation: &str) -> LetterId {
        let letter = json!({"type": "DeadLetter", "time": "2026-01-01T00:00:00.000Z", "correlationid": correlation, "data": data});
        let offset = self.append(LETTERS, None, letter.to_string());
        LetterId { system: "food-delivery".to_owned(), partition: PARTITION, offset }
    }

    fn at(&self, topic: &str, offset: i64) -> LogRecord {
        self.log.fetch(topic, PARTITION, offset, None, 1).expect("it is there").records.remove(0)
    }

    fn end(&self, topic: &str) -> i64 {
        self.log.bounds(topic, PARTITION).expect("it is there").end
    }

    async fn letters(&self) -> Letters {
        Letters::read(&self.log, &self.system, Wanted::default()).await.expect("they can be read")
    }

    async fn redrive(&self, id: &LetterId, rules: Rules) -> Outcome {
        redrive(&self.log, &self.system, &mut self.letters().await, id, rules).await
    }

    /// Begins a redrive that does not go on, so many ms ago.
    fn interrupt(&self, id: &LetterId, ago_ms: i64) {
        let at = format_rfc3339(SystemClock.now_ms() - ago_ms);
        let (letter, topic) = (id.to_string(), COMMANDS.to_owned());
        let note = Note::RedriveStarted { letter, after: id.offset, topic, partition: PARTITION, from: self.end(COMMANDS), redrives: 1, at };
        self.append(LETTERS, None, serde_json::to_vec(&note).expect("it is JSON"));
    }
}

fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused { reason } => reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_same_bytes_are_there_again_in_the_same_partition_under_the_same_key() {
    let shop = Shop::new();
    let garbage: &[u8] = b"\xff\xfe chicken";
    let id = shop.letter(COMMANDS, shop.append(COMMANDS, Some(b"o-\xff"), garbage));
    let dry = shop.redrive(&id, Rules { is_dry: true, ..RULES }).await;
    assert!(matches!(dry, Outcome::WouldRedrive { .. }), "{dry:?}");
    assert_eq!((shop.end(COMMANDS), shop.end(LETTERS)), (1, 1), "nothing is written");

    let done = shop.redrive(&id, RULES).await;
    assert!(matches!(&done, Outcome::Redriven { to } if to == "food-delivery-commands/1/1"), "{done:?}");
    let again = shop.at(COMMANDS, 1);
    assert_eq!((again.key.as_deref(), &again.value[..]), (Some(&b"o-\xff"[..]), garbage));
    // By whoever asks: it is written where all can read it.
    assert!(refusal(shop.redrive(&id, RULES).await).contains("stands at food-delivery-commands/1/1"));
    let more = shop.redrive(&id, Rules { again: true, ..RULES }).await;
    assert!(matches!(more, Outcome::Redriven { .. }), "{more:?}");
    assert_eq!(shop.letters().await.get(&id).expect("it is there").redrives, 2);
}

#[tokio::test]
async fn a_record_that_comes_back_each_time_is_not_redriven_for_ever() {
    let shop = Shop::new();
    let mut offset = shop.append(COMMANDS, None, "chicken, please");
    for redrives in 0..3 {
        let id = shop.letter(COMMANDS, offset);
        assert_eq!(shop.letters().await.get(&id).expect("it is there").redrives, redrives);
        let done = shop.redrive(&id, RULES).await;
        assert!(matches!(done, Outcome::Redriven { .. }), "{done:?}");
        offset += 1;
    }
    let id = shop.letter(COMMANDS, offset);
    assert!(refusal(shop.redrive(&id, RULES).await).contains("--max-replays 4"));
    let allowed = shop.redrive(&id, Rules { replays_max: 4, ..RULES }).await;
    assert!(matches!(allowed, Outcome::Redriven { .. }), "{allowed:?}");
    // One that went astray and was forwarded comes back under the place where it stood first.
    let elsewhere = json!({"topic": COMMANDS, "partition": 0, "offset": 9, "processor": "orders", "error": "no"});
    let forwarded = shop.letter_of(&elsewhere, "food-delivery-commands/1/2");
    assert_eq!(shop.letters().await.get(&forwarded).expect("it is there").redrives, 2);
}

#[tokio::test]
async fn an_interrupted_redrive_is_settled_by_what_stands_in_the_topic() {
    let shop = Shop::new();
    let id = shop.letter(COMMANDS, shop.append(COMMANDS, None, "chicken, please"));
    shop.interrupt(&id, 1_000);
    assert!(refusal(shop.redrive(&id, RULES).await).contains("somebody began to redrive it"), "its record may still arrive");
    shop.append(COMMANDS, None, "something else");
    let arrived = shop.append(COMMANDS, None, "chicken, please");
    let settled = shop.redrive(&id, RULES).await;
    assert!(matches!(&settled, Outcome::Settled { to } if *to == format!("food-delivery-commands/1/{arrived}")), "{settled:?}");
    assert_eq!(shop.end(COMMANDS), arrived + 1, "it is not appended once more");
    assert!(refusal(shop.redrive(&id, RULES).await).contains("it was redriven"));

    let other = shop.letter(COMMANDS, shop.append(COMMANDS, None, "pizza, please"));
    shop.interrupt(&other, DLQ_INTERRUPTED_AFTER_MS + 1_000);
    let done = shop.redrive(&other, RULES).await;
    assert!(matches!(done, Outcome::Redriven { .. }), "what never arrived is appended: {done:?}");
}

#[tokio::test]
async fn of_two_who_redrive_at_the_same_time_one_does() {
    let shop = Shop::new();
    let id = shop.letter(COMMANDS, shop.append(COMMANDS, None, "chicken, please"));
    // Both have read the letters before either writes.
    let (mut one, mut other) = (shop.letters().await, shop.letters().await);
    let first = redrive(&shop.log, &shop.system, &mut one, &id, RULES).await;
    let second = redrive(&shop.log, &shop.system, &mut other, &id, RULES).await;
    assert!(matches!(first, Outcome::Redriven { .. }), "{first:?}");
    assert!(refusal(second).contains("somebody else"));
    assert_eq!(shop.end(COMMANDS), 2);
    assert_eq!(shop.letters().await.get(&id).expect("it is there").redrives, 1);
}

#[tokio::test]
async fn what_is_gone_is_taken_from_the_quote_if_that_is_whole() {
    let shop = Shop::new();
    let id = shop.letter(COMMANDS, shop.append(COMMANDS, Some(b"o-1"), "치킨"));
    let spoilt = shop.letter(COMMANDS, shop.append(COMMANDS, None, b"\xff".to_vec()));
    shop.append(COMMANDS, None, "{}");
    shop.log.expire(COMMANDS, PARTITION, 2).expect("it is there");
    let done = shop.redrive(&id, RULES).await;
    assert!(matches!(done, Outcome::Redriven { .. }), "{done:?}");
    let again = shop.at(COMMANDS, 3);
    assert_eq!((again.key.as_deref(), &again.value[..]), (Some(&b"o-1"[..]), "치킨".as_bytes()));
    assert!(refusal(shop.redrive(&spoilt, RULES).await).contains("is not held any more, and it was not all text"));
}

#[tokio::test]
async fn what_would_do_harm_or_nothing_is_refused_by_its_reason() {
    let shop = Shop::new();
    let sent = r#"{"type":"PaymentApproved","provenance":"food-delivery-payments-journal/1/1/9/0","data":{}}"#;
    let journal = shop.append("food-delivery-orders-journal", None, "x");
    let inside = json!({"topic": "food-delivery-orders-journal", "partition": PARTITION, "processor": "orders", "error": "no", "cause": "timer:x/y/1"});
    let notification =
        json!({"topic": "food-delivery-notifications-events", "partition": PARTITION, "processor": "notifications", "error": "refused", "value": "{}"});
    let view = json!({"topic": "food-delivery-orders-events", "partition": PARTITION, "offset": shop.append("food-delivery-orders-events", None, sent), "error": "no"});
    for (id, why) in [
        (shop.letter(REPLIES, shop.append(REPLIES, None, sent)), "transaction 9 of food-delivery-payments-journal/1"),
        (shop.letter("food-delivery-orders-journal", journal), "no processor of food-delivery reads food-delivery-orders-journal"),
        (shop.letter_of(&inside, "c-1"), "timer:x/y/1"),
        (shop.letter_of(&notification, "c-1"), "it is about no record"),
        (shop.letter_of(&view, "c-1"), "the view is at fault"),
        (LetterId { system: "food-delivery".to_owned(), partition: PARTITION, offset: 99 }, "holds no dead letter there"),
    ] {
        let reason = refusal(shop.redrive(&id, RULES).await);
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test]
async fn a_command_that_a_task_had_forwarded_is_sent_as_its_sender_wrote_it() {
    let shop = Shop::new();
    let command = r#"{"type":"AcceptOrder", "orderId":"o-1"}"#;
    let wrapped = format!(r#"{{"specversion":"1.0","type":"AcceptOrder","provenance":"food-delivery-store-journal/0/1/2/0","data":{command}}}"#);
    let id = shop.letter(COMMANDS, shop.append(COMMANDS, Some(b"o-1"), wrapped));
    let done = shop.redrive(&id, RULES).await;
    assert!(matches!(done, Outcome::Redriven { .. }), "{done:?}");
    let again = shop.at(COMMANDS, 1);
    assert_eq!((again.key.as_deref(), &again.value[..]), (Some(&b"o-1"[..]), command.as_bytes()));
}
