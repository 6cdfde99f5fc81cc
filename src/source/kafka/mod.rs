//! Kafka: topics as sources, each partition with a watermark and a position of its own.
//!
//! ```text
//! thread: librdkafka ─► decode ─► gather ─► (bounded) ─► task ─► (bounded) ─► engine
//!                └──────► dead letters                     positions that are safe ──► commits
//! ```
//!
//! librdkafka's client lives on a thread of its own. Closing it can hang, on a broker that is gone for example; so nobody
//! waits for the thread for longer than a given time. Retries of connections are librdkafka's business; what it tells of
//! them is counted, and shown on the status page. Knows nothing of who reads the samples.

mod align;
mod awaited;
mod begin;
pub mod config;
mod context;
mod dead_letter;
pub mod decoder;
mod future;
mod gather;
mod partitions;
mod session;
mod shared;

pub use config::{KafkaConfig, validate};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use self::awaited::Awaited;
use self::begin::Known;
use self::context::{Context, TopicPartition};
use self::dead_letter::DeadLetters;
use self::future::HostClock;
use self::session::{End, Session};
use super::clock::EventTime;
use super::decode::CreatedTimestamps;
use super::exemplars::Exemplars;
use super::watermark::Pace;
use super::{Positions, SourceEvent, SourceId, SourceIds};
use crate::base::{Limits, Millis, TimeSpan};
use crate::kafka_client::{KafkaConfigError, REASONS, Secrets};
use crate::telemetry::{KafkaMetrics, OneSource};

/// Hand-overs between the thread and the task that wait for the engine's queue.
const HAND_OVERS: usize = 2;
/// What librdkafka must be allowed to take at once, in bytes: `fetch.max.bytes` (50 MiB if not set) and some.
const RESPONSE_MIN: usize = 51 << 20;
/// How often it is looked for room there.
const LOOK: Duration = Duration::from_millis(2);
/// How long the end of a client is waited for where another takes its place.
const CLOSE: Duration = Duration::from_secs(5);
/// How long after a failure another client is set up, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// All that a source of this kind needs.
#[derive(Debug)]
pub struct KafkaParts {
    /// What to read.
    pub config: KafkaConfig,
    /// Identity of the whole; its watermark holds time back until partitions are assigned.
    pub id: SourceId,
    /// Identities for its partitions.
    pub ids: SourceIds,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// Metrics of Kafka clients.
    pub metrics: KafkaMetrics,
    /// The source's metrics.
    pub source: OneSource,
    /// Positions of the checkpoint that was restored.
    pub restored: Positions,
    /// Positions that need not be read again, whatever happens: these are committed. Its end is the engine's.
    pub durable: watch::Receiver<Arc<Positions>>,
    /// How far event time has come: whether the clock can be believed.
    pub event_time: EventTime,
    /// Where traces go that exemplars name.
    pub exemplars: Exemplars,
    /// What becomes of the times at which counters began.
    pub created_timestamps: CreatedTimestamps,
    /// Whether to leave no trace: to read in a group of its own, which takes partitions from nobody, commit nothing, and write
    /// no dead letters.
    pub dry_run: bool,
}

/// How the watermark of a source of this configuration behaves, and those of its partitions.
#[must_use]
pub fn pace(config: &KafkaConfig) -> Pace {
    Pace::Log {
        lateness: config.lateness.millis(),
        idle_timeout: config.idle_timeout.millis(),
        patience: config.patience.millis(),
    }
}

/// Shows what may become of a source's messages before any is read.
pub fn show(config: &KafkaConfig, metrics: &KafkaMetrics) {
    let topics: Vec<&str> = config.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
    metrics.begin(&config.name, &topics, &decoder::UNDECODED, &REASONS);
}

/// Starts the thread. What it reads goes to `queue` while the returned future is driven; dropping that ends the source.
///
/// # Errors
/// The operating system gives no thread.
pub fn start(
    parts: KafkaParts,
    queue: mpsc::Sender<SourceEvent>,
) -> std::io::Result<(impl Future<Output = ()> + Send + 'static, Closing)> {
    let (hand_over, mut handed_over) = mpsc::channel::<Vec<SourceEvent>>(HAND_OVERS);
    let (done, closed) = oneshot::channel();
    let closing = Closing { name: parts.config.name.clone(), closed };
    let (mut config, restored) = (parts.config, parts.restored);
    if parts.dry_run {
        dry(&mut config);
    }
    let kafka = Kafka {
        config,
        inlet_id: parts.id,
        ids: parts.ids,
        limits: parts.limits,
        metrics: parts.metrics,
        source: parts.source,
        durable: parts.durable,
        event_time: parts.event_time,
        exemplars: parts.exemplars,
        created_timestamps: parts.created_timestamps,
        dry_run: parts.dry_run,
        hand_over,
    };
    std::thread::Builder::new().name("kafka".to_owned()).spawn(move || {
        kafka.run(&restored);
        // Nobody may be waiting for it any more.
        let _ = done.send(());
    })?;
    let forward = async move {
        while let Some(events) = handed_over.recv().await {
            for event in events {
                if queue.send(event).await.is_err() {
                    return;
                }
            }
        }
    };
    Ok((forward, closing))
}

/// Makes of a configuration that of a dry run: a group that nobody else is in, and nowhere for dead letters.
fn dry(config: &mut KafkaConfig) {
    config.group_id = format!("{}-dry-run-{:016x}", config.group_id, fastrand::u64(..));
    // A static member's name; two of one name drive each other out within a group, and this one is alone.
    config.options.remove("group.instance.id");
    config.dead_letter = config::DeadLetterConfig::default();
}

/// The end of the thread.
#[derive(Debug)]
pub struct Closing {
    name: String,
    closed: oneshot::Receiver<()>,
}

impl Closing {
    /// Waits until the consumer has left its group, for so long. The process may end in either case: the group notices the
    /// absence of a member by itself.
    pub async fn within(self, limit: Duration) {
        if tokio::time::timeout(limit, self.closed).await.is_err() {
            tracing::warn!(source = self.name, "the Kafka consumer does not close; it is left behind");
        }
    }
}

/// The source, on its thread.
struct Kafka {
    config: KafkaConfig,
    inlet_id: SourceId,
    ids: SourceIds,
    limits: Arc<Limits>,
    metrics: KafkaMetrics,
    source: OneSource,
    durable: watch::Receiver<Arc<Positions>>,
    event_time: EventTime,
    exemplars: Exemplars,
    created_timestamps: CreatedTimestamps,
    /// Whether nothing is committed.
    dry_run: bool,
    hand_over: mpsc::Sender<Vec<SourceEvent>>,
}

impl Kafka {
    fn run(self, restored: &Positions) {
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
                        End::Closed => return close(consumer),
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

    fn pace(&self) -> Pace {
        pace(&self.config)
    }

    /// What is known of this host's clock when it says `now`.
    fn clock_at(&self, now: Millis) -> HostClock {
        HostClock { latest: TimeSpan::around(now, &self.limits).newest, is_behind: self.event_time.is_ahead_of(now) }
    }

    /// Hands events over, waiting for room for at most so long. What does not fit comes back; None: the host has shut down.
    /// The thread may outlive the runtime, so it does not wait in it.
    fn send(&self, mut events: Vec<SourceEvent>, limit: Duration) -> Result<(), Option<Vec<SourceEvent>>> {
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
    fn send_all(&self, mut events: Vec<SourceEvent>) {
        while let Err(Some(back)) = self.send(events, RETRY.0) {
            events = back;
        }
    }

    fn is_closed(&self) -> bool {
        self.hand_over.is_closed()
    }

    fn closes_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while !self.is_closed() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        self.is_closed()
    }
}

/// This can hang.
fn close(consumer: BaseConsumer<Context>) {
    drop(consumer);
}

/// Closes a client whose place another takes, and waits for that, but not for long: its cluster may be away.
fn close_aside(consumer: BaseConsumer<Context>) {
    let (done, closed) = std::sync::mpsc::channel::<()>();
    let closing = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        close(consumer);
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

    #[tokio::test]
    async fn a_consumer_that_never_closes_is_left_behind_after_the_time_that_it_has() {
        let limit = Duration::from_millis(200);
        let (done, closed) = oneshot::channel();
        let (release, hangs) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            // As `rd_kafka_consumer_close` may: until the test lets go, whatever happens meanwhile.
            let _ = hangs.recv();
            done.send(()).is_err()
        });
        let started = Instant::now();
        Closing { name: "hangs".to_owned(), closed }.within(limit).await;
        assert!(started.elapsed() >= limit, "{:?}", started.elapsed());
        assert!(!thread.is_finished(), "it was the time that ended the waiting");
        drop(release);
        assert!(thread.join().unwrap(), "nobody waits for it any more");

        // One that closes is not waited for longer than it takes.
        let (done, closed) = oneshot::channel();
        let started = Instant::now();
        done.send(()).unwrap();
        Closing { name: "closes".to_owned(), closed }.within(Duration::from_secs(60)).await;
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_dry_run_is_in_a_group_of_its_own_and_writes_nothing() {
        let yaml = "{brokers: ['k:9092'], topics: [], dead_letter: {topic: dead}, options: {group.instance.id: a}}";
        let mut one: KafkaConfig = serde_saphyr::from_str(yaml).unwrap();
        let mut other = one.clone();
        dry(&mut one);
        dry(&mut other);
        assert!(one.group_id.starts_with("forewarn-dry-run-") && one.group_id != other.group_id, "{}", one.group_id);
        assert_eq!((one.dead_letter, one.options.len()), (config::DeadLetterConfig::default(), 0));
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
