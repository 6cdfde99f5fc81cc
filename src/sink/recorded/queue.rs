//! What waits for one receiver: samples in the order in which they were recorded, bounded in number and in bytes. Pure.
//!
//! A batch under way stays at the front until it is known what became of it. What there is no room for costs the oldest
//! samples, which a receiver would soonest do without; those under way are not touched.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::base::{Labels, Millis, Recorded};

/// Bytes of a sample in the queue beside its series' labels.
const SAMPLE_BYTES: usize = size_of::<Queued>();
/// Bytes of a series in the queue beside its labels: the map's entry.
const SERIES_BYTES: usize = 64;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Samples.
    pub samples: usize,
    /// Their bytes, and those of their series' labels.
    pub bytes: usize,
}

/// A sample that waits. Samples of one series share its labels.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Series.
    pub labels: Arc<Labels>,
    /// Instant.
    pub t: Millis,
    /// Value, or the staleness marker.
    pub v: f64,
    /// When it came in.
    pub since: Instant,
}

/// What became of a sample in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Sent,
    /// It will never take it.
    Refused(Refusal),
    /// It is to be sent again.
    Retry,
}

/// Why a receiver will never take a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It has a newer one of the series; most often because it has got this one before a restart.
    OutOfOrder,
    /// It has another value for the instant.
    Duplicate,
    /// The instant is too far back, or ahead.
    OutOfBounds,
    /// Anything else.
    Refused,
}

/// See the module's text.
#[derive(Debug)]
pub struct RecordedQueue {
    bound: Bound,
    waiting: VecDeque<Queued>,
    under_way: Vec<Queued>,
    /// The series of the samples, and of how many.
    series: HashMap<Arc<Labels>, usize>,
    bytes: usize,
}

impl RecordedQueue {
    /// An empty one.
    #[must_use]
    pub fn new(bound: Bound) -> Self {
        Self { bound, waiting: VecDeque::new(), under_way: Vec::new(), series: HashMap::new(), bytes: 0 }
    }

    /// Takes a sample in; gives how many were dropped for it.
    pub fn push(&mut self, sample: &Recorded, now: Instant) -> usize {
        let labels = match self.series.get_key_value(&sample.labels) {
            Some((labels, _)) => Arc::clone(labels),
            None => {
                self.bytes += SERIES_BYTES + sample.labels.as_bytes().len();
                Arc::new(sample.labels.clone())
            }
        };
        *self.series.entry(Arc::clone(&labels)).or_default() += 1;
        self.bytes += SAMPLE_BYTES;
        self.waiting.push_back(Queued { labels, t: sample.t, v: sample.v, since: now });
        let mut dropped = 0;
        while self.len() > self.bound.samples || self.bytes > self.bound.bytes {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.release(&oldest.labels);
            dropped += 1;
        }
        dropped
    }

    /// The next batch: what is left of the one before, or else the oldest samples.
    pub fn take(&mut self, most: usize) -> Vec<Queued> {
        if self.under_way.is_empty() {
            let n = most.min(self.waiting.len());
            self.under_way.extend(self.waiting.drain(..n));
        }
        self.under_way.clone()
    }

    /// Notes what became of the batch; a sample without an outcome is to be sent again.
    pub fn settle(&mut self, outcomes: &[Outcome]) {
        let mut left = Vec::new();
        for (i, sample) in std::mem::take(&mut self.under_way).into_iter().enumerate() {
            match outcomes.get(i).unwrap_or(&Outcome::Retry) {
                Outcome::Retry => left.push(sample),
                Outcome::Sent | Outcome::Refused(_) => self.release(&sample.labels),
            }
        }
        self.under_way = left;
    }

    /// Samples, those under way among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// Bytes, as [`Bound`] counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether some of a batch is still to be sent again.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// All samples, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.under_way.iter().chain(&self.waiting)
    }

    fn release(&mut self, labels: &Arc<Labels>) {
        self.bytes -= SAMPLE_BYTES;
        let Some(count) = self.series.get_mut(labels) else { return };
        *count -= 1;
        if *count == 0 {
            self.bytes -= SERIES_BYTES + labels.as_bytes().len();
            self.series.remove(labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(samples: usize, bytes: usize) -> RecordedQueue {
        RecordedQueue::new(Bound { samples, bytes })
    }

    fn sample(name: &str, t: Millis) -> Recorded {
        Recorded { labels: Labels::from_pairs([("__name__", name)]), t, v: 1.0 }
    }

    fn times<'a>(samples: impl IntoIterator<Item = &'a Queued>) -> Vec<Millis> {
        samples.into_iter().map(|s| s.t).collect()
    }

    #[test]
    fn the_oldest_are_dropped_but_not_those_under_way() {
        let (mut queue, now) = (queue(5, usize::MAX), Instant::now());
        let dropped: usize = (0..4).map(|t| queue.push(&sample("a", t), now)).sum();
        assert_eq!(dropped, 0);
        assert_eq!(times(&queue.take(2)), [0, 1]);
        let dropped: usize = (4..8).map(|t| queue.push(&sample("a", t), now)).sum();
        assert_eq!((dropped, times(queue.iter())), (3, vec![0, 1, 5, 6, 7]));
        queue.settle(&[Outcome::Sent, Outcome::Retry]);
        assert_eq!(times(&queue.take(2)), [1], "what is left of a batch goes alone, before all else");
        queue.settle(&[Outcome::Refused(Refusal::OutOfOrder)]);
        assert_eq!(times(&queue.take(2)), [5, 6]);
    }

    #[test]
    fn bytes_are_bounded_and_a_series_counts_once() {
        let (one, other) = (sample("a", 0), sample("b", 0));
        let of_series = SERIES_BYTES + one.labels.as_bytes().len();
        let (mut queue, now) = (queue(usize::MAX, 2 * of_series + 3 * SAMPLE_BYTES), Instant::now());
        assert_eq!(queue.push(&one, now) + queue.push(&one, now) + queue.push(&other, now), 0);
        assert_eq!(queue.bytes(), 2 * of_series + 3 * SAMPLE_BYTES);
        assert_eq!(queue.push(&other, now), 1);
        queue.take(10);
        queue.settle(&[Outcome::Sent; 3]);
        assert_eq!((queue.len(), queue.bytes(), queue.series.len()), (0, 0, 0));
    }

    #[test]
    fn a_batch_without_outcomes_is_sent_again() {
        let (mut queue, now) = (queue(5, usize::MAX), Instant::now());
        queue.push(&sample("a", 7), now);
        queue.take(1);
        queue.settle(&[]);
        assert!(queue.is_under_way());
        assert_eq!(times(&queue.take(1)), [7]);
    }
}
