//! How far a replay has come, for whoever draws it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared counters; all only ever grow but `total`, which is an estimate.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    bad_lines: AtomicU64,
}

impl Progress {
    /// Samples sent so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Samples there are in all, where files are large by an estimate from their size; 0 until they are opened.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Malformed lines skipped.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines.load(Relaxed)
    }

    pub(super) fn expect(&self, samples: u64) {
        self.total.fetch_add(samples, Relaxed);
    }

    pub(super) fn sent(&self, samples: u64, bad_lines: u64) {
        self.done.fetch_add(samples, Relaxed);
        self.bad_lines.store(bad_lines, Relaxed);
    }
}
