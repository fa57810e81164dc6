//! Resilience4j's documentation of its CircuitBreaker, sentence by sentence in our words, and what follows from each for a trace: computed by hand from the sentence, not from our code.

use super::*;

/// Ten calls of which half may not fail and not all may be slow; open for a second; then three calls decide.
fn ten() -> BreakerConfig {
    BreakerConfig {
        slow_call_duration_threshold_ms: 100,
        minimum_number_of_calls: 10,
        permitted_calls_in_half_open: 3,
        window_size: 10,
        wait_duration_in_open_ms: 1_000,
        ..BreakerConfig::default()
    }
}

/// Ten seconds, in which five calls must have been made.
fn ten_seconds() -> BreakerConfig {
    BreakerConfig { window_kind: WindowKind::TimeBased, minimum_number_of_calls: 5, ..ten() }
}

/// Runs rows of what the documentation says, the settings to see it with, and a trace as [`run`] reads it.
fn check(rows: &[(&str, BreakerConfig, &str)]) {
    for (sentence, config, trace) in rows {
        run(sentence, config, trace);
    }
}

#[test]
fn closed_measures_the_last_calls() {
    check(&[
        ("a closed breaker works normally and lets all calls through", ten(), "=closed permit*50 ok*9 permit*50 =closed #9/0/0"),
        ("if the minimum is 10 and 9 calls were recorded it does not open, even if all 9 failed", ten(), "err*9 =closed #9/9/0 permit"),
        ("at least the minimum must be recorded before the rate can be calculated", ten(), "err*10 =open ~closed-open@0ms#10/10/0 refuse"),
        ("the rate is that of all recorded calls, so a success may be what completes it", ten(), "err*9 ok =open ~closed-open@0ms#10/9/0"),
        ("a failure rate equal to the threshold opens", ten(), "ok*5 err*4 =closed err =open ~closed-open@0ms#10/5/0"),
        ("a failure rate below the threshold does not", ten(), "ok*6 err*4 =closed #10/4/0 permit"),
        ("a count-based window aggregates the last calls: the eleventh replaces the first", ten(), "err*4 ok*6 err =closed #10/4/0 ok*3 #10/1/0"),
        ("what has left the window is not counted any more", ten(), "err*4 ok*10 #10/0/0 err*4 =closed #10/4/0 err =open"),
        ("what is still in the window is", ten(), "ok err*4 ok*5 =closed #10/4/0 err =open ~closed-open@0ms#10/5/0"),
        (
            "the minimum may be less than the window: the rate is then that of what is recorded so far",
            BreakerConfig { minimum_number_of_calls: 4, ..ten() },
            "ok*3 err =closed #4/1/0 err =closed #5/2/0 err =open ~closed-open@0ms#6/3/0",
        ),
        (
            "a minimum above the size of a count-based window means its size",
            BreakerConfig { minimum_number_of_calls: 100, ..ten() },
            "err*9 =closed err =open ~closed-open@0ms#10/10/0",
        ),
        (
            "the last calls are aggregated however many they are",
            BreakerConfig { window_size: 70, minimum_number_of_calls: 70, ..ten() },
            "err*5 ok*60 err ok*4 #70/6/0 err*5 ok*60 #70/6/0 ok #70/5/0",
        ),
        (
            "the smallest window is one call",
            BreakerConfig { window_size: 1, minimum_number_of_calls: 1, ..ten() },
            "ok*9 =closed #1/0/0 err =open ~closed-open@0ms#1/1/0",
        ),
        (
            "the threshold is a percentage up to 100, which all must reach",
            BreakerConfig { failure_rate_threshold: 100.0, ..ten() },
            "ok err*9 =closed #10/9/0 err =open ~closed-open@0ms#10/10/0",
        ),
        (
            "it need not be whole: 4 of 10 are below 40.5 percent, 5 are not",
            BreakerConfig { failure_rate_threshold: 40.5, ..ten() },
            "ok*6 err*4 =closed #10/4/0 err =open ~closed-open@0ms#10/5/0",
        ),
        (
            "a third of the calls is less than 33.4 percent and more than 33.3",
            BreakerConfig { failure_rate_threshold: 33.4, window_size: 3, minimum_number_of_calls: 3, ..ten() },
            "ok*2 err =closed #3/1/0 ok =closed err =open ~closed-open@0ms#3/2/0",
        ),
        (
            "the same with the other threshold",
            BreakerConfig { failure_rate_threshold: 33.3, window_size: 3, minimum_number_of_calls: 3, ..ten() },
            "ok*2 err =open ~closed-open@0ms#3/1/0",
        ),
    ]);
}

#[test]
fn slow_calls_are_measured_too() {
    let half = BreakerConfig { slow_call_rate_threshold: 50.0, ..ten() };
    check(&[
        ("slow is what takes longer than the duration threshold, not what takes as long", ten(), "ok*10 =closed #10/0/0 slow #10/0/1"),
        ("by default all recorded calls must be slow", ten(), "slow*9 ok =closed #10/0/9 slow*9 =closed #10/0/9 slow =open ~closed-open@0ms#10/0/10"),
        ("a slow-call rate equal to the threshold opens", half.clone(), "ok*5 slow*4 =closed slow =open ~closed-open@0ms#10/0/5"),
        ("a slow-call rate below the threshold does not", half.clone(), "ok*6 slow*4 =closed #10/0/4"),
        ("a failure may be slow and then counts for both rates", half.clone(), "ok*6 slow-err*4 =closed #10/4/4 slow-err =open ~closed-open@0ms#10/5/5"),
        ("each rate has its own threshold: they do not add up", half.clone(), "err*4 slow*4 ok*2 =closed #10/4/4"),
        ("slow failures make slow calls of a window that has few failures", half, "slow*4 ok*5 slow-err =open ~closed-open@0ms#10/1/5"),
        ("the minimum holds for both rates", ten(), "slow*9 =closed slow =open ~closed-open@0ms#10/0/10"),
    ]);
}

#[test]
fn a_time_based_window_measures_the_last_seconds() {
    let one = BreakerConfig { window_size: 1, ..ten_seconds() };
    check(&[
        ("the calls of the last 10 seconds are aggregated", ten_seconds(), "err @3000ms err @6000ms err @9000ms err =closed #4/4/0 err =open"),
        (
            "each second of the epoch has a bucket; the window is the present second and the 9 before it",
            ten_seconds(),
            "@999ms err*4 @9999ms #4/4/0 @10000ms #0/0/0 err =closed #1/1/0",
        ),
        (
            "the oldest bucket is dropped as a whole, the others stay",
            ten_seconds(),
            "@500ms err*2 @1500ms err @2500ms ok @10000ms #2/1/0 @11000ms #1/0/0 @12000ms #0/0/0",
        ),
        (
            "a dropped bucket is not part of the rate",
            ten_seconds(),
            "err*4 @10000ms ok*5 =closed #5/0/0 err*4 =closed #9/4/0 err =open ~closed-open@10000ms#10/5/0",
        ),
        ("the rate is that of what is left", ten_seconds(), "ok*6 @5000ms err*4 =closed #10/4/0 @10000ms #4/4/0 =closed ok =open ~closed-open@10000ms#5/4/0"),
        ("the minimum is per window: what was dropped does not count for it", ten_seconds(), "err*4 @10000ms err*4 =closed #4/4/0 err =open"),
        (
            "the minimum of a time-based window may be any number",
            BreakerConfig { minimum_number_of_calls: 50, ..ten_seconds() },
            "err*49 =closed #49/49/0 err =open ~closed-open@0ms#50/50/0",
        ),
        ("it is not the number of calls that is limited", ten_seconds(), "ok*60 err*59 =closed #119/59/0 err =open ~closed-open@0ms#120/60/0"),
        ("a window of one second is the present one", one, "err*4 @999ms #4/4/0 @1000ms #0/0/0 err*4 =closed err =open"),
        ("after a silence nothing is left", ten_seconds(), "err*4 +86400000ms #0/0/0 err*4 =closed err =open"),
    ]);
}

#[test]
fn open_waits() {
    let automatic = BreakerConfig { automatic_half_open: true, ..ten() };
    check(&[
        ("an open breaker rejects all calls for a configured time", ten(), "err*10 refuse +1ms refuse +998ms refuse =open"),
        ("when that has elapsed, a call makes it half-open and is the first of those permitted", ten(), "err*10 +1001ms permit =half-open permit*2 refuse"),
        ("as long as the time is not over the instant is not after it", ten(), "err*10 @1000ms refuse =open @1001ms permit ~open-half-open@1001ms#0/0/0"),
        ("without the automatic transition only a call makes it half-open, however late", ten(), "err*10 +3600000ms tick =open permit =half-open"),
        ("with it, it becomes half-open as soon as the time has passed, without a call", automatic.clone(), "err*10 +999ms tick =open +1ms tick =half-open"),
        ("also then, a call before that is rejected", automatic, "err*10 +999ms refuse =open +1ms permit =half-open"),
        ("a call permitted while closed that ends in open does not change the state", ten(), "permit*60 err*10 ok*40 err*10 =open +1001ms permit*3 refuse"),
        ("nor the time to wait", ten(), "permit*11 err*10 +999ms err =open +2ms permit"),
        (
            "by default it waits for 60 seconds, then permits 10 calls",
            BreakerConfig::default(),
            "err*100 ~closed-open@0ms#100/100/0 @60000ms refuse @60001ms permit*10 refuse =half-open",
        ),
        (
            "by default 100 calls are needed, and 50 failures of them",
            BreakerConfig::default(),
            "err*50 ok*49 =closed #99/50/0 ok =open ~closed-open@0ms#100/50/0",
        ),
        ("by default 49 failures are not enough", BreakerConfig::default(), "err*49 ok*51 =closed #100/49/0"),
        ("by default a call is slow after 60 seconds: tenths of seconds are not", BreakerConfig::default(), "slow*100 =closed #100/0/0"),
    ]);
}

#[test]
fn half_open_tries() {
    let patient = BreakerConfig { max_wait_duration_in_half_open_ms: 500, ..ten() };
    let lenient = BreakerConfig { after_half_open_wait: AfterHalfOpenWait::Closed, ..patient };
    check(&[
        (
            "half-open permits a configured number of calls and rejects further ones until they are done",
            ten(),
            "err*10 +1001ms permit*3 refuse ok*2 refuse =half-open",
        ),
        ("with the rate below the threshold it closes", ten(), "err*10 +1001ms permit*3 ok err =half-open ok =closed ~half-open-closed@1001ms#3/1/0 permit*99"),
        ("with the rate above the threshold it opens again", ten(), "err*10 +1001ms permit*3 err ok =half-open err =open ~half-open-open@1001ms#3/2/0 refuse"),
        (
            "with the rate equal to the threshold it opens again",
            BreakerConfig { permitted_calls_in_half_open: 4, ..ten() },
            "err*10 +1001ms permit*4 err*2 ok =half-open ok =open ~half-open-open@1001ms#4/2/0",
        ),
        ("opened again, it waits for the whole time again", ten(), "err*10 @5000ms permit*3 err*3 =open @6000ms refuse @6001ms permit =half-open"),
        ("a slow-call rate that reaches its threshold opens again", ten(), "err*10 +1001ms permit*3 slow*3 =open ~half-open-open@1001ms#3/0/3"),
        ("one that does not reach it closes", ten(), "err*10 +1001ms permit*3 slow*2 ok =closed ~half-open-closed@1001ms#3/0/2"),
        ("closed again, it measures from nothing", ten(), "err*10 +1001ms permit*3 ok*3 =closed #0/0/0 err*9 =closed err =open"),
        (
            "it stays until the minimum number of calls is completed, if that is less than those permitted",
            BreakerConfig { minimum_number_of_calls: 2, ..ten() },
            "ok err =open +1001ms permit*3 ok =half-open ok =closed ~half-open-closed@1001ms#2/0/0",
        ),
        (
            "the kind of the window is for closed: half-open counts its calls, however slowly they come",
            ten_seconds(),
            "err*5 @20000ms permit ok @50000ms permit err @90000ms permit #2/1/0 ok =closed ~half-open-closed@90000ms#3/1/0",
        ),
        ("by default it waits without end for its calls", ten(), "err*10 +1001ms permit*3 ok*2 +86400000ms tick refuse =half-open ok =closed"),
        ("with a longest wait it opens when that is over", patient.clone(), "err*10 @2000ms permit @2499ms tick =half-open @2500ms tick =open refuse"),
        ("which is a new time to wait in open", patient.clone(), "err*10 @2000ms permit @2500ms tick @3500ms refuse @3501ms permit =half-open"),
        ("or closes, if it is told so", lenient, "err*10 @2000ms permit @2499ms tick =half-open @2500ms tick =closed permit*9 #0/0/0"),
        ("a decision before ends that wait", patient, "err*10 @2000ms permit*3 ok*3 =closed @9000ms tick =closed ~half-open-closed@2000ms#3/0/0"),
        ("a permission that is released raises the number of allowed calls by one", ten(), "err*10 +1001ms permit*3 refuse give-back permit refuse"),
        ("what is ignored counts as neither success nor failure", ten(), "err*10 +1001ms permit*3 give-back ok*2 =half-open #2/0/0 permit ok =closed"),
        (
            "a call permitted while closed that ends in half-open is recorded there",
            ten(),
            "permit*13 err*10 +1001ms permit err*3 =open ~half-open-open@1001ms#3/3/0",
        ),
        (
            "a call permitted while half-open that ends in closed is recorded there",
            BreakerConfig { minimum_number_of_calls: 2, ..ten() },
            "ok err =open +1001ms permit*3 ok*2 =closed err =closed #1/1/0 ok =open ~closed-open@1001ms#2/1/0",
        ),
    ]);
}

#[test]
fn operators_decide() {
    check(&[
        ("forced open rejects every call", ten(), ">forced-open ~closed-forced-open@0ms#0/0/0 refuse*3 +86400000ms refuse"),
        ("it stops transitions and metrics", ten(), ">forced-open ok*50 #0/0/0 =forced-open err*50 =forced-open #0/0/0"),
        (
            "it is left only by another forced transition",
            BreakerConfig { automatic_half_open: true, ..ten() },
            "err*10 >forced-open +86400000ms tick refuse =forced-open >half-open permit*3 refuse ok*3 =closed",
        ),
        ("disabled lets every call through", ten(), ">disabled ~closed-disabled@0ms#0/0/0 permit*99 =disabled"),
        ("it stops transitions and metrics too", ten(), ">disabled err*99 =disabled slow*99 #0/0/0 permit =disabled"),
        ("it is left only by another forced transition too", ten(), ">disabled err*99 >closed =closed #0/0/0 err*9 =closed err =open"),
        ("forcing it closed lets calls through at once", ten(), "err*10 refuse >closed ~open-closed@0ms#0/0/0 permit*9 #0/0/0"),
        ("forcing it open starts the wait", ten(), "@700ms >open refuse @1700ms refuse @1701ms permit =half-open"),
        ("forcing it half-open does not wait", ten(), "err*10 >half-open permit*3 refuse ok*3 =closed"),
        ("to put it into the state that it is in has no effect: closed", ten(), "err*9 >closed #9/9/0 err =open ~closed-open@0ms#10/10/0"),
        ("the same: open", ten(), "err*10 +900ms >open +101ms permit =half-open"),
        ("the same: half-open", ten(), "err*10 +1001ms permit*2 ok >half-open #1/0/0 permit refuse ok*2 =closed"),
        ("a reset brings it back to closed and loses statistics", ten(), "err*10 reset =closed ~open-closed@0ms#0/0/0 permit #0/0/0 err*9 =closed err =open"),
        ("also if it is closed", ten(), "err*9 reset =closed #0/0/0 err*9 =closed err =open"),
    ]);
}

#[test]
fn every_state_can_be_forced_from_every_other() {
    let names = ["closed", "open", "half-open", "forced-open", "disabled"];
    for from in names {
        for to in names.into_iter().filter(|to| *to != from) {
            run("forced", &ten(), &format!(">{from} @5ms >{to} ={to} ~{from}-{to}@5ms#0/0/0"));
        }
    }
}

#[test]
fn the_defaults_are_those_of_its_table_of_settings() {
    let documented = BreakerConfig {
        failure_rate_threshold: 50.0,
        slow_call_rate_threshold: 100.0,
        slow_call_duration_threshold_ms: 60_000,
        permitted_calls_in_half_open: 10,
        max_wait_duration_in_half_open_ms: 0,
        after_half_open_wait: AfterHalfOpenWait::Open,
        window_kind: WindowKind::CountBased,
        window_size: 100,
        minimum_number_of_calls: 100,
        wait_duration_in_open_ms: 60_000,
        automatic_half_open: false,
    };
    assert_eq!(BreakerConfig::default(), documented);
    assert_eq!(serde_json::from_str::<BreakerConfig>("{}").unwrap(), documented, "also if nothing is said");
}
