//! The process' own metrics: one registry, one small struct of typed handles for each area.
//!
//! Knows the `prometheus` crate and nothing of what is measured. Label values are bounded: names from the
//! configuration, fixed reasons, HTTP status codes; never a series' label or a peer's text.
//!
//! A new area is a file with a struct and its `register`, a field of [`Metrics`] and a line in [`Metrics::new`].

mod engine;
mod http;
mod kafka;
mod register;
mod scrape;
mod source;
mod state;
mod traces;

pub use engine::EngineMetrics;
pub use http::HttpMetrics;
pub use kafka::KafkaMetrics;
pub use register::Register;
pub use scrape::ScrapeMetrics;
pub use source::{OneSource, SourceMetrics};
pub use state::StateMetrics;
pub use traces::{Exporting, LAST_SPANS, TraceLayer, Traces, TracesError, TracingConfig, layer as trace_layer};

use prometheus::{Registry, TextEncoder};

/// Content type of [`Metrics::encode`].
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// All metrics of the process. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// What sources received, dropped and were asked.
    pub source: SourceMetrics,
    /// Scrapes of targets.
    pub scrape: ScrapeMetrics,
    /// Kafka clients.
    pub kafka: KafkaMetrics,
    /// The engine.
    pub engine: EngineMetrics,
    /// Listening ports.
    pub http: HttpMetrics,
    /// What is kept on disk.
    pub state: StateMetrics,
}

impl Metrics {
    /// Registers every area in a registry of its own.
    ///
    /// # Errors
    /// Two metrics of one name, or a bad name: a fault in this program, which the tests would show.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let area = Register::new(&registry);
        let build = area.gauges("forewarn_build_info", "1, labelled with the program's version.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            source: SourceMetrics::register(&area)?,
            scrape: ScrapeMetrics::register(&area)?,
            kafka: KafkaMetrics::register(&area)?,
            engine: EngineMetrics::register(&area)?,
            http: HttpMetrics::register(&area)?,
            state: StateMetrics::new()?,
            registry,
        })
    }

    /// The registry, for areas that other modules define.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything in Prometheus' text format.
    ///
    /// ```
    /// let metrics = forewarn::telemetry::Metrics::new().unwrap();
    /// metrics.source.of("host").samples.inc_by(3);
    /// assert!(metrics.encode().unwrap().contains(r#"forewarn_source_samples_total{source="host"} 3"#));
    /// ```
    ///
    /// # Errors
    /// The encoder refuses a metric family without metrics or with a bad name.
    pub fn encode(&self) -> prometheus::Result<String> {
        let mut families = self.registry.gather();
        families.extend(self.state.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}
