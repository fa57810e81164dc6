//! What the processors tell becomes what the endpoint shows.

use std::time::Duration;

use fluvio_streams::breaker::State;
use fluvio_streams::guard::PartnerAnswer;
use fluvio_streams::processor::{Context, Failure, Input, Processor};
use fluvio_streams::system::System;
use fluvio_streams::telemetry::{Event, Observer as _, Phase, TaskName, UnreadableReason};
use fluvio_streams::topology::{ProcessorSpec, Source, Topology};

use super::*;

struct Till;

impl Processor for Till {
    fn process(&self, _input: Input<'_>, _context: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn totals(&self) -> &'static [&'static str] {
        &["captured_won", "refunded_won", "live_won", "open_won", "door_breaker_open", "door_breaker_half_open", "guests"]
    }
}

fn shop() -> System {
    let till = ProcessorSpec {
        name: "till".to_owned(),
        sources: vec![Source::events("shop-events", &["Sold"])],
        sinks: vec!["shop-receipts".to_owned()],
        journal: "shop-till-journal".to_owned(),
        stores: Vec::new(),
        calls: Vec::new(),
        rejections: "shop-rejections".to_owned(),
        dead_letters: "shop-dead-letters".to_owned(),
        logic: Arc::new(Till),
    };
    System {
        name: "shop",
        topology: Topology { application: "shop".to_owned(), processors: vec![till] },
        commands_topic: "shop-commands".to_owned(),
        commands: Vec::new(),
        outcome_topics: Vec::new(),
        outcome: |_, _, _| None,
        projections: Vec::new(),
        views: Vec::new(),
        follower_topics: Vec::new(),
        records: Vec::new(),
    }
}

fn task(partition: u32) -> TaskName<'static> {
    TaskName { application: "shop", processor: "till", partition }
}

#[track_caller]
fn assert_shows(telemetry: &Telemetry, line: &str) {
    let text = telemetry.handle.render();
    assert!(text.lines().any(|shown| shown == line), "no line `{line}` in:\n{text}");
}

#[tokio::test]
async fn money_is_summed_over_tasks_and_an_imbalance_shows() {
    let telemetry = Telemetry::new(&[shop()], 2).expect("the catalog is right");
    let tell = |partition, totals: [i64; 4]| {
        for (name, value) in ["captured_won", "refunded_won", "live_won", "open_won"].into_iter().zip(totals) {
            telemetry.streams.observe(&Event::Total { task: task(partition), name, value });
        }
        telemetry.streams.observe(&Event::TimersPending(task(partition), 0));
    };
    tell(0, [100, 30, 50, 20]);
    tell(1, [7, 0, 7, 0]);
    assert_shows(&telemetry, r#"orderflow_money_won{application="shop",processor="till",account="captured"} 107"#);
    assert_shows(&telemetry, r#"orderflow_money_imbalance_won{application="shop",processor="till"} 0"#);
    let violations = |count| assert_shows(&telemetry, &format!(r#"orderflow_money_violations_total{{application="shop",processor="till"}} {count}"#));
    violations(0);
    // Two tasks that are wrong in opposite directions are not right together.
    tell(0, [100, 30, 50, 21]);
    tell(1, [7, 0, 6, 0]);
    assert_shows(&telemetry, r#"orderflow_money_imbalance_won{application="shop",processor="till"} 2"#);
    violations(2);
    // What stays as it is, or gets better, is no further violation; what gets worse is one, and so is the next.
    tell(0, [100, 30, 50, 21]);
    violations(2);
    tell(0, [100, 30, 50, 25]);
    violations(3);
    tell(0, [100, 30, 50, 20]);
    assert_shows(&telemetry, r#"orderflow_money_imbalance_won{application="shop",processor="till"} 1"#);
    tell(0, [100, 30, 50, 19]);
    violations(4);
}

#[tokio::test]
async fn a_breaker_is_in_one_state_at_a_time() {
    let telemetry = Telemetry::new(&[shop()], 1).expect("the catalog is right");
    let shows = |state: &str, value: u8| {
        let line = format!(r#"orderflow_breaker_state{{application="shop",processor="till",partition="0",breaker="door",state="{state}"}} {value}"#);
        assert_shows(&telemetry, &line);
    };
    shows("closed", 1);
    telemetry.streams.observe(&Event::Total { task: task(0), name: "door_breaker_open", value: 1 });
    shows("closed", 0);
    shows("open", 1);
    telemetry.streams.observe(&Event::Total { task: task(0), name: "door_breaker_open", value: 0 });
    telemetry.streams.observe(&Event::Total { task: task(0), name: "door_breaker_half_open", value: 1 });
    shows("open", 0);
    shows("half-open", 1);
}

#[tokio::test]
async fn transitions_of_a_breaker_are_counted_over_tasks() {
    let telemetry = Telemetry::new(&[shop()], 2).expect("the catalog is right");
    let shows = |from: &str, to: &str, count: u8| {
        let labels = format!(r#"application="shop",processor="till",breaker="door",from="{from}",to="{to}""#);
        assert_shows(&telemetry, &format!("orderflow_breaker_transitions_total{{{labels}}} {count}"));
    };
    // Before the first one: otherwise nobody would see it as an increase.
    shows("closed", "open", 0);
    for partition in [0, 1] {
        telemetry.streams.observe(&Event::BreakerTransitioned { task: task(partition), guard: "door", from: State::Closed, to: State::Open });
    }
    telemetry.streams.observe(&Event::BreakerTransitioned { task: task(0), guard: "door", from: State::Open, to: State::HalfOpen });
    shows("closed", "open", 2);
    shows("open", "half-open", 1);
    shows("half-open", "closed", 0);
}

#[tokio::test]
async fn two_instances_count_apart_and_strangers_are_not_counted() {
    let (first, second) = (Telemetry::new(&[shop()], 1).expect("the catalog is right"), Telemetry::new(&[shop()], 1).expect("the catalog is right"));
    let run = |task| Event::RunCommitted { task, inputs: 3, effects: 0, processing: Duration::from_micros(70), committing: Duration::from_millis(3) };
    first.streams.observe(&run(task(0)));
    first.streams.observe(&run(task(9)));
    first.streams.observe(&run(TaskName { application: "pharmacy", ..task(0) }));
    assert_shows(&first, r#"orderflow_records_in_total{application="shop",processor="till",partition="0"} 3"#);
    assert_shows(&first, r#"orderflow_process_latency_seconds_bucket{application="shop",processor="till",le="0.0001"} 2"#);
    assert_shows(&second, r#"orderflow_records_in_total{application="shop",processor="till",partition="0"} 0"#);
}

#[tokio::test]
async fn a_task_is_in_one_phase_at_a_time() {
    let telemetry = Telemetry::new(&[shop()], 1).expect("the catalog is right");
    for phase in [Phase::Waiting, Phase::Restoring, Phase::Running] {
        telemetry.streams.observe(&Event::PhaseEntered(task(0), phase));
    }
    for (phase, value) in [("restoring", 0), ("running", 1), ("waiting", 0), ("stopped", 0)] {
        assert_shows(&telemetry, &format!(r#"orderflow_task_phase{{application="shop",processor="till",partition="0",phase="{phase}"}} {value}"#));
    }
}

#[tokio::test]
async fn the_lag_of_a_group_is_that_of_the_tasks_that_are_ours() {
    let telemetry = Telemetry::new(&[shop()], 2).expect("the catalog is right");
    let tell = |partition, records, age_ms| {
        telemetry.streams.observe(&Event::LagMeasured { task: task(partition), topic: "shop-events", records, age_ms });
    };
    tell(0, 30, 1_500);
    tell(1, 12, 4_000);
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag{group="shop.till",topic="shop-events",partition="1"} 12"#);
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag_seconds{group="shop.till",topic="shop-events",partition="0"} 1.5"#);
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag_sum{group="shop.till"} 42"#);
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag_max{group="shop.till"} 30"#);
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag_seconds_max{group="shop.till"} 4"#);
    // Another instance has it from now on, and tells its lag.
    telemetry.streams.observe(&Event::PhaseEntered(task(0), Phase::Stopped));
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag{group="shop.till",topic="shop-events",partition="0"} 0"#);
    assert_shows(&telemetry, r#"orderflow_consumergroup_lag_sum{group="shop.till"} 12"#);
}

#[tokio::test]
async fn types_are_shown_as_they_are_meant() {
    let telemetry = Telemetry::new(&[shop()], 1).expect("the catalog is right");
    let spent = |ms| Event::TimeSpent { task: task(0), processing: Duration::from_millis(ms), committing: Duration::ZERO, waiting: Duration::from_secs(1) };
    telemetry.streams.observe(&spent(250));
    telemetry.streams.observe(&spent(500));
    assert_shows(&telemetry, r#"orderflow_task_time_seconds_total{application="shop",processor="till",partition="0",activity="process"} 0.75"#);
    assert_shows(&telemetry, r#"orderflow_task_time_seconds_total{application="shop",processor="till",partition="0",activity="wait"} 2"#);
    assert_shows(&telemetry, "# TYPE orderflow_task_time_seconds_total counter");
    assert_shows(&telemetry, "# TYPE orderflow_consumergroup_lag_sum untyped");
    assert_shows(&telemetry, "# TYPE orderflow_consumergroup_lag_max gauge");
}

#[tokio::test]
async fn what_alarms_is_there_before_it_happens() {
    let telemetry = Telemetry::new(&[shop()], 1).expect("the catalog is right");
    let letters = |topic: &str, reason: &str, count: u8| {
        let labels = format!(r#"application="shop",processor="till",topic="{topic}",reason="{reason}""#);
        assert_shows(&telemetry, &format!("orderflow_dead_letters_total{{{labels}}} {count}"));
    };
    for reason in ["malformed", "refused", "too-large"] {
        letters("shop-events", reason, 0);
    }
    letters("shop-till-journal", "timer", 0);
    assert_shows(&telemetry, r#"orderflow_events_total{application="shop",processor="till",type="DeadLetter"} 0"#);
    let unreadable = |topic, reason, dead_lettered| telemetry.streams.observe(&Event::Unreadable { task: task(0), topic, reason, dead_lettered });
    unreadable("shop-events", UnreadableReason::Refused, true);
    unreadable("shop-till-journal", UnreadableReason::Timer, true);
    unreadable("shop-events", UnreadableReason::Malformed, false);
    letters("shop-events", "refused", 1);
    letters("shop-events", "malformed", 0);
    letters("shop-till-journal", "timer", 1);
    assert_shows(&telemetry, r#"orderflow_skipped_records_total{application="shop",processor="till",topic="shop-events"} 1"#);
}

#[tokio::test]
async fn answers_of_a_partner_are_told_by_outcome_and_lateness() {
    let telemetry = Telemetry::new(&[shop()], 1).expect("the catalog is right");
    for (outcome, late, took_ms) in [("accepted", false, 40), ("accepted", true, 700), ("accepted", true, 900)] {
        telemetry.streams.observe(&Event::PartnerAnswered { task: task(0), answer: PartnerAnswer { guard: "door", outcome, late, took_ms } });
    }
    let labels = r#"application="shop",processor="till",partner="door",outcome="accepted",late="true""#;
    assert_shows(&telemetry, &format!("orderflow_partner_answer_duration_seconds_count{{{labels}}} 2"));
    assert_shows(&telemetry, &format!("orderflow_partner_answer_duration_seconds_sum{{{labels}}} 1.6"));
}
