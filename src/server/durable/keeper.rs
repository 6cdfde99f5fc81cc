//! Writes checkpoints on a thread of its own, one at a time, and tells everybody when one is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::base::Record;
use crate::source::durable::{DurablePoint, LOG, SourceLog};
use crate::state::checkpoint::{Header, Store};
use crate::telemetry::StateMetrics;

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
    interval: Duration,
    /// Bytes of the log from which on a checkpoint is due at once.
    log_high: u64,
    log: SourceLog,
    metrics: StateMetrics,
    last: Option<Instant>,
    busy: Arc<AtomicBool>,
    queue: Option<SyncSender<Taken>>,
    thread: Option<JoinHandle<()>>,
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
        let busy = Arc::new(AtomicBool::new(false));
        let writer = Writer { store, log: log.clone(), metrics: metrics.clone(), durable, busy: Arc::clone(&busy) };
        let thread = std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || writer.run(&jobs))?;
        let (queue, thread) = (Some(queue), Some(thread));
        Ok(Self { interval, log_high, log, metrics, last: None, busy, queue, thread })
    }

    /// Whether one should be taken now: none is being written, and time has come or the log has grown.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let waited = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval);
        (waited || self.log.bytes() >= self.log_high) && !self.busy.load(SeqCst)
    }

    /// The log, which is told how far event time has come.
    #[must_use]
    pub fn log(&self) -> &SourceLog {
        &self.log
    }

    /// Where it is counted.
    #[must_use]
    pub fn metrics(&self) -> &StateMetrics {
        &self.metrics
    }

    /// Writes one, in the background.
    pub fn write(&mut self, taken: Taken) {
        self.last = Some(Instant::now());
        self.busy.store(true, SeqCst);
        if let Some(queue) = &self.queue {
            // An error means that the thread has panicked, which has been printed; nothing is trimmed any more.
            drop(queue.send(taken));
        }
    }

    /// Writes the last one, and waits for it.
    pub fn finish(mut self, last: Taken) {
        self.write(last);
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    store: Store,
    log: SourceLog,
    metrics: StateMetrics,
    durable: watch::Sender<DurablePoint>,
    busy: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Taken>) {
        while let Ok(taken) = jobs.recv() {
            self.write(&taken);
            drop(taken);
            self.busy.store(false, SeqCst);
        }
    }

    fn write(&mut self, taken: &Taken) {
        let started = Instant::now();
        let count = |outcome: &str| self.metrics.checkpoints.with_label_values(&[outcome]).inc();
        match self.store.write(taken.header.clone(), &taken.records) {
            Ok(written) => {
                count("written");
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
            }
            Err(error) => {
                count("failed");
                tracing::error!(%error, "a checkpoint could not be written; the ones before stand");
            }
        }
    }
}
