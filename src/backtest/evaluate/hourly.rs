//! The forecaster over hours, two days ahead: its error in the unit in which forecasts of many series are compared, beside
//! the forecasts anybody can make, and how often its 95% interval holds the truth.

use super::RecordedSeries;
use crate::base::Millis;
use crate::model::{Forecaster, ForecasterParams, Profile};

const HOUR: Millis = 3_600_000;
const DAY: usize = 24;
/// Hours ahead.
const AHEAD: usize = 48;
/// Hours before the first forecast, between forecasts (so that all hours of the day get their turn), and of a series.
const FIRST: usize = 14 * DAY;
const EVERY: usize = 13;
const FEWEST: usize = 20 * DAY;
const INTERVAL: (f64, f64) = (0.025, 0.975);

/// Means over series of means over forecasts. The mean absolute scaled error (Hyndman and Koehler 2006) is that of 48 hours
/// divided by the mean |value - value a day before| of the hours until the forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HourlyFigures {
    /// Series of at least twenty days that do not repeat themselves exactly.
    pub series: usize,
    /// Scaled error of the forecaster's median; the last value stands where it tells nothing.
    pub mase: f64,
    /// Of the same hour of the last day seen.
    pub seasonal_naive: f64,
    /// Of `predict_linear(v[24h])`.
    pub linear: f64,
    /// Share of truths within the 95% interval, by third of the horizon; nothing is within an interval that is not told.
    pub coverage: [f64; 3],
}

impl HourlyFigures {
    /// Share of truths within the 95% interval.
    #[must_use]
    pub fn covered(&self) -> f64 {
        self.coverage.iter().sum::<f64>() / 3.0
    }

    fn add(&mut self, other: &Self, weight: f64) {
        self.mase += weight * other.mase;
        self.seasonal_naive += weight * other.seasonal_naive;
        self.linear += weight * other.linear;
        self.coverage.iter_mut().zip(other.coverage).for_each(|(sum, share)| *sum += weight * share);
    }
}

/// Figures over the hourly means of series; those that are too short, or whose days are all alike, are left out.
#[must_use]
pub fn hourly(profile: &Profile, all: &[RecordedSeries]) -> HourlyFigures {
    let each: Vec<HourlyFigures> = all.iter().filter_map(|series| of_series(profile, &hours(series))).collect();
    mean(&each)
}

fn mean(each: &[HourlyFigures]) -> HourlyFigures {
    let mut figures = HourlyFigures { series: each.len(), ..HourlyFigures::default() };
    each.iter().for_each(|one| figures.add(one, 1.0 / each.len() as f64));
    figures
}

/// Means of hours; an hour without a value has that of the hour before.
fn hours(series: &RecordedSeries) -> Vec<f64> {
    let (mut hours, mut open): (Vec<f64>, Option<(Millis, f64, f64)>) = (Vec::new(), None);
    for (t, v) in series.points.iter().filter(|(_, v)| v.is_finite()) {
        let hour = t.div_euclid(HOUR);
        match &mut open {
            Some((at, sum, count)) if *at == hour => (*sum, *count) = (*sum + v, *count + 1.0),
            _ => {
                if let Some((at, sum, count)) = open.replace((hour, *v, 1.0)) {
                    hours.extend((at..hour).map(|_| sum / count));
                }
            }
        }
    }
    hours.extend(open.map(|(_, sum, count)| sum / count));
    hours
}

fn of_series(profile: &Profile, y: &[f64]) -> Option<HourlyFigures> {
    if y.len() < FEWEST {
        return None;
    }
    let params = ForecasterParams::new(profile, HOUR);
    let mut forecaster = Forecaster::new();
    let (mut changes, mut each) = (0.0, Vec::new());
    for (i, v) in y.iter().enumerate() {
        forecaster.update(&params, i as Millis * HOUR, *v);
        if i >= DAY {
            changes += (v - y[i - DAY]).abs();
        }
        if i >= FIRST && i % EVERY == 0 && i + AHEAD < y.len() && changes > 0.0 {
            each.push(at_origin(&forecaster, &params, y, i, changes / (i + 1 - DAY) as f64));
        }
    }
    (!each.is_empty()).then(|| mean(&each))
}

/// The forecasts made at hour `now`; `unit` is what errors are divided by.
fn at_origin(forecaster: &Forecaster, params: &ForecasterParams, y: &[f64], now: usize, unit: f64) -> HourlyFigures {
    let outlook = forecaster.outlook(params);
    let line = line(&y[now + 1 - DAY..=now]);
    let mut figures = HourlyFigures::default();
    for ahead in 1..=AHEAD {
        let truth = y[now + ahead];
        let quantile = |phi: f64| outlook.as_ref().and_then(|o| o.quantile(phi, ahead as Millis * HOUR));
        let inside = quantile(INTERVAL.0).zip(quantile(INTERVAL.1)).is_some_and(|(a, b)| a <= truth && truth <= b);
        let error = |forecast: f64| (forecast - truth).abs() / unit / AHEAD as f64;
        figures.mase += error(quantile(0.5).unwrap_or(y[now]));
        figures.seasonal_naive += error(y[now + ahead - DAY * ahead.div_ceil(DAY)]);
        figures.linear += error(line.0 + line.1 * ahead as f64);
        figures.coverage[(ahead - 1) * 3 / AHEAD] += f64::from(u8::from(inside)) * 3.0 / AHEAD as f64;
    }
    figures
}

/// Least squares: value at the last of the points, and slope a point.
fn line(points: &[f64]) -> (f64, f64) {
    let n = points.len() as f64;
    let (middle, mean) = (0.5 * (n - 1.0), points.iter().sum::<f64>() / n);
    let (mut products, mut squares) = (0.0, 0.0);
    for (i, v) in points.iter().enumerate() {
        let x = i as f64 - middle;
        products += x * (v - mean);
        squares += x * x;
    }
    let slope = products / squares;
    (mean + slope * middle, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl Iterator<Item = f64>) -> RecordedSeries {
        RecordedSeries { points: values.enumerate().map(|(i, v)| (i as Millis * HOUR, v)).collect(), labels: vec![] }
    }

    #[test]
    fn the_unit_is_the_mean_change_from_day_to_day() {
        // Each day is one higher than the last: the change is 1; yesterday is off by 1 on the first day and by 2 on the
        // second, 1.5 in the mean.
        let profile = Profile::builtin("default").unwrap();
        let steps = series((0..960).map(|i| f64::from(i / 24)));
        let figures = hourly(&profile, &[steps]);
        assert_eq!(figures.series, 1);
        assert!((figures.seasonal_naive - 1.5).abs() < 1e-9, "{figures:?}");
        assert!(figures.mase < 1.5 && figures.covered() > 0.5, "{figures:?}");
        let flat = series((0..960).map(|_| 3.0));
        let short = series((0..400).map(f64::from));
        assert_eq!(hourly(&profile, &[flat, short]), HourlyFigures::default());
    }

    #[test]
    fn a_ramp_is_what_a_line_forecasts() {
        let profile = Profile::builtin("default").unwrap();
        let ramp = hourly(&profile, &[series((0..960).map(|i| 2.0 * f64::from(i)))]);
        assert!(ramp.linear < 1e-9 && (ramp.seasonal_naive - 1.5).abs() < 1e-9, "{ramp:?}");
    }

    #[test]
    fn hours_are_means_and_gaps_hold_the_last() {
        let points = [(0, 1.0), (HOUR / 2, 3.0), (HOUR, f64::NAN), (3 * HOUR + 5, 7.0)];
        let series = RecordedSeries { points: points.to_vec(), labels: vec![] };
        assert_eq!(hours(&series), [2.0, 2.0, 2.0, 7.0]);
    }

    #[test]
    fn the_line_is_least_squares() {
        // numpy.polyfit([0,1,2,3], [1,3,2,5], 1) gives 1.1, 1.1: at the last point 4.4.
        let (at, slope) = line(&[1.0, 3.0, 2.0, 5.0]);
        assert!((slope - 1.1).abs() < 1e-12 && (at - 4.4).abs() < 1e-12);
    }
}
