//! What the records of a topic say last of each key.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::processor::Context;
use crate::state::StateError;
use crate::topology::StoreSpec;

/// A table in a store of the task: the part of it whose keys belong to this partition.
pub struct Table<V> {
    store: String,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), value: PhantomData }
    }
}

impl<V> fmt::Debug for Table<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Table").field("store", &self.store).finish()
    }
}

impl<V: Serialize + DeserializeOwned> Table<V> {
    /// Returns the table in the store of this name, unique within the processor.
    pub fn new(name: &str) -> Self {
        Self { store: name.to_owned(), value: PhantomData }
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<StoreSpec> {
        vec![StoreSpec::of::<V>(&self.store)]
    }

    /// Returns what the table says of a key.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or the value does not decode.
    pub fn get(&self, cx: &Context<'_>, key: &str) -> Result<Option<V>, StateError> {
        cx.get(&self.store, key)
    }

    /// Takes what a record of the table says of a key; `None`: the key is gone.
    pub fn set(&self, cx: &mut Context<'_>, key: &str, value: Option<&V>) {
        match value {
            Some(value) => cx.put(&self.store, key, value),
            None => cx.delete(&self.store, key),
        }
    }
}
