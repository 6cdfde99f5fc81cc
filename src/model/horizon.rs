//! How wrong the hourly ensemble is, by how far ahead it looks.
//!
//! Every 49 hours its path of two days is kept and scored hour by hour as it comes true; errors are kept by horizon, in
//! units of how noisy that hour of the day is, and six quantiles of the scaled error adapt so that each is exceeded as
//! often as it says. Source: the prototypes behind models/default.md. Knows nothing of how the path is made.

use serde::{Deserialize, Serialize};

use super::members::DAY;
use super::saved::floats;

/// Hours of the path that is scored.
pub(super) const PATH: usize = 48;
const BINS: usize = 8;
/// Last hour ahead that belongs to each bin.
const BIN_ENDS: [usize; BINS] = [1, 2, 4, 8, 16, 24, 32, 48];
/// Hours ahead for which a bin's error stands.
const BIN_CENTRES: [f64; BINS] = [1.0, 1.5, 3.5, 6.5, 12.5, 20.5, 28.5, 40.5];
/// Growth from bin to bin while the farther one has not been measured.
const UNMEASURED_GROWTH: f64 = 1.15;
/// Probabilities of the adaptive quantiles and where they start, in mean absolute errors.
const LEVELS: [f64; 6] = [0.025, 0.1, 0.25, 0.75, 0.9, 0.975];
const START: [f32; 6] = [2.45, 1.6, 0.84, 0.84, 1.6, 2.45];
/// Standard normal quantiles at [`LEVELS`].
const PROBITS: [f64; 6] = [-1.959_964, -1.281_552, -0.674_490, 0.674_490, 1.281_552, 1.959_964];
const QUANTILE_STEP: f64 = 0.02;
/// Scored hours before the quantiles adapt.
const QUANTILES_AFTER: u16 = 264;
const ERROR_GAIN: f64 = 0.005;

/// Measured errors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HorizonErrors {
    /// Mean absolute error by bin, in units of [`Self::hour_factor`].
    error: [f32; BINS],
    scored: [u16; BINS],
    quantile: [f32; 6],
    #[serde(with = "floats")]
    path: [f32; PATH],
    /// Hours of the path that have come true; `PATH` or more means that a new one is due.
    step: u8,
    /// Mean |value - value a day before| by hour of the day.
    noise: [f32; DAY],
    noise_mean: f32,
    total: u16,
}

impl HorizonErrors {
    /// Nothing measured.
    pub fn new() -> Self {
        Self {
            error: [0.0; BINS],
            scored: [0; BINS],
            quantile: START,
            path: [0.0; PATH],
            step: PATH as u8 + 1,
            noise: [0.0; DAY],
            noise_mean: 0.0,
            total: 0,
        }
    }

    /// Hours for which the forecast of one hour ahead has been scored.
    pub fn measured_hours(&self) -> u16 {
        self.scored[0]
    }

    /// Mean |value - value a day before| at an hour of the day.
    pub fn daily_change(&self, hour: usize) -> f64 {
        f64::from(self.noise[hour])
    }

    /// How noisy an hour of the day is, 1 being the mean.
    pub fn hour_factor(&self, hour: usize) -> f64 {
        if self.noise_mean <= 0.0 {
            return 1.0;
        }
        f64::from(self.noise[hour] / self.noise_mean).clamp(0.05, 20.0).sqrt()
    }

    /// Mean absolute error `ahead` hours ahead, in units of [`Self::hour_factor`]; never falls with the horizon.
    pub fn error(&self, ahead: f64) -> f64 {
        let (mut before, mut before_at) = (f64::from(self.error[0]), BIN_CENTRES[0]);
        for ((centre, own), scored) in BIN_CENTRES.into_iter().zip(self.error).zip(self.scored).skip(1) {
            let here = if scored > 2 { f64::from(own).max(before) } else { before * UNMEASURED_GROWTH };
            if ahead <= centre {
                let part = ((ahead - before_at) / (centre - before_at)).max(0.0);
                return before + part * (here - before);
            }
            (before, before_at) = (here, centre);
        }
        before * (ahead / before_at).sqrt()
    }

    /// The φ-quantile of the error in mean absolute errors, `probit` being the standard normal one. Rises with it.
    pub fn multiplier(&self, probit: f64) -> f64 {
        // Knots made monotone from the median outwards; the median itself is the path.
        let q = self.quantile.map(f64::from);
        let inner = (-q[2], q[3]);
        let mid = (inner.0.min(-q[1]), inner.1.max(q[4]));
        let outer = (mid.0.min(-q[0]), mid.1.max(q[5]));
        let knots = [outer.0, mid.0, inner.0, 0.0, inner.1, mid.1, outer.1];
        let at = [PROBITS[0], PROBITS[1], PROBITS[2], 0.0, PROBITS[3], PROBITS[4], PROBITS[5]];
        let right = at.iter().position(|p| probit <= *p).unwrap_or(at.len() - 1).max(1);
        let slope = (knots[right] - knots[right - 1]) / (at[right] - at[right - 1]);
        // Beyond the last knots the tail goes on at least as steeply as a normal one through the origin would.
        match probit {
            p if p < at[0] => knots[0] + (p - at[0]) * slope.max(knots[0] / at[0]),
            p if p > at[6] => knots[6] + (p - at[6]) * slope.max(knots[6] / at[6]),
            p => knots[right - 1] + (p - at[right - 1]) * slope,
        }
    }

    /// Scores the hour that has come: `sample` is a value within it, `one_ahead` what was forecast an hour before,
    /// `change` its distance from the same hour a day before where there is one.
    pub fn score(&mut self, forgetting: f64, hour: usize, sample: f64, one_ahead: Option<f64>, change: Option<f64>) {
        let factor = self.hour_factor(hour);
        if let Some(forecast) = one_ahead {
            self.score_bin(forgetting, 0, (sample - forecast) / factor);
        }
        let step = self.step as usize;
        if (1..PATH).contains(&step) {
            let bin = BIN_ENDS.iter().position(|end| step < *end).unwrap_or(BINS - 1);
            self.score_bin(forgetting, bin, (sample - f64::from(self.path[step])) / factor);
        }
        self.step = self.step.saturating_add(1);
        if let Some(change) = change {
            let days = f64::from(self.total / DAY as u16) + 1.0;
            let gain = (0.1 / forgetting).min(1.0).max(1.0 / days) as f32;
            self.noise[hour] += gain * (change.abs().min(1e30) as f32 - self.noise[hour]);
            self.noise_mean = self.noise.iter().sum::<f32>() / DAY as f32;
            self.total = self.total.saturating_add(1);
        }
    }

    /// An hour has gone without a value.
    pub fn pass_hour(&mut self) {
        self.step = self.step.saturating_add(1);
    }

    /// Keeps a new path, if one is due.
    pub fn offer_path(&mut self, path: impl Fn(usize) -> f64) {
        if self.step as usize > PATH {
            for (k, kept) in self.path.iter_mut().enumerate() {
                *kept = path(k + 1) as f32;
            }
            self.step = 0;
        }
    }

    fn score_bin(&mut self, forgetting: f64, bin: usize, error: f64) {
        let size = error.abs().min(1e30);
        let known = f64::from(self.error[bin]);
        if self.scored[bin] > 2 && known > 0.0 && self.total > QUANTILES_AFTER {
            let z = error / known;
            let adapt = QUANTILE_STEP / forgetting.max(0.25);
            for (p, m) in LEVELS.iter().zip(&mut self.quantile) {
                let (outside, rate) = if *p < 0.5 { (z < -f64::from(*m), *p) } else { (z >= f64::from(*m), 1.0 - p) };
                let moved = f64::from(*m) * (adapt * (f64::from(u8::from(outside)) - rate)).exp();
                *m = moved.clamp(0.05, 20.0) as f32;
            }
        }
        self.scored[bin] = self.scored[bin].saturating_add(1);
        let gain = (ERROR_GAIN / forgetting).min(1.0).max(1.0 / f64::from(self.scored[bin]));
        self.error[bin] = (known + gain * (size - known)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    fn scored(hours: usize, mut error: impl FnMut(usize, usize) -> f64) -> HorizonErrors {
        let mut h = HorizonErrors::new();
        let mut step = 0;
        for i in 0..hours {
            // The path is zero, so the sample is the error.
            let before = h.step as usize;
            step = if before > PATH { 0 } else { step + 1 };
            let sample = error(i, step);
            h.score(1.0, i % DAY, sample, Some(sample - error(i, 0)), Some(1.0));
            h.offer_path(|_| 0.0);
        }
        h
    }

    #[test]
    fn quantiles_hold_what_they_say_for_a_skewed_error() {
        // Exponential errors above, small ones below; mean over seeds, since a quantile of one run wanders by its step.
        let (mut upper, mut lower) = (0.0, 0.0);
        for seed in 0..12 {
            let mut noise = Noise::new(seed);
            let mut skewed = || if noise.uniform() < 0.5 { -0.1 * noise.uniform() } else { -noise.uniform().ln() };
            let h = scored(20_000, |_, _| skewed());
            upper += h.error(1.0) * h.multiplier(1.959_964) / 12.0;
            lower += h.error(1.0) * h.multiplier(-1.959_964) / 12.0;
        }
        assert!((upper - 20f64.ln()).abs() < 0.3, "2.5% of all lie above ln 20: {upper}");
        assert!((-0.11..=-0.09).contains(&lower), "{lower}");
    }

    #[test]
    fn multipliers_rise_and_errors_never_fall_with_the_horizon() {
        let mut noise = Noise::new(6);
        let h = scored(3000, |_, step| noise.normal() * (1.0 + step as f64));
        let probits = (-40..=40).map(|i| f64::from(i) / 10.0);
        let m: Vec<f64> = probits.map(|p| h.multiplier(p)).collect();
        assert!(m.windows(2).all(|w| w[0] < w[1]), "{m:?}");
        let e: Vec<f64> = (0..400).map(|i| h.error(f64::from(i) * 0.5)).collect();
        assert!(e.windows(2).all(|w| w[0] <= w[1]));
        assert!(e[399] > 3.0 * e[2]);
    }

    #[test]
    fn a_noisy_hour_has_a_larger_factor() {
        let mut h = HorizonErrors::new();
        for i in 0..2000 {
            let hour = i % DAY;
            h.score(1.0, hour, 0.0, None, Some(if hour == 3 { 16.0 } else { 1.0 }));
        }
        assert!(h.hour_factor(3) > 2.0 * h.hour_factor(4));
    }
}
