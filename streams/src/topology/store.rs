//! A store of a processor as data: its name, what its entries are keyed by, and every version of its values that there has been.
//!
//! Values are JSON. One of version 1 stands as it is; a later one has its version before it (`v2:{...}`), so entries of several versions stand side by side, and each is brought up to date by
//! *upcasters* when it is read, and written in the present version when it is next written. What a change of version means to programs of before and after is in ADR 0010.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::state::StateError;

/// First byte of a value that says its version: no JSON text begins with it.
const TAG: u8 = b'v';

/// A store of a processor.
///
/// ```
/// use fluvio_streams::topology::StoreSpec;
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Serialize, Deserialize)]
/// struct Account {
///     balance_won: i64,
///     #[serde(default)]
///     note: Option<String>,
/// }
///
/// let accounts = StoreSpec::of::<Account>("accounts")
///     .keyed_by("accountId")
///     // Version 2: `balance` is called `balance_won`. Programs that know version 1 only cannot read it.
///     .breaking(|mut value| {
///         value["balance_won"] = value["balance"].take();
///         value
///     })
///     // Version 3: there may be a `note`. Programs that know version 2 read it, and lose the note of what they write.
///     .compatible(|value| value);
/// assert_eq!((accounts.version(), accounts.readable_from()), (3, 2));
/// assert_eq!(accounts.rewrite(br#"{"balance":5}"#)?, br#"v3:{"balance_won":5,"note":null}"#);
/// # Ok::<(), fluvio_streams::state::StateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoreSpec {
    name: String,
    key: String,
    /// How a value of version n + 1 becomes one of version n + 2, at n.
    steps: Vec<Step>,
    rewrite: fn(&StoreSpec, &[u8]) -> Result<Vec<u8>, StateError>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    upcast: fn(Value) -> Value,
    is_compatible: bool,
}

impl StoreSpec {
    /// Returns a store whose values are `T`, in version 1.
    pub fn of<T: Serialize + DeserializeOwned>(name: &str) -> Self {
        Self { name: name.to_owned(), key: String::new(), steps: Vec::new(), rewrite: |store, bytes| Ok(store.encode(&store.decode::<T>("", bytes)?)) }
    }

    /// Says what its entries are keyed by. Once there are entries, another key is refused at the start: who looked for an entry under the new one would not find it.
    pub fn keyed_by(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    /// Begins the next version: programs of the one before read its values too (ignoring what they do not know), and it reads theirs, made from them by `upcast`. Old and new may take turns.
    pub fn compatible(self, upcast: fn(Value) -> Value) -> Self {
        self.then(Step { upcast, is_compatible: true })
    }

    /// Begins the next version, made from the one before by `upcast`. Programs that do not know it are refused once it was there.
    pub fn breaking(self, upcast: fn(Value) -> Value) -> Self {
        self.then(Step { upcast, is_compatible: false })
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what its entries are keyed by; empty if that was not said.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the version in which values are written.
    pub fn version(&self) -> u32 {
        1 + self.steps.len() as u32
    }

    /// Returns the oldest version whose programs can read what is written.
    pub fn readable_from(&self) -> u32 {
        self.steps.iter().rposition(|step| !step.is_compatible).map_or(1, |step| step as u32 + 2)
    }

    /// Reads a stored value of any version as the store's type, and returns it as it would be written now.
    ///
    /// # Errors
    /// [`StateError::Entry`] if it does not decode.
    pub fn rewrite(&self, stored: &[u8]) -> Result<Vec<u8>, StateError> {
        (self.rewrite)(self, stored)
    }

    /// Returns the stored form of a value.
    ///
    /// # Panics
    /// If the value does not serialize to JSON (a map with keys that are not strings).
    pub(crate) fn encode<T: Serialize>(&self, value: &T) -> Vec<u8> {
        let mut bytes = match self.version() {
            1 => Vec::new(),
            version => format!("{}{version}:", char::from(TAG)).into_bytes(),
        };
        serde_json::to_writer(&mut bytes, value).unwrap_or_else(|error| panic!("state of `{}` serializes: {error}", self.name));
        bytes
    }

    /// Reads the stored form of a value of any version. One that is newer than this program is read as its own: that it may be was found out when the task was taken over.
    ///
    /// # Errors
    /// [`StateError::Entry`] with `key` if it does not decode.
    pub(crate) fn decode<T: DeserializeOwned>(&self, key: &str, stored: &[u8]) -> Result<T, StateError> {
        let (version, json) = split(stored);
        let decoded = match usize::try_from(version).ok().and_then(|version| self.steps.get(version.saturating_sub(1)..)) {
            None | Some([]) => serde_json::from_slice(json),
            Some(steps) => serde_json::from_slice(json).and_then(|value| serde_json::from_value(steps.iter().fold(value, |value, step| (step.upcast)(value)))),
        };
        decoded.map_err(|error| StateError::Entry { key: key.to_owned(), detail: error.to_string() })
    }

    /// Returns a stored value as JSON of the present version.
    ///
    /// # Errors
    /// [`StateError::Entry`] with `key` if it is not JSON.
    pub(crate) fn json(&self, key: &str, stored: Vec<u8>) -> Result<Vec<u8>, StateError> {
        let (version, json) = split(&stored);
        if version >= self.version() {
            return Ok(json.to_vec());
        }
        Ok(self.decode::<Value>(key, &stored)?.to_string().into_bytes())
    }
}

impl From<&str> for StoreSpec {
    fn from(name: &str) -> Self {
        Self::of::<Value>(name)
    }
}

impl From<String> for StoreSpec {
    fn from(name: String) -> Self {
        Self::of::<Value>(&name)
    }
}

/// Returns true if a stored value says its version: programs that know no versions cannot read it.
pub(crate) fn is_versioned(stored: &[u8]) -> bool {
    stored.first() == Some(&TAG)
}

/// Returns the version of a stored value, and its JSON.
fn split(stored: &[u8]) -> (u32, &[u8]) {
    let tagged = || {
        let colon = stored.iter().take(12).position(|byte| *byte == b':')?;
        let version = std::str::from_utf8(stored.get(1..colon)?).ok()?.parse().ok()?;
        Some((version, &stored[colon + 1..]))
    };
    if is_versioned(stored) { tagged().unwrap_or((1, stored)) } else { (1, stored) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stock {
        pieces: i64,
        #[serde(default = "nowhere")]
        place: String,
    }

    fn nowhere() -> String {
        "nowhere".to_owned()
    }

    fn stocks() -> StoreSpec {
        StoreSpec::of::<Stock>("stocks")
            .compatible(|mut value| {
                value["place"] = json!("cellar");
                value
            })
            .breaking(|value| json!({"pieces": value["dozens"].as_i64().unwrap_or_default() * 12, "place": value["place"]}))
    }

    #[test]
    fn values_of_every_version_read_as_the_present_one() {
        let read = |stored: &str| stocks().decode::<Stock>("k", stored.as_bytes());
        let of = |pieces, place: &str| Stock { pieces, place: place.to_owned() };
        assert_eq!(read(r#"{"dozens":2}"#).unwrap(), of(24, "cellar"));
        assert_eq!(read(r#"v2:{"dozens":2,"place":"attic"}"#).unwrap(), of(24, "attic"));
        assert_eq!(read(r#"v3:{"pieces":25,"place":"attic"}"#).unwrap(), of(25, "attic"));
        // A later program wrote it, in a way that it says this one can read.
        assert_eq!(read(r#"v4:{"pieces":25,"colour":"red"}"#).unwrap(), of(25, "nowhere"));
        for garbage in ["v2{}", "v:{}", "vv2:{}", "v3:", "", "v99999999999:{}"] {
            assert!(matches!(read(garbage), Err(StateError::Entry { key, .. }) if key == "k"), "{garbage}");
        }
    }

    #[test]
    fn a_version_is_readable_from_the_last_break_on() {
        let same: fn(Value) -> Value = |value| value;
        let store = StoreSpec::from("s");
        assert_eq!((store.version(), store.readable_from()), (1, 1));
        assert_eq!((stocks().version(), stocks().readable_from()), (3, 3));
        let store = stocks().compatible(same).compatible(same);
        assert_eq!((store.version(), store.readable_from()), (5, 3));
    }

    #[test]
    fn the_first_version_stands_as_it_always_did() {
        let store = StoreSpec::of::<Stock>("stocks");
        assert_eq!(store.encode(&Stock { pieces: 1, place: "attic".to_owned() }), br#"{"pieces":1,"place":"attic"}"#);
        assert_eq!(stocks().json("k", br#"{"dozens":2}"#.to_vec()).unwrap(), br#"{"pieces":24,"place":"cellar"}"#);
        assert_eq!(stocks().json("k", br#"v3:{"pieces":1}"#.to_vec()).unwrap(), br#"{"pieces":1}"#);
    }
}
