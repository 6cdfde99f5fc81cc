//! What the ways of recorded samples count. Sizes are read when the metrics are asked for: a task that hangs updates nothing.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::lane::{LaneState, Shared};
use super::queue::Refusal;

/// Metrics of all ways.
#[derive(Clone, Debug)]
pub struct RecordedMetrics {
    samples: IntCounterVec,
    errors: IntCounterVec,
    success: GaugeVec,
    latency: HistogramVec,
    lanes: Arc<Mutex<Vec<Weak<Shared>>>>,
}

/// What became of samples that wait no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Sent,
    Refused(Refusal),
    /// There was no room.
    Dropped,
    /// The process ended first.
    Shutdown,
}

impl Fate {
    fn outcome(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused(Refusal::OutOfOrder) => "out_of_order",
            Self::Refused(Refusal::Duplicate) => "duplicate",
            Self::Refused(Refusal::OutOfBounds) => "out_of_bounds",
            Self::Refused(Refusal::Refused) => "refused",
            Self::Dropped => "dropped",
            Self::Shutdown => "shutdown",
        }
    }
}

impl RecordedMetrics {
    /// Makes and registers the metrics.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let latency =
            HistogramOpts::new("forewarn_recorded_latency_seconds", "Time that an attempt to write samples took.")
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let latency = HistogramVec::new(latency, &["sink"])?;
        registry.register(Box::new(latency.clone()))?;
        let success = "forewarn_recorded_last_success_timestamp_seconds";
        let success =
            GaugeVec::new(Opts::new(success, "When the receiver took recorded samples last; 0 if never."), &["sink"])?;
        registry.register(Box::new(success.clone()))?;
        let metrics = Self {
            samples: counter(
                "forewarn_recorded_samples_total",
                "Recorded samples by what became of them: sent, dropped (no room), shutdown, or why the receiver refused them.",
                &["sink", "outcome"],
            )?,
            errors: counter(
                "forewarn_recorded_errors_total",
                "Attempts to write recorded samples that failed, retried or not.",
                &["sink", "reason"],
            )?,
            success,
            latency,
            lanes: Arc::default(),
        };
        registry.register(Box::new(QueueCollector::new(Arc::clone(&metrics.lanes))?))?;
        Ok(metrics)
    }

    /// The metrics of one way.
    pub(super) fn lane(&self, sink: &str) -> LaneMeter {
        // Those that are alerted on are there from the beginning: `increase` needs a 0 to begin with.
        let refusals =
            [Refusal::OutOfOrder, Refusal::Duplicate, Refusal::OutOfBounds, Refusal::Refused].map(Fate::Refused);
        for fate in refusals.into_iter().chain([Fate::Sent, Fate::Dropped]) {
            self.samples.with_label_values(&[sink, fate.outcome()]);
        }
        for reason in ["connect", "timeout", "too_many_requests", "server_error"] {
            self.errors.with_label_values(&[sink, reason]);
        }
        self.success.with_label_values(&[sink]);
        LaneMeter { sink: sink.to_owned(), latency: self.latency.with_label_values(&[sink]), all: self.clone() }
    }

    /// Shows what waits there for as long as it is there.
    pub(super) fn watch(&self, lane: &Arc<Shared>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(lane));
    }
}

/// Metrics of one way.
#[derive(Clone, Debug)]
pub(super) struct LaneMeter {
    sink: String,
    latency: Histogram,
    all: RecordedMetrics,
}

impl LaneMeter {
    pub(super) fn sink(&self) -> &str {
        &self.sink
    }

    pub(super) fn count(&self, fate: Fate, samples: usize) {
        if samples > 0 {
            self.all.samples.with_label_values(&[self.sink.as_str(), fate.outcome()]).inc_by(samples as u64);
        }
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.all.errors.with_label_values(&[self.sink.as_str(), reason]).inc();
    }

    pub(super) fn attempt_took(&self, seconds: f64) {
        self.latency.observe(seconds);
    }

    /// `now` is wall-clock time in seconds.
    pub(super) fn succeeded(&self, now: f64) {
        self.all.success.with_label_values(&[self.sink.as_str()]).set(now);
    }
}

/// Shows what waits at the moment of the scrape.
struct QueueCollector {
    lanes: Arc<Mutex<Vec<Weak<Shared>>>>,
    gauges: [GaugeVec; 5],
}

impl QueueCollector {
    fn new(lanes: Arc<Mutex<Vec<Weak<Shared>>>>) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["sink"]);
        let gauges = [
            gauge("forewarn_recorded_queue_samples", "Recorded samples that wait for the sink or are under way.")?,
            gauge("forewarn_recorded_queue_bytes", "Their bytes in memory.")?,
            gauge("forewarn_recorded_queue_capacity_samples", "Samples that may wait.")?,
            gauge("forewarn_recorded_queue_capacity_bytes", "Bytes that may wait.")?,
            gauge("forewarn_recorded_oldest_seconds", "Age of the oldest sample that waits; 0 if there is none.")?,
        ];
        Ok(Self { lanes, gauges })
    }
}

impl Collector for QueueCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes.iter().filter_map(Weak::upgrade) {
            let LaneState { name, samples, bytes, bound, oldest, .. } = lane.state();
            let age = oldest.map_or(0.0, |age| age.as_secs_f64());
            let values = [samples as f64, bytes as f64, bound.samples as f64, bound.bytes as f64, age];
            for (gauge, value) in self.gauges.iter().zip(values) {
                gauge.with_label_values(&[name.as_str()]).set(value);
            }
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}
