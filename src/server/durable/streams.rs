//! Which positions of a checkpoint are still somebody's. Pure; instants are arguments.
//!
//! A position whose topic is no longer configured goes at the start. One of a partition that others read now is kept for
//! a day beside partitions that we do read: should it come back, the group's own offset is where the others have ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::source::Positions;
use crate::source::kafka::KafkaConfig;

/// How long a partition that is not ours keeps its position.
const UNCLAIMED_MAX: Duration = Duration::from_secs(24 * 3600);

/// Whether a stream is one that this configuration reads.
#[must_use]
pub fn is_configured(stream: &str, kafka: &[KafkaConfig]) -> bool {
    let Some(of_kafka) = stream.strip_prefix("kafka/") else { return true };
    kafka.iter().any(|source| {
        let partition = of_kafka.strip_prefix(source.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let topic = partition.and_then(|partition| Some(partition.split_once('/')?.0));
        topic.is_some_and(|topic| source.topics.iter().any(|configured| configured.has(topic)))
    })
}

/// Restored positions of partitions that have not become ours yet.
#[derive(Debug)]
pub struct Unclaimed {
    streams: BTreeSet<Arc<str>>,
    /// Sources, as `kafka/NAME/`, of which partitions have become ours.
    alive: BTreeSet<String>,
    since: Instant,
}

impl Unclaimed {
    /// Of what was restored just now.
    #[must_use]
    pub fn new(restored: &Positions, now: Instant) -> Self {
        let streams = restored.keys().filter(|stream| stream.starts_with("kafka/")).cloned().collect();
        Self { streams, alive: BTreeSet::new(), since: now }
    }

    /// A stream is read by us.
    pub fn claim(&mut self, stream: &str) {
        if self.streams.is_empty() {
            return;
        }
        self.streams.remove(stream);
        if let Some(source) = source_of(stream).filter(|source| !self.alive.contains(*source)) {
            self.alive.insert(source.to_owned());
        }
    }

    /// Those that need not be kept any longer. While a source reads nothing at all, because its cluster is away, all of its
    /// positions are kept.
    #[must_use]
    pub fn lapsed(&mut self, now: Instant) -> BTreeSet<Arc<str>> {
        if now.saturating_duration_since(self.since) < UNCLAIMED_MAX {
            return BTreeSet::new();
        }
        let is_alive = |stream: &Arc<str>| source_of(stream).is_some_and(|source| self.alive.contains(source));
        let (lapsed, kept) = std::mem::take(&mut self.streams).into_iter().partition(is_alive);
        self.streams = kept;
        lapsed
    }
}

/// `kafka/NAME/` of `kafka/NAME/TOPIC/PARTITION`.
fn source_of(stream: &str) -> Option<&str> {
    let (topic, _) = stream.strip_prefix("kafka/").and(stream.rsplit_once('/'))?;
    let (source, _) = topic.rsplit_once('/')?;
    stream.get(..=source.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_belongs_to_a_topic_that_is_configured() {
        let source = |name: &str, topic: &str| {
            let text = format!("{{name: {name}, brokers: ['k:1'], group_id: g, topics: [{topic}]}}");
            serde_saphyr::from_str::<KafkaConfig>(&text).unwrap()
        };
        let kafka = [
            source("a", "{name: t.x, decoder: remote_write}"),
            source("b", "{pattern: 'm-.*', decoder: remote_write}"),
        ];
        for stream in ["log", "replay/x", "kafka/a/t.x/3", "kafka/b/m-1/0"] {
            assert!(is_configured(stream, &kafka), "{stream}");
        }
        for stream in ["kafka/a/t/3", "kafka/ab/t.x/0", "kafka/c/t.x/0", "kafka/b/n/0", "kafka/a/t.x"] {
            assert!(!is_configured(stream, &kafka), "{stream}");
        }
    }

    #[test]
    fn what_others_read_is_kept_for_a_day() {
        let restored = ["kafka/a/t/0", "kafka/a/t/1", "kafka/b/t/0", "log"].map(|stream| (Arc::from(stream), 7)).into();
        let now = Instant::now();
        let mut unclaimed = Unclaimed::new(&restored, now);
        unclaimed.claim("kafka/a/t/0");
        assert_eq!(unclaimed.lapsed(now + UNCLAIMED_MAX / 2), [].into());
        assert_eq!(unclaimed.lapsed(now + UNCLAIMED_MAX), [Arc::from("kafka/a/t/1")].into(), "b's cluster may be away");
        assert_eq!(unclaimed.lapsed(now + UNCLAIMED_MAX), [].into());
        unclaimed.claim("kafka/b/t/9");
        assert_eq!(unclaimed.lapsed(now + UNCLAIMED_MAX * 2), [Arc::from("kafka/b/t/0")].into());
    }
}
