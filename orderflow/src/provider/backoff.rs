//! How long to wait before a call is made again: doubling, with jitter drawn from the key, so that many calls that failed together do not come back together.

use std::time::Duration;

/// Returns the wait before try `tries + 1` of the call with this key: between a half and the whole of `first` doubled `tries - 1` times, and at most `max`.
pub(crate) fn backoff(key: &str, tries: u32, first: Duration, max: Duration) -> Duration {
    let whole = first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(max);
    let draw = hash(key.as_bytes(), tries) % 1_024;
    whole / 2 + (whole / 2).saturating_mul(draw as u32) / 1_024
}

/// FNV-1a with a final mix.
fn hash(bytes: &[u8], tries: u32) -> u64 {
    let bytes = bytes.iter().copied().chain(tries.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_up_to_their_limit_and_keys_are_spread_over_half_of_each() {
        for (tries, whole_ms) in [(0, 100), (1, 100), (2, 200), (3, 400), (6, 3_200), (7, 5_000), (99, 5_000)] {
            let whole = whole_ms * MS;
            let waits: Vec<Duration> = (0..1_000).map(|key| backoff(&format!("o-{key}/1/accept"), tries, 100 * MS, 5_000 * MS)).collect();
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{tries} tries");
            let mean = waits.iter().sum::<Duration>() / 1_000;
            assert!(mean > whole * 7 / 10 && mean < whole * 8 / 10, "{tries} tries: mean {mean:?}");
        }
    }
}
