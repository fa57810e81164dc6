//! Who sees what when, and what happens when the disk fails.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use super::super::CloseReason;
use super::*;

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let home = Home::new();
    let log = home.open(small_segments(FSYNC));
    append(&log, &["durable"]);
    let gate = home.disk.faults.sync_gate.lock().unwrap();
    log.append(&[batch(&["not yet"])]).unwrap();
    assert_eq!((log.end_offset(), log.high_watermark()), (2, 1));
    assert_eq!(log.read(0, usize::MAX).unwrap().next_offset, 1);
    assert!(log.read(1, usize::MAX).unwrap().bytes.is_empty());
    let mut watch = log.watch_high_watermark();
    assert_eq!(*watch.borrow_and_update(), 1);
    drop(gate);
    wait_durable(&log, 2).unwrap();
    assert_eq!(*watch.borrow_and_update(), 2);
    assert_eq!(log.read(1, usize::MAX).unwrap().next_offset, 2);
}

#[test]
fn under_os_durability_everything_written_is_visible_at_once() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    log.append(&[batch(&["a"])]).unwrap();
    assert_eq!(log.high_watermark(), 1);
    wait_durable(&log, 1).unwrap();
}

#[test]
fn many_appends_share_one_sync() {
    let parent = tempfile::tempdir().unwrap();
    let (syncs, seen) = std::sync::mpsc::channel();
    let syncer = Syncer::start_observed(FSYNC, move |round| syncs.send(round.logs).unwrap());
    let disk = Disk::default();
    let log = PartitionLog::open_on(disk.clone(), &parent.path().join("t-0"), LogOptions::default(), &syncer).unwrap();
    let gate = disk.faults.sync_gate.lock().unwrap();
    for _ in 0..100 {
        log.append(&[batch(&["a"])]).unwrap();
    }
    drop(gate);
    wait_durable(&log, 100).unwrap();
    drop(syncer);
    let syncs = seen.iter().sum::<usize>();
    assert!(syncs <= 2, "{syncs} syncs");
}

#[test]
fn a_full_disk_refuses_the_append_and_leaves_no_trace() {
    let home = Home::new();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    let size_bytes = log.size_bytes();
    for free_bytes in [0, 1, 20, 70] {
        *home.disk.faults.free_bytes.lock().unwrap() = Some(free_bytes);
        let refused = log.append(&[batch(&["does not fit"])]);
        assert!(matches!(refused, Err(Error::File { action: "write", .. })), "{refused:?}");
        assert_eq!(log.end_offset(), 1);
        assert_eq!(fs::metadata(home.segment(0)).unwrap().len(), size_bytes);
        assert_eq!(read_all(&log, 1), [(0, "a".to_owned())], "reading goes on");
    }
    *home.disk.faults.free_bytes.lock().unwrap() = None;
    assert_eq!(append(&log, &["b"]), 1);
    drop(log);
    assert_eq!(read_all(&home.open(LogOptions::default()), 1).len(), 2);
}

#[test]
fn a_probe_meets_what_an_append_would_meet_and_leaves_no_trace() {
    let home = Home::new();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    let size_bytes = log.size_bytes();
    let free = |free_bytes| *home.disk.faults.free_bytes.lock().unwrap() = free_bytes;
    for (free_bytes, is_full) in [(Some(0), true), (Some(100), true), (None, false)] {
        free(free_bytes);
        assert_eq!(log.probe().is_err(), is_full);
        assert_eq!(fs::metadata(home.segment(0)).unwrap().len(), size_bytes);
        assert_eq!((log.end_offset(), log.high_watermark()), (1, 1));
    }
    assert_eq!(append(&log, &["b"]), 1);
    drop(log);
    let log = home.open(LogOptions::default());
    assert_eq!((read_all(&log, 2).len(), log.recovery().torn_bytes), (2, 0));
}

#[test]
fn what_is_left_of_a_probe_in_the_middle_of_which_the_process_was_killed_is_cut_away() {
    let home = Home::new();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    home.disk.faults.truncate_fails.store(true, SeqCst);
    assert!(matches!(log.probe(), Err(Error::Closed { reason: CloseReason::WriteNotUndone { .. }, .. })));
    home.disk.faults.truncate_fails.store(false, SeqCst);
    assert!(log.probe().is_err(), "until the log is opened again");
    drop(log);
    let log = home.open(LogOptions::default());
    assert_eq!(log.recovery().torn_bytes, crate::limits::PROBE_BYTES as u64);
    assert_eq!(append(&log, &["b"]), 1);
}

#[test]
fn a_write_that_cannot_be_undone_closes_the_log_until_it_is_opened_again() {
    let home = Home::new();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    *home.disk.faults.free_bytes.lock().unwrap() = Some(30);
    home.disk.faults.truncate_fails.store(true, SeqCst);
    assert!(log.append(&[batch(&["b"])]).is_err());
    *home.disk.faults.free_bytes.lock().unwrap() = None;
    home.disk.faults.truncate_fails.store(false, SeqCst);
    let refused = log.append(&[batch(&["b"])]).unwrap_err();
    assert!(matches!(refused, Error::Closed { reason: CloseReason::WriteNotUndone { .. }, .. }), "{refused}");
    assert_eq!(read_all(&log, 1), [(0, "a".to_owned())]);
    drop(log);
    let log = home.open(LogOptions::default());
    assert_eq!(log.recovery().torn_bytes, 30);
    assert_eq!(append(&log, &["b"]), 1);
}

#[test]
fn a_failed_sync_is_never_taken_for_a_success_later() {
    let home = Home::new();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    home.disk.faults.sync_fails.store(true, SeqCst);
    log.append(&[batch(&["b"])]).unwrap();
    let failed = wait_durable(&log, 2).unwrap_err();
    assert!(matches!(failed, Error::Closed { reason: CloseReason::SyncFailed { .. }, .. }), "{failed}");
    home.disk.faults.sync_fails.store(false, SeqCst);
    assert!(matches!(log.append(&[batch(&["c"])]), Err(Error::Closed { .. })));
    assert_eq!(log.high_watermark(), 1);
    assert_eq!(read_all(&log, 1), [(0, "a".to_owned())]);
    wait_durable(&log, 1).expect("what was durable stays durable");
}

#[test]
fn a_failed_sync_of_one_log_does_not_stop_another() {
    let home = Home::new();
    let bad = home.open(LogOptions::default());
    let good = PartitionLog::open(&home.parent.path().join("good-0"), LogOptions::default(), &home.syncer).unwrap();
    home.disk.faults.sync_fails.store(true, SeqCst);
    bad.append(&[batch(&["b"])]).unwrap();
    assert!(wait_durable(&bad, 1).is_err());
    assert_eq!(append(&good, &["a"]), 0);
}

#[test]
fn a_failed_sync_while_a_segment_is_closed_closes_the_log() {
    let home = Home::new();
    let log = home.open(small_segments(FSYNC));
    append(&log, &[&"x".repeat(800)]);
    home.disk.faults.sync_fails.store(true, SeqCst);
    let failed = log.append(&[batch(&[&"y".repeat(800)])]);
    assert!(matches!(failed, Err(Error::Closed { reason: CloseReason::SyncFailed { .. }, .. })), "{failed:?}");
    assert_eq!((log.end_offset(), log.high_watermark()), (1, 1));
}

#[test]
fn stopping_the_syncer_syncs_what_was_appended_and_refuses_the_rest() {
    let Home { parent, syncer, .. } = Home::new();
    let log = PartitionLog::open(&parent.path().join("t-0"), LogOptions::default(), &syncer).unwrap();
    log.append(&[batch(&["a"])]).unwrap();
    drop(syncer);
    assert_eq!(log.high_watermark(), 1);
    let refused = log.append(&[batch(&["b"])]).unwrap_err();
    assert!(matches!(refused, Error::Closed { reason: CloseReason::Stopping, .. }), "{refused}");
    assert!(wait_durable(&log, 2).is_err());
}

#[test]
fn a_log_that_wants_syncs_needs_a_syncer_that_syncs() {
    let parent = tempfile::tempdir().unwrap();
    let syncer = Syncer::start(OS);
    assert!(PartitionLog::open(&parent.path().join("t-0"), small_segments(FSYNC), &syncer).is_err());
    assert!(PartitionLog::open(&parent.path().join("t-0"), small_segments(OS), &syncer).is_ok());
}

/// Appenders and readers at once: readers see dense offsets, never past the high watermark, never two contents for
/// one offset; and a copy of the directory taken at any moment holds everything that was acknowledged before.
#[test]
fn concurrent_appenders_readers_and_kills_agree() {
    const APPENDERS: usize = 4;
    const APPENDS: usize = 150;
    let home = Home::new();
    let log = home.open(LogOptions { segment_bytes_max: 8 * 1024, ..small_segments(FSYNC) });
    let end = (APPENDERS * APPENDS) as i64;
    let acknowledged = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for appender in 0..APPENDERS {
            let (log, acknowledged) = (&log, &acknowledged);
            scope.spawn(move || {
                for n in 0..APPENDS {
                    let value = format!("{appender}/{n}");
                    let offset = append(log, &[&value]);
                    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((offset, value));
                }
            });
        }
        for bytes_max in [1, 500, 100_000] {
            let log = &log;
            scope.spawn(move || {
                let mut offset = 0;
                while offset < end {
                    wait_durable(log, offset + 1).unwrap();
                    let slice = log.read(offset, bytes_max).unwrap();
                    assert!(slice.next_offset <= log.high_watermark());
                    assert_eq!(slice.base_offset, offset);
                    assert!(slice.next_offset > offset);
                    offset = slice.next_offset;
                }
            });
        }
        for kill in 0..10 {
            let before = acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let copy = home.parent.path().join(format!("killed-{kill}"));
            copy_dir(&home.dir(), &copy);
            let recovered = PartitionLog::open(&copy, small_segments(FSYNC), &home.syncer).unwrap();
            let stored = read_all(&recovered, 10_000);
            for (offset, value) in before {
                assert_eq!(stored[offset as usize], (offset, value));
            }
        }
    });
    let mut acknowledged = acknowledged.into_inner().unwrap_or_else(PoisonError::into_inner);
    acknowledged.sort();
    assert_eq!(read_all(&log, 3000), acknowledged);
}
