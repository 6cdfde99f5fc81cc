//! What the outbox counts and shows. Sizes are read from the image when the metrics are asked for.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry};

use crate::base::Millis;

use super::image::Image;

/// Metrics of the outbox.
#[derive(Clone, Debug)]
pub(super) struct OutboxMetrics {
    /// 1 while what is accepted is durable.
    pub(super) durable: IntGauge,
    /// Commits that failed.
    pub(super) failures: IntCounter,
    /// Transitions that left before they were durable.
    pub(super) undurable: IntCounter,
    /// Transitions that came again after a restart.
    pub(super) duplicates: IntCounter,
    /// Time of one commit.
    pub(super) commit: Histogram,
    /// Time that the engine waited.
    pub(super) accept: Histogram,
}

/// What one sink is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkBacklog {
    /// The sink's name.
    pub sink: String,
    /// Transitions that wait for its acknowledgement.
    pub entries: usize,
    /// Their size on disk.
    pub bytes: usize,
    /// Since when the oldest of these alerts has waited, by the wall clock: a newer state or a repetition makes it no younger.
    /// What was found on disk counts from when it came in.
    pub oldest: Option<Millis>,
    /// How many of them were found on disk when the process started: these may reach the sink a second time.
    pub restored: u64,
}

/// The backlog of every sink.
pub(super) fn backlog(image: &Image) -> Vec<SinkBacklog> {
    let of = |tally: &super::image::SinkTally| SinkBacklog {
        sink: tally.name.clone(),
        entries: tally.due.len(),
        bytes: tally.bytes,
        oldest: tally.due.values().min().copied(),
        restored: tally.restored,
    };
    image.sinks().iter().map(of).collect()
}

impl OutboxMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let seconds = |name: &str, help: &str| -> prometheus::Result<Histogram> {
            let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let durable = IntGauge::new(
            "forewarn_outbox_durable",
            "1 while alerts are on disk before they are sent; 0 while the disk fails or is too slow.",
        )?;
        registry.register(Box::new(durable.clone()))?;
        Ok(Self {
            durable,
            failures: counter("forewarn_outbox_failures_total", "Writes to the outbox that failed.")?,
            undurable: counter(
                "forewarn_outbox_undurable_total",
                "Alerts that were handed to the sinks before they were on disk.",
            )?,
            duplicates: counter(
                "forewarn_outbox_duplicates_total",
                "Alerts that a restart gave again, and that were not sent again.",
            )?,
            commit: seconds("forewarn_outbox_commit_seconds", "Time of one durable write.")?,
            accept: seconds(
                "forewarn_outbox_accept_seconds",
                "Time that the engine waited until alerts were on disk.",
            )?,
        })
    }
}

/// Shows the backlog by sink at the moment of the scrape.
pub(super) struct BacklogCollector {
    image: Weak<Mutex<Image>>,
    now: fn() -> Millis,
    entries: GaugeVec,
    bytes: GaugeVec,
    oldest: GaugeVec,
    restored: GaugeVec,
    identities: GaugeVec,
}

impl BacklogCollector {
    pub(super) fn register(
        registry: &Registry,
        image: &Arc<Mutex<Image>>,
        now: fn() -> Millis,
    ) -> prometheus::Result<()> {
        let gauge = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
        registry.register(Box::new(Self {
            image: Arc::downgrade(image),
            now,
            entries: gauge(
                "forewarn_outbox_entries",
                "Alerts in the outbox that the sink has not acknowledged.",
                &["sink"],
            )?,
            bytes: gauge("forewarn_outbox_bytes", "Their size.", &["sink"])?,
            oldest: gauge(
                "forewarn_outbox_oldest_seconds",
                "For how long the oldest of them has waited, its repetitions included; 0 if there is none.",
                &["sink"],
            )?,
            restored: gauge(
                "forewarn_outbox_restored",
                "Alerts that waited for the sink when the process started. It may have got some of them before.",
                &["sink"],
            )?,
            identities: gauge("forewarn_outbox_remembered", "Identities kept to know alerts that come again.", &[])?,
        }))
    }

    fn all(&self) -> [&GaugeVec; 5] {
        [&self.entries, &self.bytes, &self.oldest, &self.restored, &self.identities]
    }
}

impl Collector for BacklogCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(image) = self.image.upgrade() {
            let image = image.lock().unwrap_or_else(PoisonError::into_inner);
            let now = (self.now)();
            for sink in backlog(&image).into_iter().filter(|sink| sink.sink != super::KEPT_ALIVE) {
                let name = [sink.sink.as_str()];
                self.entries.with_label_values(&name).set(sink.entries as f64);
                self.bytes.with_label_values(&name).set(sink.bytes as f64);
                let age = sink.oldest.map_or(0, |oldest| now.saturating_sub(oldest).max(0));
                self.oldest.with_label_values(&name).set(age as f64 / 1e3);
                self.restored.with_label_values(&name).set(sink.restored as f64);
            }
            self.identities.with_label_values::<&str>(&[]).set(image.remembered() as f64);
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
