//! How far a source with an end has come, for whoever draws it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shared counters; all only ever grow.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    samples: AtomicU64,
    bad_lines: AtomicU64,
}

impl Progress {
    /// Steps done: samples sent of files, seconds of history fetched of a server.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Steps there are in all, where files are large by an estimate from their size; 0 until they are known.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Samples sent so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Relaxed)
    }

    /// Malformed lines skipped.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines.load(Relaxed)
    }

    pub(super) fn expect(&self, steps: u64) {
        self.total.fetch_add(steps, Relaxed);
    }

    pub(super) fn step(&self, steps: u64, samples: u64) {
        self.done.fetch_add(steps, Relaxed);
        self.samples.fetch_add(samples, Relaxed);
    }

    pub(super) fn skipped(&self, bad_lines: u64) {
        self.bad_lines.store(bad_lines, Relaxed);
    }
}
