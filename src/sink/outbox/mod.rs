//! The outbox: transitions are on disk before they leave, and leave it one by one as each sink acknowledges them.
//!
//! ```text
//! engine's thread ─ accept ─► image ─► writer thread ─► outbox.redb
//!        │ (waits for one commit)  ▲
//!        └─► mailboxes ─► workers ─┘ settle (does not wait; many in one commit)
//! ```
//!
//! A disk that fails or hangs stops no alert: the engine waits for one commit and at most a second, then delivery goes
//! on from memory, which is said aloud, until a commit works again. The outbox knows which sink wants what (`Wish`);
//! what is newest, expired or one too many is decided by the mailboxes, which settle what they give up.

mod image;
mod look;
mod metrics;
mod record;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::Registry;

use crate::alert::Transition;
use crate::base::Millis;
use crate::state::{Faults, Point};

use super::matching::Wish;
use super::worker::wall_clock;
use image::{Image, SinkIndex};
use metrics::{BacklogCollector, OutboxMetrics, backlog};
use writer::Writer;

pub use look::{LookError, OutboxReport, look};
pub use metrics::SinkBacklog;
pub use store::OutboxError;

/// The sink under whose name the outbox holds what has to be repeated by the clock, see `keep_alive.rs`. It is shown nowhere.
pub(super) const KEPT_ALIVE: &str = "(kept alive)";

/// Longest that the engine waits for a disk. After that it waits no more until the disk works again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the end of the process may wait for the last commit, and as long again for the thread that writes.
pub const LAST_COMMIT: Duration = Duration::from_secs(2);

/// A transition with its number in the outbox; 0 without an outbox.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) seq: u64,
    pub(super) transition: Arc<Transition>,
}

/// A transition that waited on disk when the process started.
#[derive(Clone, Debug)]
pub(super) struct Restored {
    pub(super) seq: u64,
    pub(super) transition: Arc<Transition>,
    pub(super) received: Millis,
}

/// One sink's place in the outbox.
#[derive(Clone, Debug)]
pub(super) struct OutboxSlot {
    outbox: Arc<Outbox>,
    index: SinkIndex,
}

impl OutboxSlot {
    /// The sink needs these no longer: acknowledged, superseded or given up. Does not wait for the disk.
    pub(super) fn settle(&self, seqs: &[u64]) {
        let mut image = self.outbox.image();
        let settled = seqs.iter().filter(|seq| image.settle(self.index, **seq)).count();
        drop(image);
        if settled > 0 {
            self.outbox.writer.ring();
        }
    }
}

impl OutboxSlot {
    /// Of each pair the second takes the place of the first before that was delivered: it has waited for as long.
    pub(super) fn inherit(&self, heirs: &[(u64, u64)]) {
        let mut image = self.outbox.image();
        heirs.iter().for_each(|(seq, heir)| image.inherit(self.index, *seq, *heir));
    }

    /// These count as having come in at `received`. Does not wait for the disk.
    pub(super) fn renew(&self, seqs: impl Iterator<Item = u64>, received: Millis) {
        let mut image = self.outbox.image();
        seqs.for_each(|seq| image.renew(seq, received));
        drop(image);
        self.outbox.writer.ring();
    }

    /// Waits until what is settled is on disk, like [`Outbox::accept`] for a second at most. Blocks.
    pub(super) fn wait(&self) {
        self.outbox.writer.wait(PATIENCE);
    }

    /// The receiver has acknowledged a delivery, and nothing on disk says so yet.
    pub(super) fn acknowledged(&self) {
        // The network's failures are the receiver's to play; only a death is of use here.
        let _ = self.outbox.faults.at(Point::SinkAcknowledged);
    }

    /// What waits for the sink.
    pub(super) fn backlog(&self) -> Option<SinkBacklog> {
        backlog(&self.outbox.image()).into_iter().nth(self.index.into())
    }
}

/// The outbox of a process. One thread of its own writes; it ends with the outbox, after all is written.
#[derive(Debug)]
pub struct Outbox {
    image: Arc<Mutex<Image>>,
    sinks: Mutex<Vec<(SinkIndex, Wish)>>,
    writer: Writer,
    metrics: OutboxMetrics,
    faults: Faults,
}

impl Outbox {
    /// Opens the outbox in `file`, which is made if it is not there; its folder must be.
    ///
    /// # Errors
    /// What only a person can mend: the file is another process' or a later release's, or may not be written.
    pub fn open(file: &Path, registry: &Registry) -> Result<Self, OutboxError> {
        Self::open_with_faults(file, registry, Faults::default())
    }

    /// As [`Self::open`], with the faults that a test asks for.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_faults(file: &Path, registry: &Registry, faults: Faults) -> Result<Self, OutboxError> {
        Self::open_with(file, store::opener(file.to_owned()), registry, faults)
    }

    pub(super) fn open_with(
        file: &Path,
        open: store::Open,
        registry: &Registry,
        faults: Faults,
    ) -> Result<Self, OutboxError> {
        let metric = |e: prometheus::Error| OutboxError::Io { file: file.to_owned(), error: e.to_string() };
        let metrics = OutboxMetrics::register(registry).map_err(metric)?;
        let (store, found) = store::open_at_start(file, &open)?;
        if found.unreadable > 0 {
            tracing::error!(alerts = found.unreadable, "alerts in the outbox could not be read");
        }
        let image = Arc::new(Mutex::new(found.image));
        BacklogCollector::register(registry, &image, wall_clock).map_err(metric)?;
        let writer = Writer::start(Arc::clone(&image), (file.to_owned(), open), store, metrics.clone(), faults.clone());
        let writer = writer.map_err(OutboxError::Thread)?;
        Ok(Self { image, sinks: Mutex::default(), writer, metrics, faults })
    }

    /// Makes a sink known, before the first [`Self::accept`], and gives what waits for it, oldest first.
    pub(super) fn attach(self: &Arc<Self>, name: &str, wish: impl Into<Wish>) -> Option<(OutboxSlot, Vec<Restored>)> {
        let mut image = self.image();
        let index = image.sink(name)?;
        let due = &image.sinks()[usize::from(index)].due;
        let restored = due.keys().filter_map(|seq| {
            let entry = image.entry(*seq)?;
            Some(Restored { seq: *seq, transition: Arc::clone(&entry.transition), received: entry.received })
        });
        let restored = restored.collect();
        drop(image);
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner).push((index, wish.into()));
        Some((OutboxSlot { outbox: Arc::clone(self), index }, restored))
    }

    /// Gives up what waits for sinks that are not there any more, and says how much that was, by sink.
    pub(super) fn drop_unattached(&self) -> Vec<(String, usize)> {
        let known: Vec<SinkIndex> =
            self.sinks.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(index, _)| *index).collect();
        let mut image = self.image();
        let mut dropped = Vec::new();
        for index in 0..image.sinks().len() {
            let Ok(index) = SinkIndex::try_from(index) else { break };
            let tally = &image.sinks()[usize::from(index)];
            if known.contains(&index) || tally.due.is_empty() {
                continue;
            }
            dropped.push((tally.name.clone(), tally.due.len()));
            for seq in tally.due.keys().copied().collect::<Vec<_>>() {
                image.settle(index, seq);
            }
        }
        drop(image);
        self.writer.ring();
        dropped
    }

    /// Takes transitions in, durably: returns after the commit, or once the disk has shown that it fails or takes longer than
    /// one second. What was accepted before (see [`super::TransitionId`]) is left out.
    pub(super) fn accept(&self, transitions: Vec<Arc<Transition>>, now: Millis) -> Vec<Numbered> {
        let started = Instant::now();
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut image = self.image();
        let mut accepted = Vec::with_capacity(transitions.len());
        let mut duplicates = 0;
        for transition in transitions {
            let due = sinks.iter().filter(|(_, wish)| wish.wants(&transition)).map(|(index, _)| *index).collect();
            match image.accept(&transition, now, due) {
                Some(seq) => accepted.push(Numbered { seq, transition }),
                None => duplicates += 1,
            }
        }
        drop(image);
        self.metrics.duplicates.inc_by(duplicates);
        if !accepted.is_empty() {
            if !self.writer.wait(PATIENCE) {
                self.metrics.undurable.inc_by(accepted.len() as u64);
            }
            self.metrics.accept.observe(started.elapsed().as_secs_f64());
        }
        accepted
    }

    /// Forgets the identities of ticks up to `watermark`: call it when a checkpoint of that watermark has become durable.
    pub fn forget_upto(&self, watermark: Millis) {
        self.image().forget_upto(watermark);
        self.writer.ring();
    }

    /// Whether all that was accepted so far is on disk. A checkpoint must not become durable before that is so.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.writer.is_durable()
    }

    /// What waits, by sink.
    #[must_use]
    pub fn backlog(&self) -> Vec<SinkBacklog> {
        backlog(&self.image()).into_iter().filter(|sink| sink.sink != KEPT_ALIVE).collect()
    }

    /// Writes what has changed, waiting for at most `limit`; says whether all is on disk.
    pub fn flush(&self, limit: Duration) -> bool {
        self.writer.wait(limit)
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        // The image's invariants hold between its methods, and none of them panics half-way.
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
