//! Sends finished spans by OTLP over HTTP. Knows nothing of what they are about.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::{IntCounterVec, IntGauge};
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::http_client::{HttpClient, describe};

/// Attempts for one batch of spans, and the wait after the first; each further one is twice as long.
const ATTEMPTS: u32 = 3;
const WAIT: Duration = Duration::from_millis(500);
/// How often the log is told of spans that were not taken.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// One receiver. Spans it does not take in a few attempts are dropped: they are not worth memory.
#[derive(Clone, Debug)]
pub(super) struct Exporter {
    client: Arc<HttpClient>,
    endpoint: Url,
    resource: Arc<ResourceAttributesWithSchema>,
    spans: IntCounterVec,
    /// Spans in the queue that this takes from.
    waiting: IntGauge,
    told: Arc<Mutex<Told>>,
    /// The SDK's thread has none of its own.
    runtime: tokio::runtime::Handle,
}

impl Exporter {
    /// Must be called within a tokio runtime. `spans` counts by outcome, `waiting` are those in the queue.
    pub(super) fn new(client: HttpClient, endpoint: Url, spans: IntCounterVec, waiting: IntGauge) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let (resource, told) = (Arc::default(), Arc::default());
        Self { client: Arc::new(client), endpoint, resource, spans, waiting, told, runtime }
    }

    async fn send(self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let request =
            ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, &self.resource) };
        let body = bytes::Bytes::from(request.encode_to_vec());
        let mut attempt = 1;
        let outcome = loop {
            match self.attempt(body.clone()).await {
                Ok(()) => break Ok(()),
                Err(failure) if !failure.again || attempt == ATTEMPTS => break Err(failure.text),
                Err(_) => tokio::time::sleep(WAIT * (1 << (attempt - 1))).await,
            }
            attempt += 1;
        };
        let label = if outcome.is_ok() { "sent" } else { "dropped" };
        self.spans.with_label_values(&[label]).inc_by(spans);
        outcome.map_err(|error| {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(spans) = told.tells(spans, Instant::now()) {
                tracing::warn!(error, spans, "own spans were not taken");
            }
            drop(told);
            OTelSdkError::InternalFailure(error)
        })
    }

    async fn attempt(&self, body: bytes::Bytes) -> Result<(), Failure> {
        let request = self.client.request(Method::POST, self.endpoint.clone()).await;
        let request = request.map_err(|e| Failure { text: e.to_string(), again: false })?;
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let answer = request.send().await.map_err(|e| Failure { text: describe(e), again: true })?;
        let status = answer.status();
        // Those the specification of OTLP/HTTP calls retryable.
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if status.is_success() {
            Ok(())
        } else {
            Err(Failure { text: format!("the receiver answers {status}"), again })
        }
    }
}

/// When the log was told of spans that were not taken, and how many have not been told of since.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    untold: u64,
}

impl Told {
    /// How many spans to tell of now, if it is time.
    fn tells(&mut self, spans: u64, now: Instant) -> Option<u64> {
        self.untold += spans;
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY) {
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Why an attempt failed, and whether another may work.
struct Failure {
    text: String,
    again: bool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.waiting.sub(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        match self.runtime.spawn(self.clone().send(batch)).await {
            Ok(result) => result,
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Arc::new(resource.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_once_a_minute_of_all_that_were_not_taken() {
        let (mut told, start) = (Told::default(), Instant::now());
        let said = [0, 5, 59, 60, 65].map(|s| told.tells(10, start + Duration::from_secs(s)));
        assert_eq!(said, [Some(10), None, None, Some(30), None]);
    }
}
