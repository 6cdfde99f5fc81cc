//! The hourly ensemble: eight simple forecasters, weighted by how well each has done lately.
//!
//! Two exponential smoothings with a season of a day, a level that the series returns to, the last value, the median of the
//! same hour over seven days, and the usual week read in three ways: with a distance that passes, with one that stays, and as
//! the change since yesterday. A `probe` measures each; weights go with the inverse eighth power of its mean error, which is what
//! makes the ensemble good. What each is worth: docs/quality.md.
//!
//! Knows hours since the epoch; knows no clock and no intervals (see `horizon`).

use serde::{Deserialize, Serialize};

use super::compact::{CompactRing, HOURS};
use super::probe::{Errors, MEMBERS, Probe};
use super::profile::Seasonality;
use super::smoothing::{ErrorSize, Gains, Level, Smoothing};
use super::week::{PASSING, STAYING, WEEK, Week};

pub(super) const DAY: usize = 24;
const DAYS: usize = HOURS / DAY;
/// Members by their place in weights and errors.
pub(super) const NIMBLE: usize = 0;
pub(super) const STEADY: usize = 1;
pub(super) const RETURNING: usize = 2;
pub(super) const LAST: usize = 3;
pub(super) const MEDIAN_DAY: usize = 4;
pub(super) const WEEK_PASSING: usize = 5;
pub(super) const WEEK_STAYING: usize = 6;
pub(super) const WEEK_CHANGE: usize = 7;

pub(super) const SMOOTHINGS: [Gains; 2] = [
    Gains { level: 0.3, season: 0.6, decay: 0.0, transient: 0.0, clip: 3.0 },
    Gains { level: 0.1, season: 0.1, decay: 0.0, transient: 0.0, clip: 0.7 },
];
pub(super) const RETURNS: Gains = Gains { level: 0.01, season: 0.0, decay: 0.9, transient: 0.9, clip: 1.0 };
/// Weights go with this power of the inverse error; errors are told apart down to a share of the largest.
const POWER: i32 = 8;
const LEAST_ERROR: f64 = 0.001;
/// A member with a smaller weight is not asked.
const NEGLIGIBLE: f64 = 1e-3;
/// The first week enters the usual one with at most this many usual errors beside its median day.
const OUTLIER: f64 = 4.0;
/// Hours for which the week has to be tried before it takes part.
const WEEK_TRIED: usize = DAY;

/// The members' state. Values are relative to the series' origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Members {
    ring: CompactRing,
    smoothings: [Smoothing; 2],
    returning: Level,
    returning_size: ErrorSize,
    week: Week,
    errors: Errors,
    probe: Probe,
    hours: u32,
}

/// Weights of the members, worked out once for many horizons.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights([f64; MEMBERS]);

impl Members {
    /// Nothing seen.
    pub fn new() -> Self {
        Self {
            ring: CompactRing::new(),
            smoothings: [Smoothing::new(), Smoothing::new()],
            returning: Level::default(),
            returning_size: ErrorSize::default(),
            week: Week::new(),
            errors: Errors::new(),
            probe: Probe::new(),
            hours: 0,
        }
    }

    /// Hours seen.
    pub fn hours(&self) -> u32 {
        self.hours
    }

    /// The value that many hours before the newest.
    pub fn back(&self, hours: usize) -> f64 {
        self.ring.back(hours)
    }

    /// The steadiest season at an hour of the day, relative to the day's mean.
    pub fn season(&self, hour: usize) -> f64 {
        self.smoothings[STEADY].season(hour)
    }

    /// Learns the value of the next hour, counted from the epoch.
    pub fn push(&mut self, seasonality: Seasonality, hour: i64, y: f64) {
        let seen = self.hours as usize;
        if seen >= DAY {
            self.follow_probe(hour, y);
            self.smooth(seasonality, hour, y);
        }
        if seen >= WEEK && seasonality.weekly {
            self.week.learn(self.hours - WEEK as u32, hour_of_week(hour), y);
        }
        self.ring.push(y);
        self.hours = self.hours.saturating_add(1);
        match self.hours as usize {
            DAY => self.begin(seasonality, hour),
            WEEK if seasonality.weekly => self.begin_week(seasonality, hour),
            _ => {}
        }
        if self.hours as usize >= 2 * DAY && !self.probe.is_under_way() {
            self.start_probe(seasonality, y);
        }
    }

    /// Weights for [`Self::forecast`]; None before a day is over.
    pub fn weights(&self) -> Option<Weights> {
        if (self.hours as usize) < DAY {
            return None;
        }
        let mut weights = [0.0; MEMBERS];
        let largest = self.errors.known().map(|(_, error)| error).fold(0.0, f64::max);
        for (m, error) in self.errors.known() {
            let relative = if largest > 0.0 { error / largest } else { 1.0 };
            weights[m] = (relative + LEAST_ERROR).powi(-POWER);
        }
        let heaviest = weights.iter().copied().fold(0.0, f64::max);
        weights.iter_mut().filter(|w| **w < NEGLIGIBLE * heaviest).for_each(|w| *w = 0.0);
        if heaviest == 0.0 {
            // No probe has ended yet.
            weights[NIMBLE] = 1.0;
        }
        let total: f64 = weights.iter().sum();
        Some(Weights(weights.map(|w| w / total)))
    }

    /// Forecast for the hour that is `ahead` (at least 1) after the newest and is this one since the epoch.
    pub fn forecast(&self, weights: &Weights, ahead: usize, hour: i64) -> f64 {
        (0..MEMBERS).filter(|m| weights.0[*m] > 0.0).map(|m| weights.0[m] * self.member(m, ahead, hour)).sum()
    }

    fn member(&self, m: usize, ahead: usize, hour: i64) -> f64 {
        let of_day = hour_of_day(hour);
        let usual = || self.week.usual(hour_of_week(hour));
        match m {
            LAST => self.ring.back(0),
            RETURNING => self.returning.ahead(&RETURNS, ahead),
            MEDIAN_DAY => self.median_day(ahead),
            WEEK_PASSING => usual() + self.week.passing.ahead(&PASSING, ahead),
            WEEK_STAYING => usual() + self.week.staying.ahead(&STAYING, ahead),
            WEEK_CHANGE => {
                let back = ahead.next_multiple_of(DAY);
                self.ring.back(back - ahead) + usual() - self.week.usual(hour_of_week(hour - back as i64))
            }
            m => self.smoothings[m].now.ahead(&SMOOTHINGS[m], ahead) + self.smoothings[m].season(of_day),
        }
    }

    /// Median of the hour of the day `ahead` hours after the newest, over the seven days before.
    fn median_day(&self, ahead: usize) -> f64 {
        let newest = ahead.next_multiple_of(DAY) - ahead;
        let mut values: [f64; DAYS] = std::array::from_fn(|day| self.ring.back(newest + DAY * day));
        *values.select_nth_unstable_by(DAYS / 2, f64::total_cmp).1
    }

    /// After the first day: level is its mean, season what is left.
    fn begin(&mut self, seasonality: Seasonality, newest: i64) {
        let mut of_hour = [0.0; DAY];
        (0..DAY).for_each(|back| of_hour[hour_of_day(newest - back as i64)] = self.ring.back(back));
        let mean = of_hour.iter().sum::<f64>() / DAY as f64;
        self.smoothings.iter_mut().for_each(|s| s.begin(mean, seasonality.daily.then_some(&of_hour)));
        self.returning.level = mean as f32;
    }

    /// After the first week.
    fn begin_week(&mut self, seasonality: Seasonality, newest: i64) {
        let most = OUTLIER * self.smoothings[STEADY].error_size();
        let mut week = self.week.clone();
        week.begin(|hour| {
            let back = (hour_of_week(newest) + WEEK - hour) % WEEK;
            let v = self.ring.back(back);
            // Without a day there is nothing to tell an outlier from.
            if !seasonality.daily {
                return v;
            }
            let median = self.median_day((DAY - back % DAY) % DAY);
            v.clamp(median - most, median + most)
        });
        self.week = week;
    }

    fn smooth(&mut self, seasonality: Seasonality, hour: i64, y: f64) {
        let seen = self.hours - DAY as u32;
        for (smoothing, gains) in self.smoothings.iter_mut().zip(&SMOOTHINGS) {
            smoothing.learn(gains, seasonality.daily, seen, hour_of_day(hour), y);
        }
        let error = y - self.returning.ahead(&RETURNS, 1);
        let error = self.returning_size.clip(seen, error, RETURNS.clip);
        self.returning.learn(&RETURNS, error);
    }

    fn start_probe(&mut self, seasonality: Seasonality, y: f64) {
        let hours = self.hours as usize;
        let week = seasonality.weekly && hours >= WEEK + WEEK_TRIED;
        let mut takes_part = [true; MEMBERS];
        takes_part[MEDIAN_DAY] = seasonality.daily && hours >= HOURS;
        takes_part[WEEK_PASSING] = week;
        takes_part[WEEK_STAYING] = week;
        takes_part[WEEK_CHANGE] = week && seasonality.daily;
        let last = Level { level: y as f32, transient: 0.0 };
        let [nimble, steady] = self.smoothings.each_ref().map(|s| s.now);
        self.probe.start([nimble, steady, self.returning, last, self.week.passing, self.week.staying], takes_part);
    }

    /// Scores the forecasts under way for the hour that has come, before it is learnt.
    fn follow_probe(&mut self, hour: i64, y: f64) {
        let Some((step, levels)) = self.probe.step() else { return };
        // A probe is shorter than a day, so that no season has learnt an hour that it asks for.
        let usual = self.week.usual(hour_of_week(hour));
        let mut forecasts = [0.0; MEMBERS];
        for m in [NIMBLE, STEADY] {
            forecasts[m] = levels[m].ahead(&SMOOTHINGS[m], step) + self.smoothings[m].season(hour_of_day(hour));
        }
        forecasts[RETURNING] = levels[RETURNING].ahead(&RETURNS, step);
        forecasts[LAST] = f64::from(levels[LAST].level);
        forecasts[MEDIAN_DAY] = self.median_day(1);
        forecasts[WEEK_PASSING] = usual + levels[4].ahead(&PASSING, step);
        forecasts[WEEK_STAYING] = usual + levels[5].ahead(&STAYING, step);
        let yesterday = self.week.usual(hour_of_week(hour - DAY as i64));
        forecasts[WEEK_CHANGE] = self.ring.back(DAY - 1) + usual - yesterday;
        if let Some(ended) = self.probe.score(forecasts, y) {
            self.errors.learn(ended);
        }
    }
}

pub(super) fn hour_of_day(hour: i64) -> usize {
    hour.rem_euclid(DAY as i64) as usize
}

fn hour_of_week(hour: i64) -> usize {
    hour.rem_euclid(WEEK as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const AUTO: Seasonality = Seasonality { daily: true, weekly: true };

    fn fed(seasonality: Seasonality, hours: usize, mut value: impl FnMut(usize) -> f64) -> Members {
        let mut members = Members::new();
        for i in 0..hours {
            members.push(seasonality, i as i64, value(i));
        }
        members
    }

    /// Mean error of the next 48 hours.
    fn error(members: &Members, from: usize, value: impl Fn(usize) -> f64) -> f64 {
        let weights = members.weights().unwrap();
        let errors = (1..=48).map(|k| {
            let i = from - 1 + k;
            (members.forecast(&weights, k, i as i64) - value(i)).abs()
        });
        errors.sum::<f64>() / 48.0
    }

    #[test]
    fn a_daily_season_is_forecast_from_the_second_day() {
        let value = |i: usize| if i % DAY < 8 { 10.0 } else { 50.0 };
        let members = fed(AUTO, 60, value);
        assert!(error(&members, 60, value) < 0.5);
        assert!(fed(AUTO, 23, value).weights().is_none());
    }

    #[test]
    fn a_week_is_used_where_there_is_one_and_allowed() {
        let value = |i: usize| if (i / DAY) % 7 < 5 { 100.0 } else { 20.0 } + (i % DAY) as f64;
        let hours = 7 * DAY * 5 + 4 * DAY + 12; // a Friday noon
        let daily = Seasonality { daily: true, weekly: false };
        let with = error(&fed(AUTO, hours, value), hours, value);
        let without = error(&fed(daily, hours, value), hours, value);
        assert!(with < 3.0 && without > 6.0 * with, "{with} {without}");
    }

    #[test]
    fn without_seasons_the_level_is_forecast() {
        let none = Seasonality { daily: false, weekly: false };
        let mut noise = Noise::new(1);
        let members = fed(none, 400, |_| 5.0 + 0.1 * noise.normal());
        assert!(error(&members, 400, |_| 5.0) < 0.1);
        assert!((0..DAY).all(|h| members.season(h) == 0.0));
    }

    #[test]
    fn a_member_that_fails_loses_its_weight() {
        // A random walk: the last value is right, a median of days is not.
        let mut noise = Noise::new(3);
        let mut level = 0.0;
        let members = fed(AUTO, 600, |_| {
            level += noise.normal();
            level
        });
        let weights = members.weights().unwrap().0;
        assert!(weights[LAST] > 3.0 * weights[MEDIAN_DAY], "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_day_is_that_of_seven() {
        let members = fed(AUTO, 10 * DAY, |i| (i % DAY) as f64 + [3.0, 1.0, 4.0, 1.5, 900.0, 2.0, 6.0][i / DAY % 7]);
        for ahead in [1, 7, 24, 25, 48] {
            let hour = (10 * DAY - 1 + ahead) % DAY;
            assert!((members.median_day(ahead) - hour as f64 - 3.0).abs() < 0.05, "{ahead}");
        }
    }

    #[test]
    fn spikes_do_not_carry_the_forecast_away() {
        // One hour in fifty is a hundred times as high; the rest has a season.
        let mut noise = Noise::new(4);
        let wave = |i: usize| 20.0 + 5.0 * (i as f64 / 24.0 * std::f64::consts::TAU).sin();
        let members = fed(AUTO, 900, |i| {
            let spike = if noise.uniform() < 0.02 { 2000.0 } else { 0.0 };
            wave(i) + noise.normal() + spike
        });
        let error = error(&members, 900, wave);
        assert!(error < 4.0, "{error}");
    }
}
