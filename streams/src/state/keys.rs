//! The layout of a task's entries.
//!
//! | first byte | family | rest of the key | value |
//! |---|---|---|---|
//! | `u` | user state | store, 0, key | JSON |
//! | `t` | timers by time | due (8 bytes, order-preserving), name, 0, key | JSON of the timer |
//! | `i` | timers by name | name, 0, key | due |
//! | `c` | pending calls | id | JSON of the call |
//! | `n` | totals | name | i64 |
//! | `p` | progress: how far in the journal the store is | | |
//! | `o` | progress per source | topic | next offset |
//! | `s` | progress per sender | source topic, 0, journal, 0, partition | epoch, sequence, index |
//! | `v` | schema: which programs can read the rest | | JSON |
//! | `w` | traces of the effects of the transaction that wrote it, means nothing later (see [`crate::trace`]) | | index, trace |
//!
//! Values of user state say their version if it is not the first (see [`crate::topology::StoreSpec`]). The members of the runtime's own entries are as `streams/tests/golden/` has them: JSON gets new
//! optional members only, and anything else is another layout, which the schema names.

/// Key of the progress: a store that has none counts as empty, whatever else is in it.
pub const PROGRESS: &[u8] = b"p";

/// Returns the key of a user entry.
pub fn user(store: &str, key: &str) -> Vec<u8> {
    join(b'u', &[store.as_bytes(), key.as_bytes()])
}

/// Returns the user's key of an entry made by [`user`].
pub fn user_key(store: &str, key: &[u8]) -> String {
    String::from_utf8_lossy(key.get(store.len() + 2..).unwrap_or_default()).into_owned()
}

/// Returns the key of a timer, ordered by due time.
pub fn timer(due_ms: i64, name: &str, key: &str) -> Vec<u8> {
    // Flipping the sign bit makes the byte order of negative times right.
    let due = ((due_ms as u64) ^ (1 << 63)).to_be_bytes();
    let mut bytes = Vec::with_capacity(10 + name.len() + key.len());
    bytes.push(b't');
    bytes.extend_from_slice(&due);
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// Returns the due time of a key made by [`timer`].
pub fn timer_due_ms(key: &[u8]) -> Option<i64> {
    let due: [u8; 8] = key.get(1..9)?.try_into().ok()?;
    Some((u64::from_be_bytes(due) ^ (1 << 63)) as i64)
}

/// Returns the key under which a timer's due time is found by name.
pub fn timer_index(name: &str, key: &str) -> Vec<u8> {
    join(b'i', &[name.as_bytes(), key.as_bytes()])
}

/// Returns the key of a pending call.
pub fn call(id: &str) -> Vec<u8> {
    join(b'c', &[id.as_bytes()])
}

/// Returns the key of a total.
pub fn total(name: &str) -> Vec<u8> {
    join(b'n', &[name.as_bytes()])
}

/// Returns the key of a source's progress.
pub fn source(topic: &str) -> Vec<u8> {
    join(b'o', &[topic.as_bytes()])
}

/// Returns the key of a sender's progress in a source.
pub fn sender(topic: &str, journal: &str, partition: u32) -> Vec<u8> {
    join(b's', &[topic.as_bytes(), journal.as_bytes(), partition.to_string().as_bytes()])
}

/// Returns the key of the schema.
pub fn schema() -> Vec<u8> {
    vec![b'v']
}

/// Returns the bounds `[from, to)` of a family.
pub fn family(first: u8) -> (Vec<u8>, Vec<u8>) {
    (vec![first], vec![first + 1])
}

/// Returns the smallest key greater than every key that begins with `prefix`.
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX]
}

fn join(family: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![family];
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            key.push(0);
        }
        key.extend_from_slice(part);
    }
    key
}
