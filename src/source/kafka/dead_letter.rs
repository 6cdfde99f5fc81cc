//! Where messages go that cannot be decoded: a topic of the same cluster, or a file of JSON lines.
//!
//! A letter in a topic has the message's own key and payload, and headers that say where it came from and why. The stream
//! goes on whatever becomes of the letter; one that cannot be written is counted. The log tells of one a minute.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use serde::Serialize;

use super::config::KafkaConfig;
use super::decoder::Poison;
use crate::kafka_client::{FaultLog, KafkaConfigError};
use crate::telemetry::KafkaMetrics;

/// How long letters may take to be written before the stream goes on without knowing of them.
const SETTLE: Duration = Duration::from_secs(5);
/// The same for librdkafka, in milliseconds.
const SETTLE_MS: &str = "5000";
/// How long what was given up may take to be told of.
const PURGE: Duration = Duration::from_secs(1);
/// How long letters are counted as lost after a topic has not taken any, before the next is tried.
const PAUSE: Duration = Duration::from_secs(30);
/// Letters under way at most, in KiB, for librdkafka; a single one may be larger than those that wait together.
const UNDER_WAY: &str = "131072";
/// Letters, and bytes of them, that wait together at most.
const ENOUGH: u64 = 10_000;
const ENOUGH_BYTES: usize = 64 << 20;
/// How often the log is told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Size of the file, in bytes, if nothing is said.
const FILE_BYTES: u64 = 100 << 20;

/// Writes letters.
pub struct DeadLetters {
    source: String,
    metrics: KafkaMetrics,
    place: Place,
    waiting: u64,
    /// Bytes of those that wait.
    bytes_waiting: usize,
    settle: Duration,
    /// When the topic last took no letters.
    failed: Option<Instant>,
    /// When the log was told of a message, and of one that was lost.
    told: [Option<Instant>; 2],
}

enum Place {
    Nowhere,
    Topic { producer: Box<BaseProducer<Deliveries>>, topic: String },
    File { file: File, bytes: u64, bytes_max: u64 },
}

/// Counts what the cluster acknowledges.
struct Deliveries {
    source: String,
    acknowledged: AtomicU64,
    /// Whether letters got no answer at all; one that is refused says nothing of the next.
    is_away: AtomicBool,
}

impl DeadLetters {
    /// Opens the place that the configuration names.
    ///
    /// # Errors
    /// The file cannot be opened, or the client cannot be set up.
    pub fn open(config: &KafkaConfig, metrics: KafkaMetrics) -> Result<Self, KafkaConfigError> {
        let letters = &config.dead_letter;
        let place = match (&letters.topic, &letters.file) {
            (Some(topic), _) => {
                // What is too large for the broker is its to refuse.
                let defaults = [
                    ("message.max.bytes", "1000000000"),
                    ("linger.ms", "0"),
                    ("queue.buffering.max.kbytes", UNDER_WAY),
                ];
                let musts = [("enable.idempotence", "true"), ("message.timeout.ms", SETTLE_MS)];
                let connection = config.connection();
                let client = connection.client(&defaults, &musts)?;
                let context = Deliveries {
                    source: config.name.clone(),
                    acknowledged: AtomicU64::new(0),
                    is_away: AtomicBool::new(false),
                };
                let producer = client.create_with_context(context);
                let producer =
                    producer.map_err(|e| KafkaConfigError(format!("dead_letter: {}", connection.refused(&e))))?;
                Place::Topic { producer: Box::new(producer), topic: topic.clone() }
            }
            (None, Some(file)) => {
                let (file, bytes) =
                    append(file).map_err(|e| KafkaConfigError(format!("dead_letter: file {}: {e}", file.display())))?;
                Place::File { file, bytes, bytes_max: letters.file_bytes.unwrap_or(FILE_BYTES) }
            }
            (None, None) => Place::Nowhere,
        };
        let source = config.name.clone();
        Ok(Self { source, metrics, place, waiting: 0, bytes_waiting: 0, settle: SETTLE, failed: None, told: [None; 2] })
    }

    /// Puts a message aside. [`Self::settle`] says when it is there.
    pub fn put(&mut self, message: &impl Message, poison: &Poison) {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let reason = &poison.text;
        if is_due(&mut self.told[0]) {
            tracing::warn!(source = self.source, topic, partition, offset, reason, "a message cannot be decoded");
        }
        if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return self.lost(1, "the cluster takes none; it is tried again soon");
        }
        let size = message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
        if self.waiting > 0 && self.bytes_waiting.saturating_add(size) > ENOUGH_BYTES || self.waiting >= ENOUGH {
            // Room comes with what is acknowledged, or given up.
            self.settle();
        }
        self.bytes_waiting = self.bytes_waiting.saturating_add(size);
        let written = match &mut self.place {
            Place::Nowhere => {
                self.metrics.dead_letters(&self.source, "not_wanted", 1);
                return;
            }
            Place::Topic { producer, topic } => send(producer, topic, message, poison).map(|()| self.waiting += 1),
            Place::File { file, bytes, bytes_max } => {
                let line = line(message, poison);
                let size = line.len() as u64;
                if bytes.saturating_add(size) > *bytes_max {
                    Err(format!("the file has reached {bytes_max} bytes (dead_letter.file_bytes)"))
                } else {
                    *bytes += size;
                    self.waiting += 1;
                    file.write_all(line.as_bytes()).map_err(|e| e.to_string())
                }
            }
        };
        if let Err(error) = written {
            self.lost(1, &error);
        }
    }

    /// Waits until what was put aside is written, for a while; the positions behind it may then be passed on.
    pub fn settle(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes_waiting = 0;
        if waiting == 0 {
            return;
        }
        match &mut self.place {
            Place::Nowhere => {}
            Place::Topic { producer, .. } => {
                if producer.flush(self.settle).is_err() {
                    // What is counted as lost must not be written later and counted again.
                    producer.purge(PurgeConfig::default().queue().inflight());
                    let _ = producer.flush(PURGE);
                }
                let done = producer.context().acknowledged.swap(0, Relaxed).min(waiting);
                self.metrics.dead_letters(&self.source, "written", done);
                let is_away = producer.context().is_away.swap(false, Relaxed);
                self.failed = (is_away && done == 0).then(Instant::now);
                if done < waiting {
                    self.lost(waiting - done, "the cluster has not acknowledged them");
                }
            }
            Place::File { file, .. } => match file.sync_data() {
                Ok(()) => self.metrics.dead_letters(&self.source, "written", waiting),
                Err(error) => self.lost(waiting, &error.to_string()),
            },
        }
    }

    fn lost(&mut self, letters: u64, error: &str) {
        self.metrics.dead_letters(&self.source, "lost", letters);
        if is_due(&mut self.told[1]) {
            tracing::error!(source = self.source, letters, error, "dead letters were not written");
        }
    }
}

/// Once a minute; the others are counted.
fn is_due(told: &mut Option<Instant>) -> bool {
    let due = told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
    if due {
        *told = Some(Instant::now());
    }
    due
}

fn send(producer: &BaseProducer<Deliveries>, to: &str, message: &impl Message, poison: &Poison) -> Result<(), String> {
    let (partition, offset) = (message.partition().to_string(), message.offset().to_string());
    let headers = [
        ("forewarn-topic", message.topic()),
        ("forewarn-partition", &partition),
        ("forewarn-offset", &offset),
        ("forewarn-reason", poison.reason),
        ("forewarn-error", &poison.text),
    ];
    let headers = headers
        .into_iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(to).headers(headers);
    if let Some(key) = message.key() {
        record = record.key(key);
    }
    if let Some(payload) = message.payload() {
        record = record.payload(payload);
    }
    producer.send(record).map_err(|(error, _)| error.to_string())
}

/// A letter as a line of JSON; bytes as base64.
fn line(message: &impl Message, poison: &Poison) -> String {
    #[derive(Serialize)]
    struct Letter<'a> {
        topic: &'a str,
        partition: i32,
        offset: i64,
        timestamp: Option<i64>,
        reason: &'a str,
        error: &'a str,
        key: Option<String>,
        payload: Option<String>,
    }
    let letter = Letter {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        reason: poison.reason,
        error: &poison.text,
        key: message.key().map(|bytes| STANDARD.encode(bytes)),
        payload: message.payload().map(|bytes| STANDARD.encode(bytes)),
    };
    // Strings into memory: nothing there can fail.
    serde_json::to_string(&letter).unwrap_or_default() + "\n"
}

fn append(file: &Path) -> io::Result<(File, u64)> {
    // Samples of others' systems: for the user's eyes alone.
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        FaultLog.line(&self.source, level, facility, message);
    }

    fn error(&self, _: KafkaError, _: &str) {
        // The consumer of the same cluster tells of it.
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use RDKafkaErrorCode::{MessageTimedOut, PurgeInflight, PurgeQueue};
        match result {
            Ok(_) => drop(self.acknowledged.fetch_add(1, Relaxed)),
            Err((error, _)) => {
                let code = error.rdkafka_error_code();
                if matches!(code, Some(MessageTimedOut | PurgeInflight | PurgeQueue)) {
                    self.is_away.store(true, Relaxed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use rdkafka::message::{OwnedMessage, Timestamp};

    use super::*;
    use crate::telemetry::Register;

    #[test]
    fn a_file_gets_lines_up_to_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead.jsonl");
        let yaml = format!(
            "{{brokers: ['k:9092'], topics: [], dead_letter: {{file: '{}', file_bytes: 250}}}}",
            path.display()
        );
        let config: KafkaConfig = serde_saphyr::from_str(&yaml).unwrap();
        let registry = Registry::new();
        let metrics = KafkaMetrics::register(&Register::new(&registry)).unwrap();
        let mut letters = DeadLetters::open(&config, metrics).unwrap();
        let poison = Poison { reason: "malformed", text: "not JSON".to_owned() };
        let payload = Some(vec![0xff, 0]);
        let message = OwnedMessage::new(payload, None, "t".to_owned(), Timestamp::CreateTime(5), 3, 42, None);
        letters.put(&message, &poison);
        letters.put(&message, &poison);
        letters.put(&message, &poison);
        letters.settle();
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        let want = serde_json::json!({"topic": "t", "partition": 3, "offset": 42, "timestamp": 5,
            "reason": "malformed", "error": "not JSON", "key": null, "payload": "/wA="});
        assert_eq!(lines[0], want);
        let shown = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(shown.contains(r#"forewarn_kafka_dead_letters_total{outcome="written",source="kafka"} 2"#), "{shown}");
        assert!(shown.contains(r#"forewarn_kafka_dead_letters_total{outcome="lost",source="kafka"} 1"#), "{shown}");
    }

    #[test]
    fn a_topic_that_is_away_is_waited_for_once_and_its_letters_are_lost_for_good() {
        // Nobody listens there.
        let yaml = "{name: k, brokers: ['127.0.0.1:1'], group_id: g, topics: [], dead_letter: {topic: dead}}";
        let config: KafkaConfig = serde_saphyr::from_str(yaml).unwrap();
        let registry = Registry::new();
        let metrics = KafkaMetrics::register(&Register::new(&registry)).unwrap();
        let mut letters = DeadLetters::open(&config, metrics).unwrap();
        letters.settle = Duration::from_millis(300);
        let poison = Poison { reason: "malformed", text: "not JSON".to_owned() };
        let message = OwnedMessage::new(Some(vec![1]), None, "t".to_owned(), Timestamp::CreateTime(5), 3, 42, None);
        letters.put(&message, &poison);
        letters.put(&message, &poison);
        letters.settle();
        let Place::Topic { producer, .. } = &letters.place else { unreachable!() };
        assert_eq!(producer.in_flight_count(), 0, "they stay with the producer");
        let started = Instant::now();
        letters.put(&message, &poison);
        letters.settle();
        assert!(started.elapsed() < Duration::from_millis(200), "waited again");
        let shown = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(shown.contains(r#"forewarn_kafka_dead_letters_total{outcome="lost",source="k"} 3"#), "{shown}");
        // When the pause is over it is tried again.
        letters.failed = Instant::now().checked_sub(PAUSE);
        letters.put(&message, &poison);
        assert_eq!(letters.waiting, 1);
    }
}
