//! How far the tasks of this instance have read their journals, all together: for the progress that a person sees while it takes long.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fluvio_streams::telemetry::{Event, Phase, TaskName};

/// Journal records of tasks that are being restored, or were since the start.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    tasks: Mutex<HashMap<String, Task>>,
}

#[derive(Debug, Default)]
struct Task {
    /// The most that was ever left to be read.
    total: u64,
    remaining: u64,
}

impl Restoring {
    pub(super) fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Restoring { task, remaining } => {
                let remaining = remaining.unsigned_abs();
                self.change(*task, |task| *task = Task { total: task.total.max(remaining), remaining });
            }
            Event::Restored { task, .. } | Event::PhaseEntered(task, Phase::Standby) => self.change(*task, |task| task.remaining = 0),
            // It reads again from somewhere else, or others do.
            Event::PhaseEntered(task, Phase::Waiting | Phase::Stopped) => self.change(*task, |task| *task = Task::default()),
            _ => {}
        }
    }

    /// Returns how many records were read, and of how many.
    pub(super) fn progress(&self) -> (u64, u64) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.values().fold((0, 0), |(read, total), task| (read + task.total - task.remaining, total + task.total))
    }

    fn change(&self, name: TaskName<'_>, change: impl FnOnce(&mut Task)) {
        let key = format!("{}/{}/{}", name.application, name.processor, name.partition);
        change(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_what_all_tasks_have_read_of_all_that_they_have_to() {
        let restoring = Restoring::default();
        let task = |partition| TaskName { application: "shop", processor: "orders", partition };
        assert_eq!(restoring.progress(), (0, 0));
        for (partition, remaining) in [(0, 100), (1, 40), (0, 70)] {
            restoring.observe(&Event::Restoring { task: task(partition), remaining });
        }
        assert_eq!(restoring.progress(), (30, 140));
        restoring.observe(&Event::Restored { task: task(1), records: 40, took: std::time::Duration::ZERO });
        assert_eq!(restoring.progress(), (70, 140));
        restoring.observe(&Event::PhaseEntered(task(0), Phase::Waiting));
        assert_eq!(restoring.progress(), (40, 40));
    }
}
