//! Counters and neighbours: rate, increase, delta, changes, resets, count, last.

use serde::{Deserialize, Serialize};

use super::Double;
use super::window::{Accumulator, Window};
use crate::base::{Millis, Sample};

/// What the rate family needs of a window besides its first sample.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counter {
    /// Newest sample inside.
    pub last: Sample,
    /// Whether there is one; the first of a window has no neighbour before it.
    any: bool,
    /// Sum of the finite values before each reset, to be added to `last - first`.
    correction: Double,
    /// Resets from +Inf, counted so that they leave no trace when they go.
    infinite: u32,
    /// Falls from one sample to the next.
    pub resets: u32,
    /// Pairs of neighbours that differ (two NaNs do not).
    pub changes: u32,
}

impl Accumulator for Counter {
    #[inline]
    fn push(&mut self, sample: Sample) {
        if self.any {
            let (reset, change) = pair(self.last.v, sample.v);
            self.changes += u32::from(change);
            if reset {
                self.resets += 1;
                match self.last.v {
                    f64::INFINITY => self.infinite += 1,
                    v => self.correction = self.correction + v,
                }
            }
        }
        self.last = sample;
        self.any = true;
    }

    #[inline]
    fn evict(&mut self, oldest: Sample, next: Option<Sample>) {
        let Some(next) = next else { return };
        let (reset, change) = pair(oldest.v, next.v);
        self.changes -= u32::from(change);
        if reset {
            self.resets -= 1;
            match oldest.v {
                f64::INFINITY => self.infinite -= 1,
                v => self.correction = self.correction + -v,
            }
            if self.resets == self.infinite {
                self.correction = Double::ZERO;
            }
        }
    }
}

impl Window<Counter> {
    /// `rate`, `increase` (counters) or `delta` over `(end - range, end]`, extrapolated to the window's edges as
    /// Prometheus 3 does (`extrapolatedRate` in promql/functions.go): a gap to the edge of up to 1.1 average spacings is
    /// bridged, a longer one by half a spacing; a counter is not extrapolated below zero. None with fewer than two samples.
    #[must_use]
    pub fn extrapolated(&self, end: Millis, range: Millis, counter: bool, per_second: bool) -> Option<f64> {
        if self.count() < 2 {
            return None;
        }
        let (first, last) = (self.first(), self.sums.last);
        let mut result = last.v - first.v;
        if counter {
            result = (Double::from(last.v) + -first.v + self.sums.correction).value();
            if self.sums.infinite > 0 || result.is_nan() {
                result = last.v - first.v + self.sums.correction.value();
            }
            if self.sums.infinite > 0 {
                result += f64::INFINITY;
            }
        }
        let seconds = |span: Millis| span as f64 / 1000.0;
        let sampled = seconds(last.t - first.t);
        let spacing = sampled / f64::from(self.count() - 1);
        let threshold = spacing * 1.1;
        let mut to_start = seconds(first.t - (end - range));
        let mut to_end = seconds(end - last.t);
        if to_start >= threshold {
            to_start = spacing / 2.0;
        }
        if counter && result > 0.0 && first.v >= 0.0 {
            to_start = to_start.min(sampled * (first.v / result));
        }
        if to_end >= threshold {
            to_end = spacing / 2.0;
        }
        let mut factor = (sampled + to_start + to_end) / sampled;
        if per_second {
            factor /= seconds(range);
        }
        Some(result * factor)
    }
}

/// Whether a pair of neighbours is a reset, and whether it is a change.
#[inline]
fn pair(before: f64, after: f64) -> (bool, bool) {
    (after < before, before != after && !(before.is_nan() && after.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::slide;
    use super::*;

    #[test]
    fn resets_and_changes_follow_the_window() {
        let values = [1.0, 5.0, 5.0, 2.0, 8.0, f64::NAN, f64::NAN, 1.0, 0.0, 7.0, 7.0, 3.0];
        let samples: Vec<Sample> =
            values.iter().cycle().take(100).enumerate().map(|(i, &v)| Sample { t: i as i64 * 10, v }).collect();
        slide::<Counter>(&samples, 45, |window, inside| {
            let pairs = || inside.windows(2).map(|p| (p[0].v, p[1].v));
            assert_eq!(window.sums.resets as usize, pairs().filter(|(a, b)| b < a).count());
            let changed = |(a, b): &(f64, f64)| a != b && !(a.is_nan() && b.is_nan());
            assert_eq!(window.sums.changes as usize, pairs().filter(changed).count());
        });
    }

    #[test]
    fn an_infinite_value_leaves_no_trace() {
        let values = [1.0, f64::INFINITY, 3.0, 5.0, 4.0, 6.0, f64::NEG_INFINITY, 7.0, 9.0, 8.0, 10.0];
        let samples: Vec<Sample> =
            values.iter().cycle().take(100).enumerate().map(|(i, &v)| Sample { t: i as i64 * 10, v }).collect();
        slide::<Counter>(&samples, 40, |window, inside| {
            let Some(got) = window.extrapolated(inside[inside.len() - 1].t, 40, true, false) else { return };
            let (first, last) = (inside[0], inside[inside.len() - 1]);
            let resets = inside.windows(2).filter(|p| p[1].v < p[0].v).map(|p| p[0].v);
            let increase = resets.fold(last.v - first.v, |sum, v| sum + v);
            if increase.is_finite() {
                assert!(got.is_finite(), "{got} {inside:?}");
            } else {
                assert_eq!(got.to_string(), increase.to_string(), "{inside:?}");
            }
        });
    }

    #[test]
    fn extrapolation_is_that_of_prometheus() {
        // promqltest functions.test: http_requests 0+10x10 at 5m gives increase[50m] = 100 at 50m, with left-open ranges.
        let samples: Vec<Sample> = (0..=10).map(|i| Sample { t: i * 300_000, v: (i * 10) as f64 }).collect();
        let mut last = None;
        slide::<Counter>(&samples, 3_000_000, |w, inside| {
            last = w.extrapolated(inside[inside.len() - 1].t, 3_000_000, true, false);
        });
        assert_eq!(last, Some(100.0));
    }
}
