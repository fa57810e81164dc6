//! Appending and reading without anything going wrong.

use fluvio_protocol::record::{RawRecords, RecordSet};
use fluvio_protocol::{Decoder, Encoder};

use super::super::CloseReason;
use super::*;

#[test]
fn offsets_are_dense_across_batches_and_groups() {
    let home = Home::new();
    let log = home.open(small_segments(FSYNC));
    assert_eq!((log.start_offset(), log.end_offset(), log.high_watermark()), (0, 0, 0));
    assert_eq!(log.append(&[batch(&["a", "b"]), batch(&["c"])]).unwrap(), [0, 2]);
    assert_eq!(log.append(&[]).unwrap(), [0_i64; 0]);
    assert_eq!(log.append(&[batch(&["d"])]).unwrap(), [3]);
    assert_eq!(log.end_offset(), 4);
    wait_durable(&log, 4).unwrap();
    let expected: Vec<_> = (0..4).zip(["a", "b", "c", "d"].map(str::to_owned)).collect();
    assert_eq!(read_all(&log, 1), expected);
    assert_eq!(read_all(&log, usize::MAX), expected);
}

#[test]
fn a_read_returns_whole_batches_that_fit_and_at_least_one() {
    let home = Home::new();
    let log = home.open(LogOptions { durability: OS, ..LogOptions::default() });
    let small = batch(&["x"]);
    let size = small.as_bytes().len();
    log.append(&vec![small; 10]).unwrap();
    log.append(&[batch(&[&"y".repeat(100_000)])]).unwrap();
    log.append(&[batch(&["z"])]).unwrap();
    assert_eq!(log.read(0, 0).unwrap().next_offset, 1);
    assert_eq!(log.read(0, 3 * size).unwrap().next_offset, 3);
    assert_eq!(log.read(0, 4 * size - 1).unwrap().next_offset, 3);
    assert_eq!(log.read(2, 3 * size).unwrap().base_offset, 2);
    assert_eq!(log.read(0, 50_000).unwrap().next_offset, 10, "the large batch does not fit");
    let large = log.read(10, 1).unwrap();
    assert_eq!((large.base_offset, large.next_offset), (10, 11));
    assert!(large.bytes.len() > 100_000);
    assert_eq!(log.read(0, usize::MAX).unwrap().next_offset, 12);
}

#[test]
fn a_read_from_inside_a_batch_starts_with_that_batch() {
    let home = Home::new();
    let log = home.open(LogOptions { durability: OS, ..LogOptions::default() });
    log.append(&[batch(&["a", "b", "c"]), batch(&["d", "e"])]).unwrap();
    let slice = log.read(2, 1).unwrap();
    assert_eq!((slice.base_offset, slice.next_offset), (0, 3));
    assert_eq!(log.read(4, 1).unwrap().base_offset, 3);
}

#[test]
fn offsets_outside_of_the_log_are_refused_and_its_end_is_not() {
    let home = Home::new();
    let log = home.open(small_segments(FSYNC));
    append(&log, &["a", "b"]);
    let end = log.read(2, 1000).unwrap();
    assert!(end.bytes.is_empty());
    assert_eq!((end.next_offset, end.high_watermark, end.start_offset), (2, 2, 0));
    for offset in [-1, 3, i64::MAX, i64::MIN] {
        let refused = log.read(offset, 1000);
        assert!(matches!(refused, Err(Error::OffsetOutOfRange { start: 0, end: 2, .. })), "{refused:?}");
    }
}

#[test]
fn every_offset_can_be_found_in_many_segments_before_and_after_reopening() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    for n in 0..200 {
        log.append(&[batch(&[&format!("value {n}"), "second"])]).unwrap();
    }
    let check = |log: &PartitionLog| {
        for offset in 0..400 {
            let slice = log.read(offset, 1).unwrap();
            assert_eq!(slice.base_offset, offset - offset % 2);
        }
    };
    check(&log);
    let (size_bytes, records) = (log.size_bytes(), read_all(&log, 700));
    drop(log);
    let log = home.open(small_segments(OS));
    check(&log);
    assert_eq!((log.size_bytes(), read_all(&log, 700)), (size_bytes, records));
    assert!(log.recovery().scanned_bytes <= 1024, "only the last segment is scanned");
    assert_eq!(log.append(&[batch(&["next"])]).unwrap(), [400]);
}

#[test]
fn stored_batches_are_what_the_published_decoder_reads() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    log.append(&[batch(&["a", "b"]), batch(&["c"])]).unwrap();
    let bytes = log.read(0, usize::MAX).unwrap().bytes;
    let mut encoded = Vec::new();
    (bytes.len() as i32).encode(&mut encoded, 0).unwrap();
    encoded.extend_from_slice(&bytes);
    let mut set = RecordSet::<RawRecords>::default();
    set.decode(&mut &encoded[..], 0).unwrap();
    let offsets: Vec<_> = set.batches.iter().map(|batch| (batch.base_offset, batch.get_last_offset())).collect();
    assert_eq!(offsets, [(0, 1), (2, 2)]);
    assert_eq!(set.batches[1].memory_records().unwrap()[0].value.as_ref(), b"c");
}

#[test]
fn what_does_not_fit_a_segment_is_refused_and_harms_nothing() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    let refused = log.append(&[batch(&["fits"]), batch(&[&"x".repeat(2000)])]);
    assert!(matches!(refused, Err(Error::TooLarge { bytes_max: 1024, .. })), "{refused:?}");
    assert_eq!(log.end_offset(), 0);
    assert_eq!(log.append(&[batch(&["fits"])]).unwrap(), [0]);
}

#[test]
fn two_logs_of_one_broker_do_not_mix() {
    let home = Home::new();
    let logs: Vec<_> = (0..50).map(|n| PartitionLog::open(&home.parent.path().join(format!("t-{n}")), small_segments(FSYNC), &home.syncer).unwrap()).collect();
    for (n, log) in logs.iter().enumerate() {
        log.append(&[batch(&[&n.to_string()])]).unwrap();
    }
    for (n, log) in logs.iter().enumerate() {
        wait_durable(log, 1).unwrap();
        assert_eq!(read_all(log, 1), [(0, n.to_string())]);
    }
}

#[test]
fn a_deleted_log_is_gone_for_every_clone_and_its_name_is_free() {
    let home = Home::new();
    let log = home.open(small_segments(FSYNC));
    append(&log, &["a"]);
    let clone = log.clone();
    log.delete().unwrap();
    assert!(!home.dir().exists());
    assert!(matches!(clone.append(&[batch(&["b"])]), Err(Error::Closed { .. })));
    assert!(matches!(clone.read(0, 10), Err(Error::Closed { .. })));
    assert!(matches!(wait_durable(&clone, 5), Err(Error::Closed { .. })));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(clone.closed()), CloseReason::Deleted);
    let fresh = home.open(small_segments(FSYNC));
    drop(clone);
    assert_eq!(append(&fresh, &["new"]), 0);
    assert_eq!(read_all(&fresh, 1), [(0, "new".to_owned())]);
}
