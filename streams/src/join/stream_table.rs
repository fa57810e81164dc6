//! Records of a stream, each with what a table says at that moment.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Table;
use crate::processor::Context;
use crate::state::StateError;
use crate::topology::StoreSpec;

/// Joins a stream with a table of the same key. Nothing is remembered of the stream: its records are told once, when they come.
///
/// ```
/// use fluvio_streams::join::StreamTable;
/// use fluvio_streams::processor::{Context, Failure, Input, Processor};
///
/// struct Address(StreamTable<String>);
///
/// impl Processor for Address {
///     fn process(&self, input: Input<'_>, cx: &mut Context<'_>) -> Result<(), Failure> {
///         let Input::Message(message) = input else { return Ok(()) };
///         let customer = message.subject.as_deref().unwrap_or_default();
///         match message.kind.as_str() {
///             "CustomerMoved" => self.0.update(cx, customer, Some(&message.decode()?)),
///             "CustomerForgotten" => self.0.update(cx, customer, None),
///             _ => {
///                 if let Some((order, address)) = self.0.inner(cx, customer, message.decode::<u64>()?)? {
///                     cx.emit("parcels", "ParcelAddressed", customer, &(order, address));
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub struct StreamTable<T> {
    table: Table<T>,
}

impl<T> Clone for StreamTable<T> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone() }
    }
}

impl<T> std::fmt::Debug for StreamTable<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StreamTable").field("table", &self.table).finish()
    }
}

impl<T: Serialize + DeserializeOwned> StreamTable<T> {
    /// Returns a join whose table is in the store of this name, unique within the processor.
    pub fn new(name: &str) -> Self {
        Self { table: Table::new(name) }
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<StoreSpec> {
        self.table.stores()
    }

    /// Takes a record of the table; `None`: the key is gone.
    pub fn update(&self, cx: &mut Context<'_>, key: &str, value: Option<&T>) {
        self.table.set(cx, key, value);
    }

    /// Joins a record of the stream; `None` if the table says nothing of its key.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or the table's value does not decode.
    pub fn inner<S>(&self, cx: &Context<'_>, key: &str, record: S) -> Result<Option<(S, T)>, StateError> {
        Ok(self.table.get(cx, key)?.map(|value| (record, value)))
    }

    /// Joins a record of the stream, also if the table says nothing of its key.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or the table's value does not decode.
    pub fn left<S>(&self, cx: &Context<'_>, key: &str, record: S) -> Result<(S, Option<T>), StateError> {
        Ok((record, self.table.get(cx, key)?))
    }
}
