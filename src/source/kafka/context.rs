//! What librdkafka calls back: partitions given and taken, statistics, faults. All of it runs on the thread that polls, and
//! is left in a list for it, but for where a partition's reading begins, which must be said at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::{Statistics, Topic};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::begin::{Begin, Known, begin};
use super::config::Start;
use crate::kafka_client::{FaultLog, reason_of, reason_told};
use crate::telemetry::KafkaMetrics;

/// How long the cluster may take for one answer.
const OFFSET_PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to tell all that is asked for when partitions are given.
const OFFSETS_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is asked.
const ATTEMPTS: usize = 3;

/// Name of a partition.
pub type TopicPartition = (String, i32);

/// Something that happened while the consumer was polled.
#[derive(Debug)]
pub enum Notice {
    /// Partitions are ours; with the position at which their reading begins, where that is known.
    Assigned(Vec<(TopicPartition, Option<i64>)>),
    /// Partitions are not ours any more; `all` if they are given anew, at once or when the cluster is there again.
    Revoked { partitions: Vec<TopicPartition>, all: bool },
    /// How partitions stand, how many each topic of theirs has, whoever's they are, and whether any broker is connected.
    Standing { partitions: Vec<Report>, sizes: Vec<(String, usize)>, connected: bool },
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
    /// What the cluster has confirmed that the group has committed; negative before.
    pub committed: i64,
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
        let begins = names(partitions).into_iter().map(|partition| {
            let known = lock(&self.known).get(&partition).copied().unwrap_or_default();
            let begin = begin(known, self.start);
            (partition, begin)
        });
        let offsets = self.offsets(consumer, begins.collect());
        let mut begun = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
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
        let names = names(partitions);
        // Afterwards librdkafka does not know any more. What is lost because the cluster was away for too long is given anew.
        let lost = consumer.assignment_lost();
        // A partition that comes back would still be paused.
        self.report(pause(consumer, &names, false));
        let all = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.report(consumer.incremental_unassign(partitions));
                lost
            }
            _ => {
                self.report(consumer.unassign());
                true
            }
        };
        self.metrics.rebalanced(&self.name, if lost { "lost" } else { "revoked" });
        self.tell(Notice::Revoked { partitions: names, all });
    }

    /// The offsets in librdkafka's terms; None leaves it to the group's. The group waits meanwhile, so all of them are asked for
    /// together and not for long.
    fn offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        begins: Vec<(TopicPartition, Begin)>,
    ) -> Vec<(TopicPartition, Option<Offset>)> {
        let asked = |of: fn(&Begin) -> bool| -> Vec<TopicPartition> {
            begins.iter().filter(|(_, begin)| of(begin)).map(|(partition, _)| partition.clone()).collect()
        };
        let end = Instant::now() + OFFSETS_PATIENCE;
        let committed = asked(|begin| matches!(begin, Begin::AtOrCommitted(_)));
        let committed = self.ask(committed, end, |partitions, limit| committed_by(consumer, partitions, limit));
        let since = asked(|begin| matches!(begin, Begin::Since(_)));
        let t = if let Start::Timestamp(t) = self.start { t } else { 0 };
        let since = self.ask(since, end, |partitions, limit| first_since(consumer, partitions, t, limit));
        let mut newest = asked(|begin| matches!(begin, Begin::Newest));
        // No message is as young as that.
        newest.extend(since.iter().filter(|(_, at)| **at == Offset::End).map(|(partition, _)| partition.clone()));
        let newest = self.ask(newest, end, |partitions, limit| ends(consumer, partitions, Instant::now() + limit));
        let behind_newest =
            |partition: &TopicPartition| newest.get(partition).map_or(Offset::End, |at| Offset::Offset(*at));
        let offset = |partition: &TopicPartition, begin| match begin {
            Begin::AtOrCommitted(position) => {
                let committed = committed.get(partition).copied().flatten();
                Some(Offset::Offset(committed.unwrap_or(position).max(position)))
            }
            Begin::Committed => None,
            Begin::Oldest => Some(Offset::Beginning),
            Begin::Newest => Some(behind_newest(partition)),
            // More than was asked for is better than less.
            Begin::Since(_) => Some(match since.get(partition) {
                Some(Offset::End) => behind_newest(partition),
                at => at.copied().unwrap_or(Offset::Beginning),
            }),
        };
        begins.iter().map(|(partition, begin)| (partition.clone(), offset(partition, *begin))).collect()
    }

    /// Asks the cluster for what it has not answered yet, until all is answered or the time is up.
    fn ask<T>(&self, partitions: Vec<TopicPartition>, end: Instant, question: impl Question<T>) -> Answers<T> {
        let (answers, unanswered) = ask(partitions, end, question);
        if let Some(((topic, partition), error)) = unanswered {
            tracing::warn!(source = self.name, topic, partition, error, "the cluster does not tell an offset");
        }
        answers
    }

    fn report(&self, done: KafkaResult<()>) {
        if let Err(error) = done {
            self.tell(Notice::Fault { reason: reason_of(&error), text: error.to_string() });
        }
    }
}

/// What the cluster says of partitions.
type Answers<T> = HashMap<TopicPartition, T>;

/// Asks for these partitions, for at most so long; those that it leaves out are asked for again.
trait Question<T>: FnMut(&[TopicPartition], Duration) -> KafkaResult<Answers<T>> {}
impl<T, F: FnMut(&[TopicPartition], Duration) -> KafkaResult<Answers<T>>> Question<T> for F {}

/// The answers until `end`, and one partition without, with the last error.
fn ask<T>(
    mut partitions: Vec<TopicPartition>,
    end: Instant,
    mut question: impl Question<T>,
) -> (Answers<T>, Option<(TopicPartition, String)>) {
    let (mut answers, mut last) = (HashMap::new(), "no time was left".to_owned());
    for _ in 0..ATTEMPTS {
        let left = end.saturating_duration_since(Instant::now());
        if partitions.is_empty() || left.is_zero() {
            break;
        }
        match question(&partitions, left.min(OFFSET_PATIENCE)) {
            Ok(told) => answers.extend(told),
            Err(error) => last = error.to_string(),
        }
        partitions.retain(|partition| !answers.contains_key(partition));
    }
    (answers, partitions.into_iter().next().map(|partition| (partition, last)))
}

fn committed_by(
    consumer: &BaseConsumer<Context>,
    partitions: &[TopicPartition],
    limit: Duration,
) -> KafkaResult<Answers<Option<i64>>> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        asked.add_partition(topic, *partition);
    }
    let answer = consumer.committed_offsets(asked, limit)?;
    let told = answer.elements().into_iter().filter(|e| e.error().is_ok()).map(|e| {
        let at = if let Offset::Offset(at) = e.offset() { Some(at) } else { None };
        ((e.topic().to_owned(), e.partition()), at)
    });
    Ok(told.collect())
}

/// There is no request for several at once. Those that are told before one fails count.
fn ends(consumer: &BaseConsumer<Context>, partitions: &[TopicPartition], end: Instant) -> KafkaResult<Answers<i64>> {
    let mut answers = HashMap::new();
    for (topic, partition) in partitions {
        let left = end.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(topic, *partition, left) {
            Ok((_, at)) => drop(answers.insert((topic.clone(), *partition), at)),
            Err(error) if answers.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(answers)
}

fn first_since(
    consumer: &BaseConsumer<Context>,
    partitions: &[TopicPartition],
    t: i64,
    limit: Duration,
) -> KafkaResult<Answers<Offset>> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        asked.add_partition_offset(topic, *partition, Offset::Offset(t))?;
    }
    let answer = consumer.offsets_for_times(asked, limit)?;
    let told = answer.elements().into_iter().filter(|e| e.error().is_ok()).map(|e| {
        // If no message is as young as that, behind the newest.
        let at = if let Offset::Offset(at) = e.offset() { Offset::Offset(at) } else { Offset::End };
        ((e.topic().to_owned(), e.partition()), at)
    });
    Ok(told.collect())
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
            committed: p.committed_offset,
        });
        let partitions = partitions.collect();
        let connected = statistics.brokers.values().any(|b| b.state == "UP");
        let size = |topic: &Topic| topic.partitions.values().filter(|p| p.partition >= 0 && !p.unknown).count();
        let sizes = statistics.topics.values().map(|topic| (topic.topic.clone(), size(topic))).collect();
        self.tell(Notice::Standing { partitions, sizes, connected });
    }

    fn error(&self, error: KafkaError, text: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.tell(Notice::Fault { reason: reason_told(&error, text), text: text.to_owned() });
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
}

/// Commits positions, without waiting for the cluster unless `wait`.
pub fn commit(consumer: &BaseConsumer<Context>, positions: &[(TopicPartition, i64)], wait: bool) {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for ((topic, partition), position) in positions {
        // It fails for negative offsets only.
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*position));
    }
    if positions.is_empty() {
        return;
    }
    let done = consumer.commit(&list, if wait { CommitMode::Sync } else { CommitMode::Async });
    // What becomes of those that are not waited for shows in the statistics: librdkafka calls nobody back for them unless a
    // callback is set, which the crate does not do.
    if wait || done.is_err() {
        let Context { metrics, name, .. } = &**consumer.context();
        metrics.committed(name, done.is_ok());
    }
    if let Err(error) = done {
        tracing::debug!(%error, "the group's offsets were not committed");
    }
}

/// Stops fetching from partitions, or goes on with it.
pub fn pause(consumer: &BaseConsumer<Context>, partitions: &[TopicPartition], pause: bool) -> KafkaResult<()> {
    if partitions.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, number) in partitions {
        list.add_partition(topic, *number);
    }
    if pause { consumer.pause(&list) } else { consumer.resume(&list) }
}

fn names(partitions: &TopicPartitionList) -> Vec<TopicPartition> {
    partitions.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of them is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(n: i32) -> Vec<TopicPartition> {
        (0..n).map(|n| ("t".to_owned(), n)).collect()
    }

    #[test]
    fn all_are_asked_for_at_once_and_only_the_unanswered_again() {
        let mut asked = Vec::new();
        let soon = Instant::now() + Duration::from_secs(60);
        let (answers, unanswered) = ask(partitions(100), soon, |partitions: &[TopicPartition], limit: Duration| {
            assert!(limit <= OFFSET_PATIENCE);
            asked.push(partitions.len());
            Ok(partitions.iter().filter(|p| p.1 != 7 || partitions.len() == 1).map(|p| (p.clone(), p.1)).collect())
        });
        assert_eq!((asked, answers.len(), unanswered), (vec![100, 1], 100, None));
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_not_asked_for_each() {
        let mut asked = 0;
        let away = || KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let soon = Instant::now() + Duration::from_secs(60);
        let (answers, unanswered) = ask(partitions(100), soon, |_: &[TopicPartition], _: Duration| {
            asked += 1;
            Err::<Answers<i64>, _>(away())
        });
        assert_eq!((asked, answers.len()), (ATTEMPTS, 0));
        assert_eq!(unanswered, Some((partitions(1).remove(0), away().to_string())));
        // The time is up.
        let (_, unanswered) = ask(partitions(1), Instant::now(), |_: &[TopicPartition], _: Duration| {
            Err::<Answers<i64>, _>(KafkaError::Canceled)
        });
        assert!(unanswered.is_some_and(|(_, error)| error == "no time was left"));
    }
}
