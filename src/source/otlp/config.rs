//! `sources.otlp` of `forewarn.yml`. How names are translated stands under `otlp:`, as in prometheus.yml, for this and for
//! Kafka. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::config::Span;

/// The OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Where to listen for OTLP/gRPC; nowhere if empty. Loopback unless told otherwise: there is no authentication.
    pub grpc_address: String,
    /// Where to listen for OTLP/HTTP; nowhere if empty. The paths are served at `web.listen_address` as well.
    pub http_address: String,
    /// How far out of order points may come; a Collector sends in parallel and retries for a while.
    pub lateness: Span,
    /// Silence after which the senders no longer hold other sources back.
    pub idle_timeout: Span,
    /// What becomes of spans.
    pub spans: SpansConfig,
    /// Where a trace can be looked at, with `{trace_id}` in it; alerts about spans link there.
    pub trace_link: Option<String>,
}

/// `sources.otlp.spans`: spans are counted as series, not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpansConfig {
    /// How often the series have a sample.
    pub interval: Span,
    /// Silence after which a series ends.
    pub expiry: Span,
}

impl Default for SpansConfig {
    fn default() -> Self {
        Self { interval: Span(Duration::from_secs(15)), expiry: Span(Duration::from_secs(15 * 60)) }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            grpc_address: "127.0.0.1:4317".to_owned(),
            http_address: "127.0.0.1:4318".to_owned(),
            lateness: Span(Duration::from_secs(10)),
            idle_timeout: Span(Duration::from_secs(60)),
            spans: SpansConfig::default(),
            trace_link: None,
        }
    }
}

impl OtlpConfig {
    /// One line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let addresses = [("gRPC", &self.grpc_address), ("HTTP", &self.http_address)];
        let shown = addresses.into_iter().filter(|(_, address)| !address.is_empty());
        shown.map(|(protocol, address)| format!("{protocol} at {address}")).collect::<Vec<_>>().join(", ")
    }
}
