//! What came of the runs, beside the original's figures and the goals.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::orderflow::Order;
use super::provider::Ledger;
use super::tool::Answer;

/// The original, without and with autoscaling on CPU: share of right answers, orders per second, mean response.
const ORIGINAL: &str = "| the original | 63.55 % | 17.15 | 5.60 s | |\n| the original, autoscaled on CPU | 92.45 % | | | |\n";
/// What is aimed at: orders per second, mean response, time until a deferred order is settled. Orders that an open breaker defers wait for it, and are then retried at a pace: how many they
/// are depends on how fast customers are answered meanwhile, so for them the time is only told.
const ORDERS_PER_SECOND_MIN: f64 = 185.0;
const MEAN_MAX: Duration = Duration::from_millis(620);
const SETTLED_MAX: Duration = Duration::from_secs(31);

/// What became of the orders after the load had ended.
pub(super) struct Settled {
    /// How long the last of them took from then.
    pub(super) after_load: Duration,
    pub(super) orders: Vec<Order>,
}

/// A run and what came of it.
pub(super) struct Run {
    pub(super) name: &'static str,
    pub(super) refuses: bool,
    pub(super) is_disturbed: bool,
    pub(super) elapsed: Duration,
    pub(super) answers: Vec<Answer>,
    pub(super) settled: Settled,
    pub(super) ledger: Ledger,
    /// Accounts that the gauges show, and by how much they are out of balance.
    pub(super) money: (Vec<(String, i64)>, i64),
    pub(super) resident_mb: u64,
}

impl Run {
    fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for answer in &self.answers {
            *statuses.entry(answer.status).or_default() += 1;
        }
        statuses
    }

    fn is_right(&self, status: u16) -> bool {
        matches!(status, 201 | 202) || (self.refuses && status == 402)
    }

    fn right(&self) -> usize {
        self.answers.iter().filter(|answer| self.is_right(answer.status)).count()
    }

    fn per_second(&self) -> f64 {
        self.right() as f64 / self.elapsed.as_secs_f64()
    }

    fn mean(&self) -> Duration {
        self.answers.iter().map(|answer| answer.time).sum::<Duration>() / self.answers.len().max(1) as u32
    }

    fn percentile(&self, share: f64) -> Duration {
        let mut times: Vec<Duration> = self.answers.iter().map(|answer| answer.time).collect();
        times.sort_unstable();
        times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// How long the order took that was last to be placed or rejected.
    fn slowest(&self) -> Duration {
        self.settled.orders.iter().map(|order| order.took).max().unwrap_or_default()
    }

    /// What of the money is wrong: empty if everything balances.
    fn money_wrong(&self) -> Vec<String> {
        let (accounts, imbalance) = &self.money;
        let account = |name: &str| accounts.iter().find(|(known, _)| known == name).map_or(0, |(_, won)| *won);
        let orders = &self.settled.orders;
        let live: i64 = orders.iter().filter(|order| !matches!(order.status.as_str(), "Rejected" | "Cancelled")).map(|order| order.price).sum();
        let (captured, refunded): (i64, i64) = (orders.iter().map(|order| order.captured).sum(), orders.iter().map(|order| order.refunded).sum());
        let Ledger { captured: taken, refunded: given_back, .. } = self.ledger;
        [
            (taken, captured, "captured, as the provider and the views say"),
            (given_back, refunded, "refunded, as the provider and the views say"),
            (taken - given_back, live, "what the provider keeps, and the prices of live orders"),
            (account("captured"), taken, "captured, as the gauge and the provider say"),
            (*imbalance, 0, "imbalance gauge"),
        ]
        .into_iter()
        .filter(|(left, right, _)| left != right)
        .map(|(left, right, what)| format!("{what}: {left} and {right}"))
        .collect()
    }

    /// Returns which goals it missed.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                missed.push(format!("{}: {what}", self.name));
            }
        };
        let wrong: Vec<String> =
            self.statuses().iter().filter(|(status, _)| !self.is_right(**status)).map(|(status, count)| format!("{count} x {status}")).collect();
        check(wrong.is_empty(), format!("wrong answers: {}", wrong.join(", ")));
        check(self.per_second() >= ORDERS_PER_SECOND_MIN, format!("{:.1} orders/s, wanted {ORDERS_PER_SECOND_MIN}", self.per_second()));
        check(self.mean() < MEAN_MAX, format!("mean {:?}, wanted less than {MEAN_MAX:?}", self.mean()));
        check(self.is_disturbed || self.slowest() <= SETTLED_MAX, format!("an order was settled after {:?}, wanted {SETTLED_MAX:?}", self.slowest()));
        // A request that siege cut off at the end may have become an order, but no answer is without one.
        let orders = self.settled.orders.len();
        check(orders >= self.right(), format!("{} answers, but only {orders} orders", self.right()));
        for wrong in self.money_wrong() {
            check(false, format!("money: {wrong}"));
        }
        missed
    }
}

/// Returns the report for people.
pub(super) fn table(runs: &[Run]) -> String {
    let mut text = format!(
        "\n| siege -c100 -t60S | right answers | orders/s | mean | p99 | max | by status | settled at the latest after | money | memory |\n|---|---|---|---|---|---|---|---|---|---|\n{ORIGINAL}"
    );
    for run in runs {
        let statuses: Vec<String> = run.statuses().iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let money = if run.money_wrong().is_empty() { "balanced" } else { "NOT BALANCED" };
        text += &format!(
            "| {} | {:.2} % | {:.1} | {:.3} s | {:.2} s | {:.2} s | {} | {:.1} s ({:.1} s after the load) | {money}: {} charged, {} refunded, {} refused | {} MB |\n",
            run.name,
            100.0 * run.right() as f64 / run.answers.len().max(1) as f64,
            run.per_second(),
            run.mean().as_secs_f64(),
            run.percentile(0.99).as_secs_f64(),
            run.percentile(1.0).as_secs_f64(),
            statuses.join(", "),
            run.slowest().as_secs_f64(),
            run.settled.after_load.as_secs_f64(),
            run.ledger.charges,
            run.ledger.refunds,
            run.ledger.refused,
            run.resident_mb,
        );
    }
    text
}

/// Returns the report for programs.
pub(super) fn json(runs: &[Run]) -> String {
    let of = |run: &Run| {
        let statuses: BTreeMap<String, usize> = run.statuses().into_iter().map(|(status, count)| (status.to_string(), count)).collect();
        json!({
            "run": run.name,
            "seconds": run.elapsed.as_secs_f64(),
            "answers": statuses,
            "right": run.right(),
            "ordersPerSecond": run.per_second(),
            "meanSeconds": run.mean().as_secs_f64(),
            "p50Seconds": run.percentile(0.5).as_secs_f64(),
            "p99Seconds": run.percentile(0.99).as_secs_f64(),
            "maxSeconds": run.percentile(1.0).as_secs_f64(),
            "settledAtTheLatestSeconds": run.slowest().as_secs_f64(),
            "charged": run.ledger.charges,
            "refunded": run.ledger.refunds,
            "refused": run.ledger.refused,
            "residentMb": run.resident_mb,
            "missed": run.missed(),
        })
    };
    Value::from(runs.iter().map(of).collect::<Vec<_>>()).to_string()
}
