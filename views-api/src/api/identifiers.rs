//! Ids that the API gives, and ids in URLs.

use sha2::{Digest, Sha256};

use super::problem::{INTERNAL, Problem};

/// Lower-case letters and digits that are not easily mistaken for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Returns a random id of 16 characters (80 bits).
pub(super) fn random() -> Result<String, Problem> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| Problem::new(INTERNAL, format!("no random id can be drawn: {error}")))?;
    Ok(encode(bytes))
}

/// Returns the id that belongs to a command id: the same whenever the command is sent again.
pub(super) fn derived(system: &str, command: &str, command_id: &str) -> String {
    let digest = Sha256::digest(format!("{system}\n{command}\n{command_id}"));
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&digest[..10]);
    encode(bytes)
}

fn encode(bytes: [u8; 10]) -> String {
    let number = bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    (0..16).rev().map(|place| char::from(ALPHABET[(number >> (place * 5)) as usize % 32])).collect()
}

/// Returns the text as one segment of a URL's path.
pub(super) fn path_segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = text.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_depend_on_everything_they_are_derived_from() {
        let id = derived("shop", "PlaceOrder", "c-1");
        assert_eq!(id, derived("shop", "PlaceOrder", "c-1"));
        assert_eq!(id.len(), 16);
        for other in [derived("shop", "PlaceOrder", "c-2"), derived("shop", "Restock", "c-1"), derived("cinema", "PlaceOrder", "c-1")] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn path_segments_are_escaped() {
        assert_eq!(path_segment("o-1_a.b~c"), "o-1_a.b~c");
        assert_eq!(path_segment("a/b 주"), "a%2Fb%20%EC%A3%BC");
    }
}
