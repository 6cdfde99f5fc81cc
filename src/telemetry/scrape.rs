//! Metrics of scraping: how often it fails, why, and how long it takes. One target's state is its own `up` series.

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Result};

use super::Register;

/// The label of a job. `job` would become `exported_job` when somebody scrapes us; Prometheus' own metrics have this one.
const JOB: &str = "scrape_job";

/// Handles by job.
#[derive(Clone, Debug)]
pub struct ScrapeMetrics {
    failures: IntCounterVec,
    duration: HistogramVec,
    targets: IntGaugeVec,
}

impl ScrapeMetrics {
    /// Makes and registers the metrics.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(area: &Register<'_>) -> Result<Self> {
        Ok(Self {
            failures: area.counters(
                "forewarn_scrape_failures_total",
                "Scrapes that failed, by reason.",
                &[JOB, "reason"],
            )?,
            duration: area.histograms(
                "forewarn_scrape_duration_seconds",
                "Time from request to parsed samples.",
                &[0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0],
                &[JOB],
            )?,
            targets: area.gauges("forewarn_scrape_targets", "Targets configured.", &[JOB])?,
        })
    }

    /// Counts a failed scrape; `reason` must come from a fixed set.
    pub fn failed(&self, job: &str, reason: &'static str) {
        self.failures.with_label_values(&[job, reason]).inc();
    }

    /// Records how long a scrape took.
    pub fn took(&self, job: &str, seconds: f64) {
        self.duration.with_label_values(&[job]).observe(seconds);
    }

    /// Sets how many targets a job has, and shows how scrapes may fail: of a series that begins at its first event
    /// `increase()` sees nothing.
    pub fn begin(&self, job: &str, targets: usize, failures: impl IntoIterator<Item = &'static str>) {
        for reason in failures {
            self.failures.with_label_values(&[job, reason]);
        }
        self.duration.with_label_values(&[job]);
        self.targets.with_label_values(&[job]).set(i64::try_from(targets).unwrap_or(i64::MAX));
    }
}
