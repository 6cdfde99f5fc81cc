//! One local trend: a fading line, and how far it can be trusted.
//!
//! The analytic error of the line is corrected for correlated residuals, and for what probes have found: at a
//! distance of one time constant each forecast is compared with what came, and so is "no change".
//!
//! Times are in ticks, values in the unit of the series less the newest value. Knows no season and no other trend.

use serde::{Deserialize, Serialize};

use super::fading_line::{FadingLine, Fit};

/// A forecast beyond this many times the history behind the line is trusted less than its formula says.
const TRUSTED_SPANS: f64 = 2.0;
/// A slope persists: its own relative error grows to one within this many times the history behind the line.
const PERSISTENCE: f64 = 40.0;
/// A trend tells of a change only within this many times its history.
const TELLING_SPANS: f64 = 10.0;
/// Slopes within this many standard errors of zero are no trend.
const SIGNIFICANT: f64 = 2.5;
/// Mean squared ratio of actual to analytic error before a probe has ended.
const FIRST_INFLATION: f32 = 2.0;
/// One probe that a step has spoilt must not make the trend useless for long.
const MOST_INFLATION: f32 = 25.0;
const PROBE_GAIN: f64 = 0.1;
/// Standard deviation of a normal distribution is its mean absolute value times this.
const MAD_TO_SD: f64 = 1.2533;

/// A trend's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trend {
    line: FadingLine,
    /// Mean square of actual over analytic error at the probes.
    inflation: f32,
    /// Mean |change| over one time constant.
    flat: f32,
    probes: u16,
    /// Probe under way: ticks left, change since it began, change forecast, analytic standard deviation.
    left: f32,
    moved: f32,
    forecast: f32,
    sd: f32,
}

/// What a trend says, worked out once for many horizons.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    fit: Fit,
    inflation: f64,
}

impl Trend {
    /// Nothing seen but the first value.
    pub fn new() -> Self {
        Self {
            line: FadingLine::new(),
            inflation: FIRST_INFLATION,
            flat: 0.0,
            probes: 0,
            left: 0.0,
            moved: 0.0,
            forecast: 0.0,
            sd: 0.0,
        }
    }

    /// Learns that the value changed by `delta` over `ticks` ticks; `keep` is the weight after one tick.
    ///
    /// Gives the error of the line's own forecast in its standard deviations, 0 while it has none.
    pub fn update(&mut self, span: f64, keep: f64, ticks: f64, delta: f64) -> f64 {
        let surprise = self.line.update(keep, ticks, delta);
        self.follow_probe(span, ticks, delta);
        surprise
    }

    /// The line.
    pub fn line(&self, span: f64) -> Line {
        Line { fit: self.line.fit(span), inflation: f64::from(self.inflation).max(1.0) }
    }

    /// Mean |change| over one time constant, once it has been seen.
    pub fn flat_error(&self) -> Option<f64> {
        (self.probes > 0).then(|| f64::from(self.flat))
    }

    /// Begins a new line at the newest value. What probes have found stays, and one under way goes on.
    pub fn restart(&mut self) {
        self.line = FadingLine::new();
    }

    fn follow_probe(&mut self, span: f64, ticks: f64, delta: f64) {
        if self.left > 0.0 {
            self.moved += delta as f32;
            self.left -= ticks as f32;
            if self.left > 0.0 {
                return;
            }
            self.probes = self.probes.saturating_add(1);
            let gain = PROBE_GAIN.max(1.0 / f64::from(self.probes)) as f32;
            self.flat += gain * (self.moved.abs() - self.flat);
            let floor = 1e-3 * self.moved.abs().max(self.forecast.abs());
            let ratio = (self.moved - self.forecast).abs() / (self.sd + floor).max(f32::MIN_POSITIVE);
            let gain = PROBE_GAIN.max(1.0 / (f64::from(self.probes) + 1.0)) as f32;
            self.inflation += gain * ((ratio * ratio).min(MOST_INFLATION) - self.inflation);
        }
        // A line through two or three points says nothing.
        if self.line.weight() > 4.0 {
            let line = self.line.fit(span);
            self.left = span as f32;
            self.moved = 0.0;
            self.forecast = line.at(span) as f32;
            self.sd = line.variance_at(span).sqrt() as f32;
        }
    }
}

impl Line {
    /// Ticks behind the line.
    #[cfg(test)]
    pub fn history(&self) -> f64 {
        self.fit.history
    }

    /// The line alone, without what probes have found.
    pub fn fit(&self) -> Fit {
        self.fit
    }

    /// Change from the newest value, that many ticks ahead.
    pub fn at(&self, ahead: f64) -> f64 {
        self.fit.at(ahead)
    }

    /// Expected squared error of [`Self::at`]; None while the line is undetermined.
    pub fn squared_error(&self, ahead: f64) -> Option<f64> {
        if !self.fit.is_determined() {
            return None;
        }
        let far = (ahead / (TRUSTED_SPANS * self.fit.history)).max(1.0).powi(2);
        let ends = self.fit.slope * ahead * ahead / (PERSISTENCE * self.fit.history);
        Some(self.fit.variance_at(ahead) * self.inflation * far + ends * ends)
    }

    /// How far this line, where it differs significantly from another slope, carries the series away from that within
    /// `ahead` ticks, squared.
    pub fn squared_departure(&self, other_slope: f64, ahead: f64) -> f64 {
        if !self.fit.is_determined() {
            return 0.0;
        }
        let slope_variance = self.fit.slope_variance();
        let excess = (self.fit.slope - other_slope).powi(2) - SIGNIFICANT.powi(2) * slope_variance * self.inflation;
        excess.max(0.0) * ahead.min(TELLING_SPANS * self.fit.history).powi(2)
    }

    /// Change a tick.
    pub fn slope(&self) -> f64 {
        self.fit.slope
    }
}

/// Expected squared error of "no change" at a horizon, from the mean |change| seen over known lags (ticks, change).
///
/// Linear between the lags, as a random walk beyond them.
pub(super) fn squared_change(known: impl Iterator<Item = (f64, f64)>, ahead: f64) -> f64 {
    let (mut lag, mut change) = (0.0, 0.0);
    for (next_lag, next_change) in known {
        let next_change: f64 = if lag > 0.0 { next_change.max(change) } else { next_change };
        if ahead <= next_lag {
            let part = (ahead - lag) / (next_lag - lag);
            return (MAD_TO_SD * (change + part * (next_change - change))).powi(2);
        }
        (lag, change) = (next_lag, next_change);
    }
    let growth = if lag > 0.0 { (ahead / lag).max(1.0) } else { 0.0 };
    (MAD_TO_SD * change).powi(2) * growth
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const SPAN: f64 = 20.0;

    fn fed(ticks: usize, mut value: impl FnMut(usize) -> f64) -> Trend {
        let keep = (-1.0 / SPAN).exp();
        let mut trend = Trend::new();
        let mut last = value(0);
        for i in 1..ticks {
            let v = value(i);
            trend.update(SPAN, keep, 1.0, v - last);
            last = v;
        }
        trend
    }

    #[test]
    fn a_clean_ramp_is_exact_after_a_few_ticks() {
        let line = fed(8, |i| 1000.0 - 3.0 * i as f64).line(SPAN);
        assert!((line.at(100.0) + 300.0).abs() < 0.1, "{}", line.at(100.0));
        assert!(line.squared_error(10.0).unwrap() < 4.0);
        assert!(line.squared_error(1000.0).unwrap() > 3000f64.powi(2), "eight ticks do not tell of a thousand");
        assert!(line.squared_departure(0.0, 50.0) > 20_000.0);
    }

    #[test]
    fn noise_and_random_walks_have_no_significant_slope_and_a_wide_error() {
        let (mut significant, mut squared_error) = (0, 0.0);
        for seed in 0..40 {
            let mut noise = Noise::new(seed);
            let mut walk = 0.0;
            let trend = fed(2000, |_| {
                walk += noise.normal();
                walk
            });
            let line = trend.line(SPAN);
            significant += i32::from(line.squared_departure(0.0, SPAN) > 0.0);
            // A random walk is off by sqrt(ticks).
            squared_error += line.squared_error(100.0).unwrap() / 40.0;
            assert!(line.squared_error(100.0).unwrap() > 20.0);
            let mut noise = Noise::new(seed);
            significant += i32::from(fed(2000, |_| noise.normal()).line(SPAN).squared_departure(0.0, SPAN) > 0.0);
        }
        assert!(squared_error > 100.0, "{squared_error}");
        assert!(significant <= 6, "{significant} of 80");
    }

    #[test]
    fn no_change_is_as_wrong_as_the_changes_seen() {
        let known = [(1.0, 1.0), (10.0, 4.0)];
        let error = |ahead: f64| squared_change(known.into_iter(), ahead).sqrt() / MAD_TO_SD;
        assert_eq!(error(1.0), 1.0);
        assert_eq!(error(10.0), 4.0);
        assert!((error(5.5) - 2.5).abs() < 1e-9);
        assert!((error(40.0) - 8.0).abs() < 1e-9);
        assert_eq!(squared_change(std::iter::empty(), 5.0), 0.0);
    }
}
