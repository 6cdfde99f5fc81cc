//! Recorded series, `ALERTS` and `ALERTS_FOR_STATE` to any receiver of Prometheus' remote write (1.0).
//!
//! One request at a time, so that a series' samples arrive in order. What the receiver has already, after a restart, it
//! refuses; what shared a request with that is sent again by itself (`parts.rs`). Knows the protocol; knows nothing of rules.

mod config;
mod parts;
mod verdict;

pub use config::{ProtobufMessage, QueueConfig, RemoteWriteSinkConfig};

use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::base::{LabelsRef, Millis};
use crate::http_client::{HttpClient, Purpose};

use super::SinkError;
use super::failure::{Failure, Verdict};
use super::origin::Origin;
use super::post::head;
use super::recorded::{Delivery, Queued, RecordedLane, RecordedMetrics, RecordedReceiver, Refusal, write_request};
use super::worker::wall_clock;

/// Bytes of a refusal's body that are looked at.
const BODY_BYTES: usize = 1_000;

/// Starts writing to a receiver, which need not be there yet. `selected` says whether any of the configuration's selectors
/// matches a series. Must be called within a tokio runtime.
///
/// # Errors
/// Settings that cannot work.
pub fn start(
    config: &RemoteWriteSinkConfig,
    origin: &Origin,
    selected: impl Fn(LabelsRef<'_>) -> bool + Send + Sync + 'static,
    metrics: &RecordedMetrics,
) -> Result<RecordedLane, SinkError> {
    let receiver = RemoteWrite::new(config, origin)?;
    let send_alerts = config.send_alerts;
    let wanted = move |labels: LabelsRef<'_>| {
        (send_alerts || !matches!(labels.metric_name(), "ALERTS" | "ALERTS_FOR_STATE")) && selected(labels)
    };
    let name = (config.name.as_str(), "remote write");
    Ok(RecordedLane::start(name, receiver, config.batching(), Box::new(wanted), metrics))
}

/// The receiver.
#[derive(Debug)]
struct RemoteWrite {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    external_labels: Vec<(String, String)>,
    started: Millis,
}

impl RemoteWrite {
    fn new(config: &RemoteWriteSinkConfig, origin: &Origin) -> Result<Self, SinkError> {
        config.validate()?;
        let invalid = |text: String| SinkError::Invalid { sink: config.name.clone(), text };
        let mut headers = config.header_map().map_err(invalid)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        let version = HeaderName::from_static("x-prometheus-remote-write-version");
        headers.insert(version, HeaderValue::from_static("0.1.0"));
        let client = HttpClient::new(&config.http(), Purpose::Write, config.remote_timeout);
        let client = client.map_err(|e| invalid(e.to_string()))?;
        let external_labels = origin.external_labels.clone();
        Ok(Self { client, url: config.url.clone(), headers, external_labels, started: wall_clock() })
    }

    /// One request; why it was not acknowledged.
    async fn post(&self, samples: &[Queued], now: Millis) -> Result<(), (Failure, Refusal)> {
        let retried = |failure: Failure| (failure, Refusal::Refused);
        let request = self.client.request(Method::POST, self.url.clone()).await;
        let request = request.map_err(|e| retried(e.into()))?.headers(self.headers.clone());
        let body = write_request(samples, &self.external_labels);
        let answer = request.body(body).send().await.map_err(|e| retried(Failure::of_error(e)))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        // Read to its end, so that the connection serves again; a body without end is cut off.
        let body = head(answer, BODY_BYTES).await;
        if status.is_success() {
            return Ok(());
        }
        Err(verdict::of_answer(status, &headers, &String::from_utf8_lossy(&body), now))
    }
}

impl RecordedReceiver for RemoteWrite {
    async fn deliver(&self, batch: &[Queued], now: Millis) -> Delivery {
        let mut parts = parts::Parts::new(batch.iter().map(|sample| sample.t).collect(), self.started);
        let mut last = None;
        while let Some(part) = parts.next() {
            let Err((failure, refusal)) = self.post(&batch[part.clone()], now).await else {
                parts.sent(part);
                continue;
            };
            let verdict = failure.verdict;
            last = Some(failure);
            match verdict {
                Verdict::Retry(_) | Verdict::Defer => break,
                Verdict::Split => parts.refused(part, refusal, true),
                Verdict::Refused | Verdict::Gone => parts.refused(part, refusal, false),
            }
        }
        Delivery { outcomes: parts.into_outcomes(), failure: last }
    }
}
