//! Two tables of the same key as one.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::processor::Context;
use crate::state::StateError;
use crate::topology::StoreSpec;

/// Of which keys the joined table says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of those that both tables know.
    Inner,
    /// Of those that the left one knows.
    Left,
    /// Of those that at least one knows.
    Outer,
}

/// What the joined table says of a key: of at least one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined<L, R> {
    /// What the left table says.
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub left: Option<L>,
    /// What the right table says.
    #[serde(default = "nothing", skip_serializing_if = "Option::is_none")]
    pub right: Option<R>,
}

fn nothing<T>() -> Option<T> {
    None
}

/// How a record has changed what the joined table says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<L, R> {
    /// Not at all: it said nothing, and says nothing.
    Nothing,
    /// It says this now.
    Updated(Joined<L, R>),
    /// It says nothing any more: whoever follows the joined table should be told that the key is gone.
    Removed,
}

/// Joins two tables of the same key; both sides of a key are one entry of one store.
///
/// ```
/// use fluvio_streams::join::{Change, Joined, Kind, TableTable};
/// # use fluvio_streams::processor::Context;
/// # use fluvio_streams::state::{StateError, store::MemoryStore};
///
/// # let state = MemoryStore::default();
/// # let cx = &mut Context::new(&state, 0, 0, 1, "input".to_owned());
/// let shelf: TableTable<u64, String> = TableTable::new("shelf", Kind::Inner);
/// assert_eq!(shelf.left(cx, "tea", Some(3))?, Change::Nothing);
/// assert_eq!(shelf.right(cx, "tea", Some("row 7".into()))?, Change::Updated(Joined { left: Some(3), right: Some("row 7".into()) }));
/// assert_eq!(shelf.left(cx, "tea", None)?, Change::Removed);
/// # Ok::<(), StateError>(())
/// ```
pub struct TableTable<L, R> {
    kind: Kind,
    sides: Table<Joined<L, R>>,
}

impl<L, R> Clone for TableTable<L, R> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, sides: self.sides.clone() }
    }
}

impl<L, R> std::fmt::Debug for TableTable<L, R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TableTable").field("kind", &self.kind).field("sides", &self.sides).finish()
    }
}

impl<L: Serialize + DeserializeOwned, R: Serialize + DeserializeOwned> TableTable<L, R> {
    /// Returns a join that keeps both tables in the store of this name, unique within the processor.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { kind, sides: Table::new(name) }
    }

    /// Returns its stores, for [`crate::topology::ProcessorSpec::stores`].
    pub fn stores(&self) -> Vec<StoreSpec> {
        self.sides.stores()
    }

    /// Takes a record of the left table; `None`: the key is gone.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub fn left(&self, cx: &mut Context<'_>, key: &str, value: Option<L>) -> Result<Change<L, R>, StateError> {
        self.change(cx, key, |sides| sides.left = value)
    }

    /// Takes a record of the right table; `None`: the key is gone.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub fn right(&self, cx: &mut Context<'_>, key: &str, value: Option<R>) -> Result<Change<L, R>, StateError> {
        self.change(cx, key, |sides| sides.right = value)
    }

    /// Returns what the joined table says of a key.
    ///
    /// # Errors
    /// [`StateError`] if the store fails or a value does not decode.
    pub fn get(&self, cx: &Context<'_>, key: &str) -> Result<Option<Joined<L, R>>, StateError> {
        Ok(self.sides.get(cx, key)?.filter(|sides| self.says(sides)))
    }

    fn change(&self, cx: &mut Context<'_>, key: &str, set: impl FnOnce(&mut Joined<L, R>)) -> Result<Change<L, R>, StateError> {
        let mut sides = self.sides.get(cx, key)?.unwrap_or(Joined { left: None, right: None });
        let said = self.says(&sides);
        set(&mut sides);
        self.sides.set(cx, key, Some(&sides).filter(|sides| sides.left.is_some() || sides.right.is_some()));
        Ok(match (said, self.says(&sides)) {
            (_, true) => Change::Updated(sides),
            (true, false) => Change::Removed,
            (false, false) => Change::Nothing,
        })
    }

    fn says(&self, sides: &Joined<L, R>) -> bool {
        match self.kind {
            Kind::Inner => sides.left.is_some() && sides.right.is_some(),
            Kind::Left => sides.left.is_some(),
            Kind::Outer => sides.left.is_some() || sides.right.is_some(),
        }
    }
}
