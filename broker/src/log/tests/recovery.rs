//! What is left after a crash, and what is refused.

use std::io::Write;

use super::*;

/// Three batches of two records each; returns their end positions in the segment.
fn three_batches(home: &Home) -> Vec<usize> {
    let log = home.open(LogOptions { durability: FSYNC, ..LogOptions::default() });
    let mut ends = Vec::new();
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        append(&log, &values);
        ends.push(log.size_bytes() as usize);
    }
    drop(log);
    // A killed process writes no checkpoint.
    let _ = fs::remove_file(home.dir().join("checkpoint"));
    ends
}

fn open(dir: &Path, syncer: &Syncer) -> Result<PartitionLog, Error> {
    PartitionLog::open(dir, small_segments(FSYNC), syncer)
}

#[test]
fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let home = Home::new();
    let ends = three_batches(&home);
    let whole = fs::read(home.segment(0)).unwrap();
    assert_eq!(whole.len(), ends[2]);
    for length in 0..=whole.len() {
        fs::write(home.segment(0), &whole[..length]).unwrap();
        let log = open(&home.dir(), &home.syncer).unwrap();
        let batches_left = ends.iter().filter(|end| **end <= length).count();
        let bytes_left = if batches_left == 0 { 0 } else { ends[batches_left - 1] };
        assert_eq!(log.end_offset(), 2 * batches_left as i64, "cut at {length}");
        assert_eq!(log.high_watermark(), log.end_offset());
        assert_eq!(log.recovery().torn_bytes, (length - bytes_left) as u64);
        assert_eq!(fs::metadata(home.segment(0)).unwrap().len(), bytes_left as u64);
        assert_eq!(append(&log, &["next"]), 2 * batches_left as i64);
        drop(log);
        fs::remove_file(home.dir().join("checkpoint")).unwrap();
    }
}

#[test]
fn garbage_behind_the_durable_end_is_cut() {
    let home = Home::new();
    let ends = three_batches(&home);
    let whole = fs::read(home.segment(0)).unwrap();
    let foreign = batch(&["not from here"]).as_bytes().to_vec();
    let stale = whole[ends[0]..].to_vec();
    for garbage in [vec![0; 5000], vec![0xff; 5000], b"garbage".repeat(500), foreign, stale] {
        fs::write(home.segment(0), [&whole[..], &garbage].concat()).unwrap();
        let log = open(&home.dir(), &home.syncer).unwrap();
        assert_eq!(log.end_offset(), 6);
        assert_eq!(log.recovery().torn_bytes, garbage.len() as u64);
    }
}

#[test]
fn damage_in_the_middle_is_an_error_that_names_the_place_and_changes_nothing() {
    let home = Home::new();
    let ends = three_batches(&home);
    let whole = fs::read(home.segment(0)).unwrap();
    for position in 0..ends[1] {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x01;
        fs::write(home.segment(0), &damaged).unwrap();
        let error = open(&home.dir(), &home.syncer).unwrap_err();
        let start = if position < ends[0] { 0 } else { ends[0] as u64 };
        match error {
            Error::Damaged { path, position: named, .. } => assert_eq!((path, named), (home.segment(0), start)),
            other => panic!("byte {position}: {other}"),
        }
        assert_eq!(fs::read(home.segment(0)).unwrap(), damaged, "byte {position}");
    }
}

#[test]
fn a_record_that_contains_a_batch_is_not_mistaken_for_damage() {
    let home = Home::new();
    let log = home.open(LogOptions { durability: OS, ..LogOptions::default() });
    append(&log, &["a"]);
    let durable = log.size_bytes();
    // A torn batch whose value is a whole, well-formed batch with the very next offset.
    let inner = batch(&["inner"]).as_bytes().to_vec();
    let mut inner = [inner.clone(), inner].concat();
    inner[..8].copy_from_slice(&2_i64.to_be_bytes());
    let outer = fluvio_protocol::record::Record::new(inner);
    let outer = EncodedBatch::from_records(vec![outer], Compression::None, 1, 1, &BatchLimits::default()).unwrap();
    log.append(&[outer]).unwrap();
    drop(log);
    fs::remove_file(home.dir().join("checkpoint")).unwrap();
    let whole = fs::read(home.segment(0)).unwrap();
    fs::write(home.segment(0), &whole[..whole.len() - 1]).unwrap();
    let log = open(&home.dir(), &home.syncer).unwrap();
    assert_eq!((log.end_offset(), log.size_bytes()), (1, durable));
}

#[test]
fn a_last_batch_that_was_durable_at_an_orderly_stop_is_not_cut() {
    let home = Home::new();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    append(&log, &["b"]);
    drop(log);
    let whole = fs::read(home.segment(0)).unwrap();
    fs::write(home.segment(0), &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(open(&home.dir(), &home.syncer), Err(Error::Damaged { .. })));
    fs::remove_file(home.segment(0)).unwrap();
    assert!(matches!(open(&home.dir(), &home.syncer), Err(Error::Damaged { .. })));
}

#[test]
fn damage_in_a_closed_segment_is_found_by_its_reader() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    for n in 0..100 {
        log.append(&[batch(&[&format!("value {n}")])]).unwrap();
    }
    let mut bytes = fs::read(home.segment(0)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(home.segment(0), &bytes).unwrap();
    assert!(matches!(log.read(0, usize::MAX), Err(Error::Damaged { .. })));
    assert_eq!(log.read(0, 1).unwrap().next_offset, 1, "the batches before it can be read");
    assert!(log.read(99, 1).is_ok(), "other segments can be read");
}

#[test]
fn a_missing_or_shortened_closed_segment_is_refused() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    while log.inner.view().closed.len() < 3 {
        log.append(&[batch(&["some value"])]).unwrap();
    }
    let second = log.inner.view().closed[1].base_offset;
    drop(log);
    let whole = fs::read(home.segment(second)).unwrap();
    fs::write(home.segment(second), &whole[..whole.len() - 10]).unwrap();
    assert!(matches!(open(&home.dir(), &home.syncer), Err(Error::Damaged { .. })));
    fs::remove_file(home.segment(second)).unwrap();
    assert!(matches!(open(&home.dir(), &home.syncer), Err(Error::Damaged { .. })));
    fs::write(home.segment(second), &whole).unwrap();
    assert!(open(&home.dir(), &home.syncer).is_ok());
}

#[test]
fn the_index_files_are_only_a_cache() {
    let home = Home::new();
    let log = home.open(small_segments(OS));
    for n in 0..100 {
        log.append(&[batch(&[&format!("value {n}")])]).unwrap();
    }
    let expected = read_all(&log, 300);
    drop(log);
    let indexes = || {
        let files = fs::read_dir(home.dir()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "index")).collect::<Vec<_>>()
    };
    assert!(indexes().len() > 3);
    for (n, index) in indexes().iter().enumerate() {
        match n % 3 {
            0 => fs::remove_file(index).unwrap(),
            1 => fs::write(index, b"").unwrap(),
            _ => fs::OpenOptions::new().append(true).open(index).unwrap().write_all(b"x").unwrap(),
        }
    }
    let before = indexes().len();
    assert_eq!(read_all(&home.open(small_segments(OS)), 300), expected);
    assert!(indexes().len() > before, "the cache is written again");
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let home = Home::new();
    fs::create_dir_all(home.dir()).unwrap();
    fs::write(home.segment(0), b"somebody else's data").unwrap();
    assert!(matches!(home.try_open(LogOptions::default()), Err(Error::Format { .. })));
    assert_eq!(fs::read(home.segment(0)).unwrap(), b"somebody else's data");
    for marker in ["orderflow segment log, version 2\nstamp key 00\n", "", "\u{fffd}"] {
        fs::write(home.dir().join("format"), marker).unwrap();
        let error = home.try_open(LogOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Format { .. }));
        assert!(error.to_string().contains("topic-0"), "{error}");
    }
}

#[test]
fn a_crash_while_the_log_or_a_segment_is_created_is_no_damage() {
    let home = Home::new();
    // Directory and marker only, as after a crash before the first segment.
    drop(home.open(LogOptions::default()));
    fs::remove_file(home.segment(0)).unwrap();
    let log = home.open(LogOptions::default());
    append(&log, &["a"]);
    drop(log);
    // A successor that got no record yet.
    fs::write(home.segment(1), b"").unwrap();
    let log = home.open(LogOptions::default());
    assert_eq!(append(&log, &["b"]), 1);
    assert_eq!(read_all(&log, 1), [(0, "a".to_owned()), (1, "b".to_owned())]);
}
