//! Every bound on what comes in from outside, in one place, all configurable under `limits:` in `forewarn.yml`.

use serde::{Deserialize, Serialize};

/// Bounds on input. What exceeds one is refused, dropped or made to wait; `docs/configuration.md` says which metric shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Labels of one series, `__name__` included.
    pub labels_per_series: usize,
    /// Bytes of one label name.
    pub label_name_bytes: usize,
    /// Bytes of one label value.
    pub label_value_bytes: usize,
    /// Bytes of one HTTP request body as received (compressed), and of one message of Kafka.
    pub request_bytes: usize,
    /// Bytes of all HTTP request bodies that are being read or worked on at a time; further senders wait, then come again.
    pub requests_bytes: usize,
    /// Bytes of one remote-write request after decompression, and of the labels of one request or message.
    pub decompressed_bytes: usize,
    /// Bytes of one OTLP message after decompression.
    pub otlp_bytes: usize,
    /// Series of delta temporality whose running totals are kept.
    pub delta_series: usize,
    /// Series of spans (service, name, kind and status): each is twenty series for rules. Further spans share one.
    pub span_series: usize,
    /// Names of spans of one service; further ones share one.
    pub span_names: usize,
    /// Bytes of one scrape's body after decompression, and of one answer to a warm-up's query.
    pub scrape_bytes: usize,
    /// Samples of one scrape.
    pub scrape_samples: usize,
    /// Series that rules ask for, held at once; more are dropped.
    pub series: usize,
    /// Models of the predictive functions, held at once; while there are so many, elements without one get none.
    pub models: usize,
    /// Batches waiting for the engine; a full queue pushes back on the sources.
    pub queued_batches: usize,
    /// Samples waiting for the watermark; more are dropped. Also samples of one request or message.
    pub pending_samples: usize,
    /// Seconds a sample may lie in the future of the receiving host's clock.
    pub future_seconds: u64,
    /// Seconds a live sample may lie in the past of that clock. Recorded files know no such limit.
    pub past_seconds: u64,
    /// Bytes of one rule, profile or test file.
    pub file_bytes: usize,
    /// Bytes of one expanded template.
    pub template_bytes: usize,
    /// Queries that one expansion of a template may make.
    pub template_queries: usize,
    /// Samples that one query of a template may read.
    pub template_query_samples: usize,
    /// Alerts waiting for one sink; past it the oldest resolved ones go first.
    pub queued_alerts: usize,
    /// Connections open at once on each port; further clients wait in the kernel's queue.
    pub http_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            labels_per_series: 128,
            label_name_bytes: 1024,
            label_value_bytes: 8192,
            request_bytes: 32 << 20,
            requests_bytes: 256 << 20,
            decompressed_bytes: 128 << 20,
            otlp_bytes: 16 << 20,
            delta_series: 1_000_000,
            span_series: 10_000,
            span_names: 500,
            scrape_bytes: 64 << 20,
            scrape_samples: 500_000,
            series: 5_000_000,
            models: 5_000_000,
            queued_batches: 64,
            pending_samples: 20_000_000,
            future_seconds: 600,
            past_seconds: 86_400,
            file_bytes: 16 << 20,
            template_bytes: 64 << 10,
            template_queries: 32,
            template_query_samples: 1_000_000,
            queued_alerts: 100_000,
            http_connections: 512,
        }
    }
}
