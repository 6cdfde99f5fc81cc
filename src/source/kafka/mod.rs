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
mod thread;

pub use config::{KafkaConfig, validate};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use self::thread::Kafka;
use super::clock::EventTime;
use super::decode::CreatedTimestamps;
use super::exemplars::Exemplars;
use super::watermark::Pace;
use super::{Positions, SourceEvent, SourceId, SourceIds};
use crate::base::Limits;
use crate::kafka_client::REASONS;
use crate::telemetry::{KafkaMetrics, OneSource};

/// Hand-overs between the thread and the task that wait for the engine's queue.
const HAND_OVERS: usize = 2;

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
        // The thread ends by itself only by a panic, which has been printed; whoever watches this task is to know.
        std::panic::resume_unwind(Box::new("the Kafka thread has panicked"));
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

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
}
