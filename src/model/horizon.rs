//! How wrong the hourly ensemble is, by how far ahead it looks.
//!
//! For eight distances up to two days it keeps forecasts until they come true, so many of each that one is scored every few
//! hours, at hours that wander over the day. Errors are kept by distance, in units of how noisy that hour of the day is;
//! scaled errors of the near and of the far distances move two sets of `quantiles`. Knows nothing of how forecasts are made.

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use super::members::{DAY, hour_of_day};
use super::quantiles::Quantiles;

const DISTANCES: usize = 8;
/// Hours ahead.
const AHEAD: [usize; DISTANCES] = [1, 2, 4, 8, 16, 24, 36, 48];
/// A forecast is kept every so many hours; the far ones at no divisor of a day, so that all hours get their turn.
const EVERY: [usize; DISTANCES] = [1, 1, 2, 3, 5, 5, 7, 7];
/// How many wait at a time.
const WAITING: [usize; DISTANCES] = waiting();
const ALL_WAITING: usize = sum(&WAITING);
/// Hours ahead up to which the near quantiles hold, and from which the far ones do.
const NEAR: f64 = 4.0;
const FAR: f64 = 8.0;
/// Growth from distance to distance while the farther one has not been measured.
const UNMEASURED_GROWTH: f64 = 1.15;
/// Hours with a day before them until the quantiles adapt.
const QUANTILES_AFTER: u16 = 240;
/// Share of an old mean error that a new error takes the place of; 1/n at first.
const ERROR_GAIN: f64 = 0.02;
const NOISE_GAIN: f64 = 0.1;

/// Measured errors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HorizonErrors {
    /// Mean absolute error by distance, in units of [`Self::hour_factor`].
    error: [f32; DISTANCES],
    scored: [u16; DISTANCES],
    near: Quantiles,
    far: Quantiles,
    /// Forecasts that have not come true, distance by distance; each at the hour it was made, in units of [`EVERY`].
    forecasts: Cells<i16, ALL_WAITING>,
    /// Hours in which forecasts were offered.
    offered: u8,
    /// Mean |value - value a day before| by hour of the day.
    noise: Cells<i16, DAY>,
    noise_mean: f32,
    total: u16,
}

impl HorizonErrors {
    /// Nothing measured.
    pub fn new() -> Self {
        Self {
            error: [0.0; DISTANCES],
            scored: [0; DISTANCES],
            near: Quantiles::new(),
            far: Quantiles::new(),
            forecasts: Cells::new(),
            offered: 0,
            noise: Cells::new(),
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
        self.noise.get(hour)
    }

    /// How noisy an hour of the day is, 1 being the mean.
    pub fn hour_factor(&self, hour: usize) -> f64 {
        if self.noise_mean <= 0.0 {
            return 1.0;
        }
        (self.noise.get(hour) / f64::from(self.noise_mean)).clamp(0.05, 20.0).sqrt()
    }

    /// Mean absolute error `ahead` hours ahead, in units of [`Self::hour_factor`]; never falls with the distance.
    pub fn error(&self, ahead: f64) -> f64 {
        let (mut before, mut before_at) = (f64::from(self.error[0]), AHEAD[0] as f64);
        for (i, distance) in AHEAD.into_iter().enumerate().skip(1) {
            let distance = distance as f64;
            let here =
                if self.scored[i] > 2 { f64::from(self.error[i]).max(before) } else { before * UNMEASURED_GROWTH };
            if ahead <= distance {
                let part = ((ahead - before_at) / (distance - before_at)).max(0.0);
                return before + part * (here - before);
            }
            (before, before_at) = (here, distance);
        }
        before * (ahead / before_at).sqrt()
    }

    /// The φ-quantile of the error in mean absolute errors, `probit` being the standard normal one. Rises with it.
    pub fn multiplier(&self, probit: f64, ahead: f64) -> f64 {
        let far = ((ahead - NEAR) / (FAR - NEAR)).clamp(0.0, 1.0);
        (1.0 - far) * self.near.at(probit) + far * self.far.at(probit)
    }

    /// Scores the hour that has come, counted from the epoch: `sample` is a value within it, `change` the distance from
    /// the same hour a day before where there is one.
    pub fn score(&mut self, forgetting: f64, hour: i64, sample: f64, change: Option<f64>) {
        let of_day = hour_of_day(hour);
        let factor = self.hour_factor(of_day);
        for (distance, ahead) in AHEAD.into_iter().enumerate() {
            let made = hour.saturating_sub(ahead as i64);
            if let Some(place) = place(distance, made)
                && usize::from(self.offered) >= ahead
            {
                let error = (sample - self.forecasts.get(place)) / factor;
                self.score_distance(forgetting, distance, error);
            }
        }
        if let Some(change) = change {
            let days = f64::from(self.total / DAY as u16) + 1.0;
            let gain = (NOISE_GAIN / forgetting).min(1.0).max(1.0 / days);
            let known = self.noise.get(of_day);
            self.noise.set(of_day, known + gain * (change.abs() - known));
            self.noise_mean = ((0..DAY).map(|hour| self.noise.get(hour)).sum::<f64>() / DAY as f64) as f32;
            self.total = self.total.saturating_add(1);
        }
    }

    /// Keeps what is due of the forecasts made at an hour counted from the epoch. To be called for each hour, once the
    /// first time.
    pub fn offer(&mut self, hour: i64, forecast: impl Fn(usize) -> f64) {
        for (distance, ahead) in AHEAD.into_iter().enumerate() {
            if let Some(place) = place(distance, hour) {
                self.forecasts.set(place, forecast(ahead));
            }
        }
        self.offered = self.offered.saturating_add(1);
    }

    fn score_distance(&mut self, forgetting: f64, distance: usize, error: f64) {
        let size = error.abs().min(1e30);
        let known = f64::from(self.error[distance]);
        if self.scored[distance] > 2 && known > 0.0 && self.total > QUANTILES_AFTER {
            let quantiles = if AHEAD[distance] as f64 <= NEAR { &mut self.near } else { &mut self.far };
            quantiles.learn(forgetting, error / known);
        }
        self.scored[distance] = self.scored[distance].saturating_add(1);
        let gain = (ERROR_GAIN / forgetting).min(1.0).max(1.0 / f64::from(self.scored[distance]));
        self.error[distance] = (known + gain * (size - known)) as f32;
    }
}

/// Where a forecast over a distance that is made at this hour waits; None at hours at which none is kept.
fn place(distance: usize, made: i64) -> Option<usize> {
    let every = EVERY[distance] as i64;
    let turn = made.div_euclid(every).rem_euclid(WAITING[distance] as i64) as usize;
    (made.rem_euclid(every) == 0).then(|| sum(&WAITING[..distance]) + turn)
}

const fn waiting() -> [usize; DISTANCES] {
    let mut waiting = [0; DISTANCES];
    let mut i = 0;
    while i < DISTANCES {
        waiting[i] = AHEAD[i].div_ceil(EVERY[i]);
        i += 1;
    }
    waiting
}

const fn sum(of: &[usize]) -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < of.len() {
        sum += of[i];
        i += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    /// Hours whose value at an hour is `value`, and whose forecasts are what `forecast` says for an hour and a distance.
    fn scored(hours: i64, value: impl Fn(i64) -> f64, forecast: impl Fn(i64, usize) -> f64) -> HorizonErrors {
        let mut h = HorizonErrors::new();
        for hour in 0..hours {
            h.score(1.0, hour, value(hour), Some(1.0));
            h.offer(hour, |ahead| forecast(hour + ahead as i64, ahead));
        }
        h
    }

    #[test]
    fn each_forecast_is_compared_with_the_hour_it_was_for() {
        // The forecast for hour h over k hours is h + k, the value is h: the error is the distance itself.
        let h = scored(2000, |hour| hour as f64, |hour, ahead| (hour + ahead as i64) as f64);
        for (error, ahead) in h.error.iter().zip(AHEAD) {
            assert!((f64::from(*error) - ahead as f64).abs() < 0.01, "{ahead}: {error}");
        }
        assert!((h.error(6.0) - 6.0).abs() < 0.01, "linear between");
        assert!((h.error(192.0) - 96.0).abs() < 0.02, "as a random walk beyond");
        assert!(h.scored[7] > 270 && h.scored[0] == 1999);
    }

    #[test]
    fn hours_wander_over_the_day() {
        for (distance, every) in EVERY.into_iter().enumerate().skip(2) {
            let mut of_day: Vec<usize> =
                (0..1000).filter(|made| place(distance, *made).is_some()).map(hour_of_day).collect();
            of_day.sort_unstable();
            of_day.dedup();
            let expected = if every <= 3 { DAY / every } else { DAY };
            assert_eq!(of_day.len(), expected, "{distance}");
        }
    }

    #[test]
    fn near_and_far_errors_have_quantiles_of_their_own() {
        // Near errors are normal, far ones have only an upper side.
        let mut h = HorizonErrors::new();
        for hour in 0..20_000 {
            h.score(1.0, hour, 0.0, Some(1.0));
            h.offer(hour, |ahead| {
                let mut noise = Noise::new(hour as u64 * 64 + ahead as u64);
                if ahead <= 4 { noise.normal() } else { noise.uniform().ln() }
            });
        }
        assert!((h.multiplier(-1.96, 1.0) + 2.45).abs() < 0.5, "{}", h.multiplier(-1.96, 1.0));
        assert!(h.multiplier(-1.96, 40.0) > -0.2 && h.multiplier(1.96, 40.0) > 3.0);
        let between = h.multiplier(-1.96, 6.0);
        assert!(h.multiplier(-1.96, 4.0) < between && between < h.multiplier(-1.96, 8.0));
    }

    #[test]
    fn errors_never_fall_with_the_distance() {
        let mut h = HorizonErrors::new();
        let mut noise = Noise::new(6);
        for hour in 0..3000 {
            h.score(1.0, hour, noise.normal(), Some(1.0));
            h.offer(hour, |ahead| if ahead == 8 { 9.0 } else { 0.1 * ahead as f64 });
        }
        let e: Vec<f64> = (0..400).map(|i| h.error(f64::from(i) * 0.5)).collect();
        assert!(e.windows(2).all(|w| w[0] <= w[1]));
        assert!(e[399] > 3.0 * e[2]);
    }

    #[test]
    fn a_noisy_hour_has_a_larger_factor() {
        let mut h = HorizonErrors::new();
        for hour in 0..2000 {
            h.score(1.0, hour, 0.0, Some(if hour_of_day(hour) == 3 { 16.0 } else { 1.0 }));
        }
        assert!(h.hour_factor(3) > 2.0 * h.hour_factor(4));
    }
}
