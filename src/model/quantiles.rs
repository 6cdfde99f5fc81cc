//! Quantiles of a scaled error that adapt so that each is exceeded as often as it says.
//!
//! Each is a multiple of the mean absolute error, moved by a step a score: up by the share it should be exceeded when it
//! was, down by the rest when it was not, on a logarithmic scale (adaptive conformal inference, Gibbs and Candès 2021; the
//! pinball loss's stochastic gradient). So coverage holds in the long run whatever the errors' distribution.

use serde::{Deserialize, Serialize};

/// Probabilities, and where each starts: a normal distribution in mean absolute errors.
const LEVELS: [f64; 6] = [0.025, 0.1, 0.25, 0.75, 0.9, 0.975];
const START: [f32; 6] = [2.45, 1.6, 0.84, 0.84, 1.6, 2.45];
/// Standard normal quantiles at [`LEVELS`].
const PROBITS: [f64; 6] = [-1.959_964, -1.281_552, -0.674_490, 0.674_490, 1.281_552, 1.959_964];
const STEP: f64 = 0.02;
const BOUNDS: (f64, f64) = (0.05, 20.0);

/// Distances from the median, downwards at the first three levels and upwards at the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Quantiles([f32; 6]);

impl Quantiles {
    /// A normal distribution's.
    pub fn new() -> Self {
        Self(START)
    }

    /// Learns an error in mean absolute errors.
    pub fn learn(&mut self, forgetting: f64, z: f64) {
        let step = STEP / forgetting.max(0.25);
        for (p, m) in LEVELS.iter().zip(&mut self.0) {
            let (outside, rate) = if *p < 0.5 { (z < -f64::from(*m), *p) } else { (z >= f64::from(*m), 1.0 - p) };
            let moved = f64::from(*m) * (step * (f64::from(u8::from(outside)) - rate)).exp();
            *m = moved.clamp(BOUNDS.0, BOUNDS.1) as f32;
        }
    }

    /// The φ-quantile in mean absolute errors, `probit` being the standard normal one. Rises with it; 0 at the median.
    pub fn at(&self, probit: f64) -> f64 {
        // Knots made monotone from the median outwards; the median itself is the path.
        let q = self.0.map(f64::from);
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
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    #[test]
    fn quantiles_hold_what_they_say_for_a_skewed_error() {
        // Exponential errors above, small ones below; mean over seeds, since a quantile of one run wanders by its step.
        let (mut upper, mut lower) = (0.0, 0.0);
        for seed in 0..12 {
            let mut noise = Noise::new(seed);
            let mut quantiles = Quantiles::new();
            for _ in 0..20_000 {
                let below = noise.uniform() < 0.5;
                quantiles.learn(1.0, if below { -0.1 * noise.uniform() } else { -noise.uniform().ln() });
            }
            upper += quantiles.at(1.959_964) / 12.0;
            lower += quantiles.at(-1.959_964) / 12.0;
        }
        assert!((upper - 20f64.ln()).abs() < 0.3, "2.5% of all lie above ln 20: {upper}");
        assert!((-0.11..=-0.09).contains(&lower), "{lower}");
    }

    #[test]
    fn it_starts_as_a_normal_distribution() {
        // python3 -c "from statistics import NormalDist as N; import math; print(N().inv_cdf(.975)/math.sqrt(2/math.pi))"
        // gives 2.456; .9 gives 1.606, .75 gives .845.
        let quantiles = Quantiles::new();
        for (probit, m) in [(1.959_964, 2.456), (1.281_552, 1.606), (-0.674_490, -0.845)] {
            assert!((quantiles.at(probit) - m).abs() < 0.01, "{probit}");
        }
    }

    #[test]
    fn one_error_moves_each_by_its_step() {
        let mut quantiles = Quantiles::new();
        quantiles.learn(1.0, 10.0);
        // Above all upper ones: up by exp(.02 (1 - (1 - p))); below no lower one: down by exp(-.02 p).
        let expected = [-0.025, -0.1, -0.25, 0.75, 0.9, 0.975];
        for (i, share) in expected.into_iter().enumerate() {
            let ratio = f64::from(quantiles.0[i] / START[i]);
            assert!((ratio - (STEP * share).exp()).abs() < 1e-6, "{i}: {ratio}");
        }
    }

    #[test]
    fn they_rise_whatever_was_learnt() {
        let mut noise = Noise::new(6);
        let mut quantiles = Quantiles::new();
        for i in 0..3000 {
            quantiles.learn(1.0, noise.normal() * if i % 7 == 0 { 30.0 } else { 0.01 });
            let m: Vec<f64> = (-40..=40).map(|p| quantiles.at(f64::from(p) / 10.0)).collect();
            assert!(m.windows(2).all(|w| w[0] < w[1]), "{m:?}");
        }
    }
}
