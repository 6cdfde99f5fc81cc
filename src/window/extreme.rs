//! Minimum and maximum of a window by a monotonic deque: what can still become the extreme, oldest first.

use std::collections::VecDeque;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::window::{Accumulator, Window};
use crate::base::{Millis, Sample};

/// Which end is wanted.
pub trait Order: Default {
    /// Whether `new` makes `old` useless for ever.
    fn beats(new: f64, old: f64) -> bool;
}

/// `min_over_time`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Min;

/// `max_over_time`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Max;

impl Order for Min {
    #[inline]
    fn beats(new: f64, old: f64) -> bool {
        new <= old
    }
}

impl Order for Max {
    #[inline]
    fn beats(new: f64, old: f64) -> bool {
        new >= old
    }
}

/// The candidates. NaNs are none: as in Prometheus they count only where there is nothing else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Extreme<O> {
    candidates: VecDeque<(Millis, f64)>,
    order: PhantomData<O>,
}

impl<O: Order> Accumulator for Extreme<O> {
    #[inline]
    fn push(&mut self, sample: Sample) {
        if sample.v.is_nan() {
            return;
        }
        while self.candidates.back().is_some_and(|&(_, old)| O::beats(sample.v, old)) {
            self.candidates.pop_back();
        }
        self.candidates.push_back((sample.t, sample.v));
    }

    #[inline]
    fn evict(&mut self, oldest: Sample, _: Option<Sample>) {
        if self.candidates.front().is_some_and(|&(t, _)| t <= oldest.t) {
            self.candidates.pop_front();
        }
    }
}

impl<O: Order> Window<Extreme<O>> {
    /// The extreme; None if the window is empty.
    #[must_use]
    pub fn extreme(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sums.candidates.front().map_or(f64::NAN, |&(_, v)| v))
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::slide;
    use super::*;

    #[test]
    fn extremes_are_those_of_the_window() {
        let data: Vec<Sample> = (0..500i64)
            .map(|i| Sample { t: i * 1000, v: if i % 11 == 0 { f64::NAN } else { ((i * 7919) % 97) as f64 } })
            .collect();
        slide::<Extreme<Min>>(&data, 9_500, |w, inside| {
            let truth = inside.iter().map(|s| s.v).fold(f64::NAN, f64::min);
            assert!(w.extreme() == Some(truth) || truth.is_nan());
        });
        slide::<Extreme<Max>>(&data, 9_500, |w, inside| {
            let truth = inside.iter().map(|s| s.v).fold(f64::NAN, f64::max);
            assert!(w.extreme() == Some(truth) || truth.is_nan());
        });
    }
}
