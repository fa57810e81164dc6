//! A part of a CPU for each process, and no more: whoever has had its part is stopped until it has earned another turn, as the scheduler does with a container that has a limit. That needs no
//! rights and no control groups.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often everybody is looked at: far less than anybody is missed after.
const PERIOD: Duration = Duration::from_millis(25);
/// Shortest and longest turn.
const TURN_MIN: Duration = Duration::from_millis(1);
const TURN_MAX: Duration = Duration::from_millis(5);
/// How much of what was not used is saved for later, as time in which it is earned.
const SAVED: Duration = Duration::from_millis(250);

/// Gives processes their turns until it is dropped; then all go on.
pub(super) struct Ration {
    rationed: Arc<Rationed>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Rationed {
    processes: Mutex<BTreeMap<i32, Account>>,
    is_over: AtomicBool,
}

/// What a process may still use, in seconds, and what it had used when it was looked at last.
#[derive(Debug, Clone, Copy)]
struct Account {
    credit: f64,
    used: f64,
}

impl Ration {
    /// Begins to give turns: so many percent of a CPU.
    pub(super) fn start(percent: u32) -> Self {
        let rationed = Arc::<Rationed>::default();
        let (shared, part) = (Arc::clone(&rationed), f64::from(percent) / 100.0);
        Self { rationed, thread: Some(thread::spawn(move || shared.give_turns(part))) }
    }

    pub(super) fn add(&self, process: Pid) {
        let process = process.as_raw_nonzero().get();
        self.rationed.processes().insert(process, Account { credit: 0.0, used: used(process) });
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
    fn processes(&self) -> MutexGuard<'_, BTreeMap<i32, Account>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_turns(&self, part: f64) {
        let mut earned_until = Instant::now();
        while !self.is_over.load(Ordering::Acquire) {
            let earned = earned_until.elapsed().as_secs_f64() * part;
            earned_until = Instant::now();
            let all: Vec<i32> = self.processes().keys().copied().collect();
            for process in all {
                self.give_turn(process, earned, part * SAVED.as_secs_f64());
            }
            thread::sleep(PERIOD.saturating_sub(earned_until.elapsed()));
        }
        for process in self.processes().keys() {
            signal(*process, Signal::CONT);
        }
    }

    /// Lets a process run for a moment if it has credit, and charges what it used. The lock is held while it is signalled, so that nobody ends it meanwhile.
    fn give_turn(&self, process: i32, earned: f64, saved: f64) {
        let turn = match self.processes().get_mut(&process) {
            Some(account) => {
                account.credit = (account.credit + earned).min(saved);
                if account.credit <= 0.0 {
                    return;
                }
                signal(process, Signal::CONT);
                Duration::from_secs_f64(account.credit).clamp(TURN_MIN, TURN_MAX)
            }
            None => return,
        };
        thread::sleep(turn);
        if let Some(account) = self.processes().get_mut(&process) {
            signal(process, Signal::STOP);
            let used = used(process);
            // A thread that has ended takes its time with it.
            account.credit -= (used - account.used).max(0.0);
            account.used = used;
        }
    }
}

fn signal(process: i32, signal: Signal) {
    if let Some(process) = Pid::from_raw(process) {
        let _ = kill_process(process, signal);
    }
}

/// Returns for how long the threads of a process have run, in seconds.
fn used(process: i32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return 0.0 };
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    threads.filter_map(Result::ok).filter_map(of_thread).sum::<f64>() / 1e9
}
