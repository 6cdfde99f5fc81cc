//! The life of one client: polls, decodes, hands over, commits. Runs on a thread of its own, which alone touches the client.
//!
//! While the engine is behind, nothing is fetched, and the client is polled all the same: a member that does not poll is
//! thrown out of its group. A position is passed on only behind the samples before it, and behind its dead letters.

mod chores;

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};

use super::awaited::Awaited;
use super::context::{self, Context, Notice, TopicPartition};
use super::dead_letter::DeadLetters;
use super::decoder::Read;
use super::future::Stamped;
use super::partitions::{Partition, Partitions, position, stream};
use super::shared::Shared;
use super::thread::Kafka;
use crate::kafka_client::Secrets;
use crate::source::{Part, SourceEvent, clock};

/// How long a poll waits for a message.
const POLL: Duration = Duration::from_millis(100);
/// How long samples are gathered.
const GATHER: Duration = Duration::from_millis(100);
/// How long the engine may take for one hand-over before fetching is stopped.
const HOLD_UP: Duration = Duration::from_millis(500);
/// How often positions are committed and partitions aligned.
const CHORES: Duration = Duration::from_secs(1);

/// How long trouble with connections is shown at least, though a broker answers.
const PASSING: Duration = Duration::from_secs(5);
/// The same for other trouble, a topic that is not there for example: longer than librdkafka takes to tell of it again.
const LASTING: Duration = Duration::from_secs(90);

/// Why a session ended.
#[derive(Debug)]
pub enum End {
    /// The host has shut down.
    Closed,
    /// The client is of no use any more; another may be.
    Failed(String),
    /// The files that the client was set up with have changed, and it has trouble: this. Another reads them.
    Renewed(Option<String>),
}

/// A client with its partitions.
pub struct Session<'a> {
    kafka: &'a Kafka,
    consumer: &'a BaseConsumer<Context>,
    letters: DeadLetters,
    partitions: Partitions,
    /// Partitions that were taken away while all are given anew: who has them shows then.
    away: Vec<TopicPartition>,
    out: Vec<SourceEvent>,
    scratch: Vec<u8>,
    gathered_since: Option<Instant>,
    /// Whether the engine is behind, and nothing is fetched.
    is_held_up: bool,
    chores_at: Instant,
    trouble: Option<String>,
    trouble_until: Option<Instant>,
    shared: Shared,
    /// What event time waits for, beside the partitions that are ours. Outlives the session.
    awaited: &'a mut Option<Awaited>,
    secrets: Secrets,
}

impl<'a> Session<'a> {
    /// Begins with a client that has subscribed, set up with `secrets`; `trouble` is what the one before it ended with, `awaited`
    /// what event time waits for beside the partitions that it is given first.
    pub fn new(
        kafka: &'a Kafka,
        consumer: &'a BaseConsumer<Context>,
        letters: DeadLetters,
        secrets: Secrets,
        trouble: Option<String>,
        awaited: &'a mut Option<Awaited>,
    ) -> Self {
        Self {
            kafka,
            consumer,
            letters,
            partitions: Partitions::default(),
            away: Vec::new(),
            out: Vec::new(),
            scratch: Vec::new(),
            gathered_since: None,
            is_held_up: false,
            chores_at: Instant::now(),
            trouble,
            trouble_until: None,
            shared: Shared::default(),
            awaited,
            secrets,
        }
    }

    /// Runs until the host has shut down or the client is of no use any more.
    pub fn run(mut self) -> End {
        let end = loop {
            if let Err(end) = self.step() {
                break end;
            }
        };
        match end {
            End::Closed => self.commit_last(),
            // The next client goes on behind what was read: that has to be on its way first.
            End::Failed(_) | End::Renewed(_) => self.hand_over(),
        }
        for (topic, number, partition) in self.partitions.iter_mut() {
            self.kafka.metrics.set_lag(&self.kafka.config.name, topic, number, None);
            if let Some(next) = partition.untaken() {
                self.consumer.context().remember(&(topic.to_owned(), number), next);
            }
        }
        if !matches!(end, End::Closed) {
            let ids: Vec<_> = self.partitions.iter_mut().map(|(_, _, p)| p.id).collect();
            self.out.extend(ids.into_iter().map(SourceEvent::Close));
            self.out.push(self.joining());
            // A host that has shut down meanwhile needs none of it.
            self.kafka.send_all(std::mem::take(&mut self.out));
            self.kafka.metrics.set_held_up(&self.kafka.config.name, false);
        }
        end
    }

    fn step(&mut self) -> Result<(), End> {
        let wait = if self.gathered_since.is_some() { Duration::ZERO } else { POLL };
        if !self.poll(wait)? {
            self.hand_over();
        }
        if self.gathered_since.is_some_and(|since| since.elapsed() >= GATHER) {
            self.hand_over();
        }
        self.send()?;
        if self.chores_at.elapsed() >= CHORES {
            self.chores_at = Instant::now();
            self.commit();
            self.align();
            self.look_at_clock()?;
            self.go_on_without_awaited();
            self.renew()?;
            if self.kafka.is_closed() {
                return Err(End::Closed);
            }
        }
        Ok(())
    }

    /// Polls once; says whether a message or anything else came.
    fn poll(&mut self, wait: Duration) -> Result<bool, End> {
        let polled = self.consumer.poll(wait);
        // A partition can be given and its first message returned by the same poll.
        self.heed();
        match polled {
            Some(Ok(message)) => self.take(&message),
            Some(Err(error)) => self.failed(&error)?,
            None => return Ok(false),
        }
        Ok(true)
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, next) = (message.topic(), message.offset() + 1);
        let Kafka { config, limits, metrics, source, exemplars, .. } = self.kafka;
        let payload = message.payload().unwrap_or_default();
        metrics.read(&config.name, topic, payload.len());
        let Some(partition) = self.partitions.get_mut(topic, message.partition()) else {
            return self.leave(message);
        };
        self.gathered_since.get_or_insert_with(Instant::now);
        let now = clock::now();
        let (host, record) = (self.kafka.clock_at(now), stamped(message));
        // It comes again.
        if partition.future.saw(record, host) {
            return;
        }
        match partition.decoding.decode(payload, now, limits, &mut self.scratch) {
            Ok(Read { decoded, changes }) => {
                if partition.future.must_wait(record, decoded.dropped.future, host) {
                    partition.decoding.undo(changes);
                    if partition.future.is_stopped() {
                        self.pause(&[(topic.to_owned(), message.partition())], true);
                    }
                    return;
                }
                decoded.dropped.iter().for_each(|(reason, samples)| source.dropped(reason, samples));
                source.samples.inc_by(decoded.batch.measured());
                exemplars.keep_all(decoded.traces);
                // As the host takes it: event time waits for nobody's clock that is ahead.
                partition.read(decoded.batch.newest().map(|t| t.min(now)), next, Instant::now());
                partition.gather.add(decoded.batch, next, limits);
            }
            Err(poison) => {
                metrics.not_decoded(&config.name, topic, poison.reason);
                partition.read(None, next, Instant::now());
                partition.gather.skip(next);
                self.letters.put(message, &poison);
            }
        }
        if partition.gather.is_enough() {
            self.hand_over();
        }
    }

    /// A message of a partition that is not known is left where it is, to be read when the partition is.
    fn leave(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        self.kafka.metrics.not_decoded(&self.kafka.config.name, topic, "unknown_partition");
        tracing::error!(source = self.kafka.config.name, topic, partition, offset, "a message of no partition of ours");
        self.pause(&[(topic.to_owned(), partition)], true);
        // Nothing is waited for: what comes of it shows when the partition is read on.
        if let Err(error) = self.consumer.seek(topic, partition, Offset::Offset(offset), Duration::ZERO) {
            tracing::warn!(source = self.kafka.config.name, topic, partition, %error, "Kafka");
        }
    }

    /// Puts all that was gathered on its way.
    fn hand_over(&mut self) {
        self.letters.settle();
        let out = &mut self.out;
        self.partitions.iter_mut().for_each(|(_, _, partition)| partition.hand_over(out));
        self.gathered_since = None;
    }

    /// Sends what is on its way. While there is no room, nothing is fetched.
    fn send(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut events = match self.kafka.send(std::mem::take(&mut self.out), HOLD_UP) {
            Ok(()) => return Ok(()),
            Err(back) => back.ok_or(End::Closed)?,
        };
        let name = &self.kafka.config.name;
        self.kafka.metrics.set_held_up(name, true);
        self.pause(&self.partitions.names(), true);
        self.is_held_up = true;
        loop {
            // A message that was under way is kept.
            if let Err(end) = self.poll(Duration::ZERO) {
                // They come before all that has been gathered since.
                self.out.splice(0..0, events);
                return Err(end);
            }
            match self.kafka.send(events, HOLD_UP) {
                Ok(()) => break,
                Err(back) => events = back.ok_or(End::Closed)?,
            }
        }
        self.is_held_up = false;
        let going: Vec<_> =
            self.partitions.iter_mut().filter(|(_, _, p)| p.goes()).map(|(t, n, _)| (t.to_owned(), n)).collect();
        self.pause(&going, false);
        self.kafka.metrics.set_held_up(name, false);
        Ok(())
    }

    /// Does what librdkafka's callbacks have left to do.
    fn heed(&mut self) {
        for notice in self.consumer.context().notices() {
            match notice {
                Notice::Assigned(partitions) => self.assigned(partitions),
                Notice::Revoked { partitions, all } => self.revoked(&partitions, all),
                Notice::Standing { partitions, sizes, connected } => {
                    self.show_elsewhere(self.partitions.elsewhere(&sizes));
                    for report in partitions {
                        self.report(&report);
                    }
                    if connected && self.trouble_until.is_none_or(|until| Instant::now() >= until) {
                        self.tell(None);
                    }
                }
                Notice::Fault { reason, text } => {
                    self.kafka.metrics.fault(&self.kafka.config.name, reason);
                    let passes = matches!(reason, "connection" | "all_brokers_down" | "timeout");
                    self.trouble_until = Some(Instant::now() + if passes { PASSING } else { LASTING });
                    self.tell(Some(text));
                }
            }
        }
    }

    fn assigned(&mut self, partitions: Vec<(TopicPartition, Option<i64>)>) {
        let Kafka { config, ids, inlet_id, limits, .. } = self.kafka;
        let pace = self.kafka.pace();
        if self.is_held_up {
            let names: Vec<_> = partitions.iter().map(|(name, _)| name.clone()).collect();
            self.pause(&names, true);
        }
        for (name, begin) in partitions {
            let Some(topic) = config.topics.iter().find(|t| t.has(&name.0)) else {
                let (source, topic) = (&config.name, &name.0);
                tracing::error!(source, topic, "librdkafka reads the patterns otherwise: this topic is not decoded");
                self.pause(&[name], true);
                continue;
            };
            let stream = stream(&config.name, &name);
            let otlp = config.otlp.clone().unwrap_or_default();
            let decoding = topic.decoder.start(&otlp, self.kafka.created_timestamps, limits);
            let partition = Partition::new(ids.next(), stream, decoding, begin, Instant::now());
            self.out.push(SourceEvent::Open(Part { id: partition.id, of: *inlet_id, pace }));
            self.out.extend(begin.and_then(|next| position(&partition.stream, next)).map(SourceEvent::Reached));
            self.awaited.iter_mut().for_each(|awaited| awaited.given(&name));
            self.partitions.insert(name, partition);
        }
        for name in std::mem::take(&mut self.away) {
            if self.partitions.get_mut(&name.0, name.1).is_none() {
                self.out.push(SourceEvent::Left(stream(&config.name, &name)));
            }
        }
        let awaited = self.awaited.as_ref().map_or(0, |awaited| awaited.waits_for(Instant::now()));
        if awaited == 0 {
            *self.awaited = None;
            // From now on they hold time back, where they have to.
            self.out.push(SourceEvent::AtEnd(*inlet_id, true));
        } else {
            let source = &config.name;
            tracing::info!(
                source,
                awaited,
                "event time waits for partitions of the checkpoint that another member still has"
            );
        }
        self.kafka.metrics.set_partitions(&config.name, self.partitions.len());
        tracing::info!(source = config.name, partitions = self.partitions.len(), "Kafka partitions assigned");
    }

    fn revoked(&mut self, partitions: &[TopicPartition], all: bool) {
        self.hand_over();
        let config = &self.kafka.config;
        for name in partitions {
            let Some(partition) = self.partitions.remove(name) else { continue };
            if let Some(next) = partition.untaken() {
                self.consumer.context().remember(name, next);
            }
            self.kafka.metrics.set_lag(&config.name, &name.0, name.1, None);
            self.out.push(SourceEvent::Close(partition.id));
            if all {
                self.away.push(name.clone());
            } else {
                self.out.push(SourceEvent::Left(partition.stream));
            }
        }
        if all {
            self.out.push(self.joining());
        }
        self.kafka.metrics.set_partitions(&config.name, self.partitions.len());
        tracing::info!(source = config.name, partitions = self.partitions.len(), "Kafka partitions revoked");
    }

    fn report(&mut self, report: &super::context::Report) {
        let (topic, number) = &report.partition;
        let is_held_up = self.is_held_up;
        let Some(partition) = self.partitions.get_mut(topic, *number) else { return };
        let end = partition.reported(report);
        if report.end >= 0 {
            let lag = (report.end - partition.untaken().unwrap_or(report.next)).max(0);
            // Control messages of transactions have positions and are no messages.
            let lag = if partition.is_at_end() && !is_held_up { 0 } else { lag };
            self.kafka.metrics.set_lag(&self.kafka.config.name, topic, *number, Some(lag));
        }
        if let Some(done) = partition.commit_outcome(report.committed, Instant::now()) {
            self.kafka.metrics.committed(&self.kafka.config.name, done);
        }
        if let Some(at_end) = end {
            let id = partition.id;
            self.out.push(SourceEvent::AtEnd(id, at_end));
        }
    }

    /// Says that the source is about to be given partitions: what they have in store may be old.
    fn joining(&self) -> SourceEvent {
        let id = self.kafka.inlet_id;
        SourceEvent::Open(Part { id, of: id, pace: self.kafka.pace() })
    }

    fn failed(&mut self, error: &KafkaError) -> Result<(), End> {
        match error {
            KafkaError::PartitionEOF(_) => return Ok(()),
            KafkaError::MessageConsumptionFatal(_) => return Err(End::Failed(error.to_string())),
            _ => {}
        }
        // The others came to the context as well, and are told from there.
        Ok(())
    }

    fn tell(&mut self, trouble: Option<String>) {
        if self.trouble.is_some() == trouble.is_some() {
            return;
        }
        match &trouble {
            Some(text) => tracing::warn!(source = self.kafka.config.name, "Kafka: {text}; will be tried again"),
            None => tracing::info!(source = self.kafka.config.name, "Kafka answers again"),
        }
        self.out.push(SourceEvent::Trouble(self.kafka.inlet_id, trouble.clone()));
        self.trouble = trouble;
    }

    fn pause(&self, partitions: &[TopicPartition], pause: bool) {
        if let Err(error) = context::pause(self.consumer, partitions, pause) {
            tracing::warn!(source = self.kafka.config.name, %error, "Kafka");
        }
    }
}

/// A message's place and its own time.
fn stamped(message: &BorrowedMessage<'_>) -> Stamped {
    Stamped { offset: message.offset(), at: message.timestamp().to_millis() }
}
