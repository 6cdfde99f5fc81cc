//! How rare a deviation is on this series: the tail of its own deviations, learnt as they come.
//!
//! A histogram over the logarithm of the deviation, forgetting slowly, and a Weibull tail through two of its quantiles.
//! The top 2.5% never shape the tail, so that an incident does not teach the series to expect incidents. Where the series' own
//! tail calls a deviation rarer than it is on most series, the two are pooled.
//! Source: the prototypes behind models/default.md. Knows nothing of how deviations are made.

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::saved::floats;

/// Reach beyond the largest deviation there is, 1e4.
const BINS: usize = 54;
const BINS_PER_DECADE: f64 = 10.0;
/// Natural logarithm of the lowest deviation told apart, 0.05.
const LN_LOWEST: f64 = -2.995_732_273_553_991;
/// The prior, a Weibull distribution of scale 1: weight in points, and shape. A tail of 2.5% needs hundreds of points before it
/// tells more than what is true of most series. Between [`PRIOR_FINE`] and [`PRIOR_COARSE`] points a day, linear in the
/// logarithm: means over an hour have lighter tails than points a minute.
const PRIOR_FINE: Prior = Prior { points_per_day: 288.0, weight: 1000.0, shape: 1.0 };
const PRIOR_COARSE: Prior = Prior { points_per_day: 24.0, weight: 1500.0, shape: 2.0 };
/// Points between two fits.
const FIT_EVERY: u32 = 16;
/// Upper probabilities through which the tail is laid.
const UPPER_NEAR: f64 = 0.2;
const UPPER_FAR: f64 = 0.025;
/// Bounds of the Weibull shape: heavier than .25 never ends, lighter than 1.5 pages for nothing.
const SHAPE: (f64, f64) = (0.25, 1.5);
/// Share of the excess over the far quantile that is believed.
const BELIEF: f64 = 0.5;
/// What most series have in common: an exponential tail of this mean, and its weight (of logarithms) in the pooled one.
const COMMON_SCALE: f64 = 0.7;
const COMMON_WEIGHT: f64 = 0.4;
const LEVEL_MAX: f64 = 6.0;

/// Constants of one profile and interval.
#[derive(Clone, Debug)]
pub(super) struct TailParams {
    /// Points a week.
    points_per_week: f64,
    /// The decimal logarithm of it.
    log10_per_week: f64,
    /// Factor by which the histogram fades between two fits.
    pub fade: f32,
    prior: Prior,
}

#[derive(Clone, Copy, Debug)]
struct Prior {
    points_per_day: f64,
    weight: f64,
    shape: f64,
}

/// The learnt tail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tail {
    #[serde(with = "floats")]
    bins: [f32; BINS],
    /// ln of the deviation that is exceeded with probability .025.
    ln_far: f32,
    shape: f32,
}

impl TailParams {
    /// Constants for that many points a day and a time constant in days.
    pub fn new(points_per_day: f64, days: f64) -> Self {
        Self {
            points_per_week: 7.0 * points_per_day,
            log10_per_week: (7.0 * points_per_day).log10(),
            fade: (-f64::from(FIT_EVERY) / (days * points_per_day)).exp() as f32,
            prior: Prior::at(points_per_day),
        }
    }
}

impl Prior {
    fn at(points_per_day: f64) -> Self {
        let (fine, coarse) = (PRIOR_FINE, PRIOR_COARSE);
        let span = (fine.points_per_day / coarse.points_per_day).ln();
        let part = ((fine.points_per_day / points_per_day).ln() / span).clamp(0.0, 1.0);
        let between = |fine: f64, coarse: f64| fine + part * (coarse - fine);
        Self { points_per_day, weight: between(fine.weight, coarse.weight), shape: between(fine.shape, coarse.shape) }
    }
}

impl Tail {
    /// The prior.
    pub fn new(params: &TailParams) -> Self {
        let prior = params.prior;
        let mut bins = [0.0; BINS];
        let edge = |b: usize| (LN_LOWEST + b as f64 * LN_10 / BINS_PER_DECADE).exp();
        for (b, bin) in bins.iter_mut().enumerate() {
            let lower = if b == 0 { 0.0 } else { edge(b) };
            let beyond = |x: f64| (-x.powf(prior.shape)).exp();
            *bin = (prior.weight * (beyond(lower) - beyond(edge(b + 1)))) as f32;
        }
        let mut tail = Self { bins, ln_far: 0.0, shape: 1.0 };
        tail.fit();
        tail
    }

    /// Learns the deviation with logarithm `ln_u`, the `n`-th point of the series.
    pub fn learn(&mut self, params: &TailParams, ln_u: f64, n: u32) {
        let bin = ((ln_u - LN_LOWEST) * (BINS_PER_DECADE / LN_10)) as usize; // saturates at 0 below
        self.bins[bin.min(BINS - 1)] += 1.0;
        if n.is_multiple_of(FIT_EVERY) {
            self.fit();
            for bin in &mut self.bins {
                *bin *= params.fade;
            }
        }
    }

    /// -log10 of the exceedances of `ln_u` expected in a week, `n` points into the series; at most 6.
    pub fn level(&self, params: &TailParams, ln_u: f64, n: u32) -> f64 {
        let own = far_exponent() + f64::from(self.shape) * (ln_u - f64::from(self.ln_far));
        let common = ln_u - COMMON_SCALE.ln();
        let exponent = own.min(own + COMMON_WEIGHT * (common - own));
        let raw = exponent.min(8.0).exp() / LN_10 - params.log10_per_week;
        let knee = knee(params);
        let level = if raw > knee { belief(params, n) * (raw - knee) + knee } else { raw };
        level.min(LEVEL_MAX)
    }

    /// The deviation (its logarithm) at which [`Self::level`] reaches `level`.
    pub fn ln_at(&self, params: &TailParams, level: f64, n: u32) -> f64 {
        let knee = knee(params);
        let raw = if level > knee { (level - knee) / belief(params, n) + knee } else { level };
        let exponent = (LN_10 * (raw + params.log10_per_week)).max(f64::MIN_POSITIVE).ln();
        // Both exponents are lines over ln u; the lower one reaches a height later.
        let (own_slope, own_at_zero) =
            (f64::from(self.shape), far_exponent() - f64::from(self.shape) * f64::from(self.ln_far));
        let pooled_slope = own_slope + COMMON_WEIGHT * (1.0 - own_slope);
        let pooled_at_zero = own_at_zero - COMMON_WEIGHT * (COMMON_SCALE.ln() + own_at_zero);
        ((exponent - own_at_zero) / own_slope).max((exponent - pooled_at_zero) / pooled_slope)
    }

    /// Lays the tail through the two quantiles.
    fn fit(&mut self) {
        let total: f64 = f64::from(self.bins.iter().sum::<f32>());
        let ln_far = self.ln_quantile(UPPER_FAR * total);
        let ln_near = self.ln_quantile(UPPER_NEAR * total);
        let shape = (far_exponent() - (-UPPER_NEAR.ln()).ln()) / (ln_far - ln_near).max(0.02);
        self.ln_far = ln_far as f32;
        self.shape = shape.clamp(SHAPE.0, SHAPE.1) as f32;
    }

    /// ln of the deviation above which lies that much weight.
    fn ln_quantile(&self, weight: f64) -> f64 {
        let mut above = 0.0;
        for b in (0..BINS).rev() {
            let here = f64::from(self.bins[b]);
            if above + here >= weight {
                let part = if here > 0.0 { (weight - above) / here } else { 0.0 };
                return LN_LOWEST + ((b + 1) as f64 - part) * (LN_10 / BINS_PER_DECADE);
            }
            above += here;
        }
        LN_LOWEST
    }
}

/// Logarithm of the Weibull exponent at the far quantile.
fn far_exponent() -> f64 {
    // ln(-ln 0.025)
    1.305322740963
}

/// Level of the far quantile itself; above it the tail is extrapolated.
fn knee(params: &TailParams) -> f64 {
    // -log10 0.025
    1.602059991328 - params.log10_per_week
}

/// Trust in the extrapolation: grows over the first week.
fn belief(params: &TailParams, n: u32) -> f64 {
    let n = f64::from(n);
    BELIEF * n / (n + 0.5 * params.points_per_week)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deviations of an exponential or heavier distribution, by inversion of evenly spread probabilities.
    fn learnt(power: f64) -> (TailParams, Tail) {
        let params = TailParams::new(1440.0, 14.0);
        let mut tail = Tail::new(&params);
        for n in 0..40_000u32 {
            let p = (f64::from(n) * 0.618_033_988_75).fract().max(1e-9);
            tail.learn(&params, (power * (-p.ln()).ln()).max(-2.9), n);
        }
        (params, tail)
    }

    #[test]
    fn constants_are_what_they_say() {
        assert!((far_exponent() - (-UPPER_FAR.ln()).ln()).abs() < 1e-6);
        assert!((LN_LOWEST - 0.05f64.ln()).abs() < 1e-12);
        let params = TailParams::new(288.0, 14.0);
        assert!((knee(&params) + (UPPER_FAR * 2016.0).log10()).abs() < 1e-9);
    }

    #[test]
    fn the_shape_of_the_distribution_is_found() {
        for power in [1.0, 2.0, 3.0] {
            let (_, tail) = learnt(power);
            assert!((f64::from(tail.shape) - 1.0 / power).abs() < 0.06 / power, "{power}: {}", tail.shape);
        }
    }

    #[test]
    fn a_heavier_tail_calls_the_same_deviation_less_rare() {
        let (params, light) = learnt(1.0);
        let (_, heavy) = learnt(2.0);
        assert!(light.level(&params, 4.0, 40_000) > heavy.level(&params, 4.0, 40_000) + 1.0);
    }

    #[test]
    fn ln_at_inverts_level() {
        let (params, tail) = learnt(1.5);
        for level in [-3.0, -0.5, 0.0, 1.0] {
            let ln_u = tail.ln_at(&params, level, 20_000);
            assert!((tail.level(&params, ln_u, 20_000) - level).abs() < 1e-6, "{level}");
        }
    }

    #[test]
    fn level_is_bounded_and_young_series_are_believed_less() {
        let (params, tail) = learnt(1.0);
        assert_eq!(tail.level(&params, 50.0, 40_000), LEVEL_MAX);
        assert!(tail.level(&params, 3.0, 500) < tail.level(&params, 3.0, 40_000));
    }

    #[test]
    fn the_prior_is_the_weibull_distribution_it_says() {
        // python3 -c "from scipy.stats import weibull_min as w; print([float(w(c).isf(.025)) for c in (1, 2)])"
        for (per_day, quantile) in
            [(288.0, 3.688_879_454_113_936), (1440.0, 3.688_879_454_113_936), (24.0, 1.920_645_582_644)]
        {
            let tail = Tail::new(&TailParams::new(per_day, 28.0));
            let far = f64::from(tail.ln_far).exp();
            assert!((far / quantile - 1.0).abs() < 0.04, "{per_day}: {far} {quantile}"); // bins are a tenth of a decade
        }
    }

    #[test]
    fn a_light_tail_is_pooled_with_what_is_common() {
        // Own tail of shape 1.5 through u = 2 at .025; -log10 of the pooled p, and of the own: python3 -c "from math import *;
        // own=log(-log(.025))+1.5*log(5/2); print(exp(own+.4*(log(5/.7)-own))/log(10), exp(own)/log(10))"
        let params = TailParams::new(288.0, 28.0);
        let mut tail = Tail::new(&params);
        tail.ln_far = 2f64.ln() as f32;
        tail.shape = 1.5;
        let raw =
            |level: f64| (level - knee(&params)) / belief(&params, 1_000_000) + knee(&params) + params.log10_per_week;
        assert!((raw(tail.level(&params, 5f64.ln(), 1_000_000)) - 4.760_1).abs() < 0.01);
    }
}
