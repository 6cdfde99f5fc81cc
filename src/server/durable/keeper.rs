//! Writes checkpoints on a thread of its own, one at a time, and tells everybody when one is durable.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::field::Empty;

use super::due::Due;
use crate::base::Record;
use crate::source::durable::{DurablePoint, LOG, SourceLog};
use crate::state::StateError;
use crate::state::checkpoint::{Header, Store};
use crate::telemetry::StateMetrics;

/// How long the end waits for the last one: less than the process gives the engine at its end (`run.rs`).
const LAST_MAX: Duration = Duration::from_secs(6);

/// A copy of all state, taken between two events.
#[derive(Debug)]
pub struct Taken {
    /// What it is of.
    pub header: Header,
    /// The state.
    pub records: Vec<Record>,
}

/// Hands checkpoints to the thread that writes them.
#[derive(Debug)]
pub struct Keeper {
    due: Arc<Mutex<Due>>,
    log: SourceLog,
    metrics: StateMetrics,
    queue: Option<SyncSender<Taken>>,
    thread: Option<JoinHandle<()>>,
    /// Told when the thread ends.
    ended: Receiver<()>,
    hangs: bool,
    /// Whether the engine has got samples that are in no log, nor in the newest checkpoint.
    unlogged: bool,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn start(
        store: Store,
        log: SourceLog,
        (interval, log_high): (Duration, u64),
        metrics: StateMetrics,
        durable: watch::Sender<DurablePoint>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(1);
        let due = Arc::new(Mutex::new(Due::new(interval, log_high)));
        let writer = Writer { store, log: log.clone(), metrics: metrics.clone(), durable, due: Arc::clone(&due) };
        // Nothing is sent: its other end is gone when the thread is, however that ends.
        let (end, ended) = sync_channel(0);
        let thread = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || {
            let _end: SyncSender<()> = end;
            writer.run(&jobs);
        })?;
        let (queue, thread) = (Some(queue), Some(thread));
        Ok(Self { due, log, metrics, queue, thread, ended, hangs: false, unlogged: false })
    }

    /// Whether one should be taken now, see [`Due`]. Says so where the one before hangs.
    #[must_use]
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = lock(&self.due);
        let (is_now, hangs) = (due.is_now(now, self.log.bytes(), self.unlogged), due.hangs(now));
        drop(due);
        if hangs != std::mem::replace(&mut self.hangs, hangs) {
            self.metrics.checkpoint_hanging.set(i64::from(hangs));
            if hangs {
                tracing::error!(
                    "the disk hangs while a checkpoint is written; alerts go on, the log grows until it answers"
                );
            }
        }
        is_now
    }

    /// The log, which is told how far event time has come.
    #[must_use]
    pub fn log(&self) -> &SourceLog {
        &self.log
    }

    /// The engine has got samples that are in no log: a checkpoint comes soon. Said by whoever takes the checkpoints, so that none
    /// lies between.
    pub fn note_unlogged(&mut self) {
        self.unlogged = true;
    }

    /// Where it is counted.
    #[must_use]
    pub fn metrics(&self) -> &StateMetrics {
        &self.metrics
    }

    /// Writes one, in the background.
    pub fn write(&mut self, taken: Taken) {
        lock(&self.due).begin(Instant::now());
        self.unlogged = false;
        if let Some(queue) = &self.queue {
            // An error means that the thread has panicked, which has been printed; nothing is trimmed any more.
            drop(queue.send(taken));
        }
    }

    /// Writes the last one, and waits for it, but not for a disk that hangs: alerts have to leave as well.
    pub fn finish(mut self, last: Option<Taken>) {
        last.into_iter().for_each(|last| self.write(last));
        self.queue.take();
        if self.ended.recv_timeout(LAST_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::error!(
                "the last checkpoint could not be written in time; the log has what came since the one before"
            );
        } else if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    store: Store,
    log: SourceLog,
    metrics: StateMetrics,
    durable: watch::Sender<DurablePoint>,
    due: Arc<Mutex<Due>>,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Taken>) {
        while let Ok(taken) = jobs.recv() {
            let outcome = self.write(&taken);
            drop(taken);
            let news = lock(&self.due).end(Instant::now(), outcome.is_ok());
            match outcome {
                Ok(()) if news => tracing::info!("checkpoints can be written again"),
                Ok(()) => {}
                Err(error) if news => {
                    tracing::error!(%error, "a checkpoint could not be written; the ones before stand, and it is tried again");
                }
                Err(error) => tracing::debug!(%error, "a checkpoint could not be written again"),
            }
        }
    }

    fn write(&mut self, taken: &Taken) -> Result<(), StateError> {
        let started = Instant::now();
        let span =
            tracing::debug_span!("checkpoint", bytes = Empty, outcome = Empty, otel.status_code = Empty).entered();
        let count = |outcome: &str| {
            self.metrics.checkpoints.with_label_values(&[outcome]).inc();
            span.record("outcome", outcome);
        };
        match self.store.write(taken.header.clone(), &taken.records) {
            Ok(written) => {
                count("written");
                span.record("bytes", written.manifest.bytes);
                self.metrics.write_seconds.observe(started.elapsed().as_secs_f64());
                self.metrics.checkpoint_bytes.set(written.manifest.bytes as i64);
                self.metrics.checkpoint_time.set(written.manifest.header.created.div_euclid(1000));
                let took = started.elapsed();
                let (number, bytes) = (written.manifest.number, written.manifest.bytes);
                tracing::debug!(number, bytes, ?took, "checkpoint written");
                // Only what even the oldest one holds will not be asked for again.
                if let Some(position) = written.oldest.positions.get(LOG) {
                    self.log.trim(*position);
                }
                let Header { watermark, positions, .. } = written.oldest;
                self.durable.send_replace(DurablePoint { watermark, positions });
                Ok(())
            }
            Err(error) => {
                count("failed");
                span.record("otel.status_code", "ERROR");
                Err(error)
            }
        }
    }
}

fn lock(due: &Mutex<Due>) -> std::sync::MutexGuard<'_, Due> {
    due.lock().unwrap_or_else(PoisonError::into_inner)
}
