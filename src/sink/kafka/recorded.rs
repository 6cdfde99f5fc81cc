//! Recorded series into a topic. What waits, and for how long, is [`super::super::recorded`]'s business.
//!
//! Samples follow a series' order within their key, and are sent until the topic has them.

use std::time::Duration;

use crate::base::Millis;

use super::super::backoff::Backoff;
use super::super::failure::Verdict;
use super::super::origin::Origin;
use super::super::recorded::{
    Batching, Bound, Delivery, Outcome, Queued, RecordedLane, RecordedMetrics, RecordedReceiver, Refusal,
};
use super::config::{KafkaSinkConfig, RecordedConfig, RecordedFormat};
use super::producer::{Outbound, Producer};
use super::recorded_payload::{Message, messages};

/// What may wait for the topic.
const WAITING: Bound = Bound { samples: 1_000_000, bytes: 64 << 20 };
/// Samples of one attempt.
const BATCH: usize = 10_000;

/// Starts writing to the topic, under a name of its own; None where the sink wants no recorded series. Must be called within a tokio runtime.
#[must_use]
pub fn start_recorded(
    config: &KafkaSinkConfig,
    name: &str,
    origin: &Origin,
    metrics: &RecordedMetrics,
) -> Option<RecordedLane> {
    let RecordedConfig { topic, format } = config.recorded.clone()?;
    let external_labels = origin.external_labels.clone();
    let receiver = Topic { topic, format, external_labels, producer: Producer::new(config) };
    // The client gathers messages itself.
    let batching = Batching { samples: BATCH, deadline: Duration::ZERO, bound: WAITING, backoff: Backoff::default() };
    Some(RecordedLane::start((name, "Kafka"), receiver, batching, Box::new(|_| true), metrics))
}

struct Topic {
    topic: String,
    format: RecordedFormat,
    external_labels: Vec<(String, String)>,
    producer: Producer,
}

impl RecordedReceiver for Topic {
    async fn deliver(&self, batch: &[Queued], _now: Millis) -> Delivery {
        let (samples, outbound): (Vec<_>, Vec<_>) = messages(batch, self.format, &self.external_labels)
            .into_iter()
            .map(|Message { key, payload, samples }| {
                (samples, Outbound { key, payload, headers: headers(self.format) })
            })
            .unzip();
        let mut delivery = Delivery { outcomes: vec![Outcome::Retry; batch.len()], failure: None };
        for (samples, result) in samples.iter().zip(self.producer.send(&self.topic, outbound).await) {
            let outcome = match &result {
                Ok(()) => Outcome::Sent,
                Err(failure) if matches!(failure.verdict, Verdict::Retry(_)) => Outcome::Retry,
                Err(_) => Outcome::Refused(Refusal::Refused),
            };
            samples.iter().for_each(|i| delivery.outcomes[*i] = outcome);
            delivery.failure = result.err().or(delivery.failure);
        }
        delivery
    }
}

fn headers(format: RecordedFormat) -> Vec<(&'static str, String)> {
    match format {
        RecordedFormat::RemoteWrite => vec![
            ("content-type", "application/x-protobuf".to_owned()),
            ("content-encoding", "snappy".to_owned()),
            ("x-prometheus-remote-write-version", "0.1.0".to_owned()),
        ],
        RecordedFormat::JsonLines => vec![("content-type", "application/x-ndjson".to_owned())],
    }
}
