//! Record sets as the wire carries them: bytes with a length, not decoded and not copied.
//!
//! The published request and response types are generic over what stands for the records; these two stand for
//! them here. Batches are looked into by [`crate::batch`] alone.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use fluvio_protocol::{Encoder, Version, core::Decoder};

/// The records of one produce entry, as they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Produced(pub(super) Bytes);

impl Decoder for Produced {
    fn decode<T: Buf>(&mut self, source: &mut T, version: Version) -> Result<(), io::Error> {
        let mut length = 0_i32;
        length.decode(source, version)?;
        let length = usize::try_from(length).map_err(|_| invalid("a negative length of records"))?;
        if length > source.remaining() {
            return Err(invalid("more records announced than sent"));
        }
        self.0 = source.copy_to_bytes(length);
        Ok(())
    }
}

impl Encoder for Produced {
    fn write_size(&self, _version: Version) -> usize {
        4 + self.0.len()
    }

    fn encode<T: BufMut>(&self, target: &mut T, _version: Version) -> Result<(), io::Error> {
        target.put_i32(length_field(self.0.len())?);
        target.put_slice(&self.0);
        Ok(())
    }
}

/// The records of a fetch response: only their length, since the batches follow as the rest of the frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) bytes: usize,
}

impl Encoder for Stored {
    fn write_size(&self, _version: Version) -> usize {
        4
    }

    fn encode<T: BufMut>(&self, target: &mut T, _version: Version) -> Result<(), io::Error> {
        target.put_i32(length_field(self.bytes)?);
        Ok(())
    }
}

impl Decoder for Stored {
    /// Never asked for: responses are not decoded here. The published traits demand it all the same.
    fn decode<T: Buf>(&mut self, source: &mut T, version: Version) -> Result<(), io::Error> {
        let mut produced = Produced::default();
        produced.decode(source, version)?;
        self.bytes = produced.0.len();
        Ok(())
    }
}

fn length_field(bytes: usize) -> Result<i32, io::Error> {
    i32::try_from(bytes).map_err(|_| invalid("records of more than 2 GiB"))
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
