//! The business under test: small, and with everything in it that the protocol promises something about.
//!
//! `till` takes commands (forwarded if they reach the wrong partition, refused, unreadable), asks an outside provider for the money under an idempotency key with a durable deadline beside
//! it, refunds what is approved too late, and sends money to accounts in other partitions. `audit` counts what the till took, by another key, and tells the till, so that effects of each are
//! inputs of the other.
//!
//! At rest: captured - refunded (the provider's books) = sum of balances = counted by the audit = confirmed at the till.

use std::sync::Arc;

use fluvio_streams::envelope::Unreadable;
use fluvio_streams::processor::{CallResult, Context, Failure, Input, Processor, Rejection};
use fluvio_streams::topology::{ProcessorSpec, Routing, Source, Topology};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long the till waits for the provider, in ms.
const DEADLINE_MS: i64 = 60;
/// How long after the last count of a vault the audit reports, in ms.
const REPORT_AFTER_MS: i64 = 40;

/// What the till knows of an account.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) confirmed: i64,
}

#[derive(Serialize, Deserialize)]
struct Open {
    account: String,
    amount: i64,
    is_late: bool,
}

#[derive(Deserialize)]
struct Deposit {
    account: String,
    amount: i64,
}

#[derive(Deserialize)]
struct Transfer {
    account: String,
    to: String,
    amount: i64,
}

/// Money on its way to an account.
#[derive(Serialize, Deserialize)]
struct Amount {
    account: String,
    amount: i64,
}

/// What the provider is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) account: String,
    pub(crate) amount: i64,
    pub(crate) is_refund: bool,
}

struct Till;

impl Till {
    fn deposit(context: &mut Context<'_>, id: &str, deposit: Deposit) -> Result<(), Failure> {
        let Deposit { account, amount } = deposit;
        context.emit("till-events", "Requested", &account, &json!({ "amount": amount }));
        context.call("provider", id, &Request { account: account.clone(), amount, is_refund: false });
        context.set_timer("deadline", id, context.now_ms() + DEADLINE_MS)?;
        context.put("open", id, &Open { account, amount, is_late: false });
        Ok(())
    }

    fn transfer(context: &mut Context<'_>, transfer: &Transfer) -> Result<(), Failure> {
        let mut account = context.get::<Account>("accounts", &transfer.account)?.unwrap_or_default();
        if account.balance < transfer.amount {
            return Err(Rejection::new("Short", "an account holds what it sends").into());
        }
        account.balance -= transfer.amount;
        context.put("accounts", &transfer.account, &account);
        context.add_total("sent", transfer.amount)?;
        context.emit("transfers", "Sent", &transfer.to, &Amount { account: transfer.to.clone(), amount: transfer.amount });
        Ok(())
    }

    fn answered(context: &mut Context<'_>, result: &CallResult) -> Result<(), Failure> {
        let id = &result.call.id;
        if let Some(order) = id.strip_suffix("/refund") {
            context.emit("till-events", "Refunded", order, &json!({}));
            return Ok(());
        }
        let open = context.get::<Open>("open", id)?.ok_or_else(|| Unreadable(format!("nothing is open as {id}")))?;
        context.delete("open", id);
        context.cancel_timer("deadline", id)?;
        if result.response != "true" {
            context.emit("till-events", "Declined", id, &json!({}));
            return Ok(());
        }
        if open.is_late {
            context.call("provider", &format!("{id}/refund"), &Request { account: open.account, amount: open.amount, is_refund: true });
            return Ok(());
        }
        let mut account = context.get::<Account>("accounts", &open.account)?.unwrap_or_default();
        account.balance += open.amount;
        context.put("accounts", &open.account, &account);
        context.add_total("taken", open.amount)?;
        context.emit("till-events", "Captured", &vault(&open.account), &Amount { account: open.account.clone(), amount: open.amount });
        Ok(())
    }
}

/// The vault that an account's money lies in: another key, which may be of another partition.
fn vault(account: &str) -> String {
    format!("v{account}")
}

impl Processor for Till {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => match message.kind.as_str() {
                "Deposit" | "Transfer" => {
                    // Where the command stands names it, unless its sender has: a forwarded one keeps that as its correlation.
                    let id = if message.provenance.is_some() { &message.correlation } else { &message.id };
                    if context.get::<bool>("seen", id)?.is_some() {
                        return Err(Rejection::new("Repeated", "a command is taken once").into());
                    }
                    let amount = serde_json::from_str::<serde_json::Value>(&message.data).ok().and_then(|data| data["amount"].as_i64());
                    if amount.is_some_and(|amount| amount <= 0) {
                        return Err(Rejection::new("AmountNotPositive", "an amount is more than 0").into());
                    }
                    context.put("seen", id, &true);
                    match message.kind.as_str() {
                        "Deposit" => Self::deposit(context, id, message.decode()?),
                        _ => Self::transfer(context, &message.decode()?),
                    }
                }
                "Sent" => {
                    let Amount { account: name, amount } = message.decode()?;
                    let mut account = context.get::<Account>("accounts", &name)?.unwrap_or_default();
                    account.balance += amount;
                    context.put("accounts", &name, &account);
                    context.add_total("received", amount)?;
                    Ok(())
                }
                "Counted" => {
                    let Amount { account: name, amount } = message.decode()?;
                    let mut account = context.get::<Account>("accounts", &name)?.unwrap_or_default();
                    account.confirmed += amount;
                    context.put("accounts", &name, &account);
                    Ok(())
                }
                other => Err(Unreadable(format!("no such command `{other}`")).into()),
            },
            Input::Timer(timer) => {
                let mut open = context.get::<Open>("open", &timer.key)?.ok_or_else(|| Unreadable(format!("nothing is open as {}", timer.key)))?;
                open.is_late = true;
                context.put("open", &timer.key, &open);
                context.emit("till-events", "Deferred", &timer.key, &json!({}));
                Ok(())
            }
            Input::CallResult(result) => Self::answered(context, result),
        }
    }
}

struct Audit;

impl Processor for Audit {
    fn process(&self, input: Input<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) => {
                let Amount { account, amount } = message.decode()?;
                let vault = message.subject.clone().unwrap_or_default();
                let counted = context.get::<i64>("counted", &vault)?.unwrap_or(0) + amount;
                context.put("counted", &vault, &counted);
                context.add_total("counted", amount)?;
                // Each count moves the report.
                context.set_timer("report", &vault, context.now_ms() + REPORT_AFTER_MS)?;
                context.emit("audit-events", "Counted", &account, &Amount { account: account.clone(), amount });
            }
            Input::Timer(timer) => {
                let counted = context.get::<i64>("counted", &timer.key)?;
                context.emit("audit-events", "Reported", &timer.key, &json!({ "counted": counted }));
            }
            Input::CallResult(result) => return Err(Unreadable(format!("nobody called {}", result.call.id)).into()),
        }
        Ok(())
    }
}

fn spec(name: &str, sources: Vec<Source>, sinks: &[&str], stores: &[&str], calls: &[&str], logic: Arc<dyn Processor>) -> ProcessorSpec {
    let names = fluvio_streams::topology::names;
    ProcessorSpec {
        name: name.into(),
        sources,
        sinks: names(sinks),
        journal: format!("{name}-journal"),
        stores: stores.iter().map(|store| (*store).into()).collect(),
        calls: names(calls),
        rejections: "rejections".into(),
        dead_letters: "dead-letters".into(),
        logic,
    }
}

/// Returns the topology of the business.
pub(crate) fn topology() -> Topology {
    let till_sources = vec![
        Source::commands("commands", "account", Routing::Except(vec![])),
        Source::events("transfers", &["Sent"]),
        Source::events("audit-events", &["Counted"]),
    ];
    let till = spec("till", till_sources, &["till-events", "transfers"], &["accounts", "open", "seen"], &["provider"], Arc::new(Till));
    let audit = spec("audit", vec![Source::events("till-events", &["Captured"])], &["audit-events"], &["counted"], &[], Arc::new(Audit));
    Topology { application: "bank".into(), processors: vec![till, audit] }
}
