//! SmartModules for the conformance tests: one of each kind that the project's own modules are not, and one
//! that misbehaves on demand. `build.sh` beside this crate makes `artifacts/<feature>.wasm` of each feature.

/// A filter that lets a value pass once, counting those it was shown by the look-back; and that fails, traps or
/// hangs when a record tells it to.
#[cfg(feature = "guard")]
mod guard {
    use std::{collections::BTreeSet, sync::Mutex};

    use fluvio_smartmodule::{Record, Result, eyre, smartmodule};

    static SEEN: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());

    #[smartmodule(look_back)]
    fn look_back(record: &Record) -> Result<()> {
        SEEN.lock().map_err(|_| eyre!("poisoned"))?.insert(record.value.to_vec());
        Ok(())
    }

    #[smartmodule(filter)]
    fn filter(record: &Record) -> Result<bool> {
        match record.value.as_ref() {
            b"fail" => Err(eyre!("told to fail")),
            b"trap" => panic!("told to trap"),
            b"hang" => loop {
                std::hint::black_box(());
            },
            value => Ok(SEEN.lock().map_err(|_| eyre!("poisoned"))?.insert(value.to_vec())),
        }
    }
}

/// An aggregate: the running sum.
#[cfg(feature = "tally")]
mod tally {
    use fluvio_smartmodule::{Record, RecordData, Result, smartmodule};

    #[smartmodule(aggregate)]
    fn aggregate(sum: RecordData, record: &Record) -> Result<RecordData> {
        let sum: i64 = if sum.is_empty() { 0 } else { sum.as_str()?.parse()? };
        let number: i64 = record.value.as_str()?.parse()?;
        Ok((sum + number).to_string().into())
    }
}

/// An array map: a list becomes its elements.
#[cfg(feature = "split")]
mod split {
    use fluvio_smartmodule::{Record, RecordData, Result, smartmodule};

    #[smartmodule(array_map)]
    fn array_map(record: &Record) -> Result<Vec<(Option<RecordData>, RecordData)>> {
        let list = record.value.as_str()?;
        Ok(list.split(',').filter(|part| !part.is_empty()).map(|part| (record.key.clone(), part.into())).collect())
    }
}

/// A filter map: even numbers pass, halved.
#[cfg(feature = "halve")]
mod halve {
    use fluvio_smartmodule::{Record, RecordData, Result, smartmodule};

    #[smartmodule(filter_map)]
    fn filter_map(record: &Record) -> Result<Option<(Option<RecordData>, RecordData)>> {
        let number: i64 = record.value.as_str()?.parse()?;
        Ok((number % 2 == 0).then(|| (record.key.clone(), (number / 2).to_string().into())))
    }
}
