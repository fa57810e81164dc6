//! The processor of marketing: gives each record to the part that it concerns.
//!
//! One processor with two sources and four parts. What a part needs meets in one task by the key of a record in the topic between them: the orders of a partition ([`crate::sales`]) become
//! sales of windows, all ranked in one task ([`crate::popular`]), and what customers ordered, in the customer's task ([`crate::customers`]), which asks the item's ([`crate::related`]).

use std::sync::Arc;

use business::topics;
use fluvio_streams::envelope::{Message, Unreadable};
use fluvio_streams::processor::{Context, Failure, Input, Processor, Timer};
use fluvio_streams::topology::{ProcessorSpec, Source};

use crate::config::{Config, ConfigError};
use crate::{customers, names, popular, related, sales};

/// The processor.
#[derive(Debug)]
pub struct Marketing {
    config: Config,
}

/// Returns marketing as part of the topology.
///
/// # Errors
/// [`ConfigError`] naming the setting that is out of its range.
pub fn spec(config: &Config) -> Result<ProcessorSpec, ConfigError> {
    config.check()?;
    let followed = [names::ORDER_REQUESTED, names::ORDER_PLACED, names::ORDER_REJECTED, names::ORDER_CANCELLED];
    Ok(ProcessorSpec {
        name: names::NAME.to_owned(),
        sources: vec![Source::redacted_events(&names::orders(), &followed, &names::REDACTED), Source::events(&names::sales(), &names::OWN)],
        sinks: vec![names::sales(), names::events()],
        journal: topics::journal(names::SYSTEM, names::NAME),
        stores: [sales::stores(config), popular::stores(), vec![customers::store(), related::store()]].concat(),
        calls: Vec::new(),
        rejections: topics::rejections(names::SYSTEM),
        dead_letters: topics::dead_letters(names::SYSTEM),
        logic: Arc::new(Marketing { config: config.clone() }),
    })
}

impl Processor for Marketing {
    fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
        match input {
            Input::Message(message) if message.position.topic == names::orders() => sales::follow(&self.config, message, cx),
            Input::Message(message) => self.follow_own(message, cx),
            Input::Timer(timer) => self.timer(timer, cx),
            Input::CallResult(_) => Ok(()),
        }
    }

    fn totals(&self) -> &'static [&'static str] {
        &[names::LATE, names::UNKNOWN]
    }

    fn timers(&self) -> Option<Vec<String>> {
        let own = [popular::PUBLISH_TIMER, popular::CLOSE_TIMER, customers::RECOMMEND_TIMER, customers::RETENTION_TIMER];
        Some([sales::timers(&self.config), own.map(str::to_owned).to_vec()].concat())
    }
}

impl Marketing {
    fn follow_own(&self, message: &Message, cx: &mut Context<'_>) -> Result<(), Failure> {
        let key = message.subject.as_deref().ok_or_else(|| Unreadable(format!("{}: field `subject` is missing", message.kind)))?;
        match message.kind.as_str() {
            names::ITEMS_SOLD => Ok(popular::sold(&self.config, &message.decode()?, cx)?),
            names::SALES_CLOSED => {
                // A partition without orders of its own learns here that there are others who wait for it.
                sales::wake(&self.config, cx)?;
                Ok(popular::closed(&message.decode()?, cx)?)
            }
            names::CUSTOMER_ORDERED => Ok(customers::ordered(&self.config, key, &message.decode()?, cx)?),
            names::RELATED_FOUND => Ok(customers::found(&self.config, key, message.decode()?, cx)?),
            names::ITEMS_RELATED => Ok(related::add(key, &message.decode()?, cx)?),
            names::RELATED_WANTED => Ok(related::tell(key, &message.decode()?, cx)?),
            kind => Err(Unreadable(format!("`{kind}` is nothing that marketing tells itself")).into()),
        }
    }

    fn timer(&self, timer: &Timer, cx: &mut Context<'_>) -> Result<(), Failure> {
        match timer.name.as_str() {
            sales::BASKET_TIMER => cx.delete(sales::BASKETS, &timer.key),
            sales::TALLY_TIMER => sales::tell(&timer.key, cx)?,
            popular::PUBLISH_TIMER => popular::publish(&timer.key, cx)?,
            popular::CLOSE_TIMER => popular::close(cx)?,
            customers::RECOMMEND_TIMER => customers::recommend(&self.config, &timer.key, cx)?,
            customers::RETENTION_TIMER => customers::forget(&self.config, &timer.key, cx)?,
            _ => drop(sales::on_timer(&self.config, timer, cx)?),
        }
        Ok(())
    }
}
