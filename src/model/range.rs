//! Has the series ever been there? Six features of it against the range that each has kept to.
//!
//! Finds what no deviation from an expectation finds: a slow drift out of the usual range, a series that goes quiet or
//! wild. Source: the prototypes behind models/default.md. Knows nothing of how deviations are made, nor of budgets.

use serde::{Deserialize, Serialize};

use super::profile::Direction;

const FEATURES: usize = 6;
/// Weights of value, mean of 24 points, mean of half a day, error of the season, logarithm, deviation.
const WEIGHTS: [f64; FEATURES] = [0.85, 1.4, 1.75, 0.3, 1.5, 0.6];
/// Which of the features is the season's error; which the logarithm, and which the deviation: those have no unit.
const SEASON: usize = 3;
const LOG: usize = 4;
const DEVIATION: usize = 5;
/// Points in the short mean, and days in the slow one; both are exponential.
const SHORT_POINTS: f64 = 24.0;
const SLOW_DAYS: f64 = 0.5;
/// Share of an excess by which a bound follows it.
const FOLLOW: f64 = 0.55;
/// Weighted excess, in widths of the range, where the level is 0.
const EXCESS_AT_ZERO: f64 = 0.125;
/// Levels a decade of excess.
const SLOPE: f64 = 2.0;
const LEVEL_MAX: f64 = 6.0;
/// A range is never narrower than this share of the series' magnitude.
const RELATIVE_FLOOR: f64 = 1e-3;
/// The logarithm looks no closer at zero than this share of the magnitude.
const LOG_FLOOR: f64 = 1e-4;

/// A feature of a series whose range is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// The value itself.
    Value,
    /// Mean of the last 24 points or so.
    ShortMean,
    /// Mean of the last half day or so.
    SlowMean,
    /// Distance from the same time of other days.
    SeasonError,
    /// How large the value is, whatever its sign: its logarithm.
    Size,
    /// How far the value is from all expectations at once, in standard deviations.
    Deviation,
}

/// In the order of [`WEIGHTS`].
const ORDER: [Feature; FEATURES] =
    [Feature::Value, Feature::ShortMean, Feature::SlowMean, Feature::SeasonError, Feature::Size, Feature::Deviation];

/// A feature that has left its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Departure {
    /// -log10 of how often a week, in levels.
    pub level: f64,
    /// The feature that is farthest out.
    pub feature: Feature,
    /// What it is now, and the end of the range that it has kept to; of the logarithm, its argument; of the deviation likewise.
    pub now: f64,
    /// That end.
    pub bound: f64,
}

/// Constants of one profile and interval.
#[derive(Clone, Debug)]
pub(super) struct RangeParams {
    /// Factor by which a range shrinks to its middle at each point.
    keep: f64,
    /// Gain of the slow mean.
    slow_gain: f64,
    direction: Direction,
}

/// The ranges, and the two means.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ranges {
    short: f32,
    slow: f32,
    /// Middle and half width; kept so that a slow shrink is not lost in rounding far from zero.
    middle: [f32; FEATURES],
    half: [f32; FEATURES],
}

/// A point as the ranges see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    /// The value less the series' origin.
    pub x: f64,
    /// The value itself.
    pub y: f64,
    /// Its distance from the season, in spreads of its time of day.
    pub season_error: f64,
    /// Logarithm of its deviation from all expectations.
    pub ln_deviation: f64,
    /// Mean absolute value of the series.
    pub magnitude: f64,
}

impl RangeParams {
    /// Constants for that many points a day; `forgetting` scales the shrink, 1 being the reference.
    pub fn new(points_per_day: f64, forgetting: f64, direction: Direction) -> Self {
        Self {
            keep: (-1.0 / (17.4 * forgetting * points_per_day.max(288.0))).exp(),
            slow_gain: (2.0 / (SLOW_DAYS * points_per_day + 1.0)).min(1.0),
            direction,
        }
    }
}

impl Ranges {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { short: 0.0, slow: 0.0, middle: [0.0; FEATURES], half: [0.0; FEATURES] }
    }

    /// What the `n`-th point (0 for the first) leaves, before it is learnt, and learns it; None where it is within all ranges.
    pub fn update(&mut self, params: &RangeParams, n: u32, seen: &Sighting) -> Option<Departure> {
        let first = 1.0 / (f64::from(n) + 1.0);
        follow(&mut self.short, seen.x, (2.0 / (SHORT_POINTS + 1.0)).max(first));
        follow(&mut self.slow, seen.x, params.slow_gain.max(first));
        let log = (seen.y.abs() + LOG_FLOOR * seen.magnitude).max(f64::MIN_POSITIVE).ln();
        let (short, slow) = (f64::from(self.short), f64::from(self.slow));
        let features = [seen.x, short, slow, seen.season_error, log, seen.ln_deviation];
        if n == 0 {
            self.middle = features.map(|f| f as f32);
        }
        let mut widest: f64 = 0.0;
        let mut farthest = None;
        for j in 0..FEATURES {
            let (middle, half) = (f64::from(self.middle[j]), f64::from(self.half[j]));
            let above = features[j] - (middle + half);
            // To deviate less than ever is no finding.
            let below = if j == DEVIATION { 0.0 } else { (middle - half) - features[j] };
            let counted = match params.direction {
                Direction::Both => above.max(below),
                Direction::AboveExpected => above,
                Direction::BelowExpected if j == DEVIATION => above,
                Direction::BelowExpected => below,
            };
            if counted > 0.0 {
                let floor = RELATIVE_FLOOR * if j == LOG || j == DEVIATION { 1.0 } else { seen.magnitude };
                let width = (2.0 * half).max(floor).max(f64::MIN_POSITIVE);
                let weighted = WEIGHTS[j] * counted / width;
                if weighted > widest {
                    widest = weighted;
                    farthest = Some((j, if above > 0.0 { middle + half } else { middle - half }));
                }
            }
            let (above, below) = (0.5 * FOLLOW * above.max(0.0), 0.5 * FOLLOW * below.max(0.0));
            self.middle[j] = (middle + above - below) as f32;
            self.half[j] = ((half + above + below) * params.keep) as f32;
        }
        let (j, bound) = farthest?;
        let level = (SLOPE * (widest / EXCESS_AT_ZERO).log10()).min(LEVEL_MAX);
        let told = |feature: f64| match j {
            LOG => feature.exp() - LOG_FLOOR * seen.magnitude,
            DEVIATION => feature.exp(),
            SEASON => feature,
            _ => feature + (seen.y - seen.x),
        };
        Some(Departure { level, feature: ORDER[j], now: told(features[j]), bound: told(bound) })
    }
}

fn follow(mean: &mut f32, x: f64, gain: f64) {
    *mean = (f64::from(*mean) + gain * (x - f64::from(*mean))) as f32;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(direction: Direction) -> (RangeParams, Ranges, u32) {
        let params = RangeParams::new(288.0, 1.0, direction);
        let mut ranges = Ranges::new();
        for n in 0..2000u32 {
            let x = f64::from(n % 7) - 3.0;
            ranges.update(&params, n, &at(x));
        }
        (params, ranges, 2000)
    }

    fn level(departure: Option<Departure>) -> f64 {
        departure.map_or(f64::NEG_INFINITY, |departure| departure.level)
    }

    fn at(x: f64) -> Sighting {
        Sighting { x, y: 100.0 + x, season_error: 0.0, ln_deviation: 0.0, magnitude: 100.0 }
    }

    #[test]
    fn inside_the_range_is_silent_and_outside_is_not() {
        let (params, ranges, n) = settled(Direction::Both);
        let level = |x: f64| level(ranges.clone().update(&params, n, &at(x)));
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
        assert!(level(calm.update(&params, n, &at(-4.0))) < 0.0);
        assert!(level(ranges.clone().update(&params, n, &at(8.0))) > 0.0);
    }

    #[test]
    fn a_range_follows_what_stays_outside_and_shrinks_when_unused() {
        let (params, mut ranges, mut n) = settled(Direction::Both);
        let before = ranges.half[0];
        for _ in 0..20 {
            ranges.update(&params, n, &at(30.0));
            n += 1;
        }
        assert!(level(ranges.update(&params, n, &at(30.0))) < 0.0);
        let wide = ranges.half[0];
        assert!(wide > 2.0 * before);
        for _ in 0..20_000 {
            n += 1;
            ranges.update(&params, n, &at(0.0));
        }
        assert!(ranges.half[0] < 0.2 * wide);
    }

    #[test]
    fn the_feature_that_left_is_named_with_its_bound() {
        let (params, ranges, n) = settled(Direction::Both);
        let told = |sighting: Sighting| ranges.clone().update(&params, n, &sighting).unwrap();
        // Only the value moves: the size stays what it was.
        let value = told(Sighting { y: 100.0, ..at(20.0) });
        assert_eq!((value.feature, value.now), (Feature::Value, 100.0));
        assert!((value.bound - 83.0).abs() < 0.3, "{value:?}");
        let size = told(Sighting { y: 1.0, ..at(3.0) });
        assert_eq!(size.feature, Feature::Size);
        assert!((size.now - 1.0).abs() < 1e-6 && (size.bound - 97.0).abs() < 0.5, "{size:?}");
        let season = told(Sighting { season_error: -7.0, ..at(0.0) });
        assert_eq!((season.feature, season.now, season.bound), (Feature::SeasonError, -7.0, 0.0));
        let deviation = told(Sighting { ln_deviation: 5f64.ln(), ..at(0.0) });
        assert_eq!(deviation.feature, Feature::Deviation);
        assert!((deviation.now - 5.0).abs() < 1e-9 && (deviation.bound - 1.0).abs() < 1e-6);
        assert_eq!(ranges.clone().update(&params, n, &at(0.0)), None);
    }
}
