//! Makes a task's calls to outside systems, a bounded number at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Runner;
use crate::limits::CALLS_RUNNING_MAX;
use crate::processor::{Call, CallResult};
use crate::telemetry::Event;

/// The calls of one incarnation. Dropping it abandons them: the next one makes them again.
#[derive(Default)]
pub(super) struct Calls {
    /// With them whether an earlier incarnation may have made them.
    waiting: VecDeque<(Call, bool)>,
    running: JoinSet<(CallResult, Duration)>,
}

impl Calls {
    /// Takes calls; `again`: an earlier incarnation may have made them.
    pub(super) fn start(&mut self, runner: &Runner, calls: Vec<Call>, again: bool) {
        self.waiting.extend(calls.into_iter().map(|call| (call, again)));
        self.fill(runner);
    }

    fn fill(&mut self, runner: &Runner) {
        while self.running.len() < CALLS_RUNNING_MAX {
            let Some((call, again)) = self.waiting.pop_front() else { return };
            let Some(handler) = runner.options.calls.get(&call.target).cloned() else {
                tracing::error!(task = runner.id(), target = call.target, "call to an outside system that has no handler stays pending");
                continue;
            };
            self.running.spawn(async move {
                let began = Instant::now();
                let response = if again { handler.call_again(&call).await } else { handler.call(&call).await };
                (CallResult { call, response }, began.elapsed())
            });
        }
    }

    /// Waits for the next result. Cancel-safe; never returns while nothing runs.
    pub(super) async fn next(&mut self, runner: &Runner) -> CallResult {
        loop {
            match self.running.join_next().await {
                Some(Ok(answered)) => return self.answered(runner, answered),
                // A handler that panicked gives no answer; the call stays pending and is made again by the next incarnation.
                Some(Err(error)) => tracing::error!(task = runner.id(), error = &error as &dyn std::error::Error, "call handler failed"),
                None => std::future::pending().await,
            }
        }
    }

    /// Returns a result that is there already.
    pub(super) fn try_next(&mut self, runner: &Runner) -> Option<CallResult> {
        let answered = self.running.try_join_next()?.ok()?;
        Some(self.answered(runner, answered))
    }

    fn answered(&mut self, runner: &Runner, (result, took): (CallResult, Duration)) -> CallResult {
        self.fill(runner);
        if runner.is_traced() {
            let call = &result.call;
            runner.observe(&Event::CallTraced { task: runner.name(), call, took });
            tracing::debug!(task = runner.id(), trace_id = %call.trace().trace, call = call.id, target_system = call.target, "call was answered");
        }
        result
    }
}
