//! Spans that are received, counted as series, and written at an interval: the task between the receiver and the engine.
//!
//! A span is acknowledged once it is counted. Counts live in this process only; what was counted since the last interval is
//! lost when the process is killed, as is the case with the Collector's connector.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::super::decode::otlp::{OtlpEncoding, each_span, read_traces};
use super::super::decode::trace_id;
use super::super::exemplars::Exemplars;
use super::super::schedule::{following_slot, promise_quiet, tell_set_back};
use super::super::{Closed, Inlet, clock};
use super::red::RedSeries;
use super::{Refusal, SpansConfig, Taken};
use crate::base::{Batch, Limits, Millis, TimeSpan};
use crate::telemetry::OneSource;

/// What may become of a span, as metric label values.
pub const OUTCOMES: [&str; 3] = ["counted", "overflow", "out_of_time"];

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

    /// Where traces go that are worth a look.
    pub(super) fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }

    /// Takes a message of spans. Those too old or in the future are left out.
    pub(super) async fn take(&self, encoding: OtlpEncoding, bytes: Bytes) -> Result<Taken, Refusal> {
        let is_small = bytes.len() <= super::INLINE_BYTES;
        let request = match is_small {
            true => read_traces(&bytes, encoding, &self.limits)?,
            false => {
                let limits = Arc::clone(&self.limits);
                let read = move || read_traces(&bytes, encoding, &limits);
                tokio::task::spawn_blocking(read).await.map_err(|_| Refusal::Decoder)??
            }
        };
        let counter = self.clone();
        super::locked(&self.red, is_small, move |red| counter.count(&request, red)).await
    }

    fn count(&self, request: &ExportTraceServiceRequest, red: &mut RedSeries) -> Taken {
        let now = clock::now();
        let accepted = TimeSpan::around(now, &self.limits);
        let (mut counted, mut overflow, mut rejected) = (0, 0, 0);
        each_span(request, |span| {
            if !accepted.contains(span.end) {
                rejected += 1;
                return;
            }
            counted += 1;
            let outcome = red.count(span, now);
            overflow += u64::from(outcome.is_overflow);
            if let (Some(labels), Some(trace)) = (outcome.worth_a_look, trace_id(span.trace_id)) {
                self.exemplars.keep(labels, trace, span.end);
            }
        });
        for (outcome, n) in OUTCOMES.into_iter().zip([counted - overflow, overflow, rejected]) {
            self.metrics.spans(outcome, n);
        }
        let message = if rejected > 0 { "left out: spans that ended too long ago or in the future" } else { "" };
        Taken { rejected, message: message.to_owned() }
    }

    /// Samples of all series, at `t`.
    async fn flush(&self, t: Millis, expiry: Millis) -> Batch {
        // Should it fail within, the next interval has them.
        super::locked(&self.red, true, move |red| red.flush(t, expiry)).await.unwrap_or_default()
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
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            Err(closed) = promise_quiet(&inlet, t, 0) => return Err(closed),
        }
        let batch = counter.flush(t, expiry).await;
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
