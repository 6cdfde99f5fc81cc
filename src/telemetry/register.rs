//! Makes a metric and registers it, in one call.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, Result,
};

/// A registry with short calls to fill it.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a>(&'a Registry);

impl<'a> Register<'a> {
    /// Metrics go into `registry`.
    #[must_use]
    pub fn new(registry: &'a Registry) -> Self {
        Self(registry)
    }

    /// A counter; its name ends in `_total`.
    ///
    /// # Errors
    /// Here and below: a bad name, or one that is taken.
    pub fn counter(self, name: &str, help: &str) -> Result<IntCounter> {
        self.keep(IntCounter::new(name, help)?)
    }

    /// Counters told apart by labels.
    ///
    /// # Errors
    /// A bad name, or one that is taken.
    pub fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge of whole numbers.
    ///
    /// # Errors
    /// A bad name, or one that is taken.
    pub fn gauge(self, name: &str, help: &str) -> Result<IntGauge> {
        self.keep(IntGauge::new(name, help)?)
    }

    /// A gauge.
    ///
    /// # Errors
    /// A bad name, or one that is taken.
    pub fn float_gauge(self, name: &str, help: &str) -> Result<Gauge> {
        self.keep(Gauge::new(name, help)?)
    }

    /// Gauges of whole numbers told apart by labels.
    ///
    /// # Errors
    /// A bad name, or one that is taken.
    pub fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Gauges told apart by labels.
    ///
    /// # Errors
    /// A bad name, or one that is taken.
    pub fn float_gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.keep(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A histogram.
    ///
    /// # Errors
    /// A bad name, one that is taken, or buckets out of order.
    pub fn histogram(self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    /// Histograms told apart by labels.
    ///
    /// # Errors
    /// A bad name, one that is taken, or buckets out of order.
    pub fn histograms(self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> Result<HistogramVec> {
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }

    fn keep<C: Collector + Clone + 'static>(self, collector: C) -> Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}
