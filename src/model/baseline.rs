//! Three expectations of one series and how far a value is from each, in robust standard deviations.
//!
//! A moving mean, a mean of the same time of day, and a fast level with the day's offsets. Their errors disagree in kind
//! (drift, season, jump), so that all three are large together only when something is really unusual. What is usual
//! differs by time of day as well: each bucket has its own share of the spread; and by day of the week ([`Week`]).
//! Source: the prototypes behind models/default.md, and docs/quality.md for what each part is worth. Knows nothing of scores or budgets.

use serde::{Deserialize, Serialize};

use super::saved::{floats, words};
use super::weekday::{Foretold, Week};

/// Most buckets of a day.
pub(super) const PHASES: usize = 48;

/// A mean absolute deviation times this is a standard deviation of a normal distribution: sqrt(pi/2).
const MAD_TO_SD: f64 = 1.2533;
/// Share of the series' magnitude that counts as noise even where it has none.
const RELATIVE_FLOOR: f64 = 0.005;
/// Deviations beyond this tell nothing more.
const Z_MAX: f64 = 1e4;
/// An error enters the spread with at most this many times the spread itself.
const SPREAD_CLIP: f64 = 8.0;
const LEVEL_GAIN: f64 = 0.3;
const OFFSET_SHARE: f64 = 0.7;
/// A bucket's spread over that of all buckets, as stored: 16 bits, linear.
const PHASE_SPREAD_UNIT: f64 = SPREAD_CLIP / u16::MAX as f64;
/// Bounds of it in use.
const PHASE_SPREAD: (f64, f64) = (0.2, 5.0);
/// Weight of the prior, 1, in visits of the bucket.
const PHASE_SPREAD_PRIOR: f64 = 20.0;
/// Share of the week's step that the moving mean takes at once, as it knows no season otherwise.
const WEEK_STEP_SHARE: f64 = 0.5;
/// The week's sizes of errors forget in seven days where the spreads forget in three.
const WEEK_GAIN_SHARE: f64 = 3.0 / 7.0;
/// Points before spreads mean anything.
const SPREAD_POINTS: u32 = 50;

/// Gains, equal for all series of one profile and interval.
#[derive(Clone, Debug)]
pub(super) struct BaselineParams {
    /// Buckets of a day in use.
    pub phases: usize,
    /// Gain of a bucket at each of its points.
    pub season_gain: f64,
    /// Gain of the moving mean.
    pub mean_gain: f64,
    /// Gain of the spreads and the magnitude.
    pub spread_gain: f64,
    /// Points of a week; 0 where the days of the week are taken to be alike.
    pub points_per_week: f64,
}

/// Where in its day and week a point lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Bucket of the day.
    pub phase: usize,
    /// Bucket of the week.
    pub week: usize,
}

/// What was expected before the value came, in the unit of the series less its origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Baselines {
    mean: f32,
    level: f32,
    magnitude: f32,
    spread: [f32; 3],
    #[serde(with = "floats")]
    season: [f32; PHASES],
    #[serde(with = "floats")]
    offset: [f32; PHASES],
    #[serde(with = "words")]
    visits: [u16; PHASES],
    #[serde(with = "words")]
    phase_spread: [u16; PHASES],
    week: Week,
}

/// A value against its expectations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deviation {
    /// Value less expectation: of the mean, of the season (0 in a bucket never seen), of the level.
    pub errors: [f64; 3],
    /// Size of the errors in robust standard deviations.
    pub z: [f64; 3],
    /// Geometric mean of the three standard deviations.
    pub scale: f64,
    /// Median of the three expectations.
    pub expected: f64,
    /// Spread of this bucket over that of all, as far as it is believed.
    pub phase_spread: f64,
    /// What the day of the week adds.
    week: Foretold,
}

impl Baselines {
    /// Starts at the origin, which lies at `magnitude` from zero.
    pub fn new(magnitude: f64) -> Self {
        Self {
            mean: 0.0,
            level: 0.0,
            magnitude: magnitude as f32,
            spread: [0.0; 3],
            season: [0.0; PHASES],
            offset: [0.0; PHASES],
            visits: [0; PHASES],
            phase_spread: [(1.0 / PHASE_SPREAD_UNIT) as u16; PHASES],
            week: Week::new(),
        }
    }

    /// Mean absolute value of the series.
    pub fn magnitude(&self) -> f64 {
        f64::from(self.magnitude)
    }

    /// Compares `x` with what was expected in this place.
    pub fn look(&self, params: &BaselineParams, place: Place, x: f64) -> Deviation {
        let phase = place.phase;
        let week = if params.points_per_week > 0.0 { self.week.look(place.week) } else { Foretold::default() };
        let mean = f64::from(self.mean) + WEEK_STEP_SHARE * week.step;
        let season = (self.visits[phase] > 0).then(|| f64::from(self.season[phase]) + week.correction);
        let level = f64::from(self.level) + week.step + f64::from(self.offset[phase]);
        let errors = [x - mean, season.map_or(0.0, |s| x - s), x - level];
        let spread = (f64::from(self.phase_spread[phase]) * PHASE_SPREAD_UNIT).clamp(PHASE_SPREAD.0, PHASE_SPREAD.1);
        // Three quarters of it on a logarithmic scale: r^.75.
        let phase_spread = (spread * spread.sqrt()).sqrt();
        let mut z = [0.0; 3];
        let mut product = 1.0;
        for j in 0..3 {
            let sd = MAD_TO_SD * phase_spread * f64::from(self.spread[j]) + RELATIVE_FLOOR * self.magnitude();
            z[j] = if errors[j] == 0.0 { 0.0 } else { (errors[j].abs() / sd).min(Z_MAX) };
            product *= sd;
        }
        let expected = median(mean, season.unwrap_or(mean), level);
        Deviation { errors, z, scale: product.cbrt(), expected, phase_spread, week }
    }

    /// Learns from a value, the `n`-th before it (0 for the first).
    pub fn learn(&mut self, params: &BaselineParams, place: Place, x: f64, magnitude: f64, n: u32, seen: &Deviation) {
        let phase = place.phase;
        let first = 1.0 / (f64::from(n) + 1.0);
        let spread_gain = params.spread_gain.max(first);
        let grown = spread_gain * (magnitude - self.magnitude());
        add(&mut self.magnitude, grown);
        // Without the floor a spread of zero would clip every error to zero and stay there.
        let floor = RELATIVE_FLOOR * self.magnitude() / MAD_TO_SD;
        let mut in_spreads = 0.0;
        for (spread, error) in self.spread.iter_mut().zip(seen.errors) {
            let usual = f64::from(*spread) + floor;
            let size = error.abs().min(SPREAD_CLIP * usual);
            in_spreads += if size > 0.0 { size / usual } else { 0.0 };
            add(spread, spread_gain * (size - f64::from(*spread)));
        }
        add(&mut self.mean, params.mean_gain.max(first) * seen.errors[0] + WEEK_STEP_SHARE * seen.week.step);
        let visits = f64::from(self.visits[phase]);
        if params.points_per_week > 0.0 && visits > 0.0 {
            let error = x - f64::from(self.season[phase]);
            let limit = SPREAD_CLIP * (f64::from(self.spread[1]) + floor);
            let weeks = (f64::from(n) / params.points_per_week).floor();
            self.week.learn(&seen.week, error, limit, WEEK_GAIN_SHARE * spread_gain, weeks);
        }
        let season_gain = params.season_gain.max(1.0 / (visits + 1.0));
        let season = &mut self.season[phase];
        add(season, season_gain * (x - f64::from(*season)));
        add(&mut self.level, LEVEL_GAIN * seen.errors[2] + seen.week.step);
        let offset_gain = params.season_gain.max(1.0 / (visits + 2.0)) * OFFSET_SHARE;
        add(&mut self.offset[phase], offset_gain * seen.errors[2]);
        if n >= SPREAD_POINTS {
            let gain = (0.5 * params.season_gain).max(1.0 / (visits + 1.0 + PHASE_SPREAD_PRIOR));
            let kept = f64::from(self.phase_spread[phase]);
            self.phase_spread[phase] = (kept + gain * (in_spreads / 3.0 / PHASE_SPREAD_UNIT - kept)).round() as u16;
        }
        self.visits[phase] = self.visits[phase].saturating_add(1);
    }
}

/// Adds in double precision; the state keeps single.
fn add(state: &mut f32, change: f64) {
    *state = (f64::from(*state) + change) as f32;
}

fn median(a: f64, b: f64, c: f64) -> f64 {
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: BaselineParams =
        BaselineParams { phases: 2, season_gain: 0.1, mean_gain: 0.02, spread_gain: 0.01, points_per_week: 0.0 };

    fn at(phase: usize) -> Place {
        Place { phase, week: 0 }
    }

    #[test]
    fn the_median_is_the_middle_one() {
        for (a, b, c) in [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 3.0, 1.0), (2.0, 2.0, 5.0)] {
            assert_eq!(median(a, b, c), 2.0);
        }
    }

    #[test]
    fn a_season_is_learnt_by_the_buckets() {
        let mut b = Baselines::new(10.0);
        for n in 0..400u32 {
            let phase = (n % 2) as usize;
            let x = if phase == 0 { 0.0 } else { 10.0 };
            let seen = b.look(&PARAMS, at(phase), x);
            b.learn(&PARAMS, at(phase), x, 10.0, n, &seen);
        }
        let seen = b.look(&PARAMS, at(1), 10.0);
        assert!(seen.errors[1].abs() < 1e-3 && seen.errors[2].abs() < 0.5, "{seen:?}");
        assert!((seen.errors[0] - 5.0).abs() < 0.5, "the moving mean knows no season: {seen:?}");
    }

    #[test]
    fn a_constant_series_that_moves_is_far_out_and_then_learnt() {
        let mut b = Baselines::new(100.0);
        for n in 0..100 {
            let seen = b.look(&PARAMS, at(0), 0.0);
            assert_eq!(seen.z, [0.0; 3]);
            b.learn(&PARAMS, at(0), 0.0, 100.0, n, &seen);
        }
        assert!(b.look(&PARAMS, at(0), 50.0).z.iter().all(|z| *z > 50.0));
        for n in 100..2000 {
            let seen = b.look(&PARAMS, at(0), 50.0);
            b.learn(&PARAMS, at(0), 50.0, 150.0, n, &seen);
        }
        assert!(b.look(&PARAMS, at(0), 50.0).z.iter().all(|z| *z < 1.0));
    }

    #[test]
    fn a_noisy_time_of_day_has_its_own_spread() {
        let mut b = Baselines::new(100.0);
        for n in 0..4000u32 {
            // Errors of 0.5 in one bucket and of 4 in the other, in turns.
            let (phase, sign) = ((n % 2) as usize, if n / 2 % 2 == 0 { 1.0 } else { -1.0 });
            let x = sign * if phase == 0 { 0.5 } else { 4.0 };
            let seen = b.look(&PARAMS, at(phase), x);
            b.learn(&PARAMS, at(phase), x, 100.0, n, &seen);
        }
        let (calm, noisy) = (b.look(&PARAMS, at(0), 4.0), b.look(&PARAMS, at(1), 4.0));
        // Spreads of the whole near 2.25, of the buckets .5 and 4: shares of .22 and 1.8 without the floor.
        assert!(calm.phase_spread < 0.55 && noisy.phase_spread > 1.3, "{calm:?} {noisy:?}");
        assert!(calm.z[0] > 2.0 * noisy.z[0]);
    }

    #[test]
    fn all_zero_gives_no_nan() {
        let mut b = Baselines::new(0.0);
        for n in 0..10 {
            let seen = b.look(&PARAMS, at(0), 0.0);
            assert_eq!((seen.z, seen.expected), ([0.0; 3], 0.0));
            b.learn(&PARAMS, at(0), 0.0, 0.0, n, &seen);
        }
        assert_eq!(b.look(&PARAMS, at(0), 1.0).z, [Z_MAX, Z_MAX, Z_MAX]);
    }
}
