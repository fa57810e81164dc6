//! Who tries to own what. Correctness must not depend on it: fencing alone keeps owners apart. So here anybody tries anything at any time.
//!
//! This is the place for another answer, for example the members of an assignment topic: implement [`Assignment`] and give it to the world.

use fluvio_streams::testing::Random;

/// Decides whether an instance that does not run a task begins to.
pub(crate) trait Assignment {
    /// Returns true if `instance` tries to take `task` over now. `is_owned`: somebody runs it, as far as an all-knowing observer sees.
    fn tries(&mut self, instance: usize, task: usize, is_owned: bool, random: &mut Random) -> bool;

    /// Returns who takes a task over that nobody runs, when there are no faults any more.
    fn heir(&mut self, task: usize, instances: usize, random: &mut Random) -> usize;
}

/// Anybody, at any time.
pub(crate) struct Anybody {
    /// A task that has an owner is tried once in so many times.
    pub(crate) rival_once_in: u64,
}

impl Assignment for Anybody {
    fn tries(&mut self, _instance: usize, _task: usize, is_owned: bool, random: &mut Random) -> bool {
        !is_owned || random.once_in(self.rival_once_in)
    }

    fn heir(&mut self, _task: usize, instances: usize, random: &mut Random) -> usize {
        random.below(instances as u64) as usize
    }
}
