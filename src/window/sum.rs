//! Sums and means of a window.

use serde::{Deserialize, Serialize};

use super::Double;
use super::ring::Ring;
use super::window::{Accumulator, Window};
use crate::base::Sample;

/// A running sum in double-double. Values that are not finite are counted beside it, so that they leave no trace when they go.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Sum {
    sum: Double,
    wear: Wear,
    specials: Specials,
}

/// Tells when a large value that has left may have taken the small ones' last bits with it.
///
/// Double-double adds an error of 2^-104 of the largest value for each operation. While what is inside weighs more than
/// 2^-30 of the largest value ever added, that is below 2^-70 of the result; after that the window is summed anew.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Wear {
    mass: f64,
    peak: f64,
    evictions: u32,
}

/// NaNs and infinities inside a window.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Specials {
    nan: u32,
    positive: u32,
    negative: u32,
}

impl Wear {
    #[inline]
    pub(super) fn push(&mut self, weight: f64) {
        self.mass += weight;
        self.peak = self.peak.max(weight);
    }

    #[inline]
    pub(super) fn evict(&mut self, weight: f64) {
        self.mass -= weight;
        self.evictions += 1;
    }

    /// Whether anything has left since the sums began.
    #[inline]
    pub(super) fn has_evicted(&self) -> bool {
        self.evictions > 0
    }

    #[inline]
    pub(super) fn is_worn(&self) -> bool {
        const KEPT: f64 = 1.0 / (1u64 << 30) as f64;
        self.evictions > 0
            && (self.evictions > 1 << 16 || !(self.mass >= self.peak * KEPT && self.mass < f64::INFINITY))
    }
}

impl Specials {
    /// Whether `v` is one; it is then counted.
    #[inline]
    pub(super) fn push(&mut self, v: f64) -> bool {
        self.count(v, 1)
    }

    #[inline]
    pub(super) fn evict(&mut self, v: f64) -> bool {
        self.count(v, u32::MAX)
    }

    /// What a sum with these is, None if there are none.
    #[inline]
    pub(super) fn sum(&self) -> Option<f64> {
        match (self.nan, self.positive, self.negative) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(f64::INFINITY),
            (0, 0, _) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    #[inline]
    fn count(&mut self, v: f64, by: u32) -> bool {
        if v.is_finite() {
            return false;
        }
        let counter = match v {
            f64::INFINITY => &mut self.positive,
            f64::NEG_INFINITY => &mut self.negative,
            _ => &mut self.nan,
        };
        *counter = counter.wrapping_add(by);
        true
    }
}

impl Accumulator for Sum {
    #[inline]
    fn push(&mut self, sample: Sample) {
        if !self.specials.push(sample.v) {
            self.sum = self.sum + sample.v;
            self.wear.push(sample.v.abs());
        }
    }

    #[inline]
    fn evict(&mut self, oldest: Sample, _: Option<Sample>) {
        if !self.specials.evict(oldest.v) {
            self.sum = self.sum + -oldest.v;
            self.wear.evict(oldest.v.abs());
        }
    }

    #[inline]
    fn is_worn(&self) -> bool {
        self.wear.is_worn()
    }
}

impl Window<Sum> {
    /// `sum_over_time`; None if the window is empty.
    #[must_use]
    pub fn sum(&self, ring: &Ring) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let sum = self.sums.specials.sum().unwrap_or_else(|| self.sums.sum.value());
        // Double-double turns an overflow into NaN; the plain sum knows its sign.
        Some(if sum.is_nan() && self.sums.specials.sum().is_none() {
            self.samples(ring).map(|s| s.v).sum()
        } else {
            sum
        })
    }

    /// `avg_over_time`; None if the window is empty. Finite where all samples are, even if their sum is not.
    #[must_use]
    pub fn mean(&self, ring: &Ring) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        if let Some(special) = self.sums.specials.sum() {
            return Some(special);
        }
        let n = f64::from(self.count());
        let mean = self.sums.sum.divided_by(n).value();
        Some(if mean.is_finite() { mean } else { self.samples(ring).map(|s| s.v / n).sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::slide;
    use super::*;

    fn samples(values: impl Iterator<Item = f64>) -> Vec<Sample> {
        values.enumerate().map(|(i, v)| Sample { t: i as i64 * 1000, v }).collect()
    }

    #[test]
    fn a_giant_that_has_passed_leaves_no_trace() {
        let data = samples((0..400).map(|i| if i % 90 == 40 { 1e300 } else { 0.1 * f64::from(i) }));
        slide::<Sum>(&data, 20_000, |w, inside| {
            let ring = Ring::default();
            let true_sum: f64 = inside.iter().map(|s| s.v).sum();
            let got = w.sum(&ring).unwrap();
            assert!((got - true_sum).abs() <= 1e-12 * true_sum.abs(), "{got} {true_sum}");
        });
    }

    #[test]
    fn infinities_and_nans_come_and_go() {
        let data = samples((0..300).map(|i| match i % 50 {
            10 => f64::INFINITY,
            30 => f64::NAN,
            35 => f64::NEG_INFINITY,
            _ => 2.0,
        }));
        slide::<Sum>(&data, 8_000, |w, inside| {
            let true_sum: f64 = inside.iter().map(|s| s.v).sum();
            let got = w.sum(&Ring::default()).unwrap();
            assert!(got == true_sum || (got.is_nan() && true_sum.is_nan()), "{got} {true_sum}");
        });
    }

    #[test]
    fn a_mean_survives_where_the_sum_overflows() {
        let mut ring = Ring::default();
        let mut w = Window::<Sum>::new(ring.origin());
        for t in 1..=4 {
            ring.push(t, 1e308);
            w.push(ring.head());
        }
        assert_eq!(w.sum(&ring), Some(f64::INFINITY));
        assert!((w.mean(&ring).unwrap() / 1e308 - 1.0).abs() < 1e-15);
    }
}
