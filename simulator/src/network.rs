//! Messages in flight. Any of them may be the next to arrive; appends of one writer stay in order, since a writer sends one at a time.

use fluvio_streams::processor::Call;
use fluvio_streams::record::NewRecord;

use crate::broker::Place;

/// What travels.
pub(crate) enum Cargo {
    /// An append, and where it has landed, once or twice.
    Append { place: Place, records: Vec<NewRecord>, landed: Vec<i64> },
    /// A call, and its answer.
    Call { call: Call, response: Option<String> },
}

/// A message.
pub(crate) struct Parcel {
    pub(crate) id: u64,
    /// Incarnation that waits for the answer, if it still does.
    pub(crate) incarnation: u64,
    pub(crate) instance: usize,
    pub(crate) task: usize,
    pub(crate) cargo: Cargo,
}

/// What is in flight.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) parcels: Vec<Parcel>,
    ids: u64,
}

impl Network {
    pub(crate) fn send(&mut self, incarnation: u64, instance: usize, task: usize, cargo: Cargo) -> u64 {
        self.ids += 1;
        self.parcels.push(Parcel { id: self.ids, incarnation, instance, task, cargo });
        self.ids
    }

    /// Returns true if the message may still arrive, or its answer.
    pub(crate) fn carries(&self, id: u64) -> bool {
        self.parcels.iter().any(|parcel| parcel.id == id)
    }
}

impl Network {
    /// What landed in a partition from `end` on is gone, and nobody will be told that it landed.
    pub(crate) fn forget_landed(&mut self, place: Place, end: i64) {
        self.parcels.retain_mut(|parcel| match &mut parcel.cargo {
            Cargo::Append { place: target, landed, records } if *target == place && !landed.is_empty() => {
                landed.retain(|offset| offset + records.len() as i64 <= end);
                !landed.is_empty()
            }
            _ => true,
        });
    }
}
