//! Fluvio's default partitioner, re-made: its client keeps the function private, and co-partitioning rests on it.
//!
//! Keyed records go to `SipHash-2-4(key length as u64 LE, key bytes) mod partitions` with zero keys, which is what
//! Rust's `<[u8] as Hash>` feeds a `SipHasher` on a 64-bit little-endian machine.

use std::hash::Hasher;

use siphasher::sip::SipHasher;

/// Returns the partition that Fluvio's default partitioner gives `key`.
///
/// # Panics
/// If `partitions` is 0.
pub fn partition_for(key: &[u8], partitions: u32) -> u32 {
    assert!(partitions > 0, "a topic has at least one partition");
    let mut hasher = SipHasher::new();
    hasher.write(&(key.len() as u64).to_le_bytes());
    hasher.write(key);
    (hasher.finish() % u64::from(partitions)) as u32
}

#[cfg(test)]
mod tests {
    use std::hash::Hash;

    use super::*;

    #[test]
    fn equals_the_hash_of_a_byte_slice() {
        for key in ["", "o-1", "a longer key with spaces", "주문-7"] {
            let mut hasher = SipHasher::new();
            key.as_bytes().hash(&mut hasher);
            assert_eq!(partition_for(key.as_bytes(), 7), (hasher.finish() % 7) as u32, "key {key:?}");
        }
    }
}
