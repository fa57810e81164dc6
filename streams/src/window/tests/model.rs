//! What windows should do, without a thought for what it costs.

use crate::window::windows::Shape;
use crate::window::{Window, Windowed, Windows};

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) time_ms: i64,
}

pub(super) struct Expected {
    pub(super) missed: usize,
}

/// Looks at every window whenever something happens.
pub(super) struct Model {
    windows: Windows,
    stream_ms: i64,
    open: Vec<Windowed<Vec<usize>>>,
    pub(super) closed: Vec<Windowed<Vec<usize>>>,
    pub(super) late: i64,
}

impl Model {
    pub(super) fn new(windows: Windows) -> Self {
        Self { windows, stream_ms: i64::MIN, open: Vec::new(), closed: Vec::new(), late: 0 }
    }

    pub(super) fn observe(&mut self, id: usize, record: &Record) -> Expected {
        self.stream_ms = self.stream_ms.max(record.time_ms);
        // Stream time closes first: what is closed takes nothing.
        self.close();
        let missed = match self.windows.shape {
            Shape::Fixed { size_ms, advance_ms } => self.add(id, record, size_ms, advance_ms),
            Shape::Session { gap_ms } => self.join(id, record, gap_ms),
        };
        self.late += i64::from(missed > 0);
        Expected { missed }
    }

    pub(super) fn open(&self) -> Vec<Windowed<Vec<usize>>> {
        in_order(self.open.clone())
    }

    fn is_closed(&self, window: Window) -> bool {
        window.end_ms + self.windows.grace_ms <= self.stream_ms
    }

    fn close(&mut self) {
        let (closed, open) = std::mem::take(&mut self.open).into_iter().partition(|windowed| self.is_closed(windowed.window));
        self.open = open;
        self.closed.extend(in_order(closed));
    }

    fn add(&mut self, id: usize, record: &Record, size_ms: i64, advance_ms: i64) -> usize {
        let mut missed = 0;
        // Far enough on both sides.
        for number in -1_100..=1_100_000 / advance_ms {
            let window = Window { start_ms: number * advance_ms, end_ms: number * advance_ms + size_ms };
            if window.start_ms > record.time_ms {
                break;
            }
            if window.end_ms <= record.time_ms {
                continue;
            }
            if self.is_closed(window) {
                missed += 1;
                continue;
            }
            match self.open.iter_mut().find(|open| open.key == record.key && open.window == window) {
                Some(open) => open.value.push(id),
                None => self.open.push(Windowed { key: record.key.clone(), window, value: vec![id] }),
            }
        }
        missed
    }

    fn join(&mut self, id: usize, record: &Record, gap_ms: i64) -> usize {
        let alone = Window { start_ms: record.time_ms, end_ms: record.time_ms + gap_ms };
        let touched = |open: &Windowed<Vec<usize>>| open.key == record.key && open.window.overlaps(&alone);
        let (near, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open).into_iter().partition(touched);
        self.open = others;
        if near.is_empty() && self.is_closed(alone) {
            return 1;
        }
        let near = in_order(near);
        let start_ms = near.iter().map(|session| session.window.start_ms).chain([alone.start_ms]).min().expect("there is one");
        let end_ms = near.iter().map(|session| session.window.end_ms).chain([alone.end_ms]).max().expect("there is one");
        let value = near.into_iter().flat_map(|session| session.value).chain([id]).collect();
        self.open.push(Windowed { key: record.key.clone(), window: Window { start_ms, end_ms }, value });
        0
    }
}

/// Sessions of all records at once, in the order of their ends.
pub(super) fn sorted_sessions(gap_ms: i64, records: &[Record]) -> Vec<Windowed<Vec<usize>>> {
    let mut sorted: Vec<(&Record, usize)> = records.iter().zip(0..).collect();
    sorted.sort_by_key(|(record, _)| (record.key.clone(), record.time_ms));
    let mut sessions: Vec<Windowed<Vec<usize>>> = Vec::new();
    for (record, id) in sorted {
        let end_ms = record.time_ms + gap_ms;
        match sessions.last_mut().filter(|session| session.key == record.key && record.time_ms < session.window.end_ms) {
            Some(session) => {
                session.window.end_ms = end_ms;
                session.value.push(id);
            }
            None => sessions.push(Windowed { key: record.key.clone(), window: Window { start_ms: record.time_ms, end_ms }, value: vec![id] }),
        }
    }
    sessions.iter_mut().for_each(|session| session.value.sort_unstable());
    in_order(sessions)
}

fn in_order(mut windows: Vec<Windowed<Vec<usize>>>) -> Vec<Windowed<Vec<usize>>> {
    windows.sort_by_key(|windowed| (windowed.window.end_ms, windowed.window.start_ms, windowed.key.clone()));
    windows
}
