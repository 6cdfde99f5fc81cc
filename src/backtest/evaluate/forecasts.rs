//! The forecaster over series: how far its median is off, how often its interval holds the truth, and which breaches of a
//! limit it foretells.

use super::RecordedSeries;
use super::detection::quantile_of;
use crate::base::Millis;
use crate::model::{Forecaster, ForecasterParams, Profile};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
const HORIZONS: [Millis; 5] = [HOUR / 4, HOUR, 4 * HOUR, DAY, 2 * DAY];
const RAMP_HOURS: [f64; 5] = [1.0, 3.0, 6.0, 12.0, 24.0];
/// Shortest series that gets a ramp.
const RAMP_POINTS: usize = 2_000;
/// A breach is foretold if it is forecast within this long.
const FORETOLD_SECONDS: f64 = 4.0 * 3_600.0;

/// How good forecasts are so far ahead. Ratios are medians over the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HorizonFigures {
    /// Milliseconds ahead.
    pub ahead: Millis,
    /// Series with enough forecasts.
    pub series: usize,
    /// Mean absolute error over that of the last value.
    pub to_last: f64,
    /// The same over that of the same instant a day or two before.
    pub to_season: f64,
    /// Share of truths between the 5% and the 95% quantile: mean over the series.
    pub coverage: f64,
    /// The worst tenth of the series has at most this share.
    pub coverage_low: f64,
}

/// Which ramps laid over series are foretold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RampFigures {
    /// Hours in which a ramp rises by twice the series' range.
    pub hours: f64,
    /// The quantile that was asked for.
    pub phi: f64,
    /// Limits crossed.
    pub breaches: usize,
    /// Of these, those foretold.
    pub foretold: usize,
    /// Median hours before.
    pub lead_hours: f64,
    /// Alerts before a ramp began, a series-week.
    pub false_a_week: f64,
}

/// Figures by horizon: every fifth point after the first quarter of each series is asked.
#[must_use]
pub fn horizons(profile: &Profile, all: &[RecordedSeries]) -> Vec<HorizonFigures> {
    HORIZONS.iter().map(|&ahead| horizon(profile, all, ahead)).collect()
}

/// Figures of `time_until(v, limit) < 4h`, held for three points.
#[must_use]
pub fn ramps(profile: &Profile, all: &[RecordedSeries]) -> Vec<RampFigures> {
    let kinds = [0.5, 0.9].into_iter().flat_map(|phi| RAMP_HOURS.map(|hours| (phi, hours)));
    kinds.map(|(phi, hours)| ramps_of(profile, all, phi, hours)).collect()
}

fn horizon(profile: &Profile, all: &[RecordedSeries], ahead: Millis) -> HorizonFigures {
    let (mut to_last, mut to_season, mut coverage) = (Vec::new(), Vec::new(), Vec::new());
    for series in all {
        let points = present(series);
        let interval = series.interval();
        if interval > ahead {
            continue;
        }
        let params = ForecasterParams::new(profile, interval);
        let mut forecaster = Forecaster::new();
        let (steps, day) = ((ahead / interval) as usize, (DAY / interval) as usize);
        let back = day * (ahead - 1).div_euclid(DAY) as usize + day;
        let (mut error, mut last, mut season, mut inside, mut told) = (0.0, 0.0, 0.0, 0, 0);
        for (i, (t, v)) in points.iter().enumerate() {
            forecaster.update(&params, *t, *v);
            let then = i + steps;
            if i < points.len() / 4 || i % 5 != 0 || then >= points.len() || then < back {
                continue;
            }
            let (t_then, truth) = points[then];
            let Some(outlook) = forecaster.outlook(&params) else { continue };
            let asked = [0.05, 0.5, 0.95].map(|phi| outlook.quantile(phi, ahead));
            let [Some(low), Some(middle), Some(high)] = asked else { continue };
            if (t_then - t - ahead).abs() <= interval {
                told += 1;
                error += (truth - middle).abs();
                last += (truth - v).abs();
                season += (truth - points[then - back].1).abs();
                inside += i32::from(low <= truth && truth <= high);
            }
        }
        if told > 20 && last > 0.0 {
            to_last.push(error / last);
            to_season.push(error / f64::max(season, f64::MIN_POSITIVE));
            coverage.push(f64::from(inside) / f64::from(told));
        }
    }
    HorizonFigures {
        ahead,
        series: coverage.len(),
        to_last: quantile_of(&mut to_last, 0.5),
        to_season: quantile_of(&mut to_season, 0.5),
        coverage: coverage.iter().sum::<f64>() / coverage.len() as f64,
        coverage_low: quantile_of(&mut coverage, 0.1),
    }
}

/// The limit lies one and a half ranges above the range of the series; the ramp begins between half and four fifths of it.
fn ramps_of(profile: &Profile, all: &[RecordedSeries], phi: f64, hours: f64) -> RampFigures {
    let (mut breaches, mut leads, mut false_alerts, mut weeks) = (0, Vec::new(), 0, 0.0);
    for (k, series) in all.iter().enumerate() {
        let points = present(series);
        if points.len() < RAMP_POINTS {
            continue;
        }
        let interval = series.interval();
        let params = ForecasterParams::new(profile, interval);
        let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
        let (low, high) = (quantile_of(&mut values, 0.01), quantile_of(&mut values, 0.99));
        let range = (high - low).max(1e-9);
        let limit = high + 1.5 * range;
        let begins = points[(points.len() as f64 * (0.5 + 0.3 * (k as f64 * 0.618).fract())) as usize].0;
        let mut forecaster = Forecaster::new();
        let (mut held, mut firing, mut fired) = (0, 0, None);
        for (t, v) in points {
            let ramp = 2.0 * range * (t - begins).max(0) as f64 / (hours * HOUR as f64);
            let y = v.min(high) + ramp;
            if y >= limit {
                breaches += 1;
                leads.extend(fired.map(|since: Millis| (t - since) as f64 / HOUR as f64));
                break;
            }
            forecaster.update(&params, t, y);
            let soon = forecaster.time_until(&params, limit, phi).is_some_and(|seconds| seconds < FORETOLD_SECONDS);
            held = if soon { held + 1 } else { 0 };
            if held >= 3 {
                false_alerts += i32::from(t <= begins && firing == 0);
                firing = 24;
                fired = fired.or((t > begins).then_some(t));
            } else if firing > 0 {
                firing -= 1;
                fired = fired.filter(|_| firing > 0);
            }
            weeks += if t <= begins { interval as f64 / (7.0 * DAY as f64) } else { 0.0 };
        }
    }
    let foretold = leads.len();
    RampFigures {
        hours,
        phi,
        breaches,
        foretold,
        lead_hours: quantile_of(&mut leads, 0.5),
        false_a_week: f64::from(false_alerts) / weeks,
    }
}

/// The points that have a value.
fn present(series: &RecordedSeries) -> Vec<(Millis, f64)> {
    series.points.iter().copied().filter(|(_, v)| !v.is_nan()).collect()
}
