//! The long view: a series as hours, its ensemble of members and their measured errors.
//!
//! Ticks are averaged into hours by event time; each closed hour is scored and learnt once. Hours without a tick are
//! filled with their own forecast, so that the season stays in step. Knows nothing of trends within the hour.

use serde::{Deserialize, Serialize};

use super::horizon::HorizonErrors;
use super::members::{DAY, Members, Weights, hour_of_day};
use super::profile::Seasonality;
use crate::base::Millis;

pub(super) const HOUR_MS: Millis = 3_600_000;
/// Hours of history before the ensemble is asked.
const HOURS_NEEDED: u32 = 48;
/// Hours for which one hour ahead must have been scored.
const SCORES_NEEDED: u16 = 24;
/// Hours before the steady season is taken out of trends.
const SEASON_AFTER: u32 = 72;
/// Share of the season that is steady from which on it counts as known.
const KNOWN_SHARE: f32 = 0.5;
/// A longer silence, in hours, makes the series a new one.
const LONGEST_GAP: i64 = 192;
/// A mean absolute difference of two independent values times this is one value's variance's root.
const DIFFERENCE_TO_SD: f64 = 0.8862;

/// Constants of one profile and interval.
#[derive(Clone, Debug)]
pub(super) struct HourlyParams {
    pub seasonality: Seasonality,
    /// From the start of an hour to the mean time of its ticks.
    pub centre_ms: f64,
    /// Whether an hour has one tick at most, and is closed with it.
    pub one_tick: bool,
    /// Time constants relative to the reference.
    pub forgetting: f64,
}

/// Closed hours and the one that is open. Values are relative to the series' origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hourly {
    members: Members,
    errors: HorizonErrors,
    /// The open hour, counted from the epoch.
    open: i64,
    sum: f64,
    ticks: u32,
    /// The first tick at or after the middle of the open hour, else the last before it.
    sample: f32,
    /// Share of the steady season that is worth taking out of a trend.
    season_share: f32,
}

/// The ensemble made ready for many horizons.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongView<'a> {
    hourly: &'a Hourly,
    params: &'a HourlyParams,
    weights: Weights,
}

impl HourlyParams {
    /// Constants for ticks every `interval_ms`.
    pub fn new(seasonality: Seasonality, interval_ms: Millis, forgetting: f64) -> Self {
        let ticks = (HOUR_MS / interval_ms.max(1)).max(1);
        let centre_ms = 0.5 * (ticks - 1) as f64 * interval_ms as f64;
        Self { seasonality, centre_ms, one_tick: ticks == 1, forgetting }
    }
}

impl Hourly {
    /// Begins with the hour of `t`.
    pub fn new(t: Millis) -> Self {
        Self {
            members: Members::new(),
            errors: HorizonErrors::new(),
            open: t.div_euclid(HOUR_MS),
            sum: 0.0,
            ticks: 0,
            sample: 0.0,
            season_share: 0.0,
        }
    }

    /// Learns a tick; true if it closed an hour.
    pub fn tick(&mut self, params: &HourlyParams, t: Millis, x: f64) -> bool {
        let hour = t.div_euclid(HOUR_MS);
        if hour < self.open {
            return false; // a second tick in an hour that should have one
        }
        let mut closes = hour > self.open;
        if hour.saturating_sub(self.open) > LONGEST_GAP {
            *self = Self::new(t);
        }
        while self.open < hour {
            if self.ticks > 0 {
                self.close(params)
            } else {
                self.fill(params)
            }
            self.open += 1;
        }
        self.sum += x;
        self.ticks += 1;
        let into_hour = t.rem_euclid(HOUR_MS) as f64;
        if into_hour <= params.centre_ms || self.ticks == 1 {
            self.sample = x as f32;
        }
        if params.one_tick {
            self.close(params);
            self.open += 1;
            closes = true;
        }
        closes
    }

    /// The steady season at a time, 0 before one is known.
    pub fn season_at(&self, params: &HourlyParams, t: f64) -> f64 {
        if self.season_share <= 0.0 {
            return 0.0;
        }
        let position = (t - params.centre_ms) / HOUR_MS as f64;
        let floor = position.floor();
        let part = position - floor;
        let hour = (floor as i64).rem_euclid(DAY as i64) as usize;
        let season = self.members.season(hour) * (1.0 - part) + self.members.season((hour + 1) % DAY) * part;
        f64::from(self.season_share) * season
    }

    /// Whether most of the season is the same from day to day.
    pub fn knows_season(&self) -> bool {
        self.season_share >= KNOWN_SHARE
    }

    /// Whether there is a season is known, one way or the other.
    pub fn has_tried_season(&self) -> bool {
        self.members.hours() >= SEASON_AFTER
    }

    /// By how much [`Self::season_at`] may be off at a time because the season has an edge within the hour: half of the bend
    /// there.
    pub fn season_doubt(&self, params: &HourlyParams, t: f64) -> f64 {
        let hour = ((t - params.centre_ms) / HOUR_MS as f64).floor() as i64;
        let season = |hour: i64| self.members.season(hour.rem_euclid(DAY as i64) as usize);
        let bend = |hour: i64| (season(hour - 1) - 2.0 * season(hour) + season(hour + 1)).abs();
        f64::from(self.season_share) * 0.5 * bend(hour).max(bend(hour + 1))
    }

    /// The ensemble, once it has been measured.
    pub fn view<'a>(&'a self, params: &'a HourlyParams) -> Option<LongView<'a>> {
        if self.members.hours() < HOURS_NEEDED || self.errors.measured_hours() < SCORES_NEEDED {
            return None;
        }
        let weights = self.members.weights()?;
        Some(LongView { hourly: self, params, weights })
    }

    fn close(&mut self, params: &HourlyParams) {
        let y = self.sum / f64::from(self.ticks.max(1));
        let hours = self.members.hours();
        let change = (hours as usize >= DAY && params.seasonality.daily).then(|| y - self.members.back(DAY - 1));
        self.errors.score(params.forgetting, self.open, f64::from(self.sample), change);
        self.members.push(params.seasonality, self.open, y);
        self.finish_hour(params);
    }

    /// An hour in which no tick came: the members see their own forecast, and nothing is scored.
    fn fill(&mut self, params: &HourlyParams) {
        let y = match self.members.weights() {
            Some(weights) => self.members.forecast(&weights, 1, self.open),
            None => self.members.back(0),
        };
        self.members.push(params.seasonality, self.open, y);
        self.finish_hour(params);
    }

    /// After the open hour was learnt.
    fn finish_hour(&mut self, params: &HourlyParams) {
        (self.sum, self.ticks) = (0.0, 0);
        let (members, closed) = (&self.members, self.open);
        if members.hours() >= HOURS_NEEDED
            && let Some(weights) = members.weights()
        {
            self.errors.offer(closed, |ahead| members.forecast(&weights, ahead, closed + ahead as i64));
        }
        if params.seasonality.daily && members.hours() >= SEASON_AFTER {
            // Hour by hour: what one odd day leaves in the season comes with as much change from day to day.
            let (mut power, mut steady) = (0.0, 0.0);
            for hour in 0..DAY {
                let season = members.season(hour).powi(2);
                let noise = (self.errors.daily_change(hour) * DIFFERENCE_TO_SD).powi(2);
                power += season;
                steady += (season - noise).max(0.0);
            }
            self.season_share = if power > 0.0 { (steady / power) as f32 } else { 0.0 };
        }
    }
}

impl LongView<'_> {
    /// Forecast for a time, and its mean absolute error.
    pub fn at(&self, t: f64) -> (f64, f64) {
        let hourly = self.hourly;
        let closed = hourly.open - 1;
        let position = self.hours_ahead(t);
        let floor = position.floor();
        let (ahead, part) = (floor as usize, position - floor);
        let value = |ahead: usize| match ahead {
            0 => hourly.members.back(0),
            k => hourly.members.forecast(&self.weights, k, closed + k as i64),
        };
        let forecast = if part > 0.0 { (1.0 - part) * value(ahead) + part * value(ahead + 1) } else { value(ahead) };
        let nearest = closed + (position + 0.5) as i64;
        (forecast, hourly.errors.error(position) * hourly.errors.hour_factor(hour_of_day(nearest)))
    }

    /// Mean absolute error that many hours ahead at a usual hour.
    pub fn error(&self, hours: f64) -> f64 {
        self.hourly.errors.error(hours)
    }

    /// The quantile of the error in mean absolute errors at a time, `probit` being the standard normal one.
    pub fn multiplier(&self, probit: f64, t: f64) -> f64 {
        self.hourly.errors.multiplier(probit, self.hours_ahead(t))
    }

    /// From the newest closed hour.
    fn hours_ahead(&self, t: f64) -> f64 {
        let closed = (self.hourly.open - 1) as f64;
        ((t - self.params.centre_ms) / HOUR_MS as f64 - closed).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const AUTO: Seasonality = Seasonality { daily: true, weekly: true };
    const MINUTES_5: Millis = 300_000;

    fn sine(t: Millis) -> f64 {
        (t as f64 / (24.0 * HOUR_MS as f64) * std::f64::consts::TAU).sin() * 10.0
    }

    #[test]
    fn the_centre_is_the_mean_time_of_the_ticks() {
        assert_eq!(HourlyParams::new(AUTO, HOUR_MS, 1.0).centre_ms, 0.0);
        assert_eq!(HourlyParams::new(AUTO, 1_800_000, 1.0).centre_ms, 900_000.0);
        assert_eq!(HourlyParams::new(AUTO, 2 * HOUR_MS, 1.0).centre_ms, 0.0);
    }

    #[test]
    fn a_season_is_forecast_at_any_interval_even_after_a_gap() {
        for (interval, tolerance) in [(60_000, 1.6), (MINUTES_5, 1.6), (HOUR_MS, 1.6), (2 * HOUR_MS, 3.5)] {
            let params = HourlyParams::new(AUTO, interval, 1.0);
            let mut hourly = Hourly::new(0);
            let mut noise = Noise::new(1);
            let end = 14 * 24 * HOUR_MS;
            let gap = 10 * 24 * HOUR_MS..10 * 24 * HOUR_MS + 15 * HOUR_MS;
            for t in (0..end).step_by(interval as usize).filter(|t| !gap.contains(t)) {
                hourly.tick(&params, t, sine(t) + 0.3 * noise.normal());
            }
            let view = hourly.view(&params).unwrap();
            for ahead in [1, 6, 13, 30, 48] {
                let t = end + ahead * HOUR_MS + 600_000;
                let (forecast, error) = view.at(t as f64);
                assert!((forecast - sine(t)).abs() < tolerance, "{interval} {ahead}: {forecast} for {}", sine(t));
                assert!(error > 0.0 && error < 2.5, "{interval} {ahead}: {error}");
            }
            let steady = hourly.season_at(&params, (end + 6 * HOUR_MS) as f64);
            assert!((steady - 10.0).abs() < 2.5, "{interval}: {steady}");
        }
    }

    #[test]
    fn an_hour_of_one_tick_is_closed_with_it() {
        let params = HourlyParams::new(AUTO, HOUR_MS, 1.0);
        let mut hourly = Hourly::new(0);
        for hour in 0..100 {
            assert!(hourly.tick(&params, hour * HOUR_MS, hour as f64));
            assert!((hourly.members.back(0) - hour as f64).abs() < 0.1);
        }
        assert!(!hourly.tick(&params, 99 * HOUR_MS + 60_000, 5.0), "a second tick in that hour");
        assert_eq!(hourly.members.hours(), 100);
        hourly.tick(&params, 103 * HOUR_MS, 103.0);
        assert_eq!(hourly.members.hours(), 104, "the hours between are filled");
        let fine = HourlyParams::new(AUTO, MINUTES_5, 1.0);
        let mut hourly = Hourly::new(0);
        assert!((0..12).all(|i| !hourly.tick(&fine, i * MINUTES_5, 1.0)) && hourly.tick(&fine, HOUR_MS, 1.0));
    }

    #[test]
    fn a_silence_longer_than_the_memory_starts_anew() {
        let params = HourlyParams::new(AUTO, MINUTES_5, 1.0);
        let mut hourly = Hourly::new(0);
        for t in (0..4 * 24 * HOUR_MS).step_by(MINUTES_5 as usize) {
            hourly.tick(&params, t, sine(t));
        }
        assert!(hourly.view(&params).is_some());
        hourly.tick(&params, 400 * 24 * HOUR_MS, 5.0);
        assert!(hourly.view(&params).is_none());
    }
}
