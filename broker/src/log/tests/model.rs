//! Random histories against a model: a plain list of records.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Operation {
    /// Batches of so many records with values of so many bytes.
    Append(Vec<(usize, usize)>),
    Read {
        from: prop::sample::Index,
        bytes_max: usize,
    },
    /// An orderly stop and start.
    Reopen,
    /// The process is killed; the last write may have left a part of a batch behind.
    Kill {
        torn: Vec<u8>,
    },
    Retain {
        hours: u32,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => prop::collection::vec((1..5_usize, 0..300_usize), 1..4).prop_map(Operation::Append),
        4 => (any::<prop::sample::Index>(), 0..3000_usize)
            .prop_map(|(from, bytes_max)| Operation::Read { from, bytes_max }),
        1 => Just(Operation::Reopen),
        2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(|torn| Operation::Kill { torn }),
        1 => (0..3_u32).prop_map(|hours| Operation::Retain { hours }),
    ]
}

fn run(durability: Durability, operations: Vec<Operation>) {
    let home = Home::new();
    let retention = Duration::from_secs(3600);
    let options = LogOptions { segment_bytes_max: 3000, retention, ..small_segments(durability) };
    let mut log = home.open(options);
    let mut model: Vec<String> = Vec::new();
    for operation in operations {
        match operation {
            Operation::Append(sizes) => {
                let first = model.len() as i64;
                let now_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
                let mut batches = Vec::new();
                for (records, bytes) in sizes {
                    let values: Vec<String> = (0..records).map(|n| format!("{}:{}", model.len() + n, "v".repeat(bytes))).collect();
                    batches.push(batch_at(&values.iter().map(String::as_str).collect::<Vec<_>>(), now_ms));
                    model.extend(values);
                }
                assert_eq!(log.append(&batches).unwrap()[0], first);
                wait_durable(&log, model.len() as i64).unwrap();
            }
            Operation::Read { from, bytes_max } => {
                let start = log.start_offset();
                let from = start + from.index((model.len() as i64 - start) as usize + 1) as i64;
                check_read(&log, from, bytes_max, &model);
            }
            Operation::Reopen => {
                drop(log);
                log = home.open(options);
                assert_eq!(log.recovery().torn_bytes, 0);
            }
            Operation::Kill { torn } => {
                // Everything is acknowledged here, so nothing but garbage may be lost.
                let last = log.inner.view().active.base_offset;
                drop(log);
                let _ = fs::remove_file(home.dir().join("checkpoint"));
                let bytes = fs::read(home.segment(last)).unwrap();
                fs::write(home.segment(last), [&bytes[..], &torn].concat()).unwrap();
                log = home.open(options);
                assert_eq!(log.recovery().torn_bytes, torn.len() as u64);
            }
            Operation::Retain { hours } => {
                log.enforce_retention(SystemTime::now() + retention * hours).unwrap();
            }
        }
        assert_eq!(log.end_offset(), model.len() as i64);
        assert_eq!(log.high_watermark(), model.len() as i64);
    }
    let start = log.start_offset();
    let expected: Vec<_> = (start..).zip(model[start as usize..].iter().cloned()).collect();
    assert_eq!(read_all(&log, 500), expected);
}

fn check_read(log: &PartitionLog, from: i64, bytes_max: usize, model: &[String]) {
    let slice = log.read(from, bytes_max).unwrap();
    let batches = slice.batches(&BatchLimits::default()).unwrap();
    assert_eq!(batches.is_empty(), from == model.len() as i64);
    assert!(slice.bytes.len() <= bytes_max || batches.len() == 1);
    let mut offset = slice.base_offset;
    for batch in &batches {
        assert_eq!(batch.base_offset(), offset);
        for record in batch.decode_records().unwrap() {
            assert_eq!(record.value.as_ref(), model[offset as usize].as_bytes());
            offset += 1;
        }
    }
    assert_eq!(slice.next_offset, offset);
    if let Some(first) = batches.first() {
        assert!((slice.base_offset..slice.base_offset + i64::from(first.record_count())).contains(&from));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_synced_log_behaves_like_a_list(operations in prop::collection::vec(operation(), 1..40)) {
        run(FSYNC, operations);
    }

    #[test]
    fn an_unsynced_log_behaves_like_a_list(operations in prop::collection::vec(operation(), 1..40)) {
        run(OS, operations);
    }
}
