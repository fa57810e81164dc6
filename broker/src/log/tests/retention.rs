//! What is forgotten, and what never is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::now()
}

fn now_ms() -> i64 {
    now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Fills `segments` segments, each with one batch of the given time, and starts another one.
fn fill(log: &PartitionLog, segments: usize, timestamp_ms: i64) {
    for _ in 0..=segments {
        log.append(&[batch_at(&[&"x".repeat(600)], timestamp_ms)]).unwrap();
    }
    assert_eq!(log.inner.view().closed.len(), segments);
}

#[test]
fn segments_older_than_the_retention_go_and_the_last_one_stays() {
    let home = Home::new();
    let log = home.open(LogOptions { retention: HOUR, ..small_segments(OS) });
    fill(&log, 3, now_ms() - 2 * HOUR.as_millis() as i64);
    let retired = log.enforce_retention(now()).unwrap();
    assert_eq!(retired.segments, 3);
    assert_eq!((log.start_offset(), log.end_offset()), (3, 4));
    assert!(matches!(log.read(0, 1), Err(Error::OffsetOutOfRange { offset: 0, start: 3, end: 4 })));
    assert_eq!(log.read(3, 1).unwrap().next_offset, 4);
    assert!(!home.segment(0).exists());
    drop(log);
    let log = home.open(small_segments(OS));
    assert_eq!((log.start_offset(), log.end_offset()), (3, 4));
}

#[test]
fn young_segments_stay() {
    let home = Home::new();
    let log = home.open(LogOptions { retention: HOUR, ..small_segments(OS) });
    fill(&log, 3, now_ms());
    assert_eq!(log.enforce_retention(now()).unwrap().segments, 0);
    assert_eq!(log.enforce_retention(now() + 2 * HOUR).unwrap().segments, 3);
}

#[test]
fn without_a_timestamp_or_with_one_in_the_future_the_file_decides() {
    for timestamp_ms in [-1, 0, i64::MAX, now_ms() + 1_000_000_000_000] {
        let home = Home::new();
        let log = home.open(LogOptions { retention: HOUR, ..small_segments(OS) });
        fill(&log, 2, timestamp_ms);
        assert_eq!(log.enforce_retention(now()).unwrap().segments, 0);
        assert_eq!(log.enforce_retention(now() + 2 * HOUR).unwrap().segments, 2);
    }
}

#[test]
fn the_size_of_the_partition_is_bounded_while_it_is_written() {
    let home = Home::new();
    let log = home.open(LogOptions { partition_bytes_max: 3000, ..small_segments(OS) });
    for _ in 0..50 {
        log.append(&[batch(&[&"x".repeat(600)])]).unwrap();
        assert!(log.size_bytes() <= 3000 + 1024);
    }
    log.enforce_retention(now()).unwrap();
    assert!(log.size_bytes() <= 3000);
    assert_eq!(log.end_offset(), 50);
}

#[test]
fn a_reader_keeps_what_it_was_given() {
    let home = Home::new();
    let log = home.open(LogOptions { retention: HOUR, ..small_segments(OS) });
    fill(&log, 2, now_ms());
    let slice = log.read(0, usize::MAX).unwrap();
    log.enforce_retention(now() + 2 * HOUR).unwrap();
    assert_eq!(slice.batches(&BatchLimits::default()).unwrap()[0].decode_records().unwrap()[0].value.len(), 600);
}

#[test]
fn offsets_go_on_when_everything_but_an_empty_segment_is_gone() {
    let home = Home::new();
    let log = home.open(LogOptions { retention: HOUR, ..small_segments(OS) });
    fill(&log, 2, now_ms());
    drop(log);
    // As after a crash between creating a segment and writing to it.
    fs::write(home.segment(3), b"").unwrap();
    let log = home.open(LogOptions { retention: HOUR, ..small_segments(OS) });
    assert_eq!(log.enforce_retention(now() + 2 * HOUR).unwrap().segments, 3);
    assert_eq!((log.start_offset(), log.end_offset(), log.size_bytes()), (3, 3, 0));
    drop(log);
    let log = home.open(small_segments(OS));
    assert_eq!(log.append(&[batch(&["next"])]).unwrap(), [3]);
}
