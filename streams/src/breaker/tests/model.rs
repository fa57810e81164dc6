//! Random traces against a model that keeps every call of the present state in a list and computes everything from it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(i64),
    Acquire,
    Outcome { failed: bool, slow: bool },
    Release,
    Operator(State),
}

/// A call that was let through and not yet answered, and the stay that let it through.
type Permission = u64;

struct Model {
    config: BreakerConfig,
    state: State,
    entered_ms: i64,
    calls: Vec<(i64, bool, bool)>,
    /// Permissions of the present stay in half-open that were not given back.
    granted: u32,
}

impl Model {
    fn enter(&mut self, state: State, now_ms: i64) {
        (self.state, self.entered_ms, self.granted) = (state, now_ms, 0);
        self.calls.clear();
    }

    fn acquire(&mut self, now_ms: i64) -> bool {
        if self.state == State::Open && now_ms > self.entered_ms + self.config.wait_duration_in_open_ms {
            self.enter(State::HalfOpen, now_ms);
        }
        match self.state {
            State::Closed | State::Disabled => true,
            State::Open | State::ForcedOpen => false,
            State::HalfOpen => {
                let permitted = self.granted < self.config.permitted_calls_in_half_open;
                self.granted += u32::from(permitted);
                permitted
            }
        }
    }

    fn window(&self, now_ms: i64) -> Vec<(i64, bool, bool)> {
        let by_count = |size: u32| self.calls[self.calls.len().saturating_sub(size as usize)..].to_vec();
        match (self.state, self.config.window_kind) {
            (State::HalfOpen, _) => by_count(self.config.permitted_calls_in_half_open),
            (_, WindowKind::CountBased) => by_count(self.config.window_size),
            (_, WindowKind::TimeBased) => {
                let oldest_second = now_ms / 1_000 - i64::from(self.config.window_size) + 1;
                self.calls.iter().copied().filter(|(at_ms, ..)| at_ms / 1_000 >= oldest_second).collect()
            }
        }
    }

    fn outcome(&mut self, now_ms: i64, failed: bool, slow: bool) {
        if !matches!(self.state, State::Closed | State::HalfOpen) {
            return;
        }
        self.calls.push((now_ms, failed, slow));
        let window = self.window(now_ms);
        let minimum = match (self.state, self.config.window_kind) {
            (State::HalfOpen, _) => self.config.minimum_number_of_calls.min(self.config.permitted_calls_in_half_open),
            (_, WindowKind::CountBased) => self.config.minimum_number_of_calls.min(self.config.window_size),
            (_, WindowKind::TimeBased) => self.config.minimum_number_of_calls,
        };
        if (window.len() as u32) < minimum {
            return;
        }
        let reaches = |part: usize, threshold: f32| part as f64 * 100.0 >= f64::from(threshold) * window.len() as f64;
        let failures = window.iter().filter(|(_, failed, _)| *failed).count();
        let slows = window.iter().filter(|(.., slow)| *slow).count();
        if reaches(failures, self.config.failure_rate_threshold) || reaches(slows, self.config.slow_call_rate_threshold) {
            self.enter(State::Open, now_ms);
        } else if self.state == State::HalfOpen {
            self.enter(State::Closed, now_ms);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![Just(State::Closed), Just(State::Open), Just(State::HalfOpen), Just(State::ForcedOpen), Just(State::Disabled)];
    prop_oneof![
        4 => (0i64..2_500).prop_map(Step::Wait),
        6 => Just(Step::Acquire),
        8 => (any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(failed, slow)| Step::Outcome { failed, slow }),
        2 => Just(Step::Release),
        1 => state.prop_map(Step::Operator),
    ]
}

fn config() -> impl Strategy<Value = BreakerConfig> {
    let kind = prop_oneof![Just(WindowKind::CountBased), Just(WindowKind::TimeBased)];
    // Whole and quarter percents: rates at which single and double precision agree.
    (1u32..=400, 1u32..=400, 1u32..80, 1u32..6, kind, 1u32..80, 1i64..4_000).prop_map(|(failure, slow, minimum, permitted, kind, size, wait_ms)| {
        BreakerConfig {
            failure_rate_threshold: failure as f32 / 4.0,
            slow_call_rate_threshold: slow as f32 / 4.0,
            slow_call_duration_threshold_ms: 100,
            minimum_number_of_calls: minimum,
            permitted_calls_in_half_open: permitted,
            window_kind: kind,
            window_size: size,
            wait_duration_in_open_ms: wait_ms,
            ..BreakerConfig::default()
        }
    })
}

proptest! {
    #[test]
    fn it_does_what_a_list_of_all_calls_says(config in config(), steps in prop::collection::vec(step(), 1..300)) {
        let mut model = Model { config: config.clone(), state: State::Closed, entered_ms: 0, calls: Vec::new(), granted: 0 };
        let mut breaker = Breaker::new(&config);
        let mut now_ms = 0;
        let mut opened_ms = None;
        let mut unanswered: Vec<Permission> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Acquire => {
                    let was_open = breaker.state() == State::Open;
                    let permitted = breaker.try_acquire(now_ms, &config).permitted;
                    prop_assert_eq!(permitted, model.acquire(now_ms));
                    if let (true, true, Some(opened_ms)) = (permitted, was_open, opened_ms) {
                        prop_assert!(now_ms - opened_ms > config.wait_duration_in_open_ms, "let through {} ms after opening", now_ms - opened_ms);
                    }
                    if permitted {
                        unanswered.push(breaker.generation());
                    }
                    let of_this_stay = unanswered.iter().filter(|permission| **permission == breaker.generation()).count();
                    prop_assert!(breaker.state() != State::HalfOpen || of_this_stay <= config.permitted_calls_in_half_open as usize);
                }
                Step::Outcome { failed, slow } => {
                    let duration_ms = if slow { 101 } else { 100 };
                    unanswered.pop();
                    let transitions = if failed { breaker.on_failure(now_ms, duration_ms, &config) } else { breaker.on_success(now_ms, duration_ms, &config) };
                    model.outcome(now_ms, failed, slow);
                    prop_assert!(transitions.iter().all(|transition| transition.at_ms == now_ms));
                }
                Step::Release => {
                    if let Some(permission) = unanswered.pop() {
                        if permission == breaker.generation() {
                            model.granted = model.granted.saturating_sub(1);
                        }
                        breaker.release(permission);
                    }
                }
                Step::Operator(state) => {
                    breaker.transition_to(state, now_ms, &config);
                    model.enter(state, now_ms);
                }
            }
            if breaker.state() == State::Open && model.entered_ms == now_ms {
                opened_ms = Some(now_ms);
            }
            prop_assert_eq!(breaker.state(), model.state);
            if matches!(model.state, State::Closed | State::HalfOpen) {
                let window = model.window(now_ms);
                let counts = breaker.counts(now_ms);
                prop_assert_eq!(counts.calls as usize, window.len());
                prop_assert_eq!(counts.failed as usize, window.iter().filter(|(_, failed, _)| *failed).count());
                prop_assert_eq!(counts.slow as usize, window.iter().filter(|(.., slow)| *slow).count());
            }
            let json = serde_json::to_string(&breaker).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Breaker>(&json).unwrap(), &breaker);
        }
    }
}
