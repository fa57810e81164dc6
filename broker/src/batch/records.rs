//! Walks encoded records without decoding them.
//!
//! The published decoder trusts its input: a negative length panics it, a huge one makes it allocate. Whatever passes
//! here is safe to hand to it, because this walk takes the same steps and checks each one.

use super::BatchError;

/// Ten groups of seven bits hold any 64-bit number; the published decoder overflows on an eleventh.
const VARINT_BYTES_MAX: usize = 10;

/// Checks that `bytes` is an encoded list of exactly `record_count` records with dense offsets and nothing behind it.
///
/// # Errors
/// Names the first record that is not well formed.
pub(super) fn check(bytes: &[u8], record_count: u32) -> Result<(), BatchError> {
    let mut cursor = Cursor { rest: bytes };
    let counted = cursor.count().ok_or(BatchError::RecordCount { header: record_count, records: -1 })?;
    if i64::from(counted) != i64::from(record_count) {
        return Err(BatchError::RecordCount { header: record_count, records: counted });
    }
    for index in 0..record_count {
        cursor.record(index).map_err(|problem| BatchError::Record { index, problem })?;
    }
    match cursor.rest.len() {
        0 => Ok(()),
        trailing => Err(BatchError::TrailingBytes { bytes: trailing }),
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn count(&mut self) -> Option<i32> {
        let (count, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(i32::from_be_bytes(*count))
    }

    fn record(&mut self, index: u32) -> Result<(), &'static str> {
        let mut record = Cursor { rest: self.sized("its length exceeds the batch")? };
        record.byte()?;
        record.varint()?; // timestamp delta
        if record.varint()? != i64::from(index) {
            return Err("its offset delta is not its position");
        }
        match record.byte()? {
            0 => {}
            1 => {
                record.sized("its key exceeds the record")?;
            }
            _ => return Err("its key is neither present nor absent"),
        }
        record.sized("its value exceeds the record")?;
        record.varint()?; // headers: a number that nothing follows
        if record.rest.is_empty() { Ok(()) } else { Err("it is longer than its fields") }
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, rest) = self.rest.split_first().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*byte)
    }

    fn varint(&mut self) -> Result<i64, &'static str> {
        let mut number = 0_i64;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            number |= i64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return Ok((number >> 1) ^ -(number & 1));
            }
        }
        Err("it has a number that is too long")
    }

    fn sized(&mut self, too_long: &'static str) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| "it has a negative length")?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(too_long)?;
        self.rest = rest;
        Ok(taken)
    }
}
