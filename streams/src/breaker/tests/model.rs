//! Random traces against a model that keeps a list of all calls, goes through time change by change, and computes everything anew; and against the same breaker, kept differently.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(i64),
    /// Goes to the time when something may happen next, or a millisecond beside it.
    ToEdge(i64),
    Tick,
    Acquire,
    Outcome {
        failed: bool,
        duration_ms: i64,
    },
    /// Gives back the oldest permission, or the newest.
    Release {
        oldest: bool,
    },
    Operator(State),
    Reset,
}

const SLOW_ABOVE_MS: i64 = 100;
const STEPS_MAX: usize = 300;

/// What a step brought, as far as anybody can see.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    permitted: Option<bool>,
    transitions: Vec<Transition>,
}

/// A breaker and what its callers hold.
#[derive(Clone)]
struct Subject {
    config: BreakerConfig,
    breaker: Breaker,
    /// The stays that gave the permissions not yet used.
    permissions: Vec<u64>,
}

impl Subject {
    fn new(config: &BreakerConfig) -> Self {
        Self { config: config.clone(), breaker: Breaker::new(config), permissions: Vec::new() }
    }

    fn perform(&mut self, step: Step, now_ms: i64) -> Seen {
        let (breaker, config) = (&mut self.breaker, &self.config);
        let mut permitted = None;
        let transitions = match step {
            Step::Wait(_) | Step::ToEdge(_) => Vec::new(),
            Step::Tick => breaker.advance(now_ms, config),
            Step::Acquire => {
                let acquisition = breaker.try_acquire(now_ms, config);
                permitted = Some(acquisition.permitted);
                self.permissions.extend(acquisition.permitted.then(|| breaker.generation()));
                acquisition.transitions
            }
            Step::Outcome { failed, duration_ms } => {
                self.permissions.pop();
                if failed { breaker.on_failure(now_ms, duration_ms, config) } else { breaker.on_success(now_ms, duration_ms, config) }
            }
            Step::Release { oldest } => {
                take(&mut self.permissions, oldest).into_iter().for_each(|permission| breaker.release(permission));
                Vec::new()
            }
            Step::Operator(state) => {
                let mut transitions = breaker.advance(now_ms, config);
                transitions.extend(breaker.transition_to(state, now_ms, config));
                transitions
            }
            Step::Reset => {
                let mut transitions = breaker.advance(now_ms, config);
                transitions.extend(breaker.reset(now_ms, config));
                transitions
            }
        };
        Seen { permitted, transitions }
    }
}

fn take<T>(permissions: &mut Vec<T>, oldest: bool) -> Option<T> {
    if oldest && !permissions.is_empty() { Some(permissions.remove(0)) } else { permissions.pop() }
}

#[derive(Clone, Copy)]
struct Call {
    at_ms: i64,
    failed: bool,
    duration_ms: i64,
}

struct Model {
    config: BreakerConfig,
    state: State,
    since_ms: i64,
    /// Number of the present stay.
    stay: usize,
    /// All calls that ended in the present stay.
    calls: Vec<Call>,
    /// Of each permission that was given and is not used: in which stay.
    permissions: Vec<usize>,
    /// How many more the present stay gives.
    left: u32,
    transitions: Vec<Transition>,
}

impl Model {
    fn new(config: &BreakerConfig) -> Self {
        let config = config.clone();
        Self { config, state: State::Closed, since_ms: 0, stay: 0, calls: Vec::new(), permissions: Vec::new(), left: 0, transitions: Vec::new() }
    }

    fn enter(&mut self, to: State, at_ms: i64) {
        if to != self.state {
            self.transitions.push(Transition { from: self.state, to, at_ms, counts: self.counts(at_ms) });
        }
        (self.state, self.since_ms, self.left) = (to, at_ms, self.config.permitted_calls_in_half_open);
        self.stay += 1;
        self.calls.clear();
    }

    /// Returns what comes by time alone.
    fn due(&self) -> Option<(i64, State)> {
        let longest_ms = self.config.max_wait_duration_in_half_open_ms;
        let after = if self.config.after_half_open_wait == AfterHalfOpenWait::Open { State::Open } else { State::Closed };
        match self.state {
            State::Open => self.config.automatic_half_open.then_some((self.since_ms + self.config.wait_duration_in_open_ms, State::HalfOpen)),
            State::HalfOpen => (longest_ms > 0).then_some((self.since_ms + longest_ms, after)),
            State::Closed | State::ForcedOpen | State::Disabled => None,
        }
    }

    fn pass(&mut self, now_ms: i64) {
        while let Some((due_ms, to)) = self.due().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.enter(to, due_ms);
        }
    }

    fn perform(&mut self, step: Step, now_ms: i64) -> Seen {
        self.transitions.clear();
        let mut permitted = None;
        match step {
            Step::Wait(_) | Step::ToEdge(_) => {}
            Step::Tick => self.pass(now_ms),
            Step::Acquire => {
                self.pass(now_ms);
                permitted = Some(self.acquire(now_ms));
                self.permissions.extend(permitted.filter(|permitted| *permitted).map(|_| self.stay));
            }
            Step::Outcome { failed, duration_ms } => {
                self.permissions.pop();
                self.pass(now_ms);
                self.outcome(Call { at_ms: now_ms, failed, duration_ms });
            }
            Step::Release { oldest } => {
                let permission = take(&mut self.permissions, oldest);
                self.left += u32::from(permission == Some(self.stay));
            }
            Step::Operator(state) => {
                self.pass(now_ms);
                if state != self.state {
                    self.enter(state, now_ms);
                }
            }
            Step::Reset => {
                self.pass(now_ms);
                self.enter(State::Closed, now_ms);
            }
        }
        Seen { permitted, transitions: self.transitions.clone() }
    }

    fn acquire(&mut self, now_ms: i64) -> bool {
        if self.state == State::Open && now_ms - self.since_ms > self.config.wait_duration_in_open_ms {
            self.enter(State::HalfOpen, now_ms);
        }
        if self.state == State::HalfOpen {
            let permitted = self.left > 0;
            self.left -= u32::from(permitted);
            return permitted;
        }
        matches!(self.state, State::Closed | State::Disabled)
    }

    fn window(&self, now_ms: i64) -> Vec<Call> {
        let last = |size: u32| self.calls.iter().rev().take(size as usize).copied().collect();
        let second = |at_ms: i64| at_ms / 1_000;
        match (self.state, self.config.window_kind) {
            (State::HalfOpen, _) => last(self.config.permitted_calls_in_half_open),
            (_, WindowKind::CountBased) => last(self.config.window_size),
            (_, WindowKind::TimeBased) => {
                let is_young = |call: &&Call| second(now_ms) - second(call.at_ms) < i64::from(self.config.window_size);
                self.calls.iter().filter(is_young).copied().collect()
            }
        }
    }

    fn counts(&self, now_ms: i64) -> Counts {
        let window = self.window(now_ms);
        let failed = window.iter().filter(|call| call.failed).count() as u32;
        let slow = window.iter().filter(|call| call.duration_ms > SLOW_ABOVE_MS).count() as u32;
        Counts { calls: window.len() as u32, failed, slow }
    }

    fn outcome(&mut self, call: Call) {
        if !matches!(self.state, State::Closed | State::HalfOpen) {
            return;
        }
        self.calls.push(call);
        let Counts { calls, failed, slow } = self.counts(call.at_ms);
        let room = match (self.state, self.config.window_kind) {
            (State::HalfOpen, _) => self.config.permitted_calls_in_half_open,
            (_, WindowKind::CountBased) => self.config.window_size,
            (_, WindowKind::TimeBased) => u32::MAX,
        };
        if calls < self.config.minimum_number_of_calls && calls < room {
            return;
        }
        let reaches = |part: u32, threshold: f32| f64::from(part) * 100.0 >= f64::from(threshold) * f64::from(calls);
        if reaches(failed, self.config.failure_rate_threshold) || reaches(slow, self.config.slow_call_rate_threshold) {
            self.enter(State::Open, call.at_ms);
        } else if self.state == State::HalfOpen {
            self.enter(State::Closed, call.at_ms);
        }
    }

    /// Returns when something may happen next: the end of a wait, or of a second.
    fn edge(&self, now_ms: i64) -> i64 {
        match self.state {
            State::Open => self.since_ms + self.config.wait_duration_in_open_ms,
            State::HalfOpen if self.config.max_wait_duration_in_half_open_ms > 0 => self.since_ms + self.config.max_wait_duration_in_half_open_ms,
            _ => (now_ms / 1_000 + 1) * 1_000,
        }
    }
}

fn step(failing: f64) -> impl Strategy<Value = Step> {
    let state = prop_oneof![Just(State::Closed), Just(State::Open), Just(State::HalfOpen), Just(State::ForcedOpen), Just(State::Disabled)];
    let duration_ms = prop_oneof![8 => 0i64..=SLOW_ABOVE_MS, 1 => Just(SLOW_ABOVE_MS), 2 => Just(SLOW_ABOVE_MS + 1), 1 => Just(i64::MAX)];
    prop_oneof![
        24 => prop_oneof![0i64..100, 0i64..2_500].prop_map(Step::Wait),
        1 => (0i64..40_000).prop_map(Step::Wait),
        20 => (-1i64..=1).prop_map(Step::ToEdge),
        10 => Just(Step::Tick),
        60 => Just(Step::Acquire),
        100 => (prop::bool::weighted(failing), duration_ms).prop_map(|(failed, duration_ms)| Step::Outcome { failed, duration_ms }),
        15 => any::<bool>().prop_map(|oldest| Step::Release { oldest }),
        4 => state.prop_map(Step::Operator),
        1 => Just(Step::Reset),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let times = || prop_oneof![30 => Just(1), 1 => 1usize..100];
    let repeated = |steps: Vec<(Step, usize)>| steps.into_iter().flat_map(|(step, times)| std::iter::repeat_n(step, times)).take(STEPS_MAX).collect();
    prop_oneof![Just(0.05), Just(0.4), Just(0.8)].prop_flat_map(move |failing| prop::collection::vec((step(failing), times()), 1..150).prop_map(repeated))
}

fn config() -> impl Strategy<Value = BreakerConfig> {
    let kind = prop_oneof![Just(WindowKind::CountBased), Just(WindowKind::TimeBased)];
    // Quarter percents: rates at which single and double precision agree.
    let rates = (1u32..=400, 1u32..=400);
    let sizes = (prop_oneof![1u32..8, 1u32..150], 1u32..6, prop_oneof![1u32..8, 1u32..150]);
    let waits = (1i64..4_000, prop_oneof![Just(0i64), 1i64..3_000]);
    let after = prop_oneof![Just(AfterHalfOpenWait::Open), Just(AfterHalfOpenWait::Closed)];
    (rates, sizes, kind, waits, after, any::<bool>()).prop_map(
        |((failure, slow), (minimum, permitted, size), kind, (wait_ms, longest_ms), after, automatic)| BreakerConfig {
            failure_rate_threshold: failure as f32 / 4.0,
            slow_call_rate_threshold: slow as f32 / 4.0,
            slow_call_duration_threshold_ms: SLOW_ABOVE_MS,
            minimum_number_of_calls: minimum,
            permitted_calls_in_half_open: permitted,
            window_kind: kind,
            window_size: size,
            wait_duration_in_open_ms: wait_ms,
            max_wait_duration_in_half_open_ms: longest_ms,
            after_half_open_wait: after,
            automatic_half_open: automatic,
        },
    )
}

/// Returns true if it goes round by itself: whole rounds through which nobody asked are then not told.
fn goes_round(config: &BreakerConfig) -> bool {
    config.automatic_half_open && config.max_wait_duration_in_half_open_ms > 0 && config.after_half_open_wait == AfterHalfOpenWait::Open
}

/// Lets time pass as a step says.
fn after(step: Step, now_ms: i64, model: &Model) -> i64 {
    match step {
        Step::Wait(ms) => now_ms + ms,
        Step::ToEdge(beside_ms) => (model.edge(now_ms) + beside_ms).max(now_ms),
        _ => now_ms,
    }
}

/// Checks what the breaker foretells against what copies of it do at those times.
fn check_foretold(subject: &Subject, now_ms: i64) {
    let (breaker, config) = (&subject.breaker, &subject.config);
    let changes = |at_ms: i64| !breaker.clone().advance(at_ms, config).is_empty();
    let permits = |at_ms: i64| breaker.clone().try_acquire(at_ms, config).permitted;
    match breaker.wakes_at(config) {
        Some(due_ms) => assert!(changes(due_ms.max(now_ms)) && (due_ms <= now_ms || !changes(due_ms - 1)), "wakes at {due_ms}, now {now_ms}: {breaker:?}"),
        None => assert!(!changes(now_ms + 1_000_000), "never wakes: {breaker:?}"),
    }
    match breaker.permits_at(config) {
        Some(from_ms) if from_ms > now_ms => {
            assert!(!permits(now_ms) && !permits(from_ms - 1), "permits at {from_ms}, now {now_ms}: {breaker:?}");
            assert!(permits(from_ms) || breaker.state() == State::HalfOpen, "permits at {from_ms}: {breaker:?}");
        }
        Some(_) if breaker.wakes_at(config).is_none_or(|due_ms| due_ms > now_ms) => assert!(permits(now_ms), "permits now, {now_ms}: {breaker:?}"),
        Some(_) => {}
        None => assert!(!permits(now_ms) && !permits(now_ms + 1_000_000), "never permits: {breaker:?}"),
    }
}

proptest! {
    #[test]
    fn it_does_what_a_list_of_all_calls_says(config in config(), steps in steps()) {
        let mut model = Model::new(&config);
        let mut subject = Subject::new(&config);
        let mut now_ms = 0;
        for step in steps {
            now_ms = after(step, now_ms, &model);
            let expected = model.perform(step, now_ms);
            let seen = subject.perform(step, now_ms);
            prop_assert_eq!(seen.permitted, expected.permitted);
            let untold = expected.transitions.len().saturating_sub(seen.transitions.len());
            prop_assert!(untold == 0 || (untold.is_multiple_of(2) && goes_round(&config)), "{} changes were not told", untold);
            if untold == 0 {
                prop_assert_eq!(&seen.transitions, &expected.transitions);
            }
            prop_assert_eq!(subject.breaker.state(), model.state);
            if matches!(model.state, State::Closed | State::HalfOpen) {
                prop_assert_eq!(subject.breaker.counts(now_ms), model.counts(now_ms));
            }
            let of_this_stay = subject.permissions.iter().filter(|permission| **permission == subject.breaker.generation()).count();
            prop_assert!(model.state != State::HalfOpen || of_this_stay <= config.permitted_calls_in_half_open as usize);
            check_foretold(&subject, now_ms);
        }
    }

    #[test]
    fn to_be_stored_and_loaded_anywhere_changes_nothing(config in config(), steps in steps(), restarts in prop::collection::vec(any::<bool>(), STEPS_MAX)) {
        let mut model = Model::new(&config);
        let (mut kept, mut stored, mut replayed) = (Subject::new(&config), Subject::new(&config), Subject::new(&config));
        let mut now_ms = 0;
        for (step, restart) in steps.into_iter().zip(restarts) {
            now_ms = after(step, now_ms, &model);
            model.perform(step, now_ms);
            if restart {
                stored.breaker = restarted(&stored.breaker);
            } else {
                replayed.breaker = restarted(&replayed.breaker);
            }
            let seen = kept.perform(step, now_ms);
            for other in [&mut stored, &mut replayed] {
                prop_assert_eq!(&other.perform(step, now_ms), &seen);
                prop_assert_eq!(&other.breaker, &kept.breaker);
                prop_assert_eq!(other.breaker.counts(now_ms), kept.breaker.counts(now_ms));
            }
        }
        prop_assert_eq!(serde_json::to_string(&stored.breaker).unwrap(), serde_json::to_string(&replayed.breaker).unwrap());
    }

    #[test]
    fn to_be_asked_more_often_what_is_due_changes_no_decision(config in config(), steps in steps(), restless in prop::collection::vec(0i64..4, STEPS_MAX)) {
        let mut model = Model::new(&config);
        let (mut calm, mut asked) = (Subject::new(&config), Subject::new(&config));
        let (mut told_calm, mut told_asked) = (Vec::new(), Vec::new());
        let mut now_ms = 0;
        for (step, times) in steps.into_iter().zip(restless) {
            let next_ms = after(step, now_ms, &model);
            model.perform(step, next_ms);
            for time in 1..=times {
                told_asked.extend(asked.perform(Step::Tick, now_ms + (next_ms - now_ms) * time / times).transitions);
            }
            now_ms = next_ms;
            let (seen, seen_asked) = (calm.perform(step, now_ms), asked.perform(step, now_ms));
            prop_assert_eq!(seen_asked.permitted, seen.permitted);
            told_calm.extend(seen.transitions);
            told_asked.extend(seen_asked.transitions);
        }
        told_calm.extend(calm.perform(Step::Tick, now_ms).transitions);
        told_asked.extend(asked.perform(Step::Tick, now_ms).transitions);
        prop_assert_eq!(calm.breaker.state(), asked.breaker.state());
        prop_assert_eq!(calm.breaker.counts(now_ms), asked.breaker.counts(now_ms));
        prop_assert!(goes_round(&config) || told_calm == told_asked, "{:?} instead of {:?}", told_asked, told_calm);
    }
}
