//! Metrics of the processors. All handles of a task are made once, so that counting costs an addition.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fluvio_streams::breaker::State;
use fluvio_streams::system::System;
use fluvio_streams::telemetry::{Event, Observer, Phase, TaskName, UnreadableReason};
use fluvio_streams::topology::ProcessorSpec;
use metrics::{Counter, Gauge, Histogram};

use super::catalog;
use super::lag::{Lag, LagMeters};
use super::registry::{Family, Registry};
use super::restoring::Restoring;

/// Accounts of money that every processor keeps which takes money, as the names of its totals.
const MONEY: [&str; 4] = ["captured_won", "refunded_won", "live_won", "open_won"];
/// Ends of the names of a breaker's totals: what is before them is the breaker's name.
const BREAKER_OPEN: &str = "breaker_open";
const BREAKER_HALF_OPEN: &str = "breaker_half_open";
/// End of the name of the total that counts what waits to be asked for again.
const QUEUED: &str = "_queued";
/// Types of events that are counted from the beginning, at 0: of a counter that appears with its first event, Prometheus sees no increase.
const EVENTS_OF_ALL: [&str; 2] = ["CommandRejected", "DeadLetter"];

/// Counts what processors do.
pub(crate) struct StreamsMeters {
    /// By application and processor.
    processors: HashMap<String, HashMap<String, ProcessorMeters>>,
    /// By application.
    groups: HashMap<String, GroupMeters>,
    restoring: Restoring,
}

struct ProcessorMeters {
    process_latency: Histogram,
    commit_latency: Histogram,
    poll_latency: Histogram,
    poll_records: Histogram,
    record_e2e_latency: Histogram,
    lag: LagMeters,
    /// By topic.
    records_out: HashMap<String, Counter>,
    retries_read: Counter,
    retries_append: Counter,
    /// By type.
    events: Family<Counter>,
    /// By partner, outcome and lateness.
    partner_answers: Family<Histogram>,
    /// By source, or journal, and reason.
    dead_letters: HashMap<(String, UnreadableReason), Counter>,
    /// By source.
    skipped: HashMap<String, Counter>,
    rejections: Family<Counter>,
    failures: Family<Counter>,
    /// By breaker, state before and state after.
    transitions: Family<Counter>,
    money: BTreeMap<&'static str, Gauge>,
    imbalance: Gauge,
    violations: Counter,
    /// By partition.
    tasks: Vec<TaskMeters>,
}

struct TaskMeters {
    records_in: Counter,
    /// By source.
    lag: HashMap<String, Lag>,
    /// Seconds of processing, committing, waiting.
    time: [Gauge; 3],
    restore_remaining: Gauge,
    restore_records: Gauge,
    restore_seconds: Gauge,
    phases: [(Phase, Gauge); 5],
    calls_pending: Gauge,
    replay_bytes: Gauge,
    standby_lag: Gauge,
    timers_pending: Gauge,
    repeated: Counter,
    breakers: HashMap<&'static str, BreakerMeters>,
    totals: HashMap<&'static str, (AtomicI64, Option<Gauge>)>,
    /// By how much the money was out of balance when the task last told its totals, in won.
    imbalance: AtomicI64,
}

/// How an application is shared.
struct GroupMeters {
    generation: Gauge,
    instances: Gauge,
}

struct BreakerMeters {
    closed: Gauge,
    open: Gauge,
    half_open: Gauge,
}

impl StreamsMeters {
    pub(super) fn new(registry: &Arc<Registry>, systems: &[System], partitions: u32) -> Self {
        let of_system = |system: &System| {
            let application = &system.topology.application;
            let processors = &system.topology.processors;
            (application.clone(), processors.iter().map(|spec| (spec.name.clone(), processor(registry, application, spec, partitions))).collect())
        };
        let group = |system: &System| {
            let labels = [("application", system.topology.application.as_str())];
            let meters =
                GroupMeters { generation: registry.gauge(&catalog::ASSIGNMENT_GENERATION, &labels), instances: registry.gauge(&catalog::INSTANCES, &labels) };
            (system.topology.application.clone(), meters)
        };
        let (processors, groups) = (systems.iter().map(of_system).collect(), systems.iter().map(group).collect());
        Self { processors, groups, restoring: Restoring::default() }
    }

    /// Returns how many journal records the tasks have read, and of how many.
    pub(crate) fn restored(&self) -> (u64, u64) {
        self.restoring.progress()
    }

    fn processor(&self, name: TaskName<'_>) -> Option<&ProcessorMeters> {
        self.processors.get(name.application)?.get(name.processor)
    }

    fn task(&self, name: TaskName<'_>) -> Option<&TaskMeters> {
        self.processor(name)?.tasks.get(name.partition as usize)
    }

    fn run_committed(&self, event: &Event<'_>) {
        let Event::RunCommitted { task, inputs, processing, committing, .. } = event else { return };
        let Some(processor) = self.processor(*task) else { return };
        processor.process_latency.record(processing.as_secs_f64());
        processor.commit_latency.record(committing.as_secs_f64());
        if let Some(meters) = processor.tasks.get(task.partition as usize) {
            meters.records_in.increment(*inputs as u64);
        }
    }

    fn total(&self, task: TaskName<'_>, name: &str, value: i64) {
        let Some(processor) = self.processor(task) else { return };
        let Some((total, gauge)) = processor.tasks.get(task.partition as usize).and_then(|meters| meters.totals.get(name)) else { return };
        total.store(value, Ordering::Relaxed);
        if let Some(gauge) = gauge {
            gauge.set(value as f64);
        }
        if let Some(gauge) = processor.money.get(name) {
            gauge.set(processor.tasks.iter().map(|task| task.total(name)).sum::<i64>() as f64);
        }
        if name.ends_with(BREAKER_OPEN) || name.ends_with(BREAKER_HALF_OPEN) {
            processor.tasks[task.partition as usize].report_breakers();
        }
    }

    /// Another instance tells from now on how the task is: what this one said of it last would be counted twice.
    fn forget(&self, task: TaskName<'_>) {
        let Some(processor) = self.processor(task) else { return };
        let Some(meters) = processor.tasks.get(task.partition as usize) else { return };
        for (total, gauge) in meters.totals.values() {
            total.store(0, Ordering::Relaxed);
            gauge.iter().for_each(|gauge| gauge.set(0.0));
        }
        meters.imbalance.store(0, Ordering::Relaxed);
        for (name, gauge) in &processor.money {
            gauge.set(processor.tasks.iter().map(|task| task.total(name)).sum::<i64>() as f64);
        }
        processor.imbalance.set(processor.tasks.iter().map(|task| task.imbalance.load(Ordering::Relaxed)).sum::<i64>() as f64);
        for breaker in meters.breakers.values() {
            [&breaker.closed, &breaker.open, &breaker.half_open].into_iter().for_each(|gauge| gauge.set(0.0));
        }
        meters.lag.values().for_each(|lag| lag.measured(0, 0));
        processor.report_lag();
        let others = [&meters.calls_pending, &meters.timers_pending, &meters.replay_bytes, &meters.standby_lag, &meters.restore_remaining];
        others.into_iter().for_each(|gauge| gauge.set(0.0));
    }

    /// A task tells all its totals in one go; once it has told everything, they belong to one state and must balance.
    fn balance(&self, task: TaskName<'_>) {
        let Some(processor) = self.processor(task).filter(|processor| !processor.money.is_empty()) else { return };
        if let Some(meters) = processor.tasks.get(task.partition as usize) {
            let [captured, refunded, live, open] = MONEY.map(|name| meters.total(name));
            let imbalance = (captured - refunded - live - open).abs();
            if imbalance > meters.imbalance.swap(imbalance, Ordering::Relaxed) {
                processor.violations.increment(1);
            }
        }
        processor.imbalance.set(processor.tasks.iter().map(|task| task.imbalance.load(Ordering::Relaxed)).sum::<i64>() as f64);
    }
}

impl Observer for StreamsMeters {
    fn observe(&self, event: &Event<'_>) {
        self.restoring.observe(event);
        match event {
            Event::RunCommitted { .. } => self.run_committed(event),
            Event::PhaseEntered(task, entered) => {
                for (phase, gauge) in self.task(*task).iter().flat_map(|meters| &meters.phases) {
                    gauge.set(if phase == entered { 1.0 } else { 0.0 });
                }
                if *entered == Phase::Stopped {
                    self.forget(*task);
                }
            }
            Event::StandbyLag(task, records) => {
                if let Some(meters) = self.task(*task) {
                    meters.standby_lag.set(*records as f64);
                }
            }
            Event::Assigned { application, generation, members } => {
                if let Some(meters) = self.groups.get(*application) {
                    meters.generation.set(*generation as f64);
                    meters.instances.set(*members as f64);
                }
            }
            Event::Restoring { task, remaining } => {
                if let Some(meters) = self.task(*task) {
                    meters.restore_remaining.set(*remaining as f64);
                }
            }
            Event::Restored { task, records, took } => {
                if let Some(meters) = self.task(*task) {
                    meters.restore_remaining.set(0.0);
                    meters.restore_records.set(*records as f64);
                    meters.restore_seconds.set(took.as_secs_f64());
                }
            }
            Event::LagMeasured { task, topic, records, age_ms } => {
                if let Some(lag) = self.task(*task).and_then(|meters| meters.lag.get(*topic)) {
                    lag.measured(*records, *age_ms);
                }
                if let Some(processor) = self.processor(*task) {
                    processor.report_lag();
                }
            }
            Event::RecordsTaken { task, ages_ms } => {
                if let Some(processor) = self.processor(*task) {
                    ages_ms.iter().for_each(|age_ms| processor.record_e2e_latency.record(*age_ms as f64 / 1_000.0));
                }
            }
            Event::Emitted { task, kind, count } => {
                if let Some(processor) = self.processor(*task) {
                    processor.events.of(&[kind]).increment(*count as u64);
                }
            }
            Event::PartnerAnswered { task, answer } => {
                if let Some(processor) = self.processor(*task) {
                    let late = if answer.late { "true" } else { "false" };
                    processor.partner_answers.of(&[answer.guard, answer.outcome, late]).record(answer.took_ms as f64 / 1_000.0);
                }
            }
            Event::Polled { task, records, waited } => {
                if let Some(processor) = self.processor(*task) {
                    processor.poll_records.record(*records as f64);
                    processor.poll_latency.record(waited.as_secs_f64());
                }
            }
            Event::TimeSpent { task, processing, committing, waiting } => {
                if let Some(meters) = self.task(*task) {
                    meters.time.iter().zip([processing, committing, waiting]).for_each(|(time, spent)| time.increment(spent.as_secs_f64()));
                }
            }
            Event::BreakerTransitioned { task, guard, from, to } => {
                if let Some(processor) = self.processor(*task) {
                    processor.transitions.of(&[guard, from.name(), to.name()]).increment(1);
                }
            }
            Event::EffectsSent { task, topic, count } => {
                if let Some(sent) = self.processor(*task).and_then(|processor| processor.records_out.get(*topic)) {
                    sent.increment(*count as u64);
                }
            }
            Event::Rejected { task, reason } => {
                if let Some(processor) = self.processor(*task) {
                    processor.rejections.of(&[reason]).increment(1);
                }
            }
            Event::Unreadable { task, topic, reason, dead_lettered } => {
                let Some(processor) = self.processor(*task) else { return };
                let counter = match dead_lettered {
                    true => processor.dead_letters.get(&((*topic).to_owned(), *reason)),
                    false => processor.skipped.get(*topic),
                };
                if let Some(counter) = counter {
                    counter.increment(1);
                }
            }
            Event::Repeated { task, count } => {
                if let Some(meters) = self.task(*task) {
                    meters.repeated.increment(*count as u64);
                }
            }
            Event::CallsPending(task, calls) => {
                if let Some(meters) = self.task(*task) {
                    meters.calls_pending.set(*calls as f64);
                }
            }
            Event::ReplayBytes(task, bytes) => {
                if let Some(meters) = self.task(*task) {
                    meters.replay_bytes.set(*bytes as f64);
                }
            }
            Event::TimersPending(task, timers) => {
                if let Some(meters) = self.task(*task) {
                    meters.timers_pending.set(*timers as f64);
                }
                // Follows the totals of the same report.
                self.balance(*task);
            }
            Event::Total { task, name, value } => self.total(*task, name, *value),
            Event::TaskFailed { task, kind } => {
                if let Some(processor) = self.processor(*task) {
                    processor.failures.of(&[kind]).increment(1);
                }
            }
            Event::LogRetried { task, action } => {
                if let Some(processor) = self.processor(*task) {
                    if *action == "read" { &processor.retries_read } else { &processor.retries_append }.increment(1);
                }
            }
            _ => {}
        }
    }
}

impl ProcessorMeters {
    /// Tells what the group is behind, over all tasks of this instance.
    fn report_lag(&self) {
        self.lag.tell(self.tasks.iter().flat_map(|task| task.lag.values()));
    }
}

impl TaskMeters {
    fn total(&self, name: &str) -> i64 {
        self.totals.get(name).map_or(0, |(total, _)| total.load(Ordering::Relaxed))
    }

    fn report_breakers(&self) {
        for (name, meters) in &self.breakers {
            let is = |end: &str| self.total(&format!("{name}{end}")) > 0;
            let (open, half_open) = (is(BREAKER_OPEN), is(BREAKER_HALF_OPEN));
            meters.open.set(f64::from(u8::from(open)));
            meters.half_open.set(f64::from(u8::from(half_open)));
            meters.closed.set(f64::from(u8::from(!open && !half_open)));
        }
    }
}

fn processor(registry: &Arc<Registry>, application: &str, spec: &ProcessorSpec, partitions: u32) -> ProcessorMeters {
    let labels = [("application", application), ("processor", spec.name.as_str())];
    let counted_by = |metric, label| {
        let (registry, application, processor) = (Arc::clone(registry), application.to_owned(), spec.name.clone());
        Family::new(move |values: &[&str]| registry.counter(metric, &[("application", &application), ("processor", &processor), (label, values[0])]))
    };
    let keeps_money = MONEY.iter().all(|name| spec.logic.totals().contains(name));
    let account = |name: &'static str| {
        let labels = [labels[0], labels[1], ("account", name.trim_end_matches("_won"))];
        (name, registry.gauge(&catalog::MONEY, &labels))
    };
    let (for_answers, for_application, for_processor) = (Arc::clone(registry), application.to_owned(), spec.name.clone());
    let partner_answers = move |values: &[&str]| {
        let labels = [("application", &*for_application), ("processor", &*for_processor), ("partner", values[0]), ("outcome", values[1]), ("late", values[2])];
        for_answers.histogram(&catalog::PARTNER_ANSWERS, &labels)
    };
    let dead_letters = |topic: &String, reason: UnreadableReason| {
        let counter = registry.counter(&catalog::DEAD_LETTERS, &[labels[0], labels[1], ("topic", topic), ("reason", reason.as_str())]);
        ((topic.clone(), reason), counter)
    };
    let events = counted_by(&catalog::EVENTS, "type");
    for kind in EVENTS_OF_ALL {
        events.of(&[kind]);
    }
    let targets = spec.sinks.iter().chain([&spec.rejections, &spec.dead_letters]).chain(spec.sources.iter().map(|source| &source.topic));
    let counter = |metric, label, value: &str| registry.counter(metric, &[labels[0], labels[1], (label, value)]);
    ProcessorMeters {
        records_out: targets.map(|topic| (topic.clone(), counter(&catalog::RECORDS_OUT, "topic", topic))).collect(),
        retries_read: counter(&catalog::LOG_RETRIES, "action", "read"),
        retries_append: counter(&catalog::LOG_RETRIES, "action", "append"),
        poll_latency: registry.histogram(&catalog::POLL_LATENCY, &labels),
        poll_records: registry.histogram(&catalog::POLL_RECORDS, &labels),
        record_e2e_latency: registry.histogram(&catalog::RECORD_E2E_LATENCY, &labels),
        lag: LagMeters::new(registry, &group(application, spec)),
        events,
        partner_answers: Family::new(partner_answers),
        dead_letters: reasons(spec).map(|(topic, reason)| dead_letters(topic, reason)).collect(),
        skipped: spec
            .sources
            .iter()
            .map(|source| (source.topic.clone(), registry.counter(&catalog::SKIPPED_RECORDS, &[labels[0], labels[1], ("topic", &source.topic)])))
            .collect(),
        process_latency: registry.histogram(&catalog::PROCESS_LATENCY, &labels),
        commit_latency: registry.histogram(&catalog::COMMIT_LATENCY, &labels),
        rejections: counted_by(&catalog::REJECTIONS, "reason"),
        failures: counted_by(&catalog::TASK_FAILURES, "kind"),
        transitions: transitions(registry, application, spec),
        money: if keeps_money { MONEY.into_iter().map(account).collect() } else { BTreeMap::new() },
        imbalance: if keeps_money { registry.gauge(&catalog::MONEY_IMBALANCE, &labels) } else { Gauge::noop() },
        violations: if keeps_money { registry.counter(&catalog::MONEY_VIOLATIONS, &labels) } else { Counter::noop() },
        tasks: (0..partitions).map(|partition| task(registry, application, spec, partition)).collect(),
    }
}

/// Name of a processor's consumer group.
fn group(application: &str, spec: &ProcessorSpec) -> String {
    format!("{application}.{}", spec.name)
}

/// Returns why inputs of a processor may be put to the dead letters, by where they come from.
fn reasons(spec: &ProcessorSpec) -> impl Iterator<Item = (&String, UnreadableReason)> {
    UnreadableReason::ALL.into_iter().flat_map(|reason| {
        let is_own = matches!(reason, UnreadableReason::Timer | UnreadableReason::Answer);
        let sources = spec.sources.iter().map(|source| &source.topic).filter(move |_| !is_own);
        sources.chain(is_own.then_some(&spec.journal)).map(move |topic| (topic, reason))
    })
}

/// All are there from the beginning, at 0: of a counter that appears with its first event, Prometheus sees no increase.
fn transitions(registry: &Arc<Registry>, application: &str, spec: &ProcessorSpec) -> Family<Counter> {
    let (registry, application, processor) = (Arc::clone(registry), application.to_owned(), spec.name.clone());
    let family = Family::new(move |values: &[&str]| {
        let labels = [("application", application.as_str()), ("processor", &processor), ("breaker", values[0]), ("from", values[1]), ("to", values[2])];
        registry.counter(&catalog::BREAKER_TRANSITIONS, &labels)
    });
    for breaker in spec.logic.totals().iter().filter_map(|name| name.strip_suffix(BREAKER_HALF_OPEN)) {
        for (from, to) in State::ALL.into_iter().flat_map(|from| State::ALL.map(|to| (from, to))).filter(|(from, to)| from != to) {
            family.of(&[breaker.trim_end_matches('_'), from.name(), to.name()]);
        }
    }
    family
}

fn task(registry: &Registry, application: &str, spec: &ProcessorSpec, partition: u32) -> TaskMeters {
    let partition = partition.to_string();
    let labels = [("application", application), ("processor", spec.name.as_str()), ("partition", partition.as_str())];
    let with = |label: &'static str, value: &str| [labels[0], labels[1], labels[2], (label, value)].map(|(name, value)| (name, value.to_owned()));
    let gauge = |metric, label, value: &str| {
        let owned = with(label, value);
        registry.gauge(metric, &owned.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    let breaker_state = |breaker: &str, state| {
        registry.gauge(&catalog::BREAKER_STATE, &[labels[0], labels[1], labels[2], ("breaker", breaker.trim_end_matches('_')), ("state", state)])
    };
    let totals = spec.logic.totals();
    let breaker_names = totals.iter().filter_map(|name| name.strip_suffix(BREAKER_HALF_OPEN));
    let is_of_breaker = |name: &str| name.ends_with(BREAKER_OPEN) || name.ends_with(BREAKER_HALF_OPEN);
    let total = |name: &'static str| match name {
        _ if MONEY.contains(&name) || is_of_breaker(name) => None,
        _ if name.ends_with(QUEUED) => Some(registry.gauge(&catalog::DEFERRED, &labels)),
        _ => Some(gauge(&catalog::TASK_TOTAL, "name", name)),
    };
    let group = group(application, spec);
    TaskMeters {
        records_in: registry.counter(&catalog::RECORDS_IN, &labels),
        lag: spec.sources.iter().map(|source| (source.topic.clone(), Lag::new(registry, &group, &source.topic, &partition))).collect(),
        time: ["process", "commit", "wait"].map(|activity| gauge(&catalog::TASK_TIME, "activity", activity)),
        restore_remaining: registry.gauge(&catalog::RESTORE_REMAINING, &labels),
        restore_records: registry.gauge(&catalog::RESTORE_RECORDS, &labels),
        restore_seconds: registry.gauge(&catalog::RESTORE_SECONDS, &labels),
        phases: [
            (Phase::Restoring, "restoring"),
            (Phase::Running, "running"),
            (Phase::Standby, "standby"),
            (Phase::Waiting, "waiting"),
            (Phase::Stopped, "stopped"),
        ]
        .map(|(phase, name)| (phase, gauge(&catalog::TASK_PHASE, "phase", name))),
        calls_pending: registry.gauge(&catalog::CALLS_PENDING, &labels),
        replay_bytes: registry.gauge(&catalog::REPLAY_BYTES, &labels),
        standby_lag: registry.gauge(&catalog::STANDBY_LAG, &labels),
        timers_pending: registry.gauge(&catalog::TIMERS_PENDING, &labels),
        repeated: registry.counter(&catalog::REPEATED_RECORDS, &labels),
        breakers: breaker_names
            .map(|name| {
                let [closed, open, half_open] = ["closed", "open", "half-open"].map(|state| breaker_state(name, state));
                closed.set(1.0);
                (name, BreakerMeters { closed, open, half_open })
            })
            .collect(),
        totals: totals.iter().map(|name| (*name, (AtomicI64::new(0), total(name)))).collect(),
        imbalance: AtomicI64::new(0),
    }
}
