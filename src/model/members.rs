//! The hourly ensemble: seven simple forecasters, weighted by how well each has done lately.
//!
//! Three exponential smoothings with a season of a day, the last value, the same hour yesterday, the same hour a week ago,
//! and yesterday corrected by a week ago. A probe follows each for 23 hours at a time; weights go with the inverse sixth
//! power of its mean error, which is what makes the ensemble good. Source: the prototypes behind models/default.md.
//!
//! Knows hours since the series began and the hour of the day; knows no clock and no intervals (see `horizon`).

use serde::{Deserialize, Serialize};

use super::compact::{CompactRing, HOURS};
use super::profile::Seasonality;

pub(super) const DAY: usize = 24;
const WEEK: usize = 168;
const MEMBERS: usize = 7;
const LAST: usize = 3;
const YESTERDAY: usize = 4;
const LAST_WEEK: usize = 5;
const DOUBLE: usize = 6;
/// Hours for which a probe follows the members.
const PROBE_HOURS: u8 = 23;
const FORGET_PROBE: f32 = 0.1;

/// Gains of a smoothing: level, season, and decay and gain of its transient.
struct Smoothing {
    level: f64,
    season: f64,
    decay: f64,
    transient: f64,
}

const SMOOTHINGS: [Smoothing; 3] = [
    Smoothing { level: 0.3, season: 0.6, decay: 0.0, transient: 0.0 },
    Smoothing { level: 0.03, season: 0.4, decay: 0.95, transient: 0.5 },
    Smoothing { level: 0.1, season: 0.1, decay: 0.0, transient: 0.0 },
];
/// The smoothing whose season is the steadiest.
const STEADY: usize = 2;

/// The members' state. Values are relative to the series' origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Members {
    ring: CompactRing,
    level: [f32; 3],
    transient: [f32; 3],
    season: [[f32; DAY]; 3],
    /// Mean error of each member over its last probes.
    error: [f32; MEMBERS],
    probes: [u8; MEMBERS],
    probe: Probe,
    hours: u32,
}

/// Forecasts under way: where the members stood when they began.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Probe {
    level: [f32; 3],
    transient: [f32; 3],
    last: f32,
    sum: [f32; MEMBERS],
    /// Hours gone; 0 means that none is under way.
    step: u8,
    /// Members that take part, one bit each.
    takes_part: u8,
}

/// Weights of the members, worked out once for many horizons.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights([f64; MEMBERS]);

impl Members {
    /// Nothing seen.
    pub fn new() -> Self {
        let none = [0.0; 3];
        Self {
            ring: CompactRing::new(),
            level: none,
            transient: none,
            season: [[0.0; DAY]; 3],
            error: [0.0; MEMBERS],
            probes: [0; MEMBERS],
            probe: Probe { level: none, transient: none, last: 0.0, sum: [0.0; MEMBERS], step: 0, takes_part: 0 },
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
        f64::from(self.season[STEADY][hour])
    }

    /// Learns the value of the next hour, which is `hour` of the day.
    pub fn push(&mut self, seasonality: Seasonality, hour: usize, y: f64) {
        if self.hours as usize >= DAY {
            self.follow_probe(hour, y);
            self.smooth(seasonality, hour, y);
        }
        self.ring.push(y);
        self.hours = self.hours.saturating_add(1);
        if self.hours as usize == DAY {
            self.begin(seasonality, hour);
        }
        if self.hours as usize >= 2 * DAY && self.probe.step == 0 {
            self.start_probe(seasonality, y);
        }
    }

    /// Weights for [`Self::forecast`]; None before a day is over.
    pub fn weights(&self, seasonality: Seasonality) -> Option<Weights> {
        if (self.hours as usize) < DAY {
            return None;
        }
        let mut weights = [0.0; MEMBERS];
        let largest = f64::from((0..MEMBERS).filter(|m| self.probes[*m] > 0).fold(0f32, |a, m| a.max(self.error[m])));
        let mut total = 0.0;
        for m in (0..MEMBERS).filter(|m| self.probes[*m] > 0) {
            let relative = if largest > 0.0 { f64::from(self.error[m]) / largest } else { 1.0 };
            weights[m] = (relative + 0.001).powi(-6);
            total += weights[m];
        }
        if total == 0.0 {
            // No probe has ended yet.
            weights[if seasonality.daily { YESTERDAY } else { 0 }] = 1.0;
            total = 1.0;
        }
        Some(Weights(weights.map(|w| w / total)))
    }

    /// Forecast for the hour that is `ahead` (at least 1) after the newest and is `hour` of the day.
    pub fn forecast(&self, weights: &Weights, ahead: usize, hour: usize) -> f64 {
        (0..MEMBERS).filter(|m| weights.0[*m] > 0.0).map(|m| weights.0[m] * self.member(m, ahead, hour)).sum()
    }

    fn member(&self, m: usize, ahead: usize, hour: usize) -> f64 {
        match m {
            LAST => self.ring.back(0),
            YESTERDAY => self.ring.back(ahead.next_multiple_of(DAY) - ahead),
            LAST_WEEK => self.ring.back(ahead.next_multiple_of(WEEK) - ahead),
            DOUBLE if ahead > WEEK => self.ring.back(ahead.next_multiple_of(WEEK) - ahead),
            DOUBLE => {
                let days = ahead.div_ceil(DAY);
                let correction: f64 = (0..days)
                    .map(|i| ahead - DAY * i)
                    .map(|k| self.ring.back(WEEK - k) - self.ring.back(HOURS - k))
                    .sum();
                self.ring.back(DAY * days - ahead) + correction
            }
            m => {
                let decay = SMOOTHINGS[m].decay.powi(ahead as i32);
                f64::from(self.level[m]) + f64::from(self.transient[m]) * decay + f64::from(self.season[m][hour])
            }
        }
    }

    /// After the first day: level is its mean, season what is left.
    fn begin(&mut self, seasonality: Seasonality, newest_hour: usize) {
        let mean = (0..DAY).map(|b| self.ring.back(b)).sum::<f64>() / DAY as f64;
        for m in 0..SMOOTHINGS.len() {
            self.level[m] = mean as f32;
            for back in (0..DAY).filter(|_| seasonality.daily) {
                self.season[m][(newest_hour + DAY - back) % DAY] = (self.ring.back(back) - mean) as f32;
            }
        }
    }

    fn smooth(&mut self, seasonality: Seasonality, hour: usize, y: f64) {
        let visits = f64::from(self.hours / DAY as u32);
        for (m, gains) in SMOOTHINGS.iter().enumerate() {
            let carried = gains.decay * f64::from(self.transient[m]);
            let error = y - (f64::from(self.level[m]) + carried + f64::from(self.season[m][hour]));
            self.transient[m] = (carried + gains.transient * error) as f32;
            self.level[m] += (gains.level * error) as f32;
            if seasonality.daily {
                self.season[m][hour] += (gains.season.max(1.0 / (visits + 1.0)) * error) as f32;
            }
        }
    }

    fn start_probe(&mut self, seasonality: Seasonality, y: f64) {
        let hours = self.hours as usize;
        let mut takes_part = 0b1111u8;
        takes_part |= u8::from(seasonality.daily) << YESTERDAY;
        takes_part |= u8::from(seasonality.weekly && hours >= WEEK) << LAST_WEEK;
        takes_part |= u8::from(seasonality.daily && seasonality.weekly && hours >= HOURS) << DOUBLE;
        self.probe = Probe {
            level: self.level,
            transient: self.transient,
            last: y as f32,
            sum: [0.0; MEMBERS],
            step: 1,
            takes_part,
        };
    }

    /// Scores the forecasts under way for the hour that has come, before it is learnt.
    fn follow_probe(&mut self, hour: usize, y: f64) {
        let step = i32::from(self.probe.step);
        if step == 0 {
            return;
        }
        let yesterday = self.ring.back(DAY - 1);
        let mut forecasts = [0.0; MEMBERS];
        for (m, gains) in SMOOTHINGS.iter().enumerate() {
            let transient = f64::from(self.probe.transient[m]) * gains.decay.powi(step);
            forecasts[m] = f64::from(self.probe.level[m]) + transient + f64::from(self.season[m][hour]);
        }
        forecasts[LAST] = f64::from(self.probe.last);
        forecasts[YESTERDAY] = yesterday;
        forecasts[LAST_WEEK] = self.ring.back(WEEK - 1);
        forecasts[DOUBLE] = yesterday + self.ring.back(WEEK - 1) - self.ring.back(HOURS - 1);
        for (sum, forecast) in self.probe.sum.iter_mut().zip(forecasts) {
            *sum += (y - forecast).abs().min(1e30) as f32;
        }
        self.probe.step += 1;
        if self.probe.step > PROBE_HOURS {
            self.end_probe();
        }
    }

    fn end_probe(&mut self) {
        for m in (0..MEMBERS).filter(|m| self.probe.takes_part >> m & 1 == 1) {
            let mean = self.probe.sum[m] / f32::from(PROBE_HOURS);
            self.probes[m] = self.probes[m].saturating_add(1);
            let gain = FORGET_PROBE.max(1.0 / f32::from(self.probes[m]));
            self.error[m] += gain * (mean - self.error[m]);
        }
        self.probe.step = 0; // the next one starts once this hour is learnt
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const AUTO: Seasonality = Seasonality { daily: true, weekly: true };

    fn fed(seasonality: Seasonality, hours: usize, mut value: impl FnMut(usize) -> f64) -> Members {
        let mut members = Members::new();
        for i in 0..hours {
            members.push(seasonality, i % DAY, value(i));
        }
        members
    }

    /// Mean error of the next 48 hours.
    fn error(members: &Members, seasonality: Seasonality, from: usize, value: impl Fn(usize) -> f64) -> f64 {
        let weights = members.weights(seasonality).unwrap();
        let errors = (1..=48).map(|k| {
            let i = from - 1 + k;
            (members.forecast(&weights, k, i % DAY) - value(i)).abs()
        });
        errors.sum::<f64>() / 48.0
    }

    #[test]
    fn a_daily_season_is_forecast_from_the_second_day() {
        let value = |i: usize| if i % DAY < 8 { 10.0 } else { 50.0 };
        let members = fed(AUTO, 60, value);
        assert!(error(&members, AUTO, 60, value) < 0.5);
        assert!(fed(AUTO, 23, value).weights(AUTO).is_none());
    }

    #[test]
    fn a_week_is_used_where_there_is_one_and_allowed() {
        let value = |i: usize| if (i / DAY) % 7 < 5 { 100.0 } else { 20.0 } + (i % DAY) as f64;
        let hours = 7 * DAY * 5 + 4 * DAY + 12; // a Friday noon
        let daily = Seasonality { daily: true, weekly: false };
        let with = error(&fed(AUTO, hours, value), AUTO, hours, value);
        let without = error(&fed(daily, hours, value), daily, hours, value);
        assert!(with < 8.0 && without > 3.0 * with, "{with} {without}");
    }

    #[test]
    fn without_seasons_the_level_is_forecast() {
        let none = Seasonality { daily: false, weekly: false };
        let mut noise = Noise::new(1);
        let members = fed(none, 400, |_| 5.0 + 0.1 * noise.normal());
        assert!(error(&members, none, 400, |_| 5.0) < 0.1);
        assert!((0..DAY).all(|h| members.season(h) == 0.0));
    }

    #[test]
    fn a_member_that_fails_loses_its_weight() {
        // A random walk: the last value is right, yesterday is not.
        let mut noise = Noise::new(3);
        let mut level = 0.0;
        let members = fed(AUTO, 600, |_| {
            level += noise.normal();
            level
        });
        let weights = members.weights(AUTO).unwrap().0;
        assert!(weights[LAST] > 3.0 * weights[YESTERDAY], "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
