//! Has the series ever been there? Five features of it against the range that each has kept to.
//!
//! Finds what no deviation from an expectation finds: a slow drift out of the usual range, a series that goes quiet or
//! wild. Source: the prototypes behind models/default.md. Knows nothing of expectations or budgets.

use super::profile::Direction;

/// Values remembered.
const MEMORY: usize = 48;
/// Values in the short mean.
const SHORT: usize = 12;
const FEATURES: usize = 5;
/// Weights of value, short mean, error of the season, logarithm, standard deviation of the memory.
const WEIGHTS: [f64; FEATURES] = [0.85, 0.95, 0.6, 1.5, 0.9];
/// Share of an excess by which a bound follows it.
const FOLLOW: f64 = 0.55;
/// Excess of r0, with a reference at 5 minutes between points, where the level is 0.
const EXCESS_AT_ZERO: f64 = 0.125;
/// Levels a decade of excess.
const SLOPE: f64 = 1.6;
const LEVEL_MAX: f64 = 6.0;
/// A range is never narrower than this share of the series' magnitude.
const RELATIVE_FLOOR: f64 = 1e-3;
/// The logarithm looks no closer at zero than this share of the magnitude.
const LOG_FLOOR: f64 = 1e-4;

/// Constants of one profile and interval.
#[derive(Clone, Debug)]
pub(super) struct RangeParams {
    /// Factor by which a range shrinks to its middle at each point.
    keep: f64,
    /// Excess at which the level is 0.
    excess_at_zero: f64,
    direction: Direction,
}

/// The ranges, and the last values.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    memory: [f32; MEMORY],
    /// Middle and half width; kept so that a slow shrink is not lost in rounding far from zero.
    middle: [f32; FEATURES],
    half: [f32; FEATURES],
}

impl RangeParams {
    /// Constants for that many points a day; `forgetting` scales the shrink, 1 being the reference.
    pub fn new(points_per_day: f64, forgetting: f64, direction: Direction) -> Self {
        Self {
            keep: (-1.0 / (17.4 * forgetting * points_per_day.max(288.0))).exp(),
            excess_at_zero: EXCESS_AT_ZERO * (points_per_day / 288.0).powf(0.2),
            direction,
        }
    }
}

impl Ranges {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { memory: [0.0; MEMORY], middle: [0.0; FEATURES], half: [0.0; FEATURES] }
    }

    /// Level of the `n`-th point (0 for the first) before it is learnt, and learns it.
    ///
    /// `x` is the value less the series' origin, `y` the value itself, `season_error` its distance from the season.
    pub fn update(&mut self, params: &RangeParams, n: u32, x: f64, y: f64, season_error: f64, magnitude: f64) -> f64 {
        self.memory[n as usize % MEMORY] = x as f32;
        let count = (n as usize).saturating_add(1);
        let log = if magnitude > 0.0 { (y.abs() / magnitude + LOG_FLOOR).ln() + magnitude.ln() } else { 0.0 };
        let features = [x, self.short_mean(count), season_error, log, self.deviation(count)];
        let floors = [magnitude, magnitude, magnitude, 1.0, magnitude].map(|m| RELATIVE_FLOOR * m);
        let mut widest: f64 = 0.0;
        for j in 0..FEATURES {
            if n == 0 {
                self.middle[j] = features[j] as f32;
            }
            let (middle, half) = (f64::from(self.middle[j]), f64::from(self.half[j]));
            let (above, below) = (features[j] - (middle + half), (middle - half) - features[j]);
            let counted = match params.direction {
                Direction::Both => above.max(below),
                Direction::AboveExpected => above,
                // The standard deviation has no lower side that means less of the series.
                Direction::BelowExpected => {
                    if j == FEATURES - 1 {
                        above
                    } else {
                        below
                    }
                }
            };
            if counted > 0.0 {
                let width = (2.0 * half).max(floors[j]).max(f64::MIN_POSITIVE);
                widest = widest.max(WEIGHTS[j] * counted / width);
            }
            let follow = 0.5 * FOLLOW;
            let shift = follow * (above.max(0.0) - below.max(0.0));
            let grow = follow * (above.max(0.0) + below.max(0.0));
            self.middle[j] = (middle + shift) as f32;
            self.half[j] = ((half + grow) * params.keep) as f32;
        }
        if widest > 0.0 { (SLOPE * (widest / params.excess_at_zero).log10()).min(LEVEL_MAX) } else { f64::NEG_INFINITY }
    }

    fn short_mean(&self, count: usize) -> f64 {
        let take = count.min(SHORT);
        let sum: f64 = (0..take).map(|back| f64::from(self.memory[(count - 1 - back) % MEMORY])).sum();
        sum / take as f64
    }

    fn deviation(&self, count: usize) -> f64 {
        let values = &self.memory[..count.min(MEMORY)];
        let n = values.len() as f64;
        let mean = sum(values, |v| v) / n;
        (sum(values, |v| (v - mean) * (v - mean)) / n).sqrt()
    }
}

/// A sum in eight lanes: one after the other, each addition would wait for the one before it.
#[inline]
fn sum(values: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for chunk in whole {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += f(f64::from(*v));
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|v| f(f64::from(*v))).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(direction: Direction) -> (RangeParams, Ranges, u32) {
        let params = RangeParams::new(288.0, 1.0, direction);
        let mut ranges = Ranges::new();
        for n in 0..2000u32 {
            let x = f64::from(n % 7) - 3.0;
            ranges.update(&params, n, x, 100.0 + x, 0.0, 100.0);
        }
        (params, ranges, 2000)
    }

    #[test]
    fn inside_the_range_is_silent_and_outside_is_not() {
        let (params, ranges, n) = settled(Direction::Both);
        let level = |x: f64| ranges.clone().update(&params, n, x, 100.0 + x, 0.0, 100.0);
        assert!(level(2.0) < 0.0);
        assert!(level(8.0) > 0.0 && level(-8.0) > 0.0);
        assert!(level(20.0) > level(8.0));
        assert_eq!(level(1e9), LEVEL_MAX);
    }

    #[test]
    fn one_side_may_be_ignored() {
        let (params, ranges, n) = settled(Direction::AboveExpected);
        let mut calm = ranges.clone();
        // Lower values widen the standard deviation too, so only the first point tells.
        assert!(calm.update(&params, n, -4.0, 96.0, 0.0, 100.0) < 0.0);
        assert!(ranges.clone().update(&params, n, 8.0, 108.0, 0.0, 100.0) > 0.0);
    }

    #[test]
    fn a_range_follows_what_stays_outside_and_shrinks_when_unused() {
        let (params, mut ranges, mut n) = settled(Direction::Both);
        let before = ranges.half[0];
        for _ in 0..20 {
            ranges.update(&params, n, 30.0, 130.0, 0.0, 100.0);
            n += 1;
        }
        assert!(ranges.update(&params, n, 30.0, 130.0, 0.0, 100.0) < 0.0);
        let wide = ranges.half[0];
        assert!(wide > 2.0 * before);
        for _ in 0..20_000 {
            n += 1;
            ranges.update(&params, n, 0.0, 100.0, 0.0, 100.0);
        }
        assert!(ranges.half[0] < 0.2 * wide);
    }
}
