//! Receives OTLP: over gRPC ([`grpc`]) and HTTP ([`http`]), both handing bytes to `OtlpReceiver::take`.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>. A request is acknowledged once its samples are queued, and durable where state
//! is kept, and refused as "come again" while there is no room: back-pressure reaches the sender, whose queue holds what we
//! cannot take. Points that are left out for what they are (a limit, an unsupported type) are told as a partial success,
//! which is not retried.

mod config;
pub mod grpc;
pub mod http;
mod red;
mod rpc_status;
pub mod spans;

pub use config::{OtlpConfig, SpansConfig};
pub use spans::SpanCounter;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use axum::body::Bytes;

use super::clock;
use super::decode::otlp::{
    DeltaChanges, DeltaTotals, MetricsReader, OtlpEncoding, OtlpError, TakenMetrics, has_deltas,
};
use super::durable::{ComeAgain, Intake, Room};
use super::http_body::BodyError;
use crate::base::{Limits, Millis, TimeSpan};
use crate::telemetry::OneSource;

/// Bytes up to which a message is decoded on the runtime's own thread: some 200 points, a fraction of a millisecond.
const INLINE_BYTES: usize = 64 << 10;

/// Deltas up to which a message is taken back on the runtime's own thread.
const INLINE_CHANGES: usize = 1_000;

/// How long a sender that was refused should wait.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Traces,
}

/// The receiver's state; clones share it.
#[derive(Clone, Debug)]
pub struct OtlpReceiver {
    /// Where samples go.
    pub intake: Intake,
    /// Bounds on requests.
    pub limits: Arc<Limits>,
    /// The source's metrics.
    pub metrics: OneSource,
    /// How long a request may wait for room in the queue.
    pub patience: Duration,
    reader: Arc<MetricsReader>,
    /// Locked only while a message with deltas is taken; no runtime thread waits for it.
    deltas: Arc<Mutex<DeltaTotals>>,
    spans: SpanCounter,
}

/// What was left out of a message that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Points.
    pub(super) rejected: u64,
    /// Why.
    pub(super) message: String,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("content type {0:?} is not supported: send application/x-protobuf or application/json")]
    ContentType(String),
    #[error("content encoding {0:?} is not supported: send gzip or nothing")]
    Encoding(String),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Malformed(#[from] OtlpError),
    #[error(transparent)]
    ComeAgain(#[from] ComeAgain),
    #[error("decoding failed within")]
    Decoder,
}

impl OtlpReceiver {
    /// A receiver of what `reader` understands.
    #[must_use]
    pub fn new(
        intake: Intake,
        reader: MetricsReader,
        limits: Arc<Limits>,
        metrics: OneSource,
        patience: Duration,
        spans: SpanCounter,
    ) -> Self {
        let deltas = Arc::new(Mutex::new(DeltaTotals::since(&limits, TimeSpan::around(clock::now(), &limits))));
        Self { intake, limits, metrics, patience, reader: Arc::new(reader), deltas, spans }
    }

    /// Takes a message. When this returns it may be acknowledged.
    pub(super) async fn take(&self, signal: Signal, encoding: OtlpEncoding, bytes: Bytes) -> Result<Taken, Refusal> {
        match signal {
            Signal::Metrics => self.take_metrics(encoding, bytes).await,
            Signal::Traces => self.spans.take(encoding, bytes).await,
        }
    }

    async fn take_metrics(&self, encoding: OtlpEncoding, bytes: Bytes) -> Result<Taken, Refusal> {
        // Room first: what cannot be queued is not worth decoding.
        let room = self.intake.room(self.patience).await?;
        // A task of its own, which ends though the client hangs up: deltas are either kept or taken back.
        let receiver = self.clone();
        let task = tokio::spawn(async move { receiver.keep(room, encoding, bytes).await });
        task.await.map_err(|_| Refusal::Decoder)?
    }

    async fn keep(&self, room: Room, encoding: OtlpEncoding, bytes: Bytes) -> Result<Taken, Refusal> {
        let now = clock::now();
        let mut taken = self.decode(encoding, bytes, now).await?;
        let changes = std::mem::take(&mut taken.changes);
        let (batch, future) = (taken.decoded.batch, taken.decoded.dropped.future);
        let samples = batch.measured();
        let outcome = match self.intake.check_clock(future, now) {
            Ok(()) => room.take(batch, None).await,
            refused => refused,
        };
        if let Err(refused) = outcome {
            self.undo(changes).await;
            return Err(refused.into());
        }
        self.metrics.samples.inc_by(samples);
        self.spans.exemplars().keep_all(taken.decoded.traces);
        let mut reasons = Vec::new();
        for (reason, samples) in taken.decoded.dropped.iter() {
            self.metrics.dropped(reason, samples);
            reasons.push(format!("{reason}: {samples}"));
        }
        let message = match taken.rejected_points {
            0 => String::new(),
            _ => format!("left out, by reason: {}", reasons.join(", ")),
        };
        Ok(Taken { rejected: taken.rejected_points, message })
    }

    /// Takes the deltas of a message that is refused back out of the totals: the sender comes again with them.
    async fn undo(&self, changes: DeltaChanges) {
        let is_small = changes.count() <= INLINE_CHANGES;
        // Should it fail within, the message is refused all the same.
        let _ = locked(&self.deltas, is_small, move |deltas| deltas.undo(changes)).await;
    }

    async fn decode(&self, encoding: OtlpEncoding, bytes: Bytes, now: Millis) -> Result<TakenMetrics, Refusal> {
        let (accepted, is_small) = (TimeSpan::around(now, &self.limits), bytes.len() <= INLINE_BYTES);
        let reader = Arc::clone(&self.reader);
        if !is_small {
            let deltas = Arc::clone(&self.deltas);
            let decode = move || {
                let request = reader.read(&bytes, encoding)?;
                match has_deltas(&request) {
                    true => reader.take(&request, accepted, &mut deltas.lock().unwrap_or_else(PoisonError::into_inner)),
                    false => reader.take(&request, accepted, &mut DeltaTotals::default()),
                }
            };
            return Ok(tokio::task::spawn_blocking(decode).await.map_err(|_| Refusal::Decoder)??);
        }
        let request = reader.read(&bytes, encoding)?;
        Ok(match has_deltas(&request) {
            true => locked(&self.deltas, true, move |deltas| reader.take(&request, accepted, deltas)).await??,
            false => reader.take(&request, accepted, &mut DeltaTotals::default())?,
        })
    }
}

/// Does something with what a lock guards: at once if it is small and nobody holds the lock, else where waiting is allowed.
async fn locked<T, R>(
    lock: &Arc<Mutex<T>>,
    is_small: bool,
    work: impl FnOnce(&mut T) -> R + Send + 'static,
) -> Result<R, Refusal>
where
    T: Send + 'static,
    R: Send + 'static,
{
    if is_small && let Some(mut guard) = free(lock) {
        return Ok(work(&mut guard));
    }
    let lock = Arc::clone(lock);
    let waiting = move || work(&mut lock.lock().unwrap_or_else(PoisonError::into_inner));
    tokio::task::spawn_blocking(waiting).await.map_err(|_| Refusal::Decoder)
}

/// The lock, unless somebody else has it.
fn free<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests;
