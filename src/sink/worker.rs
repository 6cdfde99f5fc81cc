//! The task that delivers to one receiver: takes from its mailbox, attempts, waits, attempts again.
//!
//! The mailbox is the sink's [`Pending`] behind a mutex, with a bell. The dispatcher puts transitions in and never waits:
//! the lock is held for map operations only, never across an attempt. A plain channel would do worse here: bounded it
//! must lose or block, unbounded it grows with every repetition, while the map holds one entry an alert.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::Instrument;
use tracing::field::Empty;

use crate::alert::Transition;
use crate::base::Millis;

use super::backoff::Backoff;
use super::failure::{Failure, Verdict};
use super::metrics::{Drop, SinkMeter};
use super::pending::{Outgoing, Pending, Policy};

/// Something that alerts are delivered to.
pub trait Receiver: Send + Sync + 'static {
    /// Makes one attempt, and returns within a bounded time. `now` is wall-clock time.
    fn deliver(&self, batch: &[Outgoing], now: Millis) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What waits for one receiver; see the module's text.
#[derive(Debug)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    bell: Notify,
    meter: SinkMeter,
}

#[derive(Debug)]
struct Inner {
    pending: Pending,
    closing: bool,
}

impl Mailbox {
    pub(super) fn new(policy: Policy, meter: SinkMeter) -> Self {
        let inner = Mutex::new(Inner { pending: Pending::new(policy), closing: false });
        Self { inner, bell: Notify::new(), meter }
    }

    /// Takes notified transitions in.
    pub(super) fn put(&self, transitions: &[Arc<Transition>], now: Millis) {
        let mut inner = self.lock();
        for transition in transitions {
            inner.pending.offer(transition, now);
        }
        self.meter.dropped(Drop::QueueFull, inner.pending.shed());
        self.meter.queued(inner.pending.len());
        drop(inner);
        self.bell.notify_one();
    }

    /// Asks the worker to end once all is delivered, and to try at once what it put off.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.bell.notify_one();
    }

    /// Counts what will not be delivered any more as dropped.
    pub(super) fn abandon(&self) -> usize {
        let left = self.lock().pending.len();
        self.meter.dropped(Drop::Shutdown, left);
        self.meter.queued(0);
        left
    }

    /// The next delivery; none once the mailbox is closed and empty.
    async fn next(&self) -> Option<Vec<Outgoing>> {
        loop {
            {
                let mut inner = self.lock();
                let (batch, expired) = inner.pending.take(wall_clock());
                self.meter.dropped(Drop::Expired, expired);
                self.meter.queued(inner.pending.len());
                if !batch.is_empty() {
                    return Some(batch);
                }
                if inner.closing {
                    return None;
                }
            }
            self.bell.notified().await;
        }
    }

    /// Waits, but not past the moment at which the mailbox is closed.
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Pending's invariants hold between its methods, and none of them panics half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers what comes into `mailbox` until it is closed and empty. A panic in the receiver is logged, counted and survived.
pub(super) async fn supervise<R: Receiver>(mailbox: Arc<Mailbox>, receiver: Arc<R>, backoff: Backoff) {
    loop {
        let mut task = Task(tokio::spawn(run(Arc::clone(&mailbox), Arc::clone(&receiver), backoff)));
        let Err(death) = (&mut task.0).await else { return };
        tracing::error!(sink = mailbox.meter.name(), error = %death, "sink died; starting it again");
        mailbox.meter.failed("panic");
        mailbox.lock().pending.recover();
        mailbox.pause(backoff.cap.min(Duration::from_secs(1))).await;
    }
}

/// A task that ends with its owner.
struct Task(tokio::task::JoinHandle<()>);

impl std::ops::Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run<R: Receiver>(mailbox: Arc<Mailbox>, receiver: Arc<R>, backoff: Backoff) {
    let mut failures = 0;
    let mut log = FailureLog::default();
    while let Some(batch) = mailbox.next().await {
        let started = Instant::now();
        let span = tracing::debug_span!(
            "delivery",
            sink = mailbox.meter.name(),
            alerts = batch.len(),
            failure = Empty,
            otel.status_code = Empty
        );
        let result = receiver.deliver(&batch, wall_clock()).instrument(span.clone()).await;
        if let Err(failure) = &result {
            span.record("failure", failure.reason).record("otel.status_code", "ERROR");
        }
        drop(span);
        mailbox.meter.attempt_took(started.elapsed().as_secs_f64());
        let verdict = settle(&mailbox, &batch, &result);
        match result {
            Ok(()) => {
                log.delivered(mailbox.meter.name(), failures);
                failures = 0;
            }
            Err(failure) => {
                log.failed(mailbox.meter.name(), &failure, batch.len());
                if let Some(Verdict::Retry(wish)) = verdict {
                    failures += 1;
                    mailbox.pause(backoff.wait(failures, fastrand::f64(), wish)).await;
                }
            }
        }
    }
}

/// Tells the pending alerts what became of a delivery.
fn settle(mailbox: &Mailbox, batch: &[Outgoing], result: &Result<(), Failure>) -> Option<Verdict> {
    let mut inner = mailbox.lock();
    let verdict = match result {
        Ok(()) => {
            inner.pending.delivered(batch);
            mailbox.meter.delivered(batch.len());
            None
        }
        Err(failure) => {
            mailbox.meter.failed(failure.reason);
            match failure.verdict {
                Verdict::Retry(_) => inner.pending.failed(batch),
                Verdict::Split | Verdict::Refused => {
                    let dropped = inner.pending.refused(batch, failure.verdict == Verdict::Split);
                    mailbox.meter.dropped(Drop::Refused, dropped);
                }
            }
            Some(failure.verdict)
        }
    };
    mailbox.meter.queued(inner.pending.len());
    verdict
}

/// Logs failures that are retried once a minute, and refusals once a minute.
#[derive(Debug, Default)]
struct FailureLog {
    retried: Gate,
    refused: Gate,
}

impl FailureLog {
    fn failed(&mut self, sink: &str, failure: &Failure, alerts: usize) {
        let (reason, error) = (failure.reason, failure.message.as_str());
        match failure.verdict {
            Verdict::Retry(_) => {
                if let Some(unlogged) = self.retried.open() {
                    tracing::warn!(sink, reason, error, alerts, unlogged, "delivery failed; will retry");
                }
            }
            Verdict::Split | Verdict::Refused => {
                if let Some(unlogged) = self.refused.open() {
                    tracing::error!(sink, reason, error, alerts, unlogged, "receiver refused alerts");
                }
            }
        }
    }

    fn delivered(&mut self, sink: &str, failures: u32) {
        if failures > 0 {
            tracing::info!(sink, failures, "delivers again");
        }
    }
}

/// Opens once a minute.
#[derive(Debug, Default)]
struct Gate {
    last: Option<Instant>,
    unlogged: u64,
}

impl Gate {
    /// How many were held back since it opened last, if it opens.
    fn open(&mut self) -> Option<u64> {
        if self.last.is_some_and(|t| t.elapsed() < Duration::from_secs(60)) {
            self.unlogged += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// Milliseconds since the Unix epoch by this machine's clock.
pub(super) fn wall_clock() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prometheus::Registry;

    use super::super::{SinkMetrics, testing};
    use super::*;

    /// Dies at the first attempt.
    struct Fragile(AtomicUsize);

    impl Receiver for Fragile {
        async fn deliver(&self, _batch: &[Outgoing], _now: Millis) -> Result<(), Failure> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "as the test wishes");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_receiver_that_panics_loses_nothing() {
        let registry = Registry::new();
        let meter = SinkMetrics::register(&registry).unwrap().sink("fragile", 10);
        let policy = Policy { capacity: 10, batch: 64, one_rule: false, repeats: true, resolved: true };
        let mailbox = Arc::new(Mailbox::new(policy, meter));
        let backoff = Backoff { cap: Duration::from_millis(1), ..Backoff::default() };
        mailbox.put(&[Arc::new(testing::firing("a", wall_clock()))], wall_clock());
        mailbox.close();
        supervise(Arc::clone(&mailbox), Arc::new(Fragile(AtomicUsize::new(0))), backoff).await;
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains(r#"forewarn_sink_errors_total{reason="panic",sink="fragile"} 1"#), "{text}");
        assert!(text.contains(r#"forewarn_sink_notifications_total{sink="fragile"} 1"#), "{text}");
    }
}
