//! What readers and the writer of a log share: which segments there are and how far they may be read.

use std::sync::Arc;

use super::file::SegmentFile;
use super::index::{SparseIndex, Summary};

/// A segment that will not change any more; it is durable.
#[derive(Debug)]
pub(super) struct ClosedSegment {
    pub(super) base_offset: i64,
    pub(super) summary: Summary,
}

/// The segment that appends go to.
#[derive(Debug)]
pub(super) struct ActiveSegment {
    pub(super) base_offset: i64,
    pub(super) file: Arc<SegmentFile>,
    pub(super) index: SparseIndex,
    /// What has been written, durable or not.
    pub(super) size_bytes: u64,
    pub(super) end_offset: i64,
    pub(super) max_timestamp_ms: i64,
}

/// A place in the log: the end of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) segment: i64,
    pub(super) position: u64,
    pub(super) offset: i64,
}

/// All segments in order, and the high watermark. Held for moments only, never during input or output.
#[derive(Debug)]
pub(super) struct View {
    pub(super) closed: Vec<Arc<ClosedSegment>>,
    pub(super) active: ActiveSegment,
    /// How far readers may see.
    pub(super) visible: Mark,
}

impl View {
    pub(super) fn start_offset(&self) -> i64 {
        self.closed.first().map_or(self.active.base_offset, |segment| segment.base_offset)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.summary.size_bytes).sum();
        closed + self.active.size_bytes
    }

    /// The end of what has been written.
    pub(super) fn written(&self) -> Mark {
        Mark { segment: self.active.base_offset, position: self.active.size_bytes, offset: self.active.end_offset }
    }

    /// Lets readers see up to `mark`. Says whether that is further than before.
    pub(super) fn publish(&mut self, mark: Mark) -> bool {
        let further = mark.offset > self.visible.offset;
        if further {
            self.visible = mark;
        }
        further
    }

    /// Closes the active segment, which must be durable, and goes on in `file`.
    pub(super) fn roll(&mut self, summary: Summary, file: SegmentFile) {
        let closed = ClosedSegment { base_offset: self.active.base_offset, summary };
        let end_offset = self.active.end_offset;
        self.closed.push(Arc::new(closed));
        self.active = ActiveSegment::empty(end_offset, file);
        self.visible = self.written();
    }
}

impl ActiveSegment {
    pub(super) fn empty(base_offset: i64, file: SegmentFile) -> Self {
        Self { base_offset, file: Arc::new(file), index: SparseIndex::default(), size_bytes: 0, end_offset: base_offset, max_timestamp_ms: -1 }
    }

    /// What to remember of it once it is closed.
    pub(super) fn summary(&self) -> Summary {
        Summary { size_bytes: self.size_bytes, end_offset: self.end_offset, max_timestamp_ms: self.max_timestamp_ms, index: self.index.thinned() }
    }
}
