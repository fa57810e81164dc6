//! Takes one batch through a SmartModule.

use fluvio_smartmodule::dataplane::smartmodule::SmartModuleTransformErrorStatus as Status;

use crate::{
    Others, SmartModule, Verdict,
    records::{self, Key, Output, Record},
};

/// Returns the encoded output and the number of records in it.
///
/// # Errors
/// The batch is damaged, or there is no `module`: it was never started. Passing everything then would hand out what a
/// module is there to take away.
pub(crate) fn transform<M: SmartModule>(module: Option<&M>, input: &[u8]) -> Result<(Vec<u8>, i32), Status> {
    let module = module.ok_or(Status::UnknownError)?;
    let (count, mut batch) = records::batch(input).ok_or(Status::DecodingBaseInput)?;
    let mut output = Output::with_capacity(input.len());
    for _ in 0..count {
        let record = Record::read(&mut batch).ok_or(Status::DecodingRecords)?;
        match module.verdict(record.value) {
            Verdict::Whole => output.push(&record),
            Verdict::Rewritten(value) => output.push_with_value(&record, Key::Kept, &value),
            Verdict::Other => {
                if let Others::Replaced(value) = M::OTHERS {
                    output.push_with_value(&record, Key::Dropped, value);
                }
            }
        }
    }
    Ok(output.finish())
}

#[cfg(test)]
mod tests;
