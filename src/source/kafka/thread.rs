//! The source's thread: sets a client up, and another when that one is of no use any more, and hands over what it reads. In
//! between the life of a client is `session`'s matter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::awaited::Awaited;
use super::begin::Known;
use super::config::{self, KafkaConfig};
use super::context::{Context, TopicPartition};
use super::dead_letter::DeadLetters;
use super::future::HostClock;
use super::pace;
use super::session::{End, Session};
use crate::base::{Limits, Millis, TimeSpan};
use crate::kafka_client::{KafkaConfigError, Secrets};
use crate::source::clock::EventTime;
use crate::source::decode::CreatedTimestamps;
use crate::source::exemplars::Exemplars;
use crate::source::watermark::Pace;
use crate::source::{Positions, SourceEvent, SourceId, SourceIds};
use crate::telemetry::{KafkaMetrics, OneSource};

/// What librdkafka must be allowed to take at once, in bytes: `fetch.max.bytes` (50 MiB if not set) and some.
const RESPONSE_MIN: usize = 51 << 20;
/// How often it is looked for room there.
const LOOK: Duration = Duration::from_millis(2);
/// How long the end of a client is waited for where another takes its place.
const CLOSE: Duration = Duration::from_secs(5);
/// How long after a failure another client is set up, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The source, on its thread.
pub(super) struct Kafka {
    pub(super) config: KafkaConfig,
    pub(super) inlet_id: SourceId,
    pub(super) ids: SourceIds,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: KafkaMetrics,
    pub(super) source: OneSource,
    pub(super) durable: watch::Receiver<Arc<Positions>>,
    pub(super) event_time: EventTime,
    pub(super) exemplars: Exemplars,
    pub(super) created_timestamps: CreatedTimestamps,
    /// Whether nothing is committed.
    pub(super) dry_run: bool,
    pub(super) hand_over: mpsc::Sender<Vec<SourceEvent>>,
}

impl Kafka {
    pub(super) fn run(self, restored: &Positions) {
        let mut known = known(&self.config.name, restored);
        let mut wait = RETRY.0;
        let until = Instant::now() + self.config.patience.0;
        let mut awaited = Some(Awaited::new(&known, until));
        // What is told of as trouble: why there is no client, or why the last one has failed.
        let mut told = None;
        loop {
            let name = &self.config.name;
            // Before they are read: what changes meanwhile counts as changed.
            let secrets = Secrets::of(&self.config.connection());
            let (reason, error) = match self.client(known.clone()) {
                Ok((consumer, letters)) => {
                    wait = RETRY.0;
                    let end = Session::new(&self, &consumer, letters, secrets, told.take(), &mut awaited).run();
                    known = consumer.context().known();
                    match end {
                        // What can hang is the end of the client; `Closing` waits no longer than it has to.
                        End::Closed => return,
                        End::Renewed(trouble) => {
                            tracing::info!(
                                source = name,
                                "the credentials have changed: another Kafka consumer is set up"
                            );
                            told = trouble;
                            close_aside(consumer);
                            continue;
                        }
                        End::Failed(error) => {
                            tracing::error!(source = name, error, "the Kafka consumer has failed; another is set up");
                            self.send_all(vec![SourceEvent::Trouble(self.inlet_id, Some(error.clone()))]);
                            close_aside(consumer);
                            ("fatal", error)
                        }
                    }
                }
                // Mostly a file that is yet to come: told of once, and shown on the status page until it is there.
                Err(KafkaConfigError(error)) => {
                    if told.as_ref() != Some(&error) {
                        tracing::warn!(source = name, error, "no Kafka consumer can be set up; it is tried again");
                    }
                    ("client_setup", error)
                }
            };
            self.metrics.fault(name, reason);
            told = Some(error.clone());
            let trouble = vec![SourceEvent::Trouble(self.inlet_id, Some(error))];
            if matches!(self.send(trouble, wait), Err(None)) || self.closes_within(wait) {
                return;
            }
            wait = (wait * 2).min(RETRY.1);
        }
    }

    fn client(
        &self,
        known: HashMap<TopicPartition, Known>,
    ) -> Result<(BaseConsumer<Context>, DeadLetters), KafkaConfigError> {
        let config = &self.config;
        let connection = config.connection();
        let fault = |error: rdkafka::error::KafkaError| connection.refused(&error);
        let letters = DeadLetters::open(config, self.metrics.clone())?;
        let fetched_ahead = config.fetched_ahead_kib.to_string();
        // A response is unpacked in memory; what librdkafka takes of one is bounded by what it takes from the wire.
        let response = self.limits.decompressed_bytes.clamp(RESPONSE_MIN, i32::MAX as usize).to_string();
        let mut defaults = vec![
            ("receive.message.max.bytes", response.as_str()),
            ("topic.metadata.refresh.interval.ms", "60000"),
            ("socket.keepalive.enable", "true"),
            // A broker that is back is noticed soon.
            ("reconnect.backoff.max.ms", "2000"),
        ];
        // With the newer group protocol the brokers assign.
        if !config.options.contains_key("group.protocol") {
            defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
        }
        let musts = [
            ("group.id", config.group_id.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            ("statistics.interval.ms", "1000"),
            ("queued.max.messages.kbytes", fetched_ahead.as_str()),
        ];
        let client = connection.client(&defaults, &musts)?;
        let context = Context::new(&config.name, config.start, self.metrics.clone(), known);
        let consumer: BaseConsumer<Context> = client.create_with_context(context).map_err(fault)?;
        let topics = config.topics.iter().map(config::TopicConfig::subscription).collect::<Result<Vec<_>, _>>()?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(fault)?;
        Ok((consumer, letters))
    }

    pub(super) fn pace(&self) -> Pace {
        pace(&self.config)
    }

    /// What is known of this host's clock when it says `now`.
    pub(super) fn clock_at(&self, now: Millis) -> HostClock {
        HostClock { latest: TimeSpan::around(now, &self.limits).newest, is_behind: self.event_time.is_ahead_of(now) }
    }

    /// Hands events over, waiting for room for at most so long. What does not fit comes back; None: the host has shut down.
    /// The thread may outlive the runtime, so it does not wait in it.
    pub(super) fn send(&self, mut events: Vec<SourceEvent>, limit: Duration) -> Result<(), Option<Vec<SourceEvent>>> {
        let end = Instant::now() + limit;
        loop {
            match self.hand_over.try_send(events) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(None),
                Err(TrySendError::Full(back)) if Instant::now() >= end => return Err(Some(back)),
                Err(TrySendError::Full(back)) => events = back,
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Hands events over, however long the engine takes; what a host that has shut down does not get nobody needs.
    pub(super) fn send_all(&self, mut events: Vec<SourceEvent>) {
        while let Err(Some(back)) = self.send(events, RETRY.0) {
            events = back;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.hand_over.is_closed()
    }

    pub(super) fn closes_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while !self.is_closed() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        self.is_closed()
    }
}

/// Closes a client whose place another takes, and waits for that, but not for long: its cluster may be away.
fn close_aside(consumer: BaseConsumer<Context>) {
    let (done, closed) = std::sync::mpsc::channel::<()>();
    let closing = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        drop(consumer);
        drop(done);
    });
    if closing.is_ok() {
        // It ends without a word.
        let _ = closed.recv_timeout(CLOSE);
    }
}

/// Positions of this source in a checkpoint: `kafka/NAME/TOPIC/PARTITION`. Topics' names have no slash.
fn known(name: &str, restored: &Positions) -> HashMap<TopicPartition, Known> {
    let of = |(stream, next): (&Arc<str>, &u64)| {
        let (topic, partition) =
            stream.strip_prefix("kafka/")?.strip_prefix(name)?.strip_prefix('/')?.split_once('/')?;
        let known = Known { restored: Some(i64::try_from(*next).ok()?), read: None };
        Some(((topic.to_owned(), partition.parse().ok()?), known))
    };
    restored.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_client_has_read_waits_for_the_engine() {
        let config = "{name: k, brokers: ['k:9092'], group_id: g, topics: []}";
        let registry = prometheus::Registry::new();
        let metrics = KafkaMetrics::register(&crate::telemetry::Register::new(&registry)).unwrap();
        let source = crate::telemetry::Metrics::new().unwrap().source.of("k");
        let (hand_over, mut handed_over) = mpsc::channel(1);
        let (_safe, durable) = watch::channel(Arc::default());
        let kafka = Kafka {
            config: serde_saphyr::from_str(config).unwrap(),
            inlet_id: SourceId(0),
            ids: SourceIds::default(),
            limits: Arc::default(),
            metrics,
            source,
            durable,
            event_time: EventTime::default(),
            exemplars: Exemplars::default(),
            created_timestamps: CreatedTimestamps::default(),
            dry_run: false,
            hand_over,
        };
        kafka.send_all(vec![SourceEvent::Close(SourceId(1))]);
        let engine = std::thread::spawn(move || {
            // Longer than one attempt.
            std::thread::sleep(RETRY.0 + Duration::from_millis(200));
            let got: Vec<usize> = (0..2).map(|_| handed_over.blocking_recv().unwrap().len()).collect();
            got
        });
        kafka.send_all(vec![SourceEvent::Close(SourceId(2)), SourceEvent::Close(SourceId(3))]);
        assert_eq!(engine.join().unwrap(), [1, 2]);
        // The host is gone: nothing is waited for.
        kafka.send_all(vec![SourceEvent::Close(SourceId(4))]);
    }

    #[test]
    fn positions_of_a_checkpoint_are_told_apart() {
        let positions = [("kafka/a/t.x/3", 7), ("kafka/ab/t/0", 1), ("kafka/a/t/x", 1), ("log", 9), ("kafka/a/t", 1)];
        let restored = positions.map(|(stream, next)| (Arc::from(stream), next)).into();
        let got = known("a", &restored);
        let want = [(("t.x".to_owned(), 3), Known { restored: Some(7), read: None })];
        assert_eq!(got, HashMap::from(want));
    }
}
