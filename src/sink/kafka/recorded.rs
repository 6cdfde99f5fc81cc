//! Recorded series on their way to a topic: a bounded queue and a task that sends until all is acknowledged.
//!
//! Recorded samples follow a series' order within their key, and are sent until the topic has them; what exceeds the queue,
//! in number or in bytes, while it does not take any is dropped and counted. Knows messages; what they hold is made elsewhere.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::super::backoff::Backoff;
use super::config::{KafkaSinkConfig, RecordedFormat};
use super::producer::{Outbound, Producer};

/// Hand-overs, each of what one advance of the engine recorded, that wait for the topic.
const WAITING: usize = 1_000;
/// Their keys and payloads. One hand-over may be larger if it waits alone.
const WAITING_BYTES: u32 = 64 << 20;

/// One hand-over, and its share of the bytes until it is sent.
type Waiting = (Vec<RecordedMessage>, OwnedSemaphorePermit);

/// Some recorded samples.
#[derive(Debug)]
pub struct RecordedMessage {
    /// What stays in order: the metric's name.
    pub key: String,
    /// The samples, in the topic's format.
    pub payload: Vec<u8>,
    /// How many there are.
    pub samples: u64,
}

/// Counts what became of recorded samples.
#[derive(Clone, Debug)]
pub struct RecordedMetrics(IntCounterVec, IntGaugeVec);

impl RecordedMetrics {
    /// Makes and registers the metric.
    ///
    /// # Errors
    /// The name is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Recorded samples on their way to a sink, by what became of them: sent, refused or dropped.";
        let metric = IntCounterVec::new(Opts::new("forewarn_recorded_samples_total", help), &["sink", "outcome"])?;
        registry.register(Box::new(metric.clone()))?;
        let help =
            "Hand-overs of recorded samples that wait for a sink, each of what one advance of event time recorded.";
        let waiting = IntGaugeVec::new(Opts::new("forewarn_recorded_queued", help), &["sink"])?;
        registry.register(Box::new(waiting.clone()))?;
        Ok(Self(metric, waiting))
    }

    fn count(&self, sink: &str, outcome: &str, messages: &[RecordedMessage]) {
        self.0.with_label_values(&[sink, outcome]).inc_by(messages.iter().map(|m| m.samples).sum());
    }
}

/// A topic that recorded series go to.
#[derive(Debug)]
pub struct RecordedTopic {
    /// The format in which it wants them.
    pub format: RecordedFormat,
    sink: String,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    metrics: RecordedMetrics,
    waiting: IntGauge,
    task: JoinHandle<()>,
}

impl RecordedTopic {
    /// Starts the task; None where the sink wants no recorded series. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(config: &KafkaSinkConfig, metrics: RecordedMetrics) -> Option<Self> {
        let recorded = config.recorded.clone()?;
        // Of a series that begins at its first event `increase()` sees nothing.
        for outcome in ["sent", "refused", "dropped"] {
            metrics.count(&config.name, outcome, &[]);
        }
        let waiting = metrics.1.with_label_values(&[config.name.as_str()]);
        let (queue, work) = mpsc::channel(WAITING);
        let producer = Arc::new(Producer::new(config));
        let sender =
            Sender { sink: config.name.clone(), topic: recorded.topic, format: recorded.format, producer, metrics };
        let (format, sink, metrics) = (recorded.format, sender.sink.clone(), sender.metrics.clone());
        let task = tokio::spawn(sender.run(work, waiting.clone()));
        let room = Arc::new(Semaphore::new(WAITING_BYTES as usize));
        Some(Self { format, sink, queue, room, metrics, waiting, task })
    }

    /// Hands samples over; never waits.
    pub fn put(&self, messages: Vec<RecordedMessage>) {
        let Ok(share) = Arc::clone(&self.room).try_acquire_many_owned(share(&messages)) else {
            return self.metrics.count(&self.sink, "dropped", &messages);
        };
        if let Err(mpsc::error::TrySendError::Full((messages, _)) | mpsc::error::TrySendError::Closed((messages, _))) =
            self.queue.try_send((messages, share))
        {
            return self.metrics.count(&self.sink, "dropped", &messages);
        }
        self.waiting.inc();
    }

    /// Sends what waits, for at most `limit`.
    pub async fn shutdown(mut self, limit: Duration) {
        drop(self.queue);
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!(sink = self.sink, "recorded samples were not written before the end");
        }
    }
}

/// Bytes that count against [`WAITING_BYTES`].
fn share(messages: &[RecordedMessage]) -> u32 {
    let bytes: usize = messages.iter().map(|m| m.key.len() + m.payload.len()).sum();
    u32::try_from(bytes).map_or(WAITING_BYTES, |bytes| bytes.min(WAITING_BYTES))
}

struct Sender {
    sink: String,
    topic: String,
    format: RecordedFormat,
    producer: Arc<Producer>,
    metrics: RecordedMetrics,
}

impl Sender {
    async fn run(self, mut work: mpsc::Receiver<Waiting>, waiting: IntGauge) {
        while let Some((messages, _share)) = work.recv().await {
            self.send(messages).await;
            waiting.dec();
        }
    }

    async fn send(&self, mut messages: Vec<RecordedMessage>) {
        let backoff = Backoff::default();
        let mut failures = 0;
        while !messages.is_empty() {
            let outcomes = self.producer.send(&self.topic, messages.iter().map(|m| self.outbound(m)).collect()).await;
            let (mut left, mut why) = (Vec::new(), None);
            for (message, outcome) in messages.into_iter().zip(outcomes) {
                use super::super::failure::Verdict;
                match outcome {
                    Ok(()) => self.metrics.count(&self.sink, "sent", &[message]),
                    Err(failure) if matches!(failure.verdict, Verdict::Retry(_)) => {
                        why = Some(failure);
                        left.push(message);
                    }
                    Err(failure) => {
                        tracing::error!(sink = self.sink, error = failure.message, "recorded samples are refused");
                        self.metrics.count(&self.sink, "refused", &[message]);
                    }
                }
            }
            messages = left;
            if let Some(failure) = why {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(sink = self.sink, error = failure.message, "recorded samples wait for their topic");
                }
                tokio::time::sleep(backoff.wait(failures, fastrand::f64(), None)).await;
            }
        }
    }

    fn outbound(&self, message: &RecordedMessage) -> Outbound {
        let headers = match self.format {
            RecordedFormat::RemoteWrite => vec![
                ("content-type", "application/x-protobuf".to_owned()),
                ("content-encoding", "snappy".to_owned()),
                ("x-prometheus-remote-write-version", "0.1.0".to_owned()),
            ],
            RecordedFormat::JsonLines => vec![("content-type", "application/x-ndjson".to_owned())],
        };
        Outbound { key: message.key.clone(), payload: message.payload.clone(), headers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_dead_topic_is_bounded_in_bytes() {
        let config: KafkaSinkConfig =
            serde_saphyr::from_str("{brokers: ['127.0.0.1:1'], recorded: {topic: r}}").unwrap();
        let registry = Registry::new();
        let topic = RecordedTopic::start(&config, RecordedMetrics::register(&registry).unwrap()).unwrap();
        let dropped = || topic.metrics.0.with_label_values(&["kafka", "dropped"]).get();
        let message = |bytes: usize| vec![RecordedMessage { key: String::new(), payload: vec![0; bytes], samples: 1 }];
        let most = WAITING_BYTES as usize;
        for _ in 0..8 {
            topic.put(message(most / 8));
        }
        assert_eq!(dropped(), 0);
        topic.put(message(1));
        assert_eq!(dropped(), 1);
        topic.task.abort();
        assert_eq!((share(&message(5)), share(&message(most + 1))), (5, WAITING_BYTES), "one alone always fits");
    }
}
