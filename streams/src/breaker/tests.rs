//! Traces computed by hand, one a row, and random ones against a model that remembers every call.

mod model;

use super::*;

/// What a trace says, word by word:
///
/// | word | meaning |
/// |---|---|
/// | `@1500` | it is 1500 ms now |
/// | `?` / `!` | a call is asked for and permitted / refused |
/// | `s` `f` `S` `F` | a call succeeds, fails; slowly |
/// | `r` | the last permission is given back |
/// | `tick` | time alone does what is due |
/// | `>open` | an operator puts it into this state |
/// | `=open` | it is in this state |
/// | `#2/1/0` | the window holds 2 calls, 1 failed, 0 slow |
/// | `~closed-open@1500` | the last change was this one, at that time |
///
/// `s*3` is `s s s`. A call is slow from 101 ms on and takes 101 ms; the others take 100 ms.
fn run(name: &str, config: &BreakerConfig, trace: &str) {
    config.check().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut breaker = Breaker::new(config);
    let (mut now_ms, mut permission, mut last) = (0, 0, None);
    for word in trace.split_whitespace() {
        let (word, times) = word.split_once('*').map_or((word, 1), |(word, times)| (word, times.parse().unwrap()));
        for _ in 0..times {
            let at = format!("{name}: `{word}` at {now_ms} ms of `{trace}`");
            let transitions = match word.split_at(1) {
                ("@", time) => {
                    now_ms = time.parse().unwrap();
                    Vec::new()
                }
                ("?" | "!", "") => {
                    let acquisition = breaker.try_acquire(now_ms, config);
                    assert_eq!(acquisition.permitted, word == "?", "{at}");
                    permission = breaker.generation();
                    acquisition.transitions
                }
                ("s", "") => breaker.on_success(now_ms, 100, config),
                ("S", "") => breaker.on_success(now_ms, 101, config),
                ("f", "") => breaker.on_failure(now_ms, 100, config),
                ("F", "") => breaker.on_failure(now_ms, 101, config),
                ("r", "") => {
                    breaker.release(permission);
                    Vec::new()
                }
                ("t", "ick") => breaker.advance(now_ms, config),
                (">", state) => breaker.transition_to(state_named(state), now_ms, config).into_iter().collect(),
                ("=", state) => {
                    assert_eq!(breaker.state(), state_named(state), "{at}");
                    Vec::new()
                }
                ("#", counts) => {
                    let Counts { calls, failed, slow } = breaker.counts(now_ms);
                    assert_eq!(format!("{calls}/{failed}/{slow}"), counts, "{at}");
                    Vec::new()
                }
                ("~", expected) => {
                    assert_eq!(last.as_ref().map(render), Some(expected.to_owned()), "{at}");
                    Vec::new()
                }
                _ => panic!("{name}: no word `{word}`"),
            };
            last = transitions.last().cloned().or(last);
            let json = serde_json::to_string(&breaker).unwrap();
            assert_eq!(serde_json::from_str::<Breaker>(&json).unwrap(), breaker, "{at}: survives {json}");
        }
    }
}

fn state_named(name: &str) -> State {
    serde_json::from_value(name.into()).unwrap()
}

fn render(transition: &Transition) -> String {
    let name = |state: State| serde_json::to_value(state).unwrap().as_str().unwrap().to_owned();
    format!("{}-{}@{}", name(transition.from), name(transition.to), transition.at_ms)
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

/// Three seconds instead of four calls.
fn three_seconds() -> BreakerConfig {
    BreakerConfig { window_kind: WindowKind::TimeBased, window_size: 3, ..four() }
}

#[test]
fn closed_counts_the_last_calls() {
    let four = four();
    run("below the minimum nothing happens", &four, "? f f f =closed #3/3/0 ?");
    run("at the minimum the rate counts", &four, "f f f f =open ~closed-open@0");
    run("the threshold itself opens", &four, "s s f f =open");
    run("below the threshold stays closed", &four, "s s s f =closed #4/1/0 ?");
    run("the order does not matter, the last call decides", &four, "f f s s =open");
    run("the oldest call leaves the window", &four, "f s s s =closed s #4/0/0 f #4/1/0 =closed");
    run("a failure that left is not counted", &four, "f s s s f =closed f =open");
    run("an old failure still in the window is", &four, "s f s s f =open");
    run("permissions change nothing", &four, "? ? ? r r f f f =closed #3/3/0");
    let minimum_two = BreakerConfig { minimum_number_of_calls: 2, ..four };
    run("the minimum may be less than the window", &minimum_two, "s =closed f =open");
    let minimum_large = BreakerConfig { minimum_number_of_calls: 100, ..self::four() };
    run("a minimum above the window means the window", &minimum_large, "f f f =closed f =open");
    let third = BreakerConfig { failure_rate_threshold: 33.4, window_size: 3, minimum_number_of_calls: 3, ..self::four() };
    run("a third is below 33.4 %", &third, "s s f =closed s =closed f =open");
    let defaults = BreakerConfig::default();
    run("the defaults need 100 calls and half of them", &defaults, "f*49 s*50 =closed s =closed #100/49/0");
    run("50 of 100 open it for a minute", &defaults, "f*49 s*50 =closed f =open @60000 ! @60001 ?*10 ! =half-open");
}

#[test]
fn slow_calls_open_too() {
    let four = four();
    run("all slow is 100 %", &four, "S S S S =open");
    run("one fast call saves it", &four, "S S S s =closed #4/0/3");
    run("slow failures count for both rates", &four, "s s F f =open");
    let half_slow = BreakerConfig { slow_call_rate_threshold: 50.0, failure_rate_threshold: 100.0, ..four };
    run("a slow rate of its own", &half_slow, "s S s S =open");
    run("slow failures count as slow", &half_slow, "s F s S =open");
}

#[test]
fn a_window_of_time_counts_seconds() {
    let seconds = three_seconds();
    run("calls of the same second count together", &seconds, "f f @999 f =closed #3/3/0 f =open ~closed-open@999");
    run("two seconds later they still count", &seconds, "f f f @2999 #3/3/0 f =open");
    run("three seconds later they do not", &seconds, "f f f @3000 #0/0/0 f =closed #1/1/0");
    run("seconds leave one by one", &seconds, "f @1000 f @2000 f @3000 #2/2/0 s =closed #3/2/0 s =open");
    run("it holds more calls than its seconds", &seconds, "s*50 f*49 =closed f =open");
    run("a long silence empties it", &seconds, "f f f @86400000 #0/0/0 f f f =closed f =open");
    run("a gap within the window is kept apart", &seconds, "f @2500 f #2/2/0 @3100 #1/1/0 @5000 #0/0/0");
    let minimum_five = BreakerConfig { minimum_number_of_calls: 5, ..three_seconds() };
    run("its minimum may exceed its size", &minimum_five, "f f f f =closed f =open");
}

#[test]
fn open_waits() {
    let four = four();
    run("no call gets through", &four, "f*4 ! @1 ! @999 ! @1000 ! =open");
    run("more than the wait must have passed", &four, "f*4 @1000 ! @1001 ? =half-open ~open-half-open@1001");
    run("time alone does not end it", &four, "f*4 @99999 tick =open ?");
    run("late answers neither close nor prolong it", &four, "f*4 @500 s*10 f*10 =open @1001 ? =half-open #0/0/0");
    let automatic = BreakerConfig { automatic_half_open: true, ..self::four() };
    run("unless it is automatic", &automatic, "f*4 @999 tick =open @1000 tick =half-open ~open-half-open@1000");
    run("what was due happens as of then", &automatic, "f*4 @5000 tick ~open-half-open@1000 ? ? !");
}

#[test]
fn half_open_tries() {
    let four = four();
    let half_open = "f*4 @2000";
    run("only so many calls", &four, &format!("{half_open} ? ? ! ! =half-open"));
    run("all good closes", &four, &format!("{half_open} ? ? s =half-open @2100 s =closed ~half-open-closed@2100 #0/0/0"));
    run("half of them failing opens again", &four, &format!("{half_open} ? ? s f =open ~half-open-open@2000 @3000 ! @3001 ?"));
    run("slow answers open again", &four, &format!("{half_open} ? ? S S =open"));
    run("a permission given back can be used", &four, &format!("{half_open} ? ? ! r ? !"));
    run("one of an earlier stay cannot", &four, &format!("? {half_open} >half-open ? ? >half-open r ? ? r ? !"));
    run("answers do not make permissions", &four, &format!("{half_open} ? ? s ! =half-open"));
    run("closed starts with an empty window", &four, &format!("{half_open} ? ? s s =closed f f f =closed f =open"));
    let minimum_one = BreakerConfig { minimum_number_of_calls: 1, ..self::four() };
    run("a minimum below the permitted calls decides sooner", &minimum_one, "f @2000 ? s =closed");
    let patient = BreakerConfig { max_wait_duration_in_half_open_ms: 500, ..self::four() };
    run("unanswered, it opens after its longest wait", &patient, &format!("{half_open} ? @2499 tick =half-open @2500 tick =open ~half-open-open@2500"));
    run("as of the time when that was due", &patient, &format!("{half_open} ? @3500 ! @3501 ? =half-open ~open-half-open@3501"));
    let lenient = BreakerConfig { after_half_open_wait: AfterHalfOpenWait::Closed, ..patient };
    run("or closes, if told so", &lenient, &format!("{half_open} ? @2500 ? =closed ~half-open-closed@2500"));
    let cycling = BreakerConfig { automatic_half_open: true, ..patient };
    run("an automatic one goes round by itself", &cycling, "f*4 @1000 tick =half-open @1500 tick =open @2500 tick =half-open @3000 tick =open");
    run("also through a silence of years", &cycling, "f*4 @94608001000 ? =half-open ~open-half-open@94608001000");
}

#[test]
fn operators_decide() {
    let four = four();
    run("forced open lets nothing through, ever", &four, ">forced-open ~closed-forced-open@0 ! s*9 @9999999 ! =forced-open");
    run("disabled lets everything through", &four, ">disabled f*99 ?*99 =disabled #0/0/0");
    run("closing starts afresh", &four, "f*4 >closed ~open-closed@0 #0/0/0 f f f =closed");
    run("closing what is closed empties the window, without a change", &four, "f f f >closed #0/0/0 f =closed");
    run("opening starts the wait", &four, "@500 >open ! @1500 ! @1501 ?");
    run("opening again starts it again", &four, ">open @900 >open @1001 ! @1901 ?");
    run("half-open at once", &four, "f*4 >half-open ? ? ! s s =closed");
}

#[test]
fn other_settings_start_the_window_again() {
    let mut breaker = Breaker::new(&four());
    for _ in 0..3 {
        breaker.on_failure(0, 0, &four());
    }
    let larger = BreakerConfig { window_size: 5, ..four() };
    breaker.on_failure(0, 0, &larger);
    assert_eq!((breaker.state(), breaker.counts(0)), (State::Closed, Counts { calls: 1, failed: 1, slow: 0 }));
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
