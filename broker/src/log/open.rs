//! Brings a log back from its directory.

use std::path::Path;
use std::sync::Arc;

use super::directory::Directory;
use super::file::Disk;
use super::index::Summary;
use super::recovery;
use super::stamp::Stamp;
use super::view::{ActiveSegment, ClosedSegment, Mark, View};
use super::{Error, Recovery};

/// A log as it was found, with everything in it durable.
pub(super) struct Opened {
    pub(super) directory: Directory,
    pub(super) stamp: Stamp,
    pub(super) view: View,
    pub(super) recovery: Recovery,
}

/// Opens or creates the log in `path`; cuts a torn tail away.
///
/// # Errors
/// When the directory is not a log of this version, is damaged, or cannot be used.
pub(super) fn open(path: &Path, disk: &Disk) -> Result<Opened, Error> {
    let (directory, stamp) = Directory::prepare(path)?;
    let durable_offset = directory.checkpoint();
    let mut base_offsets = directory.base_offsets()?;
    if base_offsets.is_empty() {
        if durable_offset > 0 {
            let problem = format!("all segments are missing, although offset {durable_offset} was reached");
            return Err(Error::damaged(path, 0, problem));
        }
        disk.create(&directory.segment(0)).map_err(Error::file("create", &directory.segment(0)))?;
        directory.sync()?;
        base_offsets.push(0);
    }
    let closed = base_offsets.windows(2).map(|pair| open_closed(&directory, disk, stamp, pair[0], pair[1]).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let last = base_offsets[base_offsets.len() - 1];
    let (active, recovery) = open_active(&directory, disk, stamp, last, durable_offset)?;
    let visible = Mark { segment: last, position: active.size_bytes, offset: active.end_offset };
    Ok(Opened { directory, stamp, view: View { closed, active, visible }, recovery })
}

/// A segment with a successor was synced before that successor was created, so nothing in it can be torn.
fn open_closed(directory: &Directory, disk: &Disk, stamp: Stamp, base_offset: i64, next_base_offset: i64) -> Result<ClosedSegment, Error> {
    let path = directory.segment(base_offset);
    let file = disk.open_read_only(&path).map_err(Error::file("open", &path))?;
    let size_bytes = file.size_bytes().map_err(Error::file("read", &path))?;
    let cached = Summary::load(&directory.index(base_offset)).filter(|summary| summary.size_bytes == size_bytes && summary.end_offset == next_base_offset);
    if let Some(summary) = cached {
        return Ok(ClosedSegment { base_offset, summary });
    }
    let contents = recovery::scan(&file, &path, base_offset, stamp)?;
    if contents.torn_bytes > 0 || contents.end_offset != next_base_offset {
        let problem = format!("its last good batch ends at offset {}, but the next segment starts at {next_base_offset}", contents.end_offset);
        return Err(Error::damaged(&path, contents.size_bytes, problem));
    }
    let summary = Summary { size_bytes, end_offset: contents.end_offset, max_timestamp_ms: contents.max_timestamp_ms, index: contents.index.thinned() };
    save_cache(directory, base_offset, &summary);
    Ok(ClosedSegment { base_offset, summary })
}

fn open_active(directory: &Directory, disk: &Disk, stamp: Stamp, base_offset: i64, durable_offset: i64) -> Result<(ActiveSegment, Recovery), Error> {
    let path = directory.segment(base_offset);
    let file = disk.open(&path).map_err(Error::file("open", &path))?;
    let contents = recovery::scan(&file, &path, base_offset, stamp)?;
    if contents.end_offset < durable_offset {
        let problem = format!("its last good batch ends at offset {}, although offset {durable_offset} was durable when it was closed", contents.end_offset);
        return Err(Error::damaged(&path, contents.size_bytes, problem));
    }
    if contents.torn_bytes > 0 {
        tracing::warn!(
            segment = %path.display(),
            position = contents.size_bytes,
            torn_bytes = contents.torn_bytes,
            "cutting a torn tail that no acknowledgement covers"
        );
        file.truncate(contents.size_bytes).map_err(Error::file("truncate", &path))?;
    }
    // What a killed process wrote is in the page cache only; readers are about to see it.
    file.sync().map_err(Error::file("sync", &path))?;
    let active = ActiveSegment {
        base_offset,
        file: Arc::new(file),
        index: contents.index,
        size_bytes: contents.size_bytes,
        end_offset: contents.end_offset,
        max_timestamp_ms: contents.max_timestamp_ms,
    };
    let recovery = Recovery { scanned_bytes: contents.size_bytes + contents.torn_bytes, torn_bytes: contents.torn_bytes };
    Ok((active, recovery))
}

/// Saves the cache of a closed segment. A failure costs time at the next start and nothing else.
pub(super) fn save_cache(directory: &Directory, base_offset: i64, summary: &Summary) {
    let path = directory.index(base_offset);
    if let Err(error) = summary.save(&path) {
        tracing::warn!(file = %path.display(), %error, "cannot save the index of a closed segment");
    }
}
