//! What librdkafka calls back: partitions given and taken, statistics, faults. All of it runs on the thread that polls, and
//! is left in a list for it, but for where a partition's reading begins, which must be said at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::begin::{Begin, Known, begin};
use super::config::Start;
use crate::kafka_client::{FaultLog, reason_of};
use crate::telemetry::KafkaMetrics;

/// How long the cluster may take to tell one offset.
const OFFSET_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked.
const ATTEMPTS: usize = 3;

/// Name of a partition.
pub type TopicPartition = (String, i32);

/// Something that happened while the consumer was polled.
#[derive(Debug)]
pub enum Notice {
    /// Partitions are ours; with the position at which their reading begins, where that is known.
    Assigned(Vec<(TopicPartition, Option<i64>)>),
    /// Partitions are not ours any more; `all` if others will be given at once.
    Revoked { partitions: Vec<TopicPartition>, all: bool },
    /// How partitions stand, and whether any broker is connected.
    Standing { partitions: Vec<Report>, connected: bool },
    /// Something went wrong.
    Fault { reason: &'static str, text: String },
}

/// What librdkafka reports of a partition.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub partition: TopicPartition,
    /// Behind the newest message that readers may see.
    pub end: i64,
    /// The next that is fetched.
    pub next: i64,
    /// Whether the fetching has come to the end, and the broker that knows is connected.
    pub at_end: bool,
}

/// The context of a consumer.
#[derive(Debug)]
pub struct Context {
    name: String,
    start: Start,
    metrics: KafkaMetrics,
    known: Mutex<HashMap<TopicPartition, Known>>,
    notices: Mutex<VecDeque<Notice>>,
}

impl Context {
    /// A context for a source of this name; `known` is what is known of partitions before.
    pub fn new(name: &str, start: Start, metrics: KafkaMetrics, known: HashMap<TopicPartition, Known>) -> Self {
        Self { name: name.to_owned(), start, metrics, known: Mutex::new(known), notices: Mutex::default() }
    }

    /// What has happened since it was asked last.
    pub fn notices(&self) -> VecDeque<Notice> {
        std::mem::take(&mut lock(&self.notices))
    }

    /// Remembers how far a partition was read when it was taken away.
    pub fn remember(&self, partition: &TopicPartition, next: i64) {
        lock(&self.known).entry(partition.clone()).or_default().read = Some(next);
    }

    /// What is known, for the next client.
    pub fn known(&self) -> HashMap<TopicPartition, Known> {
        lock(&self.known).clone()
    }

    fn tell(&self, notice: Notice) {
        lock(&self.notices).push_back(notice);
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) {
        let names: Vec<TopicPartition> = names(partitions);
        let mut begun = Vec::with_capacity(names.len());
        for partition in names {
            let known = lock(&self.known).get(&partition).copied().unwrap_or_default();
            let offset = self.offset(consumer, &partition, begin(known, self.start));
            if let Some(offset) = offset
                && let Err(error) = partitions.set_partition_offset(&partition.0, partition.1, offset)
            {
                tracing::error!(source = self.name, %error, "librdkafka does not take a position");
            }
            let position = if let Some(Offset::Offset(at)) = offset { Some(at) } else { None };
            begun.push((partition, position));
        }
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
            _ => consumer.assign(partitions),
        };
        self.report(done);
        self.metrics.rebalanced(&self.name, "assigned");
        self.tell(Notice::Assigned(begun));
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let all = !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if all { consumer.unassign() } else { consumer.incremental_unassign(partitions) };
        self.report(done);
        let kind = if consumer.assignment_lost() { "lost" } else { "revoked" };
        self.metrics.rebalanced(&self.name, kind);
        self.tell(Notice::Revoked { partitions: names(partitions), all });
    }

    /// The offset in librdkafka's terms; None leaves it to the group's.
    fn offset(&self, consumer: &BaseConsumer<Self>, partition: &TopicPartition, begin: Begin) -> Option<Offset> {
        match begin {
            Begin::AtOrCommitted(position) => {
                let committed = self.ask(partition, || committed(consumer, partition)).flatten();
                Some(Offset::Offset(committed.unwrap_or(position).max(position)))
            }
            Begin::Committed => None,
            Begin::Oldest => Some(Offset::Beginning),
            Begin::Newest => {
                let end = self.ask(partition, || end_of(consumer, partition));
                Some(end.map_or(Offset::End, Offset::Offset))
            }
            Begin::Since(t) => {
                let since = self.ask(partition, || since(consumer, partition, t));
                // More than was asked for is better than less.
                Some(since.map_or(Offset::Beginning, Offset::Offset))
            }
        }
    }

    /// Asks the cluster until it answers, a few times.
    fn ask<T>(&self, partition: &TopicPartition, question: impl Fn() -> KafkaResult<T>) -> Option<T> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match question() {
                Ok(answer) => return Some(answer),
                Err(error) => last = Some(error),
            }
        }
        let (topic, error) = (&partition.0, last.map(|e| e.to_string()).unwrap_or_default());
        tracing::warn!(
            source = self.name,
            topic,
            partition = partition.1,
            error,
            "the cluster does not tell an offset"
        );
        None
    }

    fn report(&self, done: KafkaResult<()>) {
        if let Err(error) = done {
            self.tell(Notice::Fault { reason: reason_of(&error), text: error.to_string() });
        }
    }
}

fn committed(consumer: &BaseConsumer<Context>, partition: &TopicPartition) -> KafkaResult<Option<i64>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&partition.0, partition.1);
    let answer = consumer.committed_offsets(asked, OFFSET_PATIENCE)?;
    Ok(answer.elements().first().and_then(|e| if let Offset::Offset(at) = e.offset() { Some(at) } else { None }))
}

fn end_of(consumer: &BaseConsumer<Context>, partition: &TopicPartition) -> KafkaResult<i64> {
    Ok(consumer.fetch_watermarks(&partition.0, partition.1, OFFSET_PATIENCE)?.1)
}

fn since(consumer: &BaseConsumer<Context>, partition: &TopicPartition, t: i64) -> KafkaResult<i64> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_offset(&partition.0, partition.1, Offset::Offset(t))?;
    let answer = consumer.offsets_for_times(asked, OFFSET_PATIENCE)?;
    let element = answer.elements().into_iter().next();
    match element.map(|e| e.error().map(|()| e.offset())).transpose()? {
        Some(Offset::Offset(at)) => Ok(at),
        // No message is as young as that.
        _ => end_of(consumer, partition),
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        FaultLog.line(&self.name, level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let up = |id: i32| statistics.brokers.values().any(|b| b.nodeid == id && b.state == "UP");
        let topics = statistics.topics.values().flat_map(|t| t.partitions.values().map(move |p| (t.topic.clone(), p)));
        let partitions = topics.filter(|(_, p)| p.partition >= 0 && p.next_offset >= 0).map(|(topic, p)| Report {
            partition: (topic, p.partition),
            end: if p.ls_offset >= 0 { p.ls_offset } else { p.hi_offset },
            next: p.next_offset,
            at_end: p.eof_offset == p.next_offset && up(p.leader),
        });
        let partitions = partitions.collect();
        let connected = statistics.brokers.values().any(|b| b.state == "UP");
        self.tell(Notice::Standing { partitions, connected });
    }

    fn error(&self, error: KafkaError, text: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.tell(Notice::Fault { reason: reason_of(&error), text: text.to_owned() });
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, partitions),
            _ => self.revoked(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        // There being nothing to commit is no failure.
        let nothing = matches!(&result, Err(e) if e.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset));
        if !nothing {
            self.metrics.committed(&self.name, result.is_ok());
        }
    }
}

/// Commits positions, without waiting for the cluster unless `wait`.
pub fn commit(consumer: &BaseConsumer<Context>, positions: &[(TopicPartition, i64)], wait: bool) {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for ((topic, partition), position) in positions {
        // It fails for negative offsets only.
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*position));
    }
    let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
    if !positions.is_empty()
        && let Err(error) = consumer.commit(&list, mode)
    {
        tracing::debug!(%error, "the group's offsets were not committed");
    }
}

fn names(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    partitions.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of them is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
