//! Which series a target showed last time, to say of those that are gone that they are. Pure.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxBuildHasher;

use crate::base::{Batch, BatchBuilder, Labels, Millis, stale_nan};

/// The series of a target's last successful scrape.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenSeries {
    /// By identity; the number says in which scrape a series was seen last.
    series: HashMap<u128, (Labels, u64), FxBuildHasher>,
    scrape: u64,
}

impl SeenSeries {
    /// Takes note of a scrape and returns the series that were there before and are not any more, sorted.
    ///
    /// Only samples at the scrape's own time `t` count: a series with timestamps of its own tells by them when it ends,
    /// as in Prometheus.
    pub(super) fn replace(&mut self, batch: &Batch, t: Millis) -> Vec<Labels> {
        self.scrape += 1;
        for run in batch.runs() {
            if batch.samples(run).iter().all(|s| s.t != t) {
                continue;
            }
            match self.series.entry(run.key) {
                Entry::Occupied(mut seen) => seen.get_mut().1 = self.scrape,
                Entry::Vacant(new) => {
                    new.insert((batch.labels(run).to_labels(), self.scrape));
                }
            }
        }
        let mut gone: Vec<Labels> =
            self.series.extract_if(|_, (_, scrape)| *scrape != self.scrape).map(|(_, (labels, _))| labels).collect();
        gone.sort_unstable();
        gone
    }

    /// The scrape failed: every series is gone.
    pub(super) fn clear(&mut self) -> Vec<Labels> {
        let mut gone: Vec<Labels> = self.series.drain().map(|(_, (labels, _))| labels).collect();
        gone.sort_unstable();
        gone
    }
}

/// Ends each series with a staleness marker.
pub(super) fn mark(gone: &[Labels], t: Millis, builder: &mut BatchBuilder) {
    for labels in gone {
        builder.series(labels.as_ref());
        builder.sample(t, stale_nan());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Limits;

    fn batch(series: &[(&str, Millis)]) -> Batch {
        let mut builder = BatchBuilder::new(&Limits::default());
        for (name, t) in series {
            builder.label("__name__", name);
            builder.end_labels().unwrap();
            builder.sample(*t, 1.0);
        }
        builder.finish()
    }

    fn names(gone: Vec<Labels>) -> Vec<String> {
        gone.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn vanished_series_are_told_once_and_those_with_own_times_never() {
        let mut seen = SeenSeries::default();
        assert!(seen.replace(&batch(&[("c", 1), ("a", 1), ("b", 1), ("own", 0)]), 1).is_empty());
        assert_eq!(names(seen.replace(&batch(&[("b", 2)]), 2)), ["a", "c"]);
        assert!(seen.replace(&batch(&[("b", 3), ("a", 3)]), 3).is_empty());
        assert_eq!(names(seen.clear()), ["a", "b"]);
        assert!(seen.clear().is_empty());
    }
}
