//! Spans that are received, counted as series, and written at an interval: the task between the receiver and the engine.
//!
//! A span is acknowledged once it is counted. Counts live in this process only; what was counted since the last interval is
//! lost when the process is killed, as is the case with the Collector's connector.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;

use super::super::decode::otlp::{EndedSpan, OtlpEncoding, read_traces, spans};
use super::super::exemplars::Exemplars;
use super::super::schedule::{following_slot, promise_quiet, tell_set_back};
use super::super::{Closed, Inlet, clock};
use super::red::RedSeries;
use super::{Refusal, SpansConfig, Taken};
use crate::base::{Limits, Millis, TimeSpan};
use crate::telemetry::OneSource;

/// Counts spans; clones share the counts.
#[derive(Clone, Debug)]
pub struct SpanCounter {
    red: Arc<Mutex<RedSeries>>,
    exemplars: Exemplars,
    limits: Arc<Limits>,
    metrics: OneSource,
}

impl SpanCounter {
    /// Counts nothing yet; traces worth a look go to `exemplars`.
    #[must_use]
    pub fn new(limits: Arc<Limits>, exemplars: Exemplars, metrics: OneSource) -> Self {
        Self { red: Arc::new(Mutex::new(RedSeries::new(&limits))), exemplars, limits, metrics }
    }

    /// Takes a message of spans. Those too old or in the future are left out.
    pub(super) async fn take(&self, encoding: OtlpEncoding, bytes: Bytes) -> Result<Taken, Refusal> {
        if bytes.len() <= super::INLINE_BYTES {
            return self.count(encoding, &bytes);
        }
        let counter = self.clone();
        tokio::task::spawn_blocking(move || counter.count(encoding, &bytes)).await.map_err(|_| Refusal::Decoder)?
    }

    fn count(&self, encoding: OtlpEncoding, bytes: &[u8]) -> Result<Taken, Refusal> {
        let request = read_traces(bytes, encoding, &self.limits)?;
        let now = clock::now();
        let accepted = TimeSpan::around(now, &self.limits);
        let (mut counted, mut overflow, mut rejected) = (0, 0, 0);
        let mut red = self.lock();
        for span in spans(&request) {
            if !accepted.contains(span.end) {
                rejected += 1;
                continue;
            }
            counted += 1;
            let outcome = red.count(&span, now);
            overflow += u64::from(outcome.is_overflow);
            if let Some(labels) = outcome.worth_a_look.filter(|_| is_trace_id(&span)) {
                self.exemplars.keep(labels, hex(span.trace_id), span.end);
            }
        }
        drop(red);
        for (outcome, n) in [("counted", counted - overflow), ("overflow", overflow), ("out_of_time", rejected)] {
            self.metrics.spans(outcome, n);
        }
        let message = if rejected > 0 { "left out: spans that ended too long ago or in the future" } else { "" };
        Ok(Taken { rejected, message: message.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, RedSeries> {
        self.red.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the series at every interval until the engine shuts down.
///
/// # Errors
/// The engine has shut down.
pub async fn run(counter: SpanCounter, config: SpansConfig, inlet: Inlet) -> Result<(), Closed> {
    let (interval, expiry) = (config.interval.millis().max(1), config.expiry.millis());
    let (mut t, _) = following_slot(clock::now(), clock::now(), interval, 0);
    loop {
        let wait = Duration::from_millis((t - clock::now()).max(0).unsigned_abs());
        let batch = tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => counter.lock().flush(t, expiry),
            Err(closed) = promise_quiet(&inlet, t, 0) => return Err(closed),
        };
        counter.metrics.samples.inc_by(batch.all_samples().len() as u64);
        inlet.send(batch).await?;
        let (now, done): (Millis, Millis) = (clock::now(), t);
        let set_back;
        (t, set_back) = following_slot(done, now, interval, 0);
        if set_back {
            tell_set_back(counter.metrics.name(), done, now);
            counter.metrics.clock_set_back();
        }
    }
}

/// A trace's identity is sixteen bytes, not all of them zero.
fn is_trace_id(span: &EndedSpan<'_>) -> bool {
    span.trace_id.len() == 16 && span.trace_id.iter().any(|b| *b != 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
