//! Takes one batch through a SmartModule.

use fluvio_smartmodule::dataplane::smartmodule::SmartModuleTransformErrorStatus as Status;

use crate::{
    Others, SmartModule,
    records::{self, Output, Record},
};

/// Returns the encoded output and the number of records in it. Without a `module` every record passes: then nothing
/// says what to drop, and passing too much is safe.
pub(crate) fn transform<M: SmartModule>(module: Option<&M>, input: &[u8]) -> Result<(Vec<u8>, i32), Status> {
    let (count, mut batch) = records::batch(input).ok_or(Status::DecodingBaseInput)?;
    let mut output = Output::with_capacity(input.len());
    for _ in 0..count {
        let record = Record::read(&mut batch).ok_or(Status::DecodingRecords)?;
        if module.is_none_or(|module| module.passes(record.value)) {
            output.push(&record);
        } else if let Others::Replaced(value) = M::OTHERS {
            output.push_with_value(&record, value);
        }
    }
    Ok(output.finish())
}

#[cfg(test)]
mod tests;
