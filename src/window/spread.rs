//! Variance of a window (`stdvar_over_time`, `stddev_over_time`): population variance, as Prometheus.

use serde::{Deserialize, Serialize};

use super::Double;
use super::sum::{Specials, Wear};
use super::window::{Accumulator, Window};
use crate::base::{Millis, Sample};

/// First and second moments about the first value seen, in double-double.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spread {
    anchor: Option<f64>,
    last: f64,
    /// Since when all finite values are the same: a window that begins there has a variance of exactly zero.
    constant_since: Millis,
    first: Double,
    second: Double,
    wear: Wear,
    specials: Specials,
    /// Finite values inside.
    finite: u32,
}

impl Spread {
    #[inline]
    fn moved(&self, v: f64) -> Double {
        Double::from(v) + -self.anchor.unwrap_or(0.0)
    }

    /// Whether the values lie so far from the anchor that the difference of the moments has lost too many bits.
    ///
    /// About an anchor inside the window the square of the mean is at most n times the variance, so once summed up anew a
    /// window is not far before its values have moved on by thousands of times their spread.
    #[inline]
    fn is_far(&self) -> bool {
        const LOST: f64 = 1.0 / (1u64 << 40) as f64;
        let first = self.first.value();
        let of_mean = first * first / f64::from(self.finite);
        self.second.value() - of_mean < of_mean * LOST
    }
}

impl Accumulator for Spread {
    #[inline]
    fn push(&mut self, sample: Sample) {
        if self.specials.push(sample.v) {
            return;
        }
        if self.anchor.is_none() || sample.v != self.last {
            self.constant_since = sample.t;
        }
        self.anchor.get_or_insert(sample.v);
        self.last = sample.v;
        let moved = self.moved(sample.v);
        let square = moved.times_double(moved);
        self.first = self.first + moved;
        self.second = self.second + square;
        self.wear.push(square.value());
        self.finite += 1;
    }

    #[inline]
    fn evict(&mut self, oldest: Sample, _: Option<Sample>) {
        if self.specials.evict(oldest.v) {
            return;
        }
        let moved = self.moved(oldest.v);
        let square = moved.times_double(moved);
        self.first = self.first - moved;
        self.second = self.second - square;
        self.wear.evict(square.value());
        self.finite -= 1;
    }

    #[inline]
    fn is_worn(&self) -> bool {
        self.wear.is_worn() || (self.wear.has_evicted() && self.is_far())
    }
}

impl Window<Spread> {
    /// `stdvar_over_time`; None if the window is empty, NaN if it holds a NaN or an infinity.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let sums = &self.sums;
        if sums.specials.sum().is_some() {
            return Some(f64::NAN);
        }
        if self.first().t >= sums.constant_since {
            return Some(0.0);
        }
        let n = f64::from(self.count());
        let mean = sums.first.divided_by(n);
        let variance = (sums.second.divided_by(n) - mean.times_double(mean)).value();
        // Where a square overflows, the sums become NaN.
        Some(if variance.is_nan() { f64::INFINITY } else { variance.max(0.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::slide;
    use super::*;

    #[test]
    fn variance_is_that_of_the_window() {
        let values = (0..2000).map(|i| match i {
            600..800 => 1e9 + 0.25,
            1200 => 1e100,
            _ => 1e9 + f64::from(i * 7919 % 101),
        });
        let data: Vec<Sample> = values.enumerate().map(|(i, v)| Sample { t: i as i64 * 1000, v }).collect();
        slide::<Spread>(&data, 60_000, |w, inside| {
            let n = inside.len() as f64;
            let mean = inside.iter().map(|s| s.v / n).sum::<f64>();
            let truth = inside.iter().map(|s| (s.v - mean).powi(2)).sum::<f64>() / n;
            let got = w.variance().unwrap();
            if inside.iter().all(|s| s.v == inside[0].v) {
                assert_eq!(got, 0.0);
            } else {
                assert!((got - truth).abs() <= 1e-9 * truth, "{got} {truth}");
            }
        });
    }

    #[test]
    fn an_outlier_long_ago_leaves_no_trace() {
        for (outlier, low, steps) in [(1.8e19, 100.0, 10.0), (1e15, 0.0, 1.0), (-1e100, 1e9, 0.5), (1e15, 3.0, 1e-9)] {
            let value = |i: i64| if i == 0 { outlier } else { low + steps * (i * 7919 % 11) as f64 / 10.0 };
            let data: Vec<Sample> = (0..3000).map(|i| Sample { t: i * 1000, v: value(i) }).collect();
            slide::<Spread>(&data, 240_000, |w, inside| {
                if inside[0].v == outlier || inside.len() < 2 {
                    return;
                }
                let n = inside.len() as f64;
                let mean = inside.iter().map(|s| s.v - low).sum::<f64>() / n;
                let truth = inside.iter().map(|s| (s.v - low - mean).powi(2)).sum::<f64>() / n;
                let got = w.variance().unwrap();
                assert!((got - truth).abs() <= 1e-9 * truth, "{outlier} {} {got} {truth}", inside[0].t);
            });
        }
    }

    #[test]
    fn what_overflows_is_infinite_and_not_nothing() {
        let data: Vec<Sample> =
            (0..20).map(|i| Sample { t: i * 1000, v: if i % 2 == 0 { 1e200 } else { -1e300 } }).collect();
        slide::<Spread>(&data, 5_000, |w, inside| {
            assert_eq!(w.variance(), Some(if inside.len() == 1 { 0.0 } else { f64::INFINITY }));
        });
    }

    #[test]
    fn what_is_the_same_around_a_nan_has_no_variance() {
        let value = |i: i64| match i % 20 {
            7 => f64::NAN,
            0..7 => 1e6 + i as f64 * 0.1,
            _ => 1e6 / 3.0,
        };
        let data: Vec<Sample> = (0..200).map(|i| Sample { t: i * 1000, v: value(i) }).collect();
        slide::<Spread>(&data, 4_500, |w, inside| {
            if inside.iter().all(|s| s.v == inside[0].v) {
                assert_eq!(w.variance(), Some(0.0));
            }
        });
    }

    #[test]
    fn one_nan_spoils_it_only_while_inside() {
        let data: Vec<Sample> =
            (0..50).map(|i| Sample { t: i * 1000, v: if i == 20 { f64::NAN } else { (i % 3) as f64 } }).collect();
        slide::<Spread>(&data, 5_000, |w, inside| {
            assert_eq!(w.variance().unwrap().is_nan(), inside.iter().any(|s| s.v.is_nan()));
        });
    }
}
