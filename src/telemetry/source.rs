//! Metrics every source has: what came in, what was dropped and why, how far its time has come.

use prometheus::{GaugeVec, IntCounter, IntCounterVec, Result};

use super::Register;

/// Handles by the source's configured name.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    samples: IntCounterVec,
    dropped: IntCounterVec,
    requests: IntCounterVec,
    spans: IntCounterVec,
    watermark: GaugeVec,
    newest: GaugeVec,
    holding: GaugeVec,
    clock_steps: IntCounter,
}

/// The handles of one source, looked up once.
#[derive(Clone, Debug)]
pub struct OneSource {
    name: String,
    /// Samples taken in.
    pub samples: IntCounter,
    family: SourceMetrics,
}

impl SourceMetrics {
    /// Makes and registers the metrics.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(area: &Register<'_>) -> Result<Self> {
        Ok(Self {
            samples: area.counters("forewarn_source_samples_total", "Samples taken in, by source.", &["source"])?,
            dropped: area.counters(
                "forewarn_source_dropped_samples_total",
                "Samples a source refused, by reason.",
                &["source", "reason"],
            )?,
            requests: area.counters(
                "forewarn_source_requests_total",
                "Requests a receiving source answered, by HTTP status code.",
                &["source", "code"],
            )?,
            spans: area.counters(
                "forewarn_source_spans_total",
                "Spans received, by what became of them: counted in a series of their own, in one that is shared because a \
                 limit was reached (overflow), or left out because of their time.",
                &["source", "outcome"],
            )?,
            watermark: area.float_gauges(
                "forewarn_source_watermark_seconds",
                "Event time up to which a source is taken to be complete, Unix seconds.",
                &["source"],
            )?,
            newest: area.float_gauges(
                "forewarn_source_newest_sample_seconds",
                "Newest event time seen from a source, Unix seconds.",
                &["source"],
            )?,
            holding: area.float_gauges(
                "forewarn_source_holds_time_seconds",
                "For how long event time has waited for this source; 0 while it does not.",
                &["source"],
            )?,
            clock_steps: area.counter(
                "forewarn_clock_steps_total",
                "Times a source saw that the clock was set back by more than two of its intervals.",
            )?,
        })
    }

    /// The handles of the source of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> OneSource {
        self.holding.with_label_values(&[name]);
        OneSource { name: name.to_owned(), samples: self.samples.with_label_values(&[name]), family: self.clone() }
    }
}

impl OneSource {
    /// The source's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has these reasons shown before anything is dropped for them: of a series that begins at its first event `increase()`
    /// sees nothing.
    pub fn may_drop(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            self.family.dropped.with_label_values(&[self.name.as_str(), reason]);
        }
    }

    /// Has these outcomes of spans shown from the start.
    pub fn may_count_spans(&self, outcomes: impl IntoIterator<Item = &'static str>) {
        for outcome in outcomes {
            self.family.spans.with_label_values(&[self.name.as_str(), outcome]);
        }
    }

    /// Counts samples dropped; `reason` must come from a fixed set.
    pub fn dropped(&self, reason: &'static str, samples: u64) {
        if samples > 0 {
            self.family.dropped.with_label_values(&[self.name.as_str(), reason]).inc_by(samples);
        }
    }

    /// Counts a request answered with this HTTP status.
    pub fn request(&self, code: u16) {
        self.family.requests.with_label_values(&[self.name.as_str(), code.to_string().as_str()]).inc();
    }

    /// Counts spans; `outcome` must come from a fixed set.
    pub fn spans(&self, outcome: &'static str, spans: u64) {
        if spans > 0 {
            self.family.spans.with_label_values(&[self.name.as_str(), outcome]).inc_by(spans);
        }
    }

    /// Counts that the source saw the clock set back.
    pub fn clock_set_back(&self) {
        self.family.clock_steps.inc();
    }

    /// Sets the watermark, in milliseconds since the Unix epoch.
    pub fn set_watermark(&self, millis: i64) {
        self.family.watermark.with_label_values(&[self.name.as_str()]).set(millis as f64 / 1e3);
    }

    /// Sets for how long event time has waited for it, in seconds.
    pub fn set_holding(&self, seconds: f64) {
        self.family.holding.with_label_values(&[self.name.as_str()]).set(seconds);
    }

    /// Sets the newest event time seen, in milliseconds since the Unix epoch.
    pub fn set_newest(&self, millis: i64) {
        self.family.newest.with_label_values(&[self.name.as_str()]).set(millis as f64 / 1e3);
    }
}
