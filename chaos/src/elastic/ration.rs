//! A part of a CPU for each process, and no more: it is stopped and goes on, many times a second, as the scheduler does with a container that has a limit. That needs no rights and no control groups.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often everybody has a turn: far less than anybody is missed after.
const PERIOD: Duration = Duration::from_millis(40);

/// Gives processes their turns until it is dropped; then all go on.
pub(super) struct Ration {
    rationed: Arc<Rationed>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Rationed {
    processes: Mutex<BTreeSet<i32>>,
    is_over: AtomicBool,
}

impl Ration {
    /// Begins to give turns of so many percent of the time.
    pub(super) fn start(percent: u32) -> Self {
        let rationed = Arc::<Rationed>::default();
        let (shared, turn) = (Arc::clone(&rationed), PERIOD * percent.clamp(1, 100) / 100);
        Self { rationed, thread: Some(thread::spawn(move || shared.give_turns(turn))) }
    }

    pub(super) fn add(&self, process: Pid) {
        self.rationed.processes().insert(process.as_raw_nonzero().get());
    }

    /// From now on the process has all the time that it needs. Comes before it is told to end: afterwards its id may be another's.
    pub(super) fn remove(&self, process: Pid) {
        let mut processes = self.rationed.processes();
        processes.remove(&process.as_raw_nonzero().get());
        let _ = kill_process(process, Signal::CONT);
    }
}

impl Drop for Ration {
    fn drop(&mut self) {
        self.rationed.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Rationed {
    fn processes(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_turns(&self, turn: Duration) {
        while !self.is_over.load(Ordering::Acquire) {
            let all: Vec<i32> = self.processes().iter().copied().collect();
            for process in &all {
                self.signal(*process, Signal::CONT);
                thread::sleep(turn);
                self.signal(*process, Signal::STOP);
            }
            thread::sleep(PERIOD.saturating_sub(turn * all.len() as u32));
        }
        for process in self.processes().iter() {
            if let Some(process) = Pid::from_raw(*process) {
                let _ = kill_process(process, Signal::CONT);
            }
        }
    }

    /// Signals a process that is still rationed: the lock is held, so that nobody ends it meanwhile.
    fn signal(&self, process: i32, signal: Signal) {
        let processes = self.processes();
        if let Some(id) = Pid::from_raw(process).filter(|_| processes.contains(&process)) {
            let _ = kill_process(id, signal);
        }
    }
}
