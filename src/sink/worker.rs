//! The task that delivers to one receiver: takes from its mailbox, attempts, waits, attempts again.
//!
//! The mailbox is what [`Waiting`] for the sink, behind a mutex, with a bell. The dispatcher puts transitions in and never waits:
//! the lock is held for map operations only, never across an attempt. A plain channel would do worse here: bounded it
//! must lose or block, unbounded it grows with every repetition, while the map holds one entry an alert.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::Instrument;
use tracing::field::Empty;

use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;

use super::AlertKey;
use super::backoff::Backoff;
use super::failure::{Failure, Verdict};
use super::matching::Wish;
use super::metrics::{Drop, SinkMeter};
use super::outbox::{Numbered, OutboxSlot, Restored, SinkBacklog};
use super::pending::{Outgoing, Policy};
use super::waiting::Waiting;

/// Something that alerts are delivered to.
pub trait Receiver: Send + Sync + 'static {
    /// Makes one attempt, and returns within a bounded time. `now` is wall-clock time.
    fn deliver(&self, batch: &[Outgoing], now: Millis) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How a sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkState {
    /// Its name, as in the metrics.
    pub name: String,
    /// See [`super::SinkConfig::kind`].
    pub kind: &'static str,
    /// Alerts that wait or are under way.
    pub waiting: usize,
    /// Since when all attempts have failed, by the wall clock, and how the last one did.
    pub trouble: Option<(Millis, String)>,
    /// What waits for it on disk, if there is an outbox.
    pub kept: Option<SinkBacklog>,
}

/// What waits for one receiver; see the module's text.
#[derive(Debug)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    bell: Notify,
    meter: SinkMeter,
    wish: Wish,
    /// Where what is settled leaves the outbox, if there is one.
    slot: Option<OutboxSlot>,
}

#[derive(Debug)]
struct Inner {
    waiting: Waiting,
    closing: bool,
    /// Alerts that the sink is not to hear of any more, and of which something waited on disk: it hears the rest as well.
    strangers: HashSet<AlertKey>,
    /// Why the last attempt failed, if it did, and since when they all do.
    trouble: Option<(Millis, String)>,
}

impl Inner {
    /// Whether this is the rest of what waited of an alert that does not concern the sink: a repetition, or its end.
    fn hears_the_rest_of(&mut self, transition: &Transition) -> bool {
        if self.strangers.is_empty() {
            return false;
        }
        let key = AlertKey::of(transition);
        match (transition.to, transition.reason) {
            (AlertState::Firing, Reason::Resent) => self.strangers.contains(&key),
            (AlertState::Inactive, _) => self.strangers.remove(&key),
            _ => {
                // It has begun again: that is not for this sink.
                self.strangers.remove(&key);
                false
            }
        }
    }
}

impl Mailbox {
    /// For a sink without an outbox.
    #[cfg(test)]
    pub(super) fn new(policy: super::pending::Policy, meter: SinkMeter) -> Self {
        Self::with_outbox(policy.into(), meter, None, Vec::new())
    }

    /// With what waited in the outbox, if there is one.
    pub(super) fn with_outbox(wish: Wish, meter: SinkMeter, slot: Option<OutboxSlot>, due: Vec<Restored>) -> Self {
        let mut waiting = Waiting::new(wish.policy);
        let mut strangers = HashSet::new();
        for old in &due {
            waiting.restore(old.seq, &old.transition, old.received);
            if !wish.concerns(&old.transition) {
                strangers.insert(AlertKey::of(&old.transition));
            }
        }
        let mailbox = Self {
            inner: Mutex::new(Inner { waiting, closing: false, strangers, trouble: None }),
            bell: Notify::new(),
            meter,
            wish,
            slot,
        };
        mailbox.tidy(&mut mailbox.lock());
        mailbox
    }

    /// Takes transitions in.
    pub(super) fn put(&self, transitions: &[Numbered], now: Millis) {
        let mut inner = self.lock();
        for Numbered { seq, transition } in transitions {
            if !self.wish.concerns(transition) && !inner.hears_the_rest_of(transition) {
                continue;
            }
            // What only refreshes what waits is not in the outbox for this sink.
            let seq = if self.wish.wants(transition) { *seq } else { 0 };
            inner.waiting.put(seq, transition, now);
        }
        self.tidy(&mut inner);
        drop(inner);
        self.bell.notify_one();
    }

    /// The sink's name, what waits, and since when and why its attempts fail.
    pub(super) fn status(&self, kind: &'static str) -> SinkState {
        let inner = self.lock();
        let (waiting, trouble) = (inner.waiting.len(), inner.trouble.clone());
        drop(inner);
        let kept = self.slot.as_ref().and_then(OutboxSlot::backlog);
        SinkState { name: self.meter.name().to_owned(), kind, waiting, trouble, kept }
    }

    /// Which alerts the sink gets.
    pub(super) fn wish(&self) -> &Wish {
        &self.wish
    }

    /// How the sink wants its alerts.
    pub(super) fn policy(&self) -> &Policy {
        &self.wish.policy
    }

    /// Whether a repetition by the clock is of any use: the sink gets repetitions of the alert, or something of it still waits.
    pub(super) fn needs_again(&self, transition: &Transition) -> bool {
        self.wish.wants(transition) || self.lock().waiting.refreshes(AlertKey::of(transition))
    }

    /// Keeps to the capacity, and lets go of what is settled.
    fn tidy(&self, inner: &mut Inner) {
        self.meter.dropped(Drop::QueueFull, inner.waiting.shed());
        self.meter.queued(inner.waiting.len());
        let (heirs, released) = (inner.waiting.take_heirs(), inner.waiting.take_released());
        if let Some(slot) = self.slot.as_ref().filter(|_| !released.is_empty() || !heirs.is_empty()) {
            slot.inherit(&heirs);
            slot.settle(&released);
        }
    }

    /// Asks the worker to end once all is delivered, and to try at once what it put off.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.bell.notify_one();
    }

    /// Counts what will not be delivered any more as dropped, unless it waits in the outbox for the next start.
    pub(super) fn abandon(&self) -> usize {
        let left = self.lock().waiting.len();
        if self.slot.is_none() {
            self.meter.dropped(Drop::Shutdown, left);
        }
        self.meter.queued(0);
        left
    }

    /// The next delivery; none once the mailbox is closed and empty.
    async fn next(&self) -> Option<Vec<Outgoing>> {
        loop {
            {
                let mut inner = self.lock();
                let (batch, expired) = inner.waiting.take(wall_clock());
                self.meter.dropped(Drop::Expired, expired);
                self.tidy(&mut inner);
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

    /// Waits until what was acknowledged has left the outbox: a crash then repeats no more than the one delivery under way.
    async fn written(&self) {
        if let Some(slot) = self.slot.clone() {
            // A panic there is told of already.
            let _ = tokio::task::spawn_blocking(move || slot.wait()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The invariants of what waits hold between its methods, and none of them panics half-way.
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
        mailbox.lock().waiting.recover();
        mailbox.pause(backoff.cap.min(Duration::from_secs(1))).await;
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(pub(super) tokio::task::JoinHandle<()>);

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
        if let (Ok(()), Some(slot)) = (&result, &mailbox.slot) {
            slot.acknowledged();
        }
        let verdict = settle(&mailbox, &batch, &result);
        match result {
            Ok(()) => {
                log.delivered(mailbox.meter.name(), failures);
                failures = 0;
                mailbox.written().await;
            }
            Err(failure) => {
                log.failed(mailbox.meter.name(), &failure, batch.len());
                let wish = match verdict {
                    Some(Verdict::Retry(wish)) => wish,
                    Some(Verdict::Defer) => None,
                    _ => continue,
                };
                failures += 1;
                mailbox.pause(backoff.wait(failures, fastrand::f64(), wish)).await;
            }
        }
    }
}

/// Tells the pending alerts what became of a delivery.
fn settle(mailbox: &Mailbox, batch: &[Outgoing], result: &Result<(), Failure>) -> Option<Verdict> {
    let mut inner = mailbox.lock();
    let verdict = match result {
        Ok(()) => {
            inner.waiting.delivered(batch);
            inner.trouble = None;
            mailbox.meter.delivered(batch.len());
            None
        }
        Err(failure) => {
            mailbox.meter.failed(failure.reason);
            let since = inner.trouble.take().map_or_else(wall_clock, |(since, _)| since);
            inner.trouble = Some((since, failure.message.clone()));
            match failure.verdict {
                Verdict::Retry(_) => inner.waiting.failed(batch),
                Verdict::Defer => inner.waiting.deferred(batch),
                Verdict::Split | Verdict::Refused | Verdict::Gone => {
                    let dropped = inner.waiting.refused(batch, failure.verdict == Verdict::Split);
                    let why = if failure.verdict == Verdict::Gone { Drop::Closed } else { Drop::Refused };
                    mailbox.meter.dropped(why, dropped);
                }
            }
            Some(failure.verdict)
        }
    };
    mailbox.tidy(&mut inner);
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
            Verdict::Retry(_) | Verdict::Defer => {
                if let Some(unlogged) = self.retried.open() {
                    tracing::warn!(sink, reason, error, alerts, unlogged, "delivery failed; will retry");
                }
            }
            Verdict::Split | Verdict::Refused | Verdict::Gone => {
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
pub(super) struct Gate {
    last: Option<Instant>,
    unlogged: u64,
}

impl Gate {
    /// How many were held back since it opened last, if it opens.
    pub(super) fn open(&mut self) -> Option<u64> {
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
    #[cfg(test)]
    if let Some(simulated) = super::testing::simulated_clock() {
        return simulated;
    }
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prometheus::Registry;

    use super::super::pending::{Order, Policy};
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
        let policy = Policy {
            capacity: 10,
            batch: 64,
            one_rule: false,
            repeats: true,
            resolved: true,
            points: false,
            order: Order::Newest,
        };
        let mailbox = Arc::new(Mailbox::new(policy, meter));
        let backoff = Backoff { cap: Duration::from_millis(1), ..Backoff::default() };
        let transition = Arc::new(testing::firing("a", wall_clock()));
        mailbox.put(&[Numbered { seq: 0, transition }], wall_clock());
        mailbox.close();
        supervise(Arc::clone(&mailbox), Arc::new(Fragile(AtomicUsize::new(0))), backoff).await;
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains(r#"forewarn_sink_errors_total{reason="panic",sink="fragile"} 1"#), "{text}");
        assert!(text.contains(r#"forewarn_sink_notifications_total{sink="fragile"} 1"#), "{text}");
    }
}
