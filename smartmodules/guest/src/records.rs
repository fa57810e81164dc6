//! A batch of records as a SmartModule is given it, and as it gives it back.

use crate::reader::Reader;

/// A record in the bytes of its batch.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// All of it, its length included.
    whole: &'a [u8],
    /// Attributes, and its time and offset relative to the batch.
    preamble: &'a [u8],
    /// Whether there is a key, and the key.
    key: &'a [u8],
    /// What it says.
    pub(crate) value: &'a [u8],
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the first record of `batch`.
    pub(crate) fn read(batch: &mut Reader<'a>) -> Option<Self> {
        let from = batch.rest();
        let body = batch.counted()?;
        let whole = from.get(..from.len() - batch.rest().len())?;

        let mut reader = Reader::new(body);
        let _attributes = reader.byte()?;
        let _time = reader.varint()?;
        let _offset = reader.varint()?;
        let preamble = body.get(..body.len() - reader.rest().len())?;
        let keyed = reader.rest();
        match reader.byte()? {
            0 => {}
            1 => drop(reader.counted()?),
            _ => return None,
        }
        let key = keyed.get(..keyed.len() - reader.rest().len())?;
        let value = reader.counted()?;
        let headers = reader.rest();
        reader.varint()?;
        reader.rest().is_empty().then_some(Self { whole, preamble, key, value, headers })
    }
}

/// The number of records in the input of a transformation, and where they begin.
pub(crate) fn batch(input: &[u8]) -> Option<(u32, Reader<'_>)> {
    let mut input = Reader::new(input);
    let _base_offset: [u8; 8] = input.array()?;
    let size = usize::try_from(i32::from_be_bytes(input.array()?)).ok()?;
    // Behind the batch come its time and, in old versions, parameters: nothing that matters here.
    let mut batch = Reader::new(input.bytes(size)?);
    let count = u32::try_from(i32::from_be_bytes(batch.array()?)).ok()?;
    Some((count, batch))
}

/// What becomes of the key of a record that gets another value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    Kept,
    Dropped,
}

/// The records that a transformation returns.
pub(crate) struct Output {
    bytes: Vec<u8>,
    count: i32,
}

impl Output {
    /// An empty output with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&0_i32.to_be_bytes());
        Self { bytes, count: 0 }
    }

    /// Adds a record as it is.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        self.bytes.extend_from_slice(record.whole);
        self.count += 1;
    }

    /// Adds a record that has another value.
    pub(crate) fn push_with_value(&mut self, record: &Record<'_>, key: Key, value: &[u8]) {
        let key = match key {
            Key::Kept => record.key,
            Key::Dropped => &[0],
        };
        let value_size = varint(value.len());
        let size = record.preamble.len() + key.len() + value_size.as_slice().len() + value.len() + record.headers.len();
        for part in [varint(size).as_slice(), record.preamble, key, value_size.as_slice(), value, record.headers] {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
    }

    /// Returns the encoded output, which reports no error, and the number of records in it.
    pub(crate) fn finish(mut self) -> (Vec<u8>, i32) {
        if let Some(count) = self.bytes.first_chunk_mut() {
            *count = self.count.to_be_bytes();
        }
        self.bytes.push(0);
        (self.bytes, self.count)
    }
}

/// A varint, as long as it needs to be.
struct Varint {
    bytes: [u8; 10],
    count: usize,
}

impl Varint {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }
}

fn varint(number: usize) -> Varint {
    let mut rest = (number as u64) << 1;
    let mut varint = Varint { bytes: [0; 10], count: 0 };
    for byte in &mut varint.bytes {
        varint.count += 1;
        *byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    varint
}
