//! `orderflow demo`: an evening at the shop. Every order has a story and an end that it must come to.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::{Api, run_id};
use crate::config::Config;
use crate::instance::Instance;

/// How long an instance may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long an order may take from its last step to its end.
const END_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Play against the instance with this HTTP API, instead of one started for the purpose
    #[arg(long, env = "ORDERFLOW_HTTP", value_name = "URL")]
    http: Option<String>,
}

/// What is done to an order, and the HTTP status that must come back.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Placed, under its id.
    Place(u16),
    /// The same command once more.
    PlaceAgain(u16),
    /// Another order under the same id.
    PlaceOther(u16),
    /// A verb on it.
    Do(&'static str, u16),
    /// Waited for: its status.
    Until(&'static str),
}

/// An order's story.
#[derive(Debug, Clone, Copy)]
struct Story {
    title: &'static str,
    /// Special customers make the simulated payment provider misbehave.
    customer: &'static str,
    steps: &'static [Step],
    /// Status in the end.
    status: &'static str,
    /// (field, value) that the order must show besides; dots go into objects.
    shows: &'static [(&'static str, &'static str)],
}

use Step::{Do, Place, PlaceAgain, PlaceOther, Until};

const EVENING: &[Story] = &[
    Story { title: "paid and placed", customer: "kim", steps: &[Place(201)], status: "Placed", shows: &[] },
    Story {
        title: "cooked and delivered",
        customer: "lee",
        steps: &[Place(201), Do("accept", 200), Do("start-cooking", 200), Do("start-delivery", 200), Do("complete-delivery", 200)],
        status: "Delivered",
        shows: &[],
    },
    Story { title: "payment declined", customer: "simulate-decline", steps: &[Place(402)], status: "Rejected", shows: &[("reason", "PaymentDeclined")] },
    Story {
        title: "payment after the deadline",
        customer: "simulate-late",
        steps: &[Place(202), Until("Placed")],
        status: "Placed",
        shows: &[("late", "true")],
    },
    Story {
        title: "payment not answered yet",
        customer: "simulate-stall",
        steps: &[Place(202)],
        status: "PaymentDeferred",
        shows: &[("reason", "PaymentTimedOut")],
    },
    Story { title: "cancelled before it was paid", customer: "simulate-stall", steps: &[Place(202), Do("cancel", 200)], status: "Cancelled", shows: &[] },
    Story { title: "cancelled after it was paid", customer: "park", steps: &[Place(201), Do("cancel", 200)], status: "Cancelled", shows: REFUNDED },
    Story {
        title: "declined by the store",
        customer: "choi",
        steps: &[Place(201), Do("decline", 200)],
        status: "Rejected",
        shows: &[("reason", "StoreDeclined"), REFUNDED[0]],
    },
    Story { title: "sent twice, placed once", customer: "jung", steps: &[Place(201), PlaceAgain(200)], status: "Placed", shows: &[] },
    Story { title: "id taken by another order", customer: "kang", steps: &[Place(201), PlaceOther(409)], status: "Placed", shows: &[] },
    Story {
        title: "cancelled when it was on the road",
        customer: "cho",
        steps: &[Place(201), Do("accept", 200), Do("start-cooking", 200), Do("start-delivery", 200), Do("cancel", 409)],
        status: "Delivering",
        shows: &[],
    },
    Story { title: "cooked before it was accepted", customer: "yoon", steps: &[Place(201), Do("start-cooking", 409)], status: "Placed", shows: &[] },
    Story { title: "never placed", customer: "jang", steps: &[Do("cancel", 404)], status: "", shows: &[] },
];

/// How an order shows that all its money went back.
const REFUNDED: &[(&str, &str)] = &[("payment.refunded", "18000")];

/// What became of an order.
struct Told {
    story: Story,
    id: String,
    expected: String,
    actual: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(std::env::var("RUST_LOG").ok().as_deref())?;
    super::tokio_runtime()?.block_on(async {
        let Some(base) = &arguments.http else {
            let instance = Instance::start(Config::ephemeral()).await?;
            let told = play(&instance.addresses().http.to_string()).await;
            instance.stop().await;
            return told;
        };
        play(base).await
    })
}

async fn play(base: &str) -> anyhow::Result<ExitCode> {
    let api = Api::new(base)?;
    api.wait_ready(READY_LIMIT).await?;
    let run = run_id();
    let progress = Progress::new(EVENING.len());
    let mut playing: FuturesUnordered<_> = EVENING.iter().enumerate().map(|(index, story)| tell(&api, *story, format!("demo-{run}-{index}"))).collect();
    let mut told = Vec::new();
    while let Some(one) = playing.next().await {
        let one = one?;
        progress.told(&one);
        told.push(one);
    }
    progress.end();
    told.sort_by_key(|told| EVENING.iter().position(|story| story.title == told.story.title));
    print_table(&told);
    let differing: Vec<&Told> = told.iter().filter(|told| told.expected != told.actual).collect();
    if differing.is_empty() {
        println!("\n{} orders, each as expected", told.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!();
    for Told { story, id, expected, actual } in &differing {
        println!("differs: {id} ({}): expected {expected}, it is {actual}", story.title);
    }
    Ok(ExitCode::FAILURE)
}

/// Plays one story. It ends early at the first step that goes another way.
async fn tell(api: &Api, story: Story, id: String) -> anyhow::Result<Told> {
    let order = json!({ "orderId": id, "customerId": story.customer, "item": "chicken", "quantity": 1, "price": 18_000, "address": "Seoul" });
    let path = format!("/food-delivery/orders/{id}");
    let mut went_wrong = None;
    for step in story.steps {
        let (wanted, (status, body)) = match *step {
            Place(wanted) | PlaceAgain(wanted) => (wanted, api.post("/food-delivery/orders", Some(&format!("{id}-place")), &order).await?),
            PlaceOther(wanted) => (wanted, api.post("/food-delivery/orders", Some(&format!("{id}-other")), &order).await?),
            Do(verb, wanted) => (wanted, api.post(&format!("{path}/{verb}"), None, &json!({})).await?),
            Until(wanted) => {
                api.wait_for(&path, END_LIMIT, |document| document["status"] == wanted).await?;
                continue;
            }
        };
        if status != wanted {
            went_wrong = Some(format!("{status} instead of {wanted} to {step:?}: {}", reason(&body)));
            break;
        }
    }
    let wanted = story.shows;
    let is_it = |document: &Value| is_status(document, story.status) && wanted.iter().all(|(field, value)| shown(document, field) == *value);
    let document = if story.status.is_empty() { Value::Null } else { api.wait_for(&path, END_LIMIT, is_it).await? };
    let expected = described(story.status, wanted.iter().map(|(field, value)| (*field, (*value).to_owned())));
    let actual = described(document["status"].as_str().unwrap_or_default(), wanted.iter().map(|(field, _)| (*field, shown(&document, field))));
    Ok(Told { story, id, expected, actual: went_wrong.unwrap_or(actual) })
}

fn is_status(document: &Value, status: &str) -> bool {
    document["status"].as_str().unwrap_or_default() == status
}

fn shown(document: &Value, field: &str) -> String {
    match field.split('.').fold(document, |value, name| &value[name]) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn reason(body: &Value) -> String {
    let text = |name: &str| body[name].as_str();
    text("reason").or_else(|| text("detail")).or_else(|| text("status")).unwrap_or("no reason given").to_owned()
}

fn described(status: &str, fields: impl Iterator<Item = (&'static str, String)>) -> String {
    let status = if status.is_empty() { "no such order" } else { status };
    fields.fold(status.to_owned(), |text, (field, value)| format!("{text}, {field} {value}"))
}

fn print_table(told: &[Told]) {
    let width = |column: fn(&Told) -> &str, title: &str| told.iter().map(|told| column(told).chars().count()).max().unwrap_or(0).max(title.len());
    let order = width(|told| &told.id, "order");
    let story = width(|told| told.story.title, "story");
    let expected = width(|told| &told.expected, "expected");
    println!("\n{:<order$}  {:<story$}  {:<expected$}  actual", "order", "story", "expected");
    for told in told {
        let mark = if told.expected == told.actual { "" } else { "  <-- differs" };
        println!("{:<order$}  {:<story$}  {:<expected$}  {}{mark}", told.id, told.story.title, told.expected, told.actual);
    }
}

/// A bar on a terminal, lines elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(orders: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            println!("playing {orders} orders");
            return Self(None);
        }
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(Some(ProgressBar::new(orders as u64).with_style(style)))
    }

    fn told(&self, told: &Told) {
        match &self.0 {
            Some(bar) => {
                bar.set_message(told.story.title);
                bar.inc(1);
            }
            None => println!("  {}: {}", told.story.title, told.actual),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
