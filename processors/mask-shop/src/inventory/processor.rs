//! Wires the stock to the task: state, events, replies, totals.

use std::sync::Arc;

use business::fields::unreadable;
use business::front::commands;
use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::state::StateError;
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, StoreSpec, names};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::{self, Request, Told};
use super::stock::Stock;
use super::{NAME, TOTALS, command};
use crate::limits::{QTY_MAX, RESTOCK_IDS_MAX};
use crate::names::NAMES;

/// Store of stocks, by product.
const STOCKS: &str = "stocks";
/// Store of the ids of past restocks, by product. Beside the stock, which every order rewrites.
const RESTOCKS: &str = "restocks";
/// Store of what was taken, by order.
const TAKES: &str = "takes";
const RETENTION_TIMER: &str = "retention";

/// The processor of the inventory.
#[derive(Debug)]
pub struct Inventory {
    commands: String,
    requests: String,
    replies: String,
    events: String,
    retention_ms: i64,
}

/// Returns the inventory as part of the topology. What was taken for an order is remembered until the order has ended, and `retention_ms` longer.
pub fn spec(retention_ms: i64) -> ProcessorSpec {
    let logic = Inventory {
        commands: topics::commands(NAMES.system),
        requests: message::requests(),
        replies: message::replies(),
        events: message::events(),
        retention_ms,
    };
    ProcessorSpec {
        name: NAME.to_owned(),
        sources: vec![
            Source::commands(&logic.commands, command::SPEC.subject_field, Routing::Types(names(&[command::RESTOCK]))),
            Source::events(&logic.requests, &[message::TAKE, message::RETURN, message::SETTLE]),
        ],
        sinks: vec![logic.events.clone(), logic.replies.clone()],
        journal: topics::journal(NAMES.system, NAME),
        stores: vec![
            StoreSpec::of::<Stock>(STOCKS).keyed_by("productId"),
            StoreSpec::of::<Vec<String>>(RESTOCKS).keyed_by("productId"),
            StoreSpec::of::<Take>(TAKES).keyed_by("orderId@incarnation"),
        ],
        calls: Vec::new(),
        rejections: topics::rejections(NAMES.system),
        dead_letters: topics::dead_letters(NAMES.system),
        logic: Arc::new(logic),
    }
}

/// What was taken for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Take {
    product_id: String,
    qty: i64,
    state: TakeState,
}

/// What became of the pieces of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum TakeState {
    /// They are the order's, and may come back.
    Taken,
    /// There were not enough: nothing was taken.
    Short,
    /// They came back.
    Returned,
    /// They are delivered.
    Settled,
}

impl Processor for Inventory {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == self.commands => self.restock(message, cx),
            Input::Message(message) => self.request(message, cx),
            Input::Timer(timer) => {
                cx.delete(TAKES, &timer.key);
                Ok(())
            }
            Input::CallResult(_) => Ok(()),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        TOTALS
    }

    fn timers(&self) -> Option<Vec<String>> {
        Some(names(&[RETENTION_TIMER]))
    }
}

impl Inventory {
    fn restock(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let body: Value = message.decode()?;
        let (qty, command_id) = command::read(&body).map_err(|error| unreadable(&message.kind, &error))?;
        let product_id = subject(message)?;
        let mut taken: Vec<String> = cx.get(RESTOCKS, product_id)?.unwrap_or_default();
        commands::refuse_duplicate(&taken, command_id)?;
        if command_id.is_some() {
            commands::remember(&mut taken, command_id, RESTOCK_IDS_MAX);
            cx.put(RESTOCKS, product_id, &taken);
        }
        let mut stock = stock_of(cx, product_id)?;
        let before = stock;
        stock.receive(qty);
        put(cx, product_id, before, stock)?;
        cx.emit(&self.events, message::RECEIVED, product_id, &Told { product_id, order_id: None, incarnation: None, qty, stock });
        Ok(())
    }

    fn request(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let request: Request = message.decode()?;
        let product_id = subject(message)?;
        if !(1..=QTY_MAX).contains(&request.qty) {
            return Err(Unreadable(format!("{}: field `qty` must be a whole number from 1 to {QTY_MAX}", message.kind)).into());
        }
        let key = format!("{}@{}", request.order_id, request.incarnation);
        let take: Option<Take> = cx.get(TAKES, &key)?;
        if let Some(take) = take.as_ref().filter(|take| take.product_id != product_id) {
            return Err(Unreadable(format!("{}: order `{}` is about product `{}`", message.kind, request.order_id, take.product_id)).into());
        }
        match (message.kind.as_str(), take) {
            (message::TAKE, None) => self.take(cx, &key, product_id, &request)?,
            (message::RETURN, Some(take)) if take.state == TakeState::Taken => {
                let mut stock = stock_of(cx, product_id)?;
                let before = stock;
                // What comes back is what was taken, whatever is said now.
                let request = Request { qty: take.qty, ..request };
                stock.give_back(request.qty);
                put(cx, product_id, before, stock)?;
                cx.emit(&self.events, message::RETURNED, product_id, &Told::of(product_id, &request, stock));
                self.remember(cx, &key, &Take { state: TakeState::Returned, ..take })?;
            }
            (message::SETTLE, Some(take)) if take.state == TakeState::Taken => self.remember(cx, &key, &Take { state: TakeState::Settled, ..take })?,
            // Asked twice; or there is nothing to give back, for nothing was taken.
            _ => {}
        }
        Ok(())
    }

    fn take(&self, cx: &mut Context<'_>, key: &str, product_id: &str, request: &Request) -> Result<(), StateError> {
        let mut stock = stock_of(cx, product_id)?;
        let before = stock;
        let state = if stock.take(request.qty).is_ok() {
            put(cx, product_id, before, stock)?;
            cx.emit(&self.events, message::TAKEN, product_id, &Told::of(product_id, request, stock));
            TakeState::Taken
        } else {
            let told = Told::of(product_id, request, stock);
            cx.emit(&self.events, message::SHORT, product_id, &told);
            cx.emit(&self.replies, message::SHORT, &request.order_id, &told);
            TakeState::Short
        };
        self.remember(cx, key, &Take { product_id: product_id.to_owned(), qty: request.qty, state })
    }

    /// Remembers what became of the pieces of an order; for good only while they may come back.
    fn remember(&self, cx: &mut Context<'_>, key: &str, take: &Take) -> Result<(), StateError> {
        if take.state != TakeState::Taken {
            cx.set_timer(RETENTION_TIMER, key, cx.now_ms().saturating_add(self.retention_ms))?;
        }
        cx.put(TAKES, key, take);
        Ok(())
    }
}

/// Returns the product that a message is about.
fn subject(message: &Message) -> Result<&str, Unreadable> {
    message.subject.as_deref().ok_or_else(|| Unreadable(format!("{}: field `productId` is missing, and the record has no key to take its place", message.kind)))
}

/// Returns the stock of a product; of one that never came in there is nothing.
fn stock_of(cx: &Context<'_>, product_id: &str) -> Result<Stock, StateError> {
    Ok(cx.get(STOCKS, product_id)?.unwrap_or_default())
}

fn put(cx: &mut Context<'_>, product_id: &str, before: Stock, after: Stock) -> Result<(), StateError> {
    for (name, (before, after)) in TOTALS.iter().zip(before.totals().into_iter().zip(after.totals())) {
        cx.add_total(name, after - before)?;
    }
    cx.put(STOCKS, product_id, &after);
    Ok(())
}
