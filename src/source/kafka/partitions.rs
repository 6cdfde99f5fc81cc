//! The partitions that are ours, and what is known of each. No I/O; instants are arguments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::align::{Standing, align};
use super::config::KafkaConfig;
use super::context::{Report, TopicPartition};
use super::decoder::Decoding;
use super::future::FutureWatch;
use super::gather::Gather;
use crate::base::Millis;
use crate::source::{Position, SourceEvent, SourceId};

/// How long a commit may take to be confirmed before it is made again.
const COMMIT: Duration = Duration::from_secs(30);

/// A partition.
#[derive(Debug)]
pub struct Partition {
    /// Identity of its watermark.
    pub id: SourceId,
    /// Name of its position.
    pub stream: Arc<str>,
    /// What its messages are.
    pub decoding: Decoding,
    /// What was read and not handed over.
    pub gather: Gather,
    /// Newest event time read.
    pub newest: Option<Millis>,
    /// Position behind the last message read, once known.
    pub next: Option<i64>,
    /// Position that was committed last, done or not.
    committed: Option<i64>,
    /// The same, as far as the cluster has confirmed it.
    confirmed: Option<i64>,
    /// When the one that is not confirmed was committed.
    commits_since: Option<Instant>,
    /// Messages that wait for the clock; they are read again.
    pub future: FutureWatch,
    /// Whether it waits because it is ahead of the others.
    pub waits: bool,
    at_end: bool,
    /// Whether a message came since the last report.
    is_read: bool,
    heard: Instant,
}

impl Partition {
    /// One that is ours since `now`.
    #[must_use]
    pub fn new(id: SourceId, stream: Arc<str>, decoding: Decoding, next: Option<i64>, now: Instant) -> Self {
        Self {
            id,
            stream,
            decoding,
            gather: Gather::default(),
            newest: None,
            next,
            // What was committed of it before, while it was ours or another's, is not to be taken back.
            committed: next,
            confirmed: next,
            commits_since: None,
            future: FutureWatch::default(),
            waits: false,
            at_end: false,
            is_read: false,
            heard: now,
        }
    }

    /// Takes note of a message; `next` is the position behind it.
    pub fn read(&mut self, newest: Option<Millis>, next: i64, now: Instant) {
        self.newest = self.newest.max(newest);
        (self.next, self.at_end, self.is_read, self.heard) = (Some(next), false, true, now);
    }

    /// Takes a report in; says whether it came to its end or is no longer there, if that has changed.
    pub fn reported(&mut self, report: &Report) -> Option<bool> {
        // The report was written before it was read here: what came since makes it old.
        let at_end = report.at_end && !self.is_read && !self.waits && self.future.held().is_none();
        self.is_read = false;
        let changed = at_end != self.at_end;
        self.at_end = at_end;
        changed.then_some(at_end)
    }

    /// Whether it may be fetched from, as far as it goes by itself.
    #[must_use]
    pub fn goes(&self) -> bool {
        !self.waits && !self.future.is_stopped()
    }

    /// Position of the first message that was not taken, as far as that is known.
    #[must_use]
    pub fn untaken(&self) -> Option<i64> {
        self.future.held().map(|held| held.offset).or(self.next)
    }

    /// Whether this position is to be committed; it then counts as under way. One from before the partition was taken away and
    /// given back is not ours to commit.
    pub fn commits(&mut self, position: i64, now: Instant) -> bool {
        let is_due = self.next.is_some_and(|read| position <= read) && self.committed < Some(position);
        if is_due {
            self.committed = Some(position);
            self.commits_since.get_or_insert(now);
        }
        is_due
    }

    /// Whether a commit is done, now that the cluster has confirmed this position, or has failed: it is then made again.
    pub fn commit_outcome(&mut self, confirmed: i64, now: Instant) -> Option<bool> {
        let since = self.commits_since?;
        if confirmed >= 0 && self.confirmed < Some(confirmed) && Some(confirmed) <= self.committed {
            self.confirmed = Some(confirmed);
            self.commits_since = (self.committed > self.confirmed).then_some(now);
            return Some(true);
        }
        let has_failed = now.saturating_duration_since(since) >= COMMIT;
        if has_failed {
            (self.committed, self.commits_since) = (self.confirmed, None);
        }
        has_failed.then_some(false)
    }

    /// What is under way, of which the cluster has said nothing, is committed once more.
    pub fn commit_again(&mut self) {
        (self.committed, self.commits_since) = (self.confirmed, None);
    }

    /// Takes note that it waits, with what comes meanwhile; says whether it was at its end until then.
    pub fn leaves_end(&mut self) -> bool {
        std::mem::take(&mut self.at_end)
    }

    /// Whether all of it had been read at the last report.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Puts what was gathered into `out`, with the position behind it.
    pub fn hand_over(&mut self, out: &mut Vec<SourceEvent>) {
        let Some((batch, next)) = self.gather.take() else { return };
        out.extend(position(&self.stream, next).map(|position| match batch.is_empty() {
            true => SourceEvent::Reached(position),
            false => SourceEvent::Read(self.id, batch, position),
        }));
    }
}

/// Name of a partition's position.
pub fn stream(source: &str, (topic, number): &TopicPartition) -> Arc<str> {
    format!("kafka/{source}/{topic}/{number}").into()
}

/// How far a stream was read. Offsets of messages are not negative.
pub fn position(stream: &Arc<str>, next: i64) -> Option<Position> {
    Some(Position { stream: Arc::clone(stream), next: u64::try_from(next).ok()? })
}

/// All of them, by topic and number.
#[derive(Debug, Default)]
pub struct Partitions {
    topics: HashMap<String, BTreeMap<i32, Partition>>,
}

impl Partitions {
    /// Adds one.
    pub fn insert(&mut self, (topic, number): TopicPartition, partition: Partition) {
        self.topics.entry(topic).or_default().insert(number, partition);
    }

    /// Takes one away.
    pub fn remove(&mut self, (topic, number): &TopicPartition) -> Option<Partition> {
        self.topics.get_mut(topic)?.remove(number)
    }

    /// One of them.
    pub fn get_mut(&mut self, topic: &str, number: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.get_mut(&number)
    }

    /// All, in no order that matters.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, i32, &mut Partition)> {
        self.topics.iter_mut().flat_map(|(topic, of)| of.iter_mut().map(move |(n, p)| (topic.as_str(), *n, p)))
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<TopicPartition> {
        let names = |(topic, of): (&String, &BTreeMap<i32, Partition>)| {
            of.keys().map(|n| (topic.clone(), *n)).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(names).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// How many partitions are others', of the topics of which we have any; `sizes` are the topics' partitions.
    #[must_use]
    pub fn elsewhere(&self, sizes: &[(String, usize)]) -> usize {
        let ours = |topic: &str| self.topics.get(topic).map(BTreeMap::len).filter(|n| *n > 0);
        sizes.iter().filter_map(|(topic, all)| Some(all.saturating_sub(ours(topic)?))).sum()
    }

    /// Decides who must wait for the others, or for event time where the engine is crowded, see [`align()`]; gives those that
    /// stop and those that go on.
    pub fn align(
        &mut self,
        config: &KafkaConfig,
        far: Option<Millis>,
        now: Instant,
    ) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let standing = |p: &Partition| Standing {
            newest: p.newest,
            is_behind: !p.at_end && now.saturating_duration_since(p.heard) < config.patience.0,
            waits: p.waits,
            is_idle: p.at_end && now.saturating_duration_since(p.heard) >= config.idle_timeout.0,
        };
        let standings: Vec<Standing> = self.iter_mut().map(|(_, _, p)| standing(p)).collect();
        let wait = align(&standings, config.max_drift.millis(), far);
        let (mut stopped, mut going) = (Vec::new(), Vec::new());
        for ((topic, number, partition), waits) in self.iter_mut().zip(wait) {
            if partition.waits != waits {
                partition.waits = waits;
                if waits { &mut stopped } else { &mut going }.push((topic.to_owned(), number));
            }
        }
        (stopped, going)
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Decoder;
    use super::super::future::{HostClock, Stamped};
    use super::*;
    use crate::base::{BatchBuilder, Labels, Limits};
    use crate::source::decode::CreatedTimestamps;

    fn partition(id: usize) -> Partition {
        Partition::new(
            SourceId(id),
            format!("kafka/k/t/{id}").into(),
            Decoder::RemoteWrite.start(&Default::default(), CreatedTimestamps::Ignore, &Limits::default()),
            None,
            Instant::now(),
        )
    }

    fn report(at_end: bool) -> Report {
        Report { partition: ("t".to_owned(), 0), end: 5, next: 5, at_end, committed: -1001 }
    }

    #[test]
    fn an_end_is_believed_when_nothing_was_read_since() {
        let mut p = partition(0);
        assert_eq!(p.reported(&report(true)), Some(true));
        assert_eq!(p.reported(&report(true)), None);
        p.read(Some(7), 6, Instant::now());
        assert_eq!(p.reported(&report(true)), None, "no longer at its end since the message came");
        assert_eq!(p.reported(&report(true)), Some(true));
        assert_eq!(p.reported(&report(false)), Some(false), "the broker is gone");
    }

    #[test]
    fn who_waits_changes_once_each_way() {
        let (mut all, now, minute) = (Partitions::default(), Instant::now(), Duration::from_secs(60));
        let config = "{brokers: ['k:9092'], topics: [], max_drift: 5s, patience: 1m}";
        let config: KafkaConfig = serde_saphyr::from_str(config).unwrap();
        for n in 0..2 {
            all.insert(("t".to_owned(), n), partition(n as usize));
        }
        all.get_mut("t", 0).unwrap().read(Some(10_000), 1, now);
        all.get_mut("t", 1).unwrap().read(Some(1_000), 1, now);
        let first = ("t".to_owned(), 0);
        assert_eq!(all.align(&config, None, now), (vec![first.clone()], vec![]));
        assert_eq!(all.align(&config, None, now), (vec![], vec![]));
        // The slow one cannot be read: nobody waits for ever.
        assert_eq!(all.align(&config, None, now + minute), (vec![], vec![first.clone()]));
        assert_eq!(all.align(&config, None, now), (vec![first.clone()], vec![]));
        all.get_mut("t", 1).unwrap().read(Some(9_000), 2, now);
        assert_eq!(all.align(&config, None, now), (vec![], vec![first.clone()]));
        assert!(all.remove(&first).is_some() && all.remove(&first).is_none());
        assert_eq!((all.len(), all.names()), (1, vec![("t".to_owned(), 1)]));
    }

    #[test]
    fn one_that_waits_for_the_clock_is_not_at_its_end() {
        let (mut p, clock) = (partition(0), HostClock { latest: 10, is_behind: false });
        assert!(p.future.must_wait(Stamped { offset: 3, at: Some(99) }, 1, clock) && p.goes());
        assert_eq!((p.reported(&report(true)), p.untaken()), (None, Some(3)));
        assert!(p.future.release(HostClock { latest: 99, ..clock }).is_some());
        assert_eq!((p.reported(&report(true)), p.untaken()), (Some(true), None));
        assert!(
            p.future.must_wait(Stamped { offset: 3, at: None }, 1, HostClock { is_behind: true, ..clock }) && !p.goes()
        );
    }

    #[test]
    fn commits_are_done_when_the_cluster_says_so_and_made_again_when_it_does_not() {
        let (mut p, start) = (partition(0), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!p.commits(3, at(0)), "not read yet");
        p.read(Some(7), 9, at(0));
        assert!(p.commits(3, at(0)) && !p.commits(3, at(1)) && p.commits(5, at(1)));
        assert_eq!(p.commit_outcome(-1001, at(2)), None);
        assert_eq!(p.commit_outcome(3, at(3)), Some(true));
        assert_eq!((p.commit_outcome(3, at(4)), p.commit_outcome(5, at(5))), (None, Some(true)));
        assert_eq!(p.commit_outcome(5, at(90)), None, "nothing is under way");
        assert!(p.commits(9, at(90)));
        assert_eq!((p.commit_outcome(5, at(119)), p.commit_outcome(5, at(120))), (None, Some(false)));
        assert!(p.commits(9, at(121)), "once more");
        assert!(!p.commits(9, at(122)));
        p.commit_again();
        assert!(p.commits(9, at(122)), "at the end nobody waits for the outcome");
    }

    #[test]
    fn partitions_of_others_are_counted_where_any_is_ours() {
        let mut all = Partitions::default();
        all.insert(("t".to_owned(), 0), partition(0));
        let sizes = [("t".to_owned(), 4), ("u".to_owned(), 9)];
        assert_eq!(all.elsewhere(&sizes), 3);
        all.remove(&("t".to_owned(), 0));
        assert_eq!(all.elsewhere(&sizes), 0);
    }

    #[test]
    fn a_batch_goes_with_its_position() {
        let (mut p, mut out) = (partition(0), Vec::new());
        p.gather.skip(6);
        p.hand_over(&mut out);
        p.hand_over(&mut out);
        assert!(matches!(&out[..], [SourceEvent::Reached(position)] if position.next == 6));
        out.clear();
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs([("__name__", "up")]).as_ref());
        batch.sample(1, 1.0);
        p.gather.add(batch.finish(), 7, &Limits::default());
        p.hand_over(&mut out);
        assert!(matches!(&out[..], [SourceEvent::Read(SourceId(0), _, position)] if position.next == 7));
    }
}
