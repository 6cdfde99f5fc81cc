//! OTLP, OpenTelemetry's protocol, into batches. Pure: bytes in, samples or an error out; knows no transport.
//!
//! <https://opentelemetry.io/docs/specs/otlp/>. What comes out is what Prometheus' own OTLP receiver would store, name by
//! name and value by value (`tests/otlp_prometheus.rs` compares the two). Protobuf is read by `opentelemetry-proto`;
//! JSON by readers of our own (`json`), because that crate's lose points without a word where a number stands as a
//! string, which is how protobuf's JSON mapping writes it.
//!
//! [`MetricsDecoder`] is what a source holds for a stream whose points come in order (a Kafka partition). It keeps the running
//! totals of delta series, see [`DeltaTotals`]; a receiver holds these and a [`MetricsReader`], which needs no lock.

mod attributes;
mod decoder;
mod delta;
mod density;
mod json;
mod json_common;
mod json_number;
mod json_traces;
mod labels;
mod metrics;
mod names;
mod points;
mod settings;
#[cfg(test)]
mod tests;
mod traces;
mod units;

pub use decoder::MetricsDecoder;
pub use delta::{Added, Delta, DeltaChanges, DeltaFault, DeltaTotals, Standing};
pub use metrics::{MetricsReader, TakenMetrics, has_deltas};
pub use names::{MetricKind, label_name, metric_name};
pub use settings::{OtlpSettings, TranslationStrategy};
pub use traces::{EndedSpan, each_span, read_traces};

/// Why a payload was refused; nothing of it was taken.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Not a protobuf message of that type.
    #[error("not an OTLP message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Bytes that are not protobuf at all.
    #[error("not an OTLP message: {0}")]
    Wire(#[from] super::protobuf::WireError),
    /// Not JSON of that type.
    #[error("not OTLP in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Larger than is read at once.
    #[error("the message has {bytes} bytes, limits.otlp_bytes is {limit}")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Made of so many empty parts that it would take far more memory than bytes.
    #[error("the message has {parts} parts in {bytes} bytes, more than any with content")]
    Hollow {
        /// Its metrics, points and attributes.
        parts: usize,
        /// Its bytes.
        bytes: usize,
    },
    /// More samples than may wait for the watermark.
    #[error("more than {0} samples in one message (limits.pending_samples)")]
    TooManySamples(usize),
    /// Labels that take much more memory than the message.
    #[error("the series have more than {0} bytes of labels (limits.decompressed_bytes)")]
    TooManyLabels(usize),
}

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpEncoding {
    /// `application/x-protobuf`, the Collector's `otlp_proto`.
    Protobuf,
    /// `application/json`, the Collector's `otlp_json`.
    Json,
}
