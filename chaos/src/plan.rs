//! What the customers, the store and the riders of an order do, as the seed says. Much of it comes too early, too late or twice.

use serde_json::{Value, json};

use crate::random::Random;

/// A command as it is sent, possibly more than once.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) order: String,
    /// Without one, the command is known by where it stands.
    pub(crate) id: Option<String>,
    pub(crate) kind: &'static str,
    /// Last part of its path; none for the command that places.
    pub(crate) verb: Option<&'static str>,
    pub(crate) fields: Value,
    /// Key of its record, where it is sent as one; another one than the order's takes it to another partition.
    pub(crate) key: Option<String>,
    pub(crate) copies: u32,
}

/// What is done about an order: one step after the other, all commands of a step at once.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) steps: Vec<Vec<Command>>,
    /// A record that nobody can read, and its key.
    pub(crate) garbage: Option<(Option<String>, Vec<u8>)>,
}

const ACCEPT: (&str, &str) = ("AcceptOrder", "accept");
const DECLINE: (&str, &str) = ("DeclineOrder", "decline");
const COOK: (&str, &str) = ("StartCooking", "start-cooking");
const DELIVER: (&str, &str) = ("StartDelivery", "start-delivery");
const COMPLETE: (&str, &str) = ("CompleteDelivery", "complete-delivery");
const CANCEL: (&str, &str) = ("CancelOrder", "cancel");
const PAY: (&str, &str) = ("PayOrder", "pay");
const ALL: [(&str, &str); 7] = [ACCEPT, DECLINE, COOK, DELIVER, COMPLETE, CANCEL, PAY];

/// Returns the story of the order of this number. `as_records`: its commands are written into the topic, and not sent over HTTP.
pub(crate) fn story(seed: u64, number: usize, as_records: bool) -> Story {
    let mut writer = Writer { random: Random::of(seed, number as u64), order: format!("o-{number}"), number, commands: 0, as_records };
    let place = writer.place();
    let random = &mut writer.random;
    let chosen = random.below(100);
    let mut steps: Vec<Vec<(&'static str, &'static str)>> = match chosen {
        0..40 => vec![],
        40..48 => vec![vec![CANCEL]],
        48..54 => vec![vec![ACCEPT, CANCEL]],
        54..72 => vec![vec![ACCEPT], vec![COOK], vec![DELIVER], vec![COMPLETE]],
        72..78 => vec![vec![ACCEPT], vec![COOK, CANCEL], vec![DELIVER]],
        78..84 => vec![vec![DECLINE], vec![CANCEL]],
        84..90 => vec![vec![PAY], vec![CANCEL]],
        _ => (0..3).map(|_| (0..2).map(|_| ALL[random.below(ALL.len() as u64) as usize]).collect()).collect(),
    };
    // Some do not wait until the order is placed.
    let is_hasty = random.percent(25) && !steps.is_empty();
    let is_garbage = random.percent(4) && as_records;
    let first: Vec<_> = if is_hasty { steps.remove(0) } else { Vec::new() };
    let mut story = Story::default();
    let hasty = first.into_iter().map(|(kind, verb)| writer.command(kind, verb));
    story.steps.push([place].into_iter().chain(hasty).collect());
    story.steps.extend(steps.into_iter().map(|step| step.into_iter().map(|(kind, verb)| writer.command(kind, verb)).collect()));
    story.garbage = is_garbage.then(|| writer.garbage());
    story
}

struct Writer {
    random: Random,
    order: String,
    number: usize,
    commands: usize,
    as_records: bool,
}

impl Writer {
    fn place(&mut self) -> Command {
        let (customer, store) = (format!("c-{}", self.number % 199), format!("s-{}", self.number % 23));
        let (quantity, price) = (1 + self.random.below(3), 1_000 + 100 * self.random.below(90));
        let items = json!([{"item": "chicken", "quantity": quantity, "price": price}, {"item": "radish", "quantity": 1, "price": 500}]);
        let fields = if self.random.percent(50) {
            json!({"customerId": customer, "storeId": store, "item": "chicken", "quantity": quantity, "price": price, "address": "Seoul"})
        } else {
            json!({"customerId": customer, "storeId": store, "items": items})
        };
        Command { fields, ..self.command("PlaceOrder", "") }
    }

    fn command(&mut self, kind: &'static str, verb: &'static str) -> Command {
        self.commands += 1;
        let (number, count, random) = (self.number, self.commands, &mut self.random);
        let id = (!self.as_records || !random.percent(5)).then(|| format!("k-{number}-{count}"));
        let key = match random.below(100) {
            0..4 => None,
            4..8 => Some(format!("elsewhere-{number}")),
            _ => Some(self.order.clone()),
        };
        let copies = if random.percent(10) { 2 } else { 1 };
        let fields = if random.percent(30) { json!({"reason": "as it pleases"}) } else { json!({}) };
        Command { order: self.order.clone(), id, kind, verb: (!verb.is_empty()).then_some(verb), fields, key, copies }
    }

    fn garbage(&mut self) -> (Option<String>, Vec<u8>) {
        let value = match self.random.below(5) {
            0 => b"no JSON at all".to_vec(),
            1 => vec![0xff, 0xfe, 0x00, 0x80],
            2 => json!({"type": "Nonsense", "orderId": self.order}).to_string().into_bytes(),
            3 => json!({"type": "PlaceOrder", "orderId": format!("{}-x", self.order), "item": "chicken", "quantity": -1}).to_string().into_bytes(),
            _ => json!(["PlaceOrder"]).to_string().into_bytes(),
        };
        (self.random.percent(50).then(|| self.order.clone()), value)
    }
}

impl Command {
    /// Returns the record.
    pub(crate) fn record(&self) -> String {
        let mut body = self.fields.as_object().cloned().unwrap_or_default();
        body.insert("type".to_owned(), json!(self.kind));
        body.insert("orderId".to_owned(), json!(self.order));
        body.extend(self.id.as_ref().map(|id| ("commandId".to_owned(), json!(id))));
        Value::Object(body).to_string()
    }

    /// Returns path and body of the request.
    pub(crate) fn request(&self) -> (String, Value) {
        let mut body = self.fields.clone();
        let collection = format!("/{}/orders", crate::ledger::SYSTEM);
        match self.verb {
            None => {
                body["orderId"] = json!(self.order);
                (collection, body)
            }
            Some(verb) => (format!("{collection}/{}/{verb}", self.order), body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story_and_all_kinds_of_them_are_told() {
        let told = |seed: u64| (0..300).map(|number| format!("{:?}", story(seed, number, true))).collect::<Vec<_>>();
        assert_eq!(told(1), told(1));
        assert_ne!(told(1), told(2));
        let all = told(1).concat();
        assert!(ALL.iter().all(|(kind, _)| all.contains(kind)) && all.contains("PlaceOrder") && all.contains("copies: 2") && all.contains("garbage: Some"));
    }
}
