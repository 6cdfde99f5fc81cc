//! What the sinks count. Label values are bounded: sinks come from the configuration, reasons from enums.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Metrics of all sinks.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    notifications: IntCounterVec,
    errors: IntCounterVec,
    dropped: IntCounterVec,
    kept_alive: IntCounter,
    queue_length: IntGaugeVec,
    queue_capacity: IntGaugeVec,
    latency: HistogramVec,
}

/// Why an alert was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// More alerts waited than `limits.queued_alerts`.
    QueueFull,
    /// The alert's life was over before the receiver could be reached.
    Expired,
    /// The receiver refused it.
    Refused,
    /// The process ended first.
    Shutdown,
    /// The receiver is gone for good: standard output was closed.
    Closed,
    /// It waited in the outbox for a sink that is not configured any more.
    Unconfigured,
}

impl Drop {
    const ALL: [Self; 6] =
        [Self::QueueFull, Self::Expired, Self::Refused, Self::Shutdown, Self::Closed, Self::Unconfigured];

    fn reason(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
            Self::Closed => "closed",
            Self::Unconfigured => "unconfigured",
        }
    }
}

impl SinkMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGaugeVec> {
            let metric = IntGaugeVec::new(Opts::new(name, help), &["sink"])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let latency = HistogramOpts::new("forewarn_sink_latency_seconds", "Time that a delivery attempt took.")
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let latency = HistogramVec::new(latency, &["sink"])?;
        registry.register(Box::new(latency.clone()))?;
        let kept_alive = IntCounter::new(
            "forewarn_sink_kept_alive_total",
            "Alerts repeated by the clock because event time was held back.",
        )?;
        registry.register(Box::new(kept_alive.clone()))?;
        Ok(Self {
            kept_alive,
            notifications: counter(
                "forewarn_sink_notifications_total",
                "Alerts that the receiver has acknowledged.",
                &["sink"],
            )?,
            errors: counter(
                "forewarn_sink_errors_total",
                "Delivery attempts that failed, retried or not.",
                &["sink", "reason"],
            )?,
            dropped: counter("forewarn_sink_dropped_total", "Alerts given up undelivered.", &["sink", "reason"])?,
            queue_length: gauge("forewarn_sink_queue_length", "Alerts that wait for delivery or are under way.")?,
            queue_capacity: gauge("forewarn_sink_queue_capacity", "Alerts that may wait (limits.queued_alerts).")?,
            latency,
        })
    }

    pub(super) fn kept_alive(&self, alerts: usize) {
        self.kept_alive.inc_by(alerts as u64);
    }

    /// The metrics of one sink. Every reason to give alerts up is there from the start: of a series that begins at its first
    /// event `increase()` sees nothing.
    #[must_use]
    pub fn sink(&self, name: &str, capacity: usize) -> SinkMeter {
        self.queue_capacity.with_label_values(&[name]).set(i64::try_from(capacity).unwrap_or(i64::MAX));
        for why in Drop::ALL {
            self.dropped.with_label_values(&[name, why.reason()]).inc_by(0);
        }
        SinkMeter {
            name: name.to_owned(),
            notifications: self.notifications.with_label_values(&[name]),
            queue_length: self.queue_length.with_label_values(&[name]),
            latency: self.latency.with_label_values(&[name]),
            errors: self.errors.clone(),
            dropped: self.dropped.clone(),
        }
    }
}

/// Metrics of one sink.
#[derive(Clone, Debug)]
pub struct SinkMeter {
    name: String,
    notifications: IntCounter,
    queue_length: IntGauge,
    latency: Histogram,
    errors: IntCounterVec,
    dropped: IntCounterVec,
}

impl SinkMeter {
    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has these reasons to fail shown from the start.
    pub(super) fn may_fail_by(&self, reasons: &[&'static str]) {
        for reason in reasons {
            self.errors.with_label_values(&[self.name.as_str(), *reason]).inc_by(0);
        }
    }

    pub(super) fn delivered(&self, alerts: usize) {
        self.notifications.inc_by(alerts as u64);
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.errors.with_label_values(&[self.name.as_str(), reason]).inc();
    }

    pub(super) fn dropped(&self, why: Drop, alerts: usize) {
        if alerts > 0 {
            self.dropped.with_label_values(&[self.name.as_str(), why.reason()]).inc_by(alerts as u64);
        }
    }

    pub(super) fn queued(&self, alerts: usize) {
        self.queue_length.set(i64::try_from(alerts).unwrap_or(i64::MAX));
    }

    pub(super) fn attempt_took(&self, seconds: f64) {
        self.latency.observe(seconds);
    }
}
