//! How long to wait before something is tried again, and the hash that draws it: from what is tried, so that a try that is made again waits as long, and what failed together does not come
//! back together.
//!
//! What it is not: random, or safe against somebody who chooses keys. Where to start reading: [`backoff`].

use std::time::Duration;

/// Returns the wait before try `tries + 1` of what has this key, in whole ms: drawn from the upper half of `first`, which doubles with each try, and is at most `max`.
pub fn backoff(key: &str, tries: u32, first: Duration, max: Duration) -> Duration {
    let longest = first.saturating_mul(1 << tries.saturating_sub(1).min(30)).min(max);
    let half_ms = longest.as_millis() as u64 / 2;
    Duration::from_millis(half_ms + spread(format!("{key}#{tries}").as_bytes()) % (half_ms + 1))
}

/// Returns a hash whose bits all depend on every byte: neighbouring keys get values that are not neighbours. The same for ever.
pub fn spread(bytes: &[u8]) -> u64 {
    let hash = fnv1a(bytes);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Returns the FNV-1a hash, 64 bits. The same for ever: names of files are made of it.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_their_limit_and_keys_are_spread_over_half_of_each() {
        for (tries, whole_ms) in [(0, 100), (1, 100), (2, 200), (3, 400), (6, 3_200), (7, 5_000), (u32::MAX, 5_000)] {
            let whole = whole_ms * MS;
            let waits: Vec<Duration> = (0..1_000).map(|key| backoff(&format!("o-{key}/1/accept"), tries, 100 * MS, 5_000 * MS)).collect();
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{tries} tries");
            let mean = waits.iter().sum::<Duration>() / 1_000;
            assert!(mean > whole * 7 / 10 && mean < whole * 8 / 10, "{tries} tries: mean {mean:?}");
        }
        assert_eq!(backoff("o-1", 7, Duration::MAX, Duration::ZERO), Duration::ZERO);
    }

    /// What is stored depends on them: names of directories, and when what waits in a journal is due.
    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!([b"" as &[u8], b"a", b"foobar"].map(fnv1a), [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]);
        assert_eq!([b"" as &[u8], b"n/0/1/0#1", b"n/0/1/0#2"].map(spread), [0xecba_3df2_c338_3c52, 0x1d70_9f63_6a2d_32e0, 0x2da2_3571_f2a0_3cb4]);
        assert_eq!([1, 2, 16].map(|tries| backoff("n/0/1/0", tries, 1_000 * MS, 600_000 * MS).as_millis()), [571, 1_468, 444_478]);
    }
}
