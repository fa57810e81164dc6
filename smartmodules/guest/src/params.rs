//! The parameters that a SmartModule is started with.

use crate::reader::Reader;

/// Parameters by name.
#[derive(Debug, Clone)]
pub struct Params<'a> {
    count: u16,
    pairs: Reader<'a>,
}

impl<'a> Params<'a> {
    /// Reads the input of `init`. Returns `None` if it is cut short or no UTF-8.
    pub(crate) fn read(input: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(input);
        let count = u16::from_be_bytes(reader.array()?);
        let pairs = reader.clone();
        for _ in 0..2 * u32::from(count) {
            reader.text()?;
        }
        Some(Self { count, pairs })
    }

    /// Returns the value of a parameter, or `None` if it was not given.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.pairs.clone();
        for _ in 0..self.count {
            let (key, value) = (pairs.text()?, pairs.text()?);
            if key == name {
                return Some(value);
            }
        }
        None
    }
}
