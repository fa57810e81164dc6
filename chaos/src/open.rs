//! An open load: orders come at their times, whether or not earlier ones are done with. So a system that pauses keeps nobody from asking, and the pause shows in full.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::customers::{Counter, Customer, WRITERS_EVERY, client};
use crate::error::{Doing as _, Error};
use crate::limits::ORDERS_UNDER_WAY_MAX;

/// Who writes records; each has a connection of its own.
const WRITERS: usize = 4;

/// An open load.
pub(crate) struct Load {
    pub(crate) counter: Counter,
    /// Orders per second.
    pub(crate) rate: u32,
    /// Number of the first order.
    pub(crate) first: usize,
}

impl Load {
    /// Sends orders until it is told to end, and waits until the stories of all are told. Returns the number after the last one's.
    pub(crate) async fn pour(&self, mut ended: watch::Receiver<bool>) -> Result<usize, Error> {
        let http = client()?;
        let asking = Arc::new(Customer::new(&self.counter, &http, false));
        let writing: Vec<_> = (0..WRITERS).map(|_| Arc::new(Customer::new(&self.counter, &http, true))).collect();
        let (began, mut number, mut stories) = (Instant::now(), self.first, JoinSet::new());
        loop {
            let due = began + Duration::from_secs(1) * (number - self.first) as u32 / self.rate;
            tokio::select! {
                () = sleep_until(due) => {}
                _ = ended.wait_for(|ended| *ended) => break,
                Some(told) = stories.join_next(), if !stories.is_empty() => {
                    finished(told)?;
                    continue;
                }
            }
            if stories.len() >= ORDERS_UNDER_WAY_MAX {
                return Err(Error::new(format!("{ORDERS_UNDER_WAY_MAX} orders are under way: nothing goes on")));
            }
            let writes_records = number % WRITERS_EVERY == WRITERS_EVERY - 1;
            let customer = Arc::clone(if writes_records { &writing[number / WRITERS_EVERY % WRITERS] } else { &asking });
            stories.spawn(async move { customer.tell(number).await });
            number += 1;
        }
        while let Some(told) = stories.join_next().await {
            finished(told)?;
        }
        Ok(number)
    }
}

fn finished(told: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    told.doing(|| "a customer panicked".to_owned())?
}
