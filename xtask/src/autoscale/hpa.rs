//! The algorithm of Kubernetes' HorizontalPodAutoscaler for one external metric with an average value, as its documentation describes it: tolerance, stabilisation windows, scaling policies.
//!
//! Pure: who asks says what time it is, how many replicas there are and what the metric is. It knows no Kubernetes; its numbers come from a manifest.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::kubernetes::agreement::Scaler;

/// By so much the metric may be off before anything is done: the default of the controller manager.
const TOLERANCE: f64 = 0.1;

/// What a manifest says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) replicas_min: u32,
    pub(crate) replicas_max: u32,
    /// Of the metric, for each replica.
    pub(crate) target_value: f64,
    pub(crate) up: Rules,
    pub(crate) down: Rules,
}

/// How fast it may go in one direction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    /// Of all that was recommended within this time, the least change is made.
    pub(crate) window: Duration,
    pub(crate) select: Select,
    pub(crate) policies: Vec<Policy>,
}

/// Which of several policies holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Select {
    /// That which allows the most.
    Max,
    /// That which allows the least.
    Min,
    /// None: there is no scaling in this direction.
    Disabled,
}

/// So much change is allowed within a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Policy {
    Pods { value: u32, period: Duration },
    Percent { value: u32, period: Duration },
}

impl Spec {
    /// Reads what a manifest says.
    ///
    /// # Errors
    /// If it leaves open what the algorithm needs.
    pub(crate) fn of(scaler: &Scaler) -> anyhow::Result<Self> {
        Ok(Self {
            replicas_min: scaler.replicas_min,
            replicas_max: scaler.replicas_max,
            target_value: f64::from(scaler.target_value),
            up: Rules::of(&scaler.behavior["scaleUp"]).context("scaleUp")?,
            down: Rules::of(&scaler.behavior["scaleDown"]).context("scaleDown")?,
        })
    }

    /// Returns the same with all times so many times shorter.
    pub(crate) fn faster(mut self, times: u32) -> Self {
        for rules in [&mut self.up, &mut self.down] {
            rules.window /= times;
            for policy in &mut rules.policies {
                match policy {
                    Policy::Pods { period, .. } | Policy::Percent { period, .. } => *period /= times,
                }
            }
        }
        self
    }
}

impl Rules {
    fn of(behavior: &Value) -> anyhow::Result<Self> {
        let seconds = |value: &Value| value.as_u64().map(Duration::from_secs);
        let select = match behavior["selectPolicy"].as_str() {
            Some("Max") | None => Select::Max,
            Some("Min") => Select::Min,
            Some("Disabled") => Select::Disabled,
            Some(other) => bail!("there is no policy `{other}`"),
        };
        let policy = |policy: &Value| {
            let period = seconds(&policy["periodSeconds"]).context("a policy has no period")?;
            let value = policy["value"].as_u64().and_then(|value| u32::try_from(value).ok()).context("a policy has no value")?;
            match policy["type"].as_str() {
                Some("Pods") => Ok(Policy::Pods { value, period }),
                Some("Percent") => Ok(Policy::Percent { value, period }),
                _ => bail!("a policy is of no known type"),
            }
        };
        let policies = behavior["policies"].as_array().context("there are no policies")?.iter().map(policy).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!policies.is_empty(), "there are no policies");
        let window = seconds(&behavior["stabilizationWindowSeconds"]).context("there is no stabilisation window")?;
        Ok(Self { window, select, policies })
    }
}

/// An autoscaler and what it remembers.
#[derive(Debug)]
pub(crate) struct Hpa {
    spec: Spec,
    /// When what was recommended.
    recommendations: VecDeque<(Duration, u32)>,
    /// When how many were added.
    ups: VecDeque<(Duration, u32)>,
    /// When how many were taken away.
    downs: VecDeque<(Duration, u32)>,
}

impl Hpa {
    pub(crate) fn new(spec: Spec) -> Self {
        Self { spec, recommendations: VecDeque::new(), ups: VecDeque::new(), downs: VecDeque::new() }
    }

    /// Returns how many replicas there shall be from `now` (time since any fixed point, not running backwards) on, of which there are `current`. Without a metric nothing changes.
    pub(crate) fn decide(&mut self, now: Duration, current: u32, metric: Option<f64>) -> u32 {
        if current > self.spec.replicas_max {
            return self.change(now, current, self.spec.replicas_max);
        }
        if current < self.spec.replicas_min {
            return self.change(now, current, self.spec.replicas_min);
        }
        let Some(metric) = metric.filter(|metric| metric.is_finite()) else { return current };
        let proposed = propose(metric, self.spec.target_value, current);
        let stabilised = self.stabilise(now, current, proposed);
        let limited = self.limit(now, current, stabilised);
        self.change(now, current, limited)
    }

    /// Of the recommendations of the last time, takes the one that changes least.
    fn stabilise(&mut self, now: Duration, current: u32, proposed: u32) -> u32 {
        let within = |window: Duration| move |(at, _): &&(Duration, u32)| now.saturating_sub(*at) < window;
        let recommended = |window| self.recommendations.iter().filter(within(window)).map(|(_, replicas)| *replicas);
        let up = recommended(self.spec.up.window).chain([proposed]).min().unwrap_or(proposed);
        let down = recommended(self.spec.down.window).chain([proposed]).max().unwrap_or(proposed);
        self.recommendations.push_back((now, proposed));
        let longest = self.spec.up.window.max(self.spec.down.window);
        self.recommendations.retain(|(at, _)| now.saturating_sub(*at) < longest);
        current.max(up).min(down)
    }

    /// Goes no further than the policies allow.
    fn limit(&self, now: Duration, current: u32, wanted: u32) -> u32 {
        if wanted > current {
            let allowed = self.limit_up(now, current).max(current);
            wanted.min(allowed).min(self.spec.replicas_max)
        } else if wanted < current {
            let allowed = self.limit_down(now, current).min(current);
            wanted.max(allowed).max(self.spec.replicas_min)
        } else {
            wanted
        }
    }

    fn limit_up(&self, now: Duration, current: u32) -> u32 {
        let allows = |policy: &Policy| {
            let (Policy::Pods { period, .. } | Policy::Percent { period, .. }) = policy;
            let began_with = self.began_with(now, current, *period);
            match policy {
                Policy::Pods { value, .. } => began_with + value,
                Policy::Percent { value, .. } => (f64::from(began_with) * (1.0 + f64::from(*value) / 100.0)).ceil() as u32,
            }
        };
        let allowed = self.spec.up.policies.iter().map(allows);
        match self.spec.up.select {
            Select::Max => allowed.max().unwrap_or(current),
            Select::Min => allowed.min().unwrap_or(current),
            Select::Disabled => current,
        }
    }

    fn limit_down(&self, now: Duration, current: u32) -> u32 {
        let allows = |policy: &Policy| {
            let (Policy::Pods { period, .. } | Policy::Percent { period, .. }) = policy;
            let began_with = self.began_with(now, current, *period);
            match policy {
                Policy::Pods { value, .. } => began_with.saturating_sub(*value),
                Policy::Percent { value, .. } => (f64::from(began_with) * (1.0 - f64::from(*value) / 100.0)).max(0.0) as u32,
            }
        };
        let allowed = self.spec.down.policies.iter().map(allows);
        match self.spec.down.select {
            Select::Max => allowed.min().unwrap_or(current),
            Select::Min => allowed.max().unwrap_or(current),
            Select::Disabled => current,
        }
    }

    /// Returns how many there were a period ago.
    fn began_with(&self, now: Duration, current: u32, period: Duration) -> u32 {
        let changed = |events: &VecDeque<(Duration, u32)>| -> u32 {
            events.iter().filter(|(at, _)| now.saturating_sub(*at) < period).map(|(_, replicas)| *replicas).sum()
        };
        (current + changed(&self.downs)).saturating_sub(changed(&self.ups))
    }

    fn change(&mut self, now: Duration, current: u32, replicas: u32) -> u32 {
        if replicas > current {
            self.ups.push_back((now, replicas - current));
        } else if replicas < current {
            self.downs.push_back((now, current - replicas));
        }
        let periods = self.spec.up.policies.iter().chain(&self.spec.down.policies);
        let longest = periods.map(|policy| match policy {
            Policy::Pods { period, .. } | Policy::Percent { period, .. } => *period,
        });
        let longest = longest.max().unwrap_or_default();
        for events in [&mut self.ups, &mut self.downs] {
            events.retain(|(at, _)| now.saturating_sub(*at) < longest);
        }
        replicas
    }
}

/// Returns how many replicas the metric asks for; as many as there are if it is as good as what it should be.
fn propose(metric: f64, target_value: f64, current: u32) -> u32 {
    let ratio = metric / (target_value * f64::from(current));
    if (ratio - 1.0).abs() <= TOLERANCE { current } else { (metric / target_value).ceil().clamp(0.0, f64::from(u32::MAX)) as u32 }
}

#[cfg(test)]
mod tests;
