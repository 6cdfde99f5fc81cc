//! Puts the samples of many small messages of a partition together into batches worth handing over. Pure.

use crate::base::{Batch, BatchBuilder, Limits};

/// Samples at which a batch is handed over; more in one message is fine.
pub const ENOUGH: usize = 10_000;

/// What was read of a partition and not handed over yet.
#[derive(Debug, Default)]
pub struct Gather {
    batch: Batch,
    /// Position behind the last message that is in it, good or bad.
    next: Option<i64>,
}

impl Gather {
    /// Takes the samples of a message in; `next` is the position behind it.
    pub fn add(&mut self, batch: Batch, next: i64, limits: &Limits) {
        self.next = Some(next);
        if self.batch.is_empty() {
            self.batch = batch;
            return;
        }
        let mut builder = BatchBuilder::extending(std::mem::take(&mut self.batch), limits);
        for run in batch.runs() {
            builder.series(batch.labels(run));
            batch.samples(run).iter().for_each(|sample| builder.sample(sample.t, sample.v));
        }
        self.batch = builder.finish();
    }

    /// Takes note of a message without samples: one that cannot be decoded.
    pub fn skip(&mut self, next: i64) {
        self.next = Some(next);
    }

    /// Whether there is enough to hand over.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.batch.all_samples().len() >= ENOUGH
    }

    /// What there is, and the position behind it.
    pub fn take(&mut self) -> Option<(Batch, i64)> {
        let next = self.next.take()?;
        Some((std::mem::take(&mut self.batch), next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Labels;

    fn batch(name: &str, times: std::ops::Range<i64>) -> Batch {
        let mut builder = BatchBuilder::new(&Limits::default());
        builder.series(Labels::from_pairs([("__name__", name)]).as_ref());
        times.for_each(|t| builder.sample(t, t as f64));
        builder.finish()
    }

    #[test]
    fn messages_are_put_together_in_order() {
        let (mut gather, limits) = (Gather::default(), Limits::default());
        assert!(gather.take().is_none());
        gather.add(batch("a", 0..3), 11, &limits);
        gather.skip(12);
        gather.add(batch("b", 3..4), 13, &limits);
        gather.add(batch("a", 4..5), 14, &limits);
        assert!(!gather.is_enough());
        let (got, next) = gather.take().unwrap();
        assert_eq!(next, 14);
        let runs: Vec<_> = got.runs().iter().map(|r| (got.labels(r).to_string(), got.samples(r).len())).collect();
        assert_eq!(runs, [("a".to_owned(), 3), ("b".to_owned(), 1), ("a".to_owned(), 1)]);
        assert!(gather.take().is_none());
        gather.skip(15);
        assert!(gather.take().is_some_and(|(batch, next)| batch.is_empty() && next == 15));
        gather.add(batch("a", 0..ENOUGH as i64), 16, &limits);
        assert!(gather.is_enough());
    }
}
