//! forewarn's own spans, for whoever wonders where its time goes: a tick, a checkpoint, a delivery.
//!
//! Spans are those of the `tracing` crate at level DEBUG in this crate; they are sent by OTLP/HTTP in batches, from a
//! bounded queue. Where `tracing:` is not configured they are not even begun. Knows nothing of what they are about.

mod exporter;
mod queue;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::Metadata;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{Layer, Registry};
use url::Url;

use crate::http_client::{HttpClient, HttpClientConfig, HttpClientError, Purpose};

use super::Register;
use exporter::Exporter;
use queue::Queue;

/// Spans that wait to be sent; what is beyond is dropped.
const QUEUED_SPANS: usize = 4_096;
/// Longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last spans may take to leave at the end.
pub const LAST_SPANS: Duration = Duration::from_secs(3);

/// `tracing`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracingConfig {
    /// Where spans are sent by OTLP over HTTP, such as `http://localhost:4318/v1/traces`; nowhere if left out.
    pub endpoint: Option<Url>,
    /// Share of the traces that are sent, from 0 to 1; all if left out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling_fraction: Option<f64>,
    /// `service.name` of the spans; `forewarn` if left out.
    pub service_name: Option<String>,
    /// How to reach the receiver.
    pub http_config: HttpClientConfig,
}

impl TracingConfig {
    /// Checks the settings without reading a file.
    ///
    /// # Errors
    /// A share that is none, an endpoint that is not of HTTP, or settings of the client that cannot work.
    pub fn validate(&self) -> Result<(), String> {
        if self.sampling_fraction.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("tracing.sampling_fraction must be between 0 and 1".to_owned());
        }
        if let Some(url) = self.endpoint.as_ref().filter(|url| !matches!(url.scheme(), "http" | "https")) {
            return Err(format!("tracing.endpoint {url}: must begin with http:// or https://"));
        }
        self.http_config.validate().map_err(|e| format!("tracing.http_config: {e}"))
    }
}

/// What [`layer`] gives to the subscriber.
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

type Slot = Option<OpenTelemetryLayer<Registry, SdkTracer>>;

/// The switch of the layer: off until [`Traces::start`].
#[derive(Clone)]
pub struct Traces {
    slot: Handle<Slot, Registry>,
    on: Arc<AtomicBool>,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("on", &self.on).finish_non_exhaustive()
    }
}

/// A layer for the process' subscriber, and its switch.
#[must_use]
pub fn layer() -> (TraceLayer, Traces) {
    let (layer, slot) = reload::Layer::new(None);
    let on = Arc::new(AtomicBool::new(false));
    let is_on = Arc::clone(&on);
    let ours = |of: &Metadata<'_>| of.is_span() && of.target().starts_with(env!("CARGO_CRATE_NAME"));
    let filter = dynamic_filter_fn(move |of, _| ours(of) && is_on.load(Ordering::Relaxed));
    (layer.with_filter(filter).boxed(), Traces { slot, on })
}

/// The running export; spans that still wait leave at [`Exporting::end`].
#[derive(Debug)]
pub struct Exporting(SdkTracerProvider);

impl Traces {
    /// Begins to send spans, if the configuration says where to. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The settings of the HTTP client cannot work.
    pub fn start(&self, config: &TracingConfig, area: Register<'_>) -> Result<Option<Exporting>, TracesError> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let spans =
            area.counters("forewarn_tracing_spans_total", "Own spans, by what became of them: sent, not taken (dropped), or left out because too many waited (overflow).", &["outcome"])?;
        for outcome in ["sent", "dropped", "overflow"] {
            spans.with_label_values(&[outcome]);
        }
        let waiting = area.gauge("forewarn_tracing_queued_spans", "Own spans that wait to be sent.")?;
        let client = HttpClient::new(&config.http_config, Purpose::Write, TIMEOUT)?;
        let name = config.service_name.clone().unwrap_or_else(|| "forewarn".to_owned());
        let resource = Resource::builder_empty()
            .with_service_name(name)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let overflow = spans.with_label_values(&["overflow"]);
        let exporter = Exporter::new(client, endpoint.clone(), spans, waiting.clone());
        let batch = BatchConfigBuilder::default().with_max_queue_size(QUEUED_SPANS).build();
        let spans = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
        let queue = Queue { spans, capacity: QUEUED_SPANS as i64, waiting, overflow };
        let share = config.sampling_fraction.unwrap_or(1.0);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        self.slot.modify(|slot| *slot = Some(layer)).map_err(|_| TracesError::NoSubscriber)?;
        self.on.store(true, Ordering::Relaxed);
        Ok(Some(Exporting(provider)))
    }
}

impl Exporting {
    /// Sends what waits, for a few seconds at most. Blocks: not for a thread that runs tasks.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "own spans were still waiting at the end");
        }
    }
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client.
    #[error("tracing.http_config: {0}")]
    Client(#[from] HttpClientError),
    /// A name is taken: a fault in this program.
    #[error(transparent)]
    Metric(#[from] prometheus::Error),
    /// The layer is gone: a fault in this program.
    #[error("there is no subscriber with the layer of own spans")]
    NoSubscriber,
}
