//! Traces: those that follow from Resilience4j's documentation, computed by hand, one a row ([`documentation`]); those about what is our own, here; and random ones against a model
//! that remembers every call ([`model`]).

mod documentation;
mod model;

use super::*;

/// What a trace says, word by word:
///
/// | word | meaning |
/// |---|---|
/// | `+500ms` / `@1500ms` | 500 ms pass / it is 1500 ms now |
/// | `permit` / `refuse` | a call is asked for, and permitted / refused |
/// | `ok` `err` | a call has succeeded, failed, in 100 ms |
/// | `slow` `slow-err` | the same in 101 ms |
/// | `give-back` | the last permission is given back |
/// | `tick` | time alone does what is due |
/// | `>open` | an operator puts it into this state |
/// | `reset` | an operator resets it |
/// | `=open` | it is in this state |
/// | `#2/1/0` | the window holds 2 calls, 1 failed, 0 slow |
/// | `~closed-open@1500ms#4/2/0` | the last change was this one, at that time, with this in the window before |
///
/// `ok*3` is `ok ok ok`.
fn run(name: &str, config: &BreakerConfig, trace: &str) {
    config.check().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut breaker = Breaker::new(config);
    let (mut now_ms, mut permission, mut last) = (0, 0, None);
    for word in trace.split_whitespace() {
        let (word, times) = word.split_once('*').map_or((word, 1), |(word, times)| (word, times.parse().unwrap()));
        for _ in 0..times {
            let at = format!("{name}: `{word}` at {now_ms} ms of `{trace}`");
            let transitions = match word {
                "permit" | "refuse" => {
                    let acquisition = breaker.try_acquire(now_ms, config);
                    assert_eq!(acquisition.permitted, word == "permit", "{at}");
                    permission = breaker.generation();
                    acquisition.transitions
                }
                "ok" => breaker.on_success(now_ms, 100, config),
                "slow" => breaker.on_success(now_ms, 101, config),
                "err" => breaker.on_failure(now_ms, 100, config),
                "slow-err" => breaker.on_failure(now_ms, 101, config),
                "tick" => breaker.advance(now_ms, config),
                "reset" => breaker.reset(now_ms, config).into_iter().collect(),
                "give-back" => {
                    breaker.release(permission);
                    Vec::new()
                }
                _ => match word.split_at(1) {
                    (">", state) => breaker.transition_to(state_named(state), now_ms, config).into_iter().collect(),
                    (sign, expected) => {
                        match sign {
                            "+" => now_ms += milliseconds(expected),
                            "@" => now_ms = milliseconds(expected),
                            "=" => assert_eq!(breaker.state(), state_named(expected), "{at}"),
                            "#" => assert_eq!(slashed(breaker.counts(now_ms)), expected, "{at}"),
                            "~" => assert_eq!(last.as_ref().map(render), Some(expected.to_owned()), "{at}"),
                            _ => panic!("{name}: no word `{word}`"),
                        }
                        Vec::new()
                    }
                },
            };
            last = transitions.last().cloned().or(last);
            breaker = restarted(&breaker);
        }
    }
}

/// Returns what comes back when it is stored and loaded again, which must be the same, to the byte.
fn restarted(breaker: &Breaker) -> Breaker {
    let json = serde_json::to_string(breaker).unwrap();
    let loaded: Breaker = serde_json::from_str(&json).unwrap();
    assert_eq!(&loaded, breaker, "{json}");
    assert_eq!(serde_json::to_string(&loaded).unwrap(), json);
    loaded
}

fn milliseconds(text: &str) -> i64 {
    text.strip_suffix("ms").unwrap_or_else(|| panic!("`{text}` has no unit")).parse().unwrap()
}

fn state_named(name: &str) -> State {
    serde_json::from_value(name.into()).unwrap()
}

fn slashed(Counts { calls, failed, slow }: Counts) -> String {
    format!("{calls}/{failed}/{slow}")
}

fn render(transition: &Transition) -> String {
    let name = |state: State| serde_json::to_value(state).unwrap().as_str().unwrap().to_owned();
    format!("{}-{}@{}ms#{}", name(transition.from), name(transition.to), transition.at_ms, slashed(transition.counts))
}

/// Four calls, half of them may not fail; open for a second; then two calls decide.
fn four() -> BreakerConfig {
    BreakerConfig {
        slow_call_duration_threshold_ms: 100,
        minimum_number_of_calls: 4,
        permitted_calls_in_half_open: 2,
        window_size: 4,
        wait_duration_in_open_ms: 1_000,
        ..BreakerConfig::default()
    }
}

#[test]
fn what_was_due_happens_as_of_then() {
    let automatic = BreakerConfig { automatic_half_open: true, ..four() };
    run("half-open", &automatic, "err*4 @5000ms tick ~open-half-open@1000ms#0/0/0 permit*2 refuse");
    run("also when an answer comes first", &automatic, "err*4 @5000ms ok =half-open #1/0/0 ~open-half-open@1000ms#0/0/0");
    let patient = BreakerConfig { max_wait_duration_in_half_open_ms: 500, ..four() };
    run("open again", &patient, "err*4 @2000ms permit @3500ms refuse @3501ms permit =half-open ~open-half-open@3501ms#0/0/0");
    run("what has been answered by then is told", &patient, "err*4 @2000ms permit*2 ok @9000ms tick ~half-open-open@2500ms#1/0/0");
    let lenient = BreakerConfig { after_half_open_wait: AfterHalfOpenWait::Closed, ..patient };
    run("closed", &lenient, "err*4 @2000ms permit @2700ms permit =closed ~half-open-closed@2500ms#0/0/0");
    let cycling = BreakerConfig { automatic_half_open: true, ..patient };
    run("round and round", &cycling, "err*4 @1000ms tick =half-open @1500ms tick =open @2500ms tick =half-open @3000ms tick =open");
    run("through a silence of years", &cycling, "err*4 @94608001000ms permit =half-open ~open-half-open@94608001000ms#0/0/0");
    run("and at the end of one half-open", &cycling, "err*4 @94608001500ms refuse =open ~half-open-open@94608001500ms#0/0/0");
}

#[test]
fn a_permission_belongs_to_the_stay_that_gave_it() {
    run("closed gave it", &four(), "permit err*4 @2000ms >half-open give-back permit give-back permit*2 refuse");
    run("an earlier half-open gave it", &four(), "err*4 @2000ms permit*2 >open >half-open give-back permit*2 refuse");
    run("answers do not make permissions", &four(), "err*4 @2000ms permit*2 ok refuse =half-open");
    run("elsewhere nothing is to be given back", &four(), "permit*3 give-back*2 err*3 =closed #3/3/0 err give-back refuse =open");
}

#[test]
fn settings_that_change_start_the_window_again() {
    let mut breaker = Breaker::new(&four());
    for _ in 0..3 {
        breaker.on_failure(0, 0, &four());
    }
    let larger = BreakerConfig { window_size: 5, ..four() };
    breaker.on_failure(0, 0, &larger);
    assert_eq!((breaker.state(), breaker.counts(0)), (State::Closed, Counts { calls: 1, failed: 1, slow: 0 }));
}

#[test]
fn time_that_runs_backwards_counts_into_the_newest_second() {
    let seconds = BreakerConfig { window_kind: WindowKind::TimeBased, window_size: 2, ..four() };
    run("a clock set back", &seconds, "@5000ms err @3000ms err @5999ms #2/2/0 @6999ms #2/2/0 @7000ms #0/0/0");
}

#[test]
fn a_busy_window_is_small_in_json() {
    let size = |config: &BreakerConfig, failing: i64| {
        let mut breaker = Breaker::new(config);
        for call in 0..1_000 {
            let now_ms = 1_700_000_000_000 + call * 200;
            if call % 3 < failing {
                breaker.on_failure(now_ms, 0, config);
            } else {
                breaker.on_success(now_ms, 0, config);
            }
        }
        serde_json::to_string(&breaker).unwrap().len()
    };
    assert!(size(&BreakerConfig::default(), 0) < 100, "healthy calls need counters only");
    assert!(size(&BreakerConfig::default(), 1) < 150, "failures need a bit each");
    assert!(size(&BreakerConfig { window_kind: WindowKind::TimeBased, ..BreakerConfig::default() }, 1) < 1_000, "seconds need three counters each");
    let rare = BreakerConfig { window_kind: WindowKind::TimeBased, window_size: WINDOW_SIZE_MAX, ..BreakerConfig::default() };
    let mut breaker = Breaker::new(&rare);
    breaker.on_success(0, 0, &rare);
    breaker.on_success(9_000_000, 0, &rare);
    assert!(serde_json::to_string(&breaker).unwrap().len() < 150, "a silence before all calls of the window is not kept");
}

#[test]
fn settings_out_of_range_are_named() {
    let broken: [(&str, BreakerConfig); 9] = [
        ("failureRateThreshold", BreakerConfig { failure_rate_threshold: 0.0, ..four() }),
        ("failureRateThreshold", BreakerConfig { failure_rate_threshold: f32::NAN, ..four() }),
        ("slowCallRateThreshold", BreakerConfig { slow_call_rate_threshold: 100.1, ..four() }),
        ("slowCallDurationThresholdMs", BreakerConfig { slow_call_duration_threshold_ms: 0, ..four() }),
        ("minimumNumberOfCalls", BreakerConfig { minimum_number_of_calls: 0, ..four() }),
        ("permittedCallsInHalfOpen", BreakerConfig { permitted_calls_in_half_open: 0, ..four() }),
        ("windowSize", BreakerConfig { window_size: WINDOW_SIZE_MAX + 1, ..four() }),
        ("waitDurationInOpenMs", BreakerConfig { wait_duration_in_open_ms: 0, ..four() }),
        ("maxWaitDurationInHalfOpenMs", BreakerConfig { max_wait_duration_in_half_open_ms: -1, ..four() }),
    ];
    for (setting, config) in broken {
        assert_eq!(config.check().map_err(|error| error.setting), Err(setting));
    }
    assert_eq!(BreakerConfig::default().check(), Ok(()));
}
