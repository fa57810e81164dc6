//! Orders as marketing gets them, and what it makes of them.

use std::collections::BTreeMap;

use fluvio_streams::envelope::{Format, read};
use fluvio_streams::projection::Projection;
use fluvio_streams::record::Position;
use fluvio_streams::testing::TestDriver;
use fluvio_streams::time::format_rfc3339;
use fluvio_streams::topology::Topology;
use marketing::view::{PopularItems, Recommendations};
use marketing::{Config, names, processor};
use serde_json::{Value, json};

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const PARTITIONS: u32 = 3;

/// Windows of ten minutes with a minute of grace; a partition is idle after a minute.
pub(crate) fn config() -> Config {
    Config { window_ms: 10 * MINUTE_MS, grace_ms: MINUTE_MS, idle_ms: MINUTE_MS, ..Config::default() }
}

/// (id, status, orders, ranked items with their quantities).
pub(crate) type SeenWindow = (String, String, i64, Vec<(String, i64)>);

pub(crate) struct Shop {
    pub(crate) driver: TestDriver,
    seen: i64,
}

impl Shop {
    pub(crate) fn new(config: &Config) -> Self {
        Self::on(config, PARTITIONS)
    }

    pub(crate) fn on(config: &Config, partitions: u32) -> Self {
        let spec = processor::spec(config).unwrap_or_else(|error| panic!("{error}"));
        let topology = Topology { application: names::SYSTEM.to_owned(), processors: vec![spec] };
        Self { driver: TestDriver::new(topology, partitions), seen: 0 }
    }

    /// The time at which the window begins in which the driver's clock was started, so that tests can speak of minutes of a window.
    pub(crate) fn window_ms(&self) -> i64 {
        fluvio_streams::window::floor(self.driver.now_ms(), config().window_ms)
    }

    /// An event of an order, as it stands in the topic, with everything that marketing must not see.
    pub(crate) fn event(&mut self, kind: &str, order: &str, customer: &str, time_ms: i64, fields: &Value) {
        self.seen += 1;
        let mut data = json!({"orderId": order, "incarnation": "i-1", "customerId": customer, "status": "any", "name": "s3cret-Kim"});
        if let (Value::Object(data), Value::Object(fields)) = (&mut data, fields.clone()) {
            data.extend(fields);
        }
        let event = json!({"specversion": "1.0", "type": kind, "id": format!("e-{}", self.seen), "source": "/test", "subject": order,
            "time": format_rfc3339(time_ms), "data": data});
        self.driver.pipe(&names::orders(), order, &event.to_string());
    }

    pub(crate) fn request(&mut self, order: &str, customer: &str, items: &[(&str, i64)], time_ms: i64) {
        let items: Vec<Value> = items.iter().map(|(item, quantity)| json!({"item": item, "quantity": quantity, "price": 1_000})).collect();
        self.event(names::ORDER_REQUESTED, order, customer, time_ms, &json!({"items": items, "address": "s3cret-street"}));
    }

    /// An order that is requested and placed.
    pub(crate) fn place(&mut self, order: &str, customer: &str, items: &[(&str, i64)], time_ms: i64) {
        self.request(order, customer, items, time_ms);
        self.event(names::ORDER_PLACED, order, customer, time_ms, &json!({}));
    }

    /// The documents of a view, by id.
    pub(crate) fn documents(&self, projection: &dyn Projection) -> BTreeMap<String, Value> {
        let mut documents = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let Ok(fetched) = self.driver.log().fetch(&projection.topic(), partition, 0, Some(&projection.routing()), usize::MAX) else { continue };
            for record in fetched.records {
                let position = Position { topic: projection.topic(), partition, offset: record.offset };
                let Ok(event) = read(Format::Event, position, None, &record.value, record.timestamp_ms) else { continue };
                let id = projection.document_id(&event).expect("events can be read").expect("every event has a document");
                let current = documents.remove(&id);
                documents.insert(id, projection.fold(current, &event).expect("events can be folded"));
            }
        }
        documents
    }

    pub(crate) fn recommendations(&self, customer: &str) -> Value {
        self.documents(&Recommendations).remove(customer).unwrap_or_default()
    }

    pub(crate) fn windows(&self) -> Vec<SeenWindow> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let windows = self.documents(&PopularItems).into_iter().map(|(id, document)| {
            let items = document["items"].as_array().expect("items are ranked");
            let items = items.iter().map(|item| (text(&item["item"]), item["quantity"].as_i64().expect("a number"))).collect();
            (id, text(&document["status"]), document["orders"].as_i64().expect("a number"), items)
        });
        windows.collect()
    }

    pub(crate) fn late(&self) -> i64 {
        self.driver.total(names::NAME, names::LATE)
    }

    pub(crate) fn unknown(&self) -> i64 {
        self.driver.total(names::NAME, names::UNKNOWN)
    }
}

/// Runs a story as it is, then kills a task at one crash point after the other; what is seen in the end must be the same.
pub(crate) fn killed_everywhere<T: PartialEq + std::fmt::Debug>(story: impl Fn(&mut Shop), look: impl Fn(&Shop) -> T) {
    let run = |crash_at: Option<u64>| {
        let mut shop = Shop::new(&config());
        crash_at.into_iter().for_each(|step| shop.driver.crash_at(step));
        story(&mut shop);
        (shop.driver.steps(), look(&shop))
    };
    let (steps, expected) = run(None);
    assert!(steps > 20, "{steps} crash points");
    for step in 1..=steps {
        assert_eq!(run(Some(step)).1, expected, "killed at crash point {step}");
    }
}
