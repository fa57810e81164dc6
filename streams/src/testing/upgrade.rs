//! Another program on the same topics and disks: a release, or the way back.

use super::TestDriver;
use super::slot::Slot;
use crate::topology::Topology;

impl TestDriver {
    /// Kills all tasks and goes on with another program: the same application, in another version. Disks and topics stay; a processor that the program does not have does not run any more.
    ///
    /// # Panics
    /// If the topology cannot run.
    pub fn switch_to(&mut self, topology: Topology) {
        topology.check().unwrap_or_else(|error| panic!("{error}"));
        (0..self.slots.len()).for_each(|index| self.stop(index));
        let new_topics = topology.topics().difference(&self.topology.topics()).cloned().collect::<Vec<_>>();
        new_topics.iter().for_each(|topic| self.log.create(topic, self.partitions));
        let mut old = std::mem::take(&mut self.slots);
        old.retain(|slot| !slot.is_zombie);
        for (processor, spec) in topology.processors.iter().enumerate() {
            for partition in 0..self.partitions {
                let is_it = |slot: &Slot| self.topology.processors[slot.processor].name == spec.name && slot.partition == partition;
                let known = old.iter().position(is_it).map(|index| old.swap_remove(index));
                self.slots.push(known.map_or_else(|| Slot::new(processor, partition), |slot| slot.of_program(processor)));
            }
        }
        self.down.clear();
        self.topology = topology;
    }

    /// Returns what was said to the tasks that this program may not run, as it would be said to an operator. Nothing was changed of these.
    pub fn refusals(&self) -> Vec<String> {
        self.slots.iter().filter_map(|slot| slot.refused.as_ref()).map(ToString::to_string).collect()
    }
}
