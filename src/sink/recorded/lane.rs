//! The way of recorded samples to one receiver: a queue behind a mutex, and the task that empties it.
//!
//! Whoever puts samples in never waits: the lock is held to move samples, never across an attempt.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::base::{LabelsRef, Millis, Record, Recorded};

use super::super::backoff::Backoff;
use super::super::failure::{Failure, Verdict};
use super::super::worker::{Gate, Task, wall_clock};
use super::metrics::{Fate, LaneMeter, RecordedMetrics};
use super::queue::{Bound, Outcome, Queued, RecordedQueue, Refusal};
use super::waiting;

/// After this an attempt that has no answer shows as trouble.
const SLOW: Duration = Duration::from_secs(30);

/// Something that recorded samples are delivered to.
pub trait RecordedReceiver: Send + Sync + 'static {
    /// Makes one attempt. `now` is wall-clock time. One that takes long shows as trouble meanwhile.
    fn deliver(&self, batch: &[Queued], now: Millis) -> impl Future<Output = Delivery> + Send;
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Of each sample; those without are to be sent again.
    pub outcomes: Vec<Outcome>,
    /// The last answer that was no acknowledgement.
    pub failure: Option<Failure>,
}

/// What a lane needs to know of its receiver.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Most samples in a batch.
    pub samples: usize,
    /// How long a sample may wait for others to fill its batch.
    pub deadline: Duration,
    /// What may wait.
    pub bound: Bound,
    /// Waiting times between attempts.
    pub backoff: Backoff,
}

/// Which series a receiver wants.
pub type Wanted = Box<dyn Fn(LabelsRef<'_>) -> bool + Send + Sync>;

/// How a lane is.
#[derive(Clone, Debug)]
pub struct LaneState {
    /// Its sink's name, as in the metrics.
    pub name: String,
    /// What kind of sink it is, as people call it.
    pub kind: &'static str,
    /// Samples that wait or are under way.
    pub samples: usize,
    /// Their bytes in memory.
    pub bytes: usize,
    /// How much may wait.
    pub bound: Bound,
    /// Age of the oldest sample.
    pub oldest: Option<Duration>,
    /// Since when all attempts have failed, by the wall clock, and how the last one did.
    pub trouble: Option<(Millis, String)>,
}

/// See the module's text. Its task ends with it.
pub struct RecordedLane {
    shared: Arc<Shared>,
    wanted: Wanted,
    task: JoinHandle<()>,
}

/// What the engine's side and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    bell: Notify,
    meter: LaneMeter,
    kind: &'static str,
    batching: Batching,
    /// By the wall clock: samples of instants before may be repetitions.
    started: Millis,
}

#[derive(Debug)]
struct Inner {
    queue: RecordedQueue,
    closing: bool,
    trouble: Option<(Millis, String)>,
    dropped: Gate,
}

impl RecordedLane {
    /// Starts the task. Must be called within a tokio runtime.
    pub fn start(
        (name, kind): (&str, &'static str),
        receiver: impl RecordedReceiver,
        batching: Batching,
        wanted: Wanted,
        metrics: &RecordedMetrics,
    ) -> Self {
        let queue = RecordedQueue::new(batching.bound);
        let inner = Inner { queue, closing: false, trouble: None, dropped: Gate::default() };
        let (inner, meter, started) = (Mutex::new(inner), metrics.lane(name), wall_clock());
        let shared = Shared { inner, bell: Notify::new(), meter, kind, batching, started };
        let shared = Arc::new(shared);
        metrics.watch(&shared);
        let task = tokio::spawn(supervise(Arc::clone(&shared), Arc::new(receiver)));
        Self { shared, wanted, task }
    }

    /// Its sink's name, as in the metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.meter.sink()
    }

    /// Hands samples over; never waits.
    pub fn put(&self, samples: &[Recorded]) {
        let now = Instant::now();
        let mut inner = self.shared.lock();
        let wanted = samples.iter().filter(|sample| (self.wanted)(sample.labels.as_ref()));
        let dropped: usize = wanted.map(|sample| inner.queue.push(sample, now)).sum();
        if dropped > 0 {
            self.shared.meter.count(Fate::Dropped, dropped);
            if inner.dropped.open().is_some() {
                let sink = self.shared.meter.sink();
                tracing::error!(sink, dropped, "no room for recorded samples: the oldest are dropped");
            }
        }
        drop(inner);
        self.shared.bell.notify_one();
    }

    /// How it is at any time.
    pub fn state(&self) -> impl Fn() -> LaneState + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.state()
    }

    /// What waits, as a record of a checkpoint; None if nothing does.
    #[must_use]
    pub fn waiting(&self) -> Option<Record> {
        let inner = self.shared.lock();
        (inner.queue.len() > 0).then(|| waiting::encode(self.shared.meter.sink(), inner.queue.iter()))
    }

    /// Takes up what waited at a checkpoint, before anything else. What cannot be read is logged and passed over.
    pub fn restore(&self, records: &[Record]) {
        match waiting::decode(self.shared.meter.sink(), records) {
            Ok(samples) => self.put(&samples),
            Err(error) => tracing::error!(error, "recorded samples that waited for their sink are lost"),
        }
    }

    /// Closes it, and waits until nothing waits, for at most `limit`.
    pub async fn finish(&self, limit: Duration) {
        self.close();
        let emptied = async {
            while self.shared.lock().queue.len() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // What is left by then is the caller's to keep.
        let _ = tokio::time::timeout(limit, emptied).await;
    }

    /// Sends what waits, for at most `limit`, and ends the task. What is left then is counted, unless it waits in a checkpoint
    /// for the next start.
    pub async fn shutdown(&self, limit: Duration, is_kept: bool) {
        self.finish(limit).await;
        self.task.abort();
        let (sink, samples) = (self.shared.meter.sink(), self.shared.lock().queue.len());
        if samples == 0 {
            return;
        }
        if is_kept {
            tracing::info!(sink, samples, "recorded samples wait for the next start");
        } else {
            self.shared.meter.count(Fate::Shutdown, samples);
            tracing::warn!(sink, samples, "recorded samples were not written before the end");
        }
    }

    /// Has what waits sent at once; the task ends when nothing does. Nothing may be put in after that.
    pub fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.bell.notify_one();
    }
}

impl Drop for RecordedLane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for RecordedLane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordedLane").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn state(&self) -> LaneState {
        let inner = self.lock();
        LaneState {
            name: self.meter.sink().to_owned(),
            kind: self.kind,
            samples: inner.queue.len(),
            bytes: inner.queue.bytes(),
            bound: self.batching.bound,
            oldest: inner.queue.iter().next().map(|oldest| oldest.since.elapsed()),
            trouble: inner.trouble.clone(),
        }
    }

    /// The next batch: a full one, or what has waited long enough; none once the lane is closed and empty.
    async fn next(&self) -> Option<Vec<Queued>> {
        let Batching { samples, deadline, .. } = self.batching;
        loop {
            let wait = {
                let mut inner = self.lock();
                let oldest = inner.queue.iter().next().map(|oldest| oldest.since.elapsed());
                match oldest {
                    None if inner.closing => return None,
                    None => None,
                    Some(age) => {
                        let is_due = age >= deadline || inner.queue.len() >= samples || inner.queue.is_under_way();
                        if is_due || inner.closing {
                            return Some(inner.queue.take(samples));
                        }
                        Some(deadline.saturating_sub(age))
                    }
                }
            };
            match wait {
                None => self.bell.notified().await,
                Some(wait) => drop(tokio::time::timeout(wait, self.bell.notified()).await),
            }
        }
    }

    /// Waits, but not past the moment at which the lane is closed.
    async fn pause(&self, wait: Duration) {
        let end = tokio::time::Instant::now() + wait;
        let was_closing = self.lock().closing;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                () = self.bell.notified() => if self.lock().closing && !was_closing { return },
            }
        }
    }

    /// Notes what became of a batch; whether some of it is to be sent again, and whether some of it is not.
    fn settle(&self, batch: &[Queued], delivery: &Delivery) -> (bool, bool) {
        let outcomes = &delivery.outcomes;
        let count = |wanted: Outcome| outcomes.iter().filter(|o| **o == wanted).count();
        let sent = count(Outcome::Sent);
        self.meter.count(Fate::Sent, sent);
        for refusal in [Refusal::OutOfOrder, Refusal::Duplicate, Refusal::OutOfBounds, Refusal::Refused] {
            self.meter.count(Fate::Refused(refusal), count(Outcome::Refused(refusal)));
        }
        if sent > 0 {
            self.meter.succeeded(wall_clock() as f64 / 1e3);
        }
        let settled = outcomes.len() - count(Outcome::Retry);
        let again = settled < batch.len();
        let mut inner = self.lock();
        inner.queue.settle(outcomes);
        // What a restart sends again and is refused is nothing that anybody has to mend.
        let hurts = again || count(Outcome::Refused(Refusal::Refused)) > 0 || self.refuses_new(batch, outcomes);
        let trouble = inner.trouble.take();
        inner.trouble = delivery.failure.as_ref().filter(|_| hurts).map(|failure| {
            let since = trouble.map_or_else(wall_clock, |(since, _)| since);
            (since, failure.message.clone())
        });
        drop(inner);
        if let Some(failure) = &delivery.failure {
            self.meter.failed(failure.reason);
        }
        (again, settled > 0)
    }

    /// Whether a sample is refused that no process before this one can have sent.
    fn refuses_new(&self, batch: &[Queued], outcomes: &[Outcome]) -> bool {
        let is_new =
            |(sample, outcome): (&Queued, &Outcome)| sample.t >= self.started && matches!(outcome, Outcome::Refused(_));
        batch.iter().zip(outcomes).any(is_new)
    }

    /// The attempt under way takes long.
    fn waits(&self) {
        self.meter.failed("timeout");
        let waiting = || (wall_clock(), format!("no answer for {} s; it is waited for", SLOW.as_secs()));
        self.lock().trouble.get_or_insert_with(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The queue's invariants hold between its methods, and none of them panics half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers until the lane is closed and empty. A panic in the receiver is logged, counted and survived.
async fn supervise<R: RecordedReceiver>(shared: Arc<Shared>, receiver: Arc<R>) {
    loop {
        let mut task = Task(tokio::spawn(run(Arc::clone(&shared), Arc::clone(&receiver))));
        let Err(death) = (&mut task.0).await else { return };
        tracing::error!(sink = shared.meter.sink(), error = %death, "sink of recorded samples died; starting it again");
        shared.meter.failed("panic");
        shared.pause(Duration::from_secs(1)).await;
    }
}

async fn run<R: RecordedReceiver>(shared: Arc<Shared>, receiver: Arc<R>) {
    let mut failures = 0;
    let mut log = Log::default();
    while let Some(batch) = shared.next().await {
        let started = Instant::now();
        let mut attempt = pin!(receiver.deliver(&batch, wall_clock()));
        let delivery = match tokio::time::timeout(SLOW, &mut attempt).await {
            Ok(delivery) => delivery,
            Err(_) => {
                shared.waits();
                attempt.await
            }
        };
        shared.meter.attempt_took(started.elapsed().as_secs_f64());
        log.tell(shared.meter.sink(), &delivery, shared.refuses_new(&batch, &delivery.outcomes));
        let (again, progress) = shared.settle(&batch, &delivery);
        if progress && failures > 0 {
            tracing::info!(sink = shared.meter.sink(), failures, "recorded samples are written again");
            failures = 0;
        }
        if again {
            failures += 1;
            let wish = match delivery.failure.map(|failure| failure.verdict) {
                Some(Verdict::Retry(wish)) => wish,
                _ => None,
            };
            shared.pause(shared.batching.backoff.wait(failures, fastrand::f64(), wish)).await;
        }
    }
}

/// Logs once a minute what is retried, and what is refused; what is refused because it was there already hardly ever.
#[derive(Debug, Default)]
struct Log {
    retried: Gate,
    refused: Gate,
    late: Gate,
}

impl Log {
    fn tell(&mut self, sink: &str, delivery: &Delivery, refuses_new: bool) {
        let Some(failure) = &delivery.failure else { return };
        let (reason, error) = (failure.reason, failure.message.as_str());
        let of = |wanted: &dyn Fn(&Outcome) -> bool| delivery.outcomes.iter().filter(|o| wanted(o)).count();
        let refused = of(&|o| matches!(o, Outcome::Refused(_)));
        let out_of_order = of(&|o| *o == Outcome::Refused(Refusal::OutOfOrder));
        if refused > out_of_order {
            if let Some(unlogged) = self.refused.open() {
                let samples = refused - out_of_order;
                tracing::error!(sink, reason, error, samples, unlogged, "receiver refused recorded samples");
            }
        } else if refused > 0 && refuses_new {
            if let Some(unlogged) = self.refused.open() {
                let samples = out_of_order;
                tracing::warn!(
                    sink,
                    samples,
                    unlogged,
                    error,
                    "receiver has newer samples than some that were recorded just now: somebody else writes the same series"
                );
            }
        } else if refused > 0 {
            if let Some(unlogged) = self.late.open() {
                tracing::info!(
                    sink,
                    samples = out_of_order,
                    unlogged,
                    error,
                    "receiver has newer samples than some that were recorded; usual after a restart"
                );
            }
        } else if let Some(unlogged) = self.retried.open() {
            tracing::warn!(sink, reason, error, unlogged, "recorded samples are not written; will retry");
        }
    }
}
