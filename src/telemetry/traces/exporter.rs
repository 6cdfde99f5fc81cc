//! Sends finished spans by OTLP over HTTP. Knows nothing of what they are about.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::IntCounterVec;
use prost::Message;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::http_client::{HttpClient, describe};

/// Attempts for one batch of spans, and the wait after the first; each further one is twice as long.
const ATTEMPTS: u32 = 3;
const WAIT: Duration = Duration::from_millis(500);

/// One receiver. Spans it does not take in a few attempts are dropped: they are not worth memory.
#[derive(Clone, Debug)]
pub(super) struct Exporter {
    client: Arc<HttpClient>,
    endpoint: Url,
    resource: Arc<ResourceAttributesWithSchema>,
    spans: IntCounterVec,
    /// The SDK's thread has none of its own.
    runtime: tokio::runtime::Handle,
}

impl Exporter {
    /// Must be called within a tokio runtime. `spans` counts by outcome.
    pub(super) fn new(client: HttpClient, endpoint: Url, spans: IntCounterVec) -> Self {
        let resource = Arc::default();
        Self { client: Arc::new(client), endpoint, resource, spans, runtime: tokio::runtime::Handle::current() }
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
            tracing::warn!(error, spans, "own spans were not taken");
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

/// Why an attempt failed, and whether another may work.
struct Failure {
    text: String,
    again: bool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        match self.runtime.spawn(self.clone().send(batch)).await {
            Ok(result) => result,
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Arc::new(resource.into());
    }
}
