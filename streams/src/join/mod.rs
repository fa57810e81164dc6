//! Joins: what is known of one key from two topics.
//!
//! | join | told by | for example |
//! |---|---|---|
//! | [`StreamTable`] | each record of the stream, with what the table says at that moment | an order and its customer's address |
//! | [`TableTable`] | each change of one of the tables, with the other | a product's price and its stock |
//! | [`StreamStream`] | each two records that happened close to each other; a left join, also those that stay alone | an offer and the order that it led to |
//!
//! A *table* is what the records of a topic say last of each key. Here it is a store of the task that reads the topic: the processor decodes a record, and hands over the new value, or
//! `None` if the key is gone (a tombstone: whichever type of event says so, for example `CustomerForgotten`). Like windows, joins are values inside a processor that work on its
//! [`crate::processor::Context`], so they survive what the task survives.
//!
//! **Co-partitioned.** The two topics are sources of one processor, so they have as many partitions as each other, which is checked at start
//! ([`crate::runtime::StartError::NotCopartitioned`] names both), and both are keyed by the key of the join, which nobody can check: records of one key then meet in one task.
//!
//! **Another key.** To join by something else than a record's key, repartition: one processor emits what it reads under the other key ([`crate::processor::Context::emit`]) to a topic of
//! the application, from which the processor with the join reads. It costs one hop, and nothing of the guarantees: the records are effects, taken once.
//!
//! **Order.** Two topics have no order in common. A task that is behind takes their records by their timestamps, so what was written to the table first is there first, as far as the
//! clocks of the writers agree; a task that has caught up takes records as they arrive. A stream-table join tells what the table said when the record was taken: a table's record that
//! comes later changes nothing that was told, and a late record of the stream meets the table as it is, not as it was. Of one key, the table's last record in the order of its topic
//! counts, whatever its time. A table-table join ends alike in whichever order the two topics are taken; what is told on the way may differ.
//!
//! **Late.** A stream-stream join goes by event time, as windows do ([`crate::window`]): a pair is told if both records were taken, in whichever order they came, and a record is taken unless
//! stream time has passed it by more than the grace ([`JoinWindows::grace`]). So the grace says how far the two topics may be behind each other.
//!
//! What it is not: a join by a key inside the value (repartition for that).

mod stream_stream;
mod stream_table;
mod table;
mod table_table;

pub use stream_stream::{Alone, JoinWindows, Joins, StreamStream};
pub use stream_table::StreamTable;
pub use table::Table;
pub use table_table::{Change, Joined, Kind, TableTable};

#[cfg(test)]
mod tests;
