//! A line through the recent past with exponentially fading weights, and how far its values scatter around it.
//!
//! Recursive least squares in the coordinates of the newest tick (time 0, value 0), so that nothing large is ever
//! subtracted. Times are in ticks, values in the unit of the series less the newest value. Knows nothing of what lines are
//! used for.

use serde::{Deserialize, Serialize};

/// State of a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FadingLine {
    /// Level less the newest value.
    gap: f32,
    slope: f32,
    /// Sums of weights, weights by time, weights by time squared.
    s0: f32,
    s1: f32,
    s2: f32,
    /// Sums of squared residuals, and of products of neighbouring ones.
    squares: f32,
    products: f32,
    residual: f32,
}

/// A line worked out for many horizons.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    pub gap: f64,
    /// Change a tick.
    pub slope: f64,
    /// Ticks that count: the time constant, or fewer while the line is young.
    pub history: f64,
    /// Variance of the values around the line.
    pub variance: f64,
    /// Correlated residuals count as this many times fewer.
    redundancy: f64,
    s0: f64,
    s1: f64,
    s2: f64,
    determinant: f64,
}

impl FadingLine {
    /// Nothing seen but the first value.
    pub fn new() -> Self {
        Self { gap: 0.0, slope: 0.0, s0: 1.0, s1: 0.0, s2: 0.0, squares: 0.0, products: 0.0, residual: 0.0 }
    }

    /// Learns that the value changed by `delta` over `ticks` ticks; `keep` is the weight after one tick.
    ///
    /// Gives the error of the line's own forecast in its standard deviations, 0 while it has none.
    pub fn update(&mut self, keep: f64, ticks: f64, delta: f64) -> f64 {
        let fade = if ticks == 1.0 { keep } else { keep.powf(ticks) };
        let (o0, o1, o2) = (f64::from(self.s0), f64::from(self.s1), f64::from(self.s2));
        let s0 = fade * o0 + 1.0;
        let s1 = fade * (o1 - ticks * o0);
        let s2 = fade * (o2 - 2.0 * ticks * o1 + ticks * ticks * o0);
        let determinant = s0 * s2 - s1 * s1;
        let error = delta - f64::from(self.gap) - f64::from(self.slope) * ticks;
        // Share of the error that is left once the line has moved towards it.
        let left = if determinant > 0.0 { (1.0 - s2 / determinant).max(0.0) } else { 0.0 };
        let residual = error * left.sqrt();
        // On a clean ramp only rounding is left, which must not look like noise.
        let sd = (f64::from(self.squares) / (o0 - 2.0).max(0.5)).sqrt().max(1e-3 * f64::from(self.slope).abs());
        let surprise = if o0 < 4.0 || residual == 0.0 { 0.0 } else { residual / sd.max(f64::MIN_POSITIVE) };
        self.squares = (fade * f64::from(self.squares) + residual * residual) as f32;
        self.products = (fade * f64::from(self.products) + residual * f64::from(self.residual)) as f32;
        self.residual = residual as f32;
        self.gap = (-error * left) as f32;
        self.slope = if determinant > 0.0 { (f64::from(self.slope) - error * s1 / determinant) as f32 } else { 0.0 };
        (self.s0, self.s1, self.s2) = (s0 as f32, s1 as f32, s2 as f32);
        surprise
    }

    /// The line, `span` being the time constant behind `keep`.
    pub fn fit(&self, span: f64) -> Fit {
        let (s0, s1, s2) = (f64::from(self.s0), f64::from(self.s1), f64::from(self.s2));
        let squares = f64::from(self.squares);
        let history = span.min(s0);
        // Residuals of a wandering series are nearly all one; at least one is left.
        let most = (1.0 - 2.0 / (history + 1.0)).max(0.0);
        let correlation = if squares > 0.0 { (f64::from(self.products) / squares).clamp(0.0, most) } else { 0.0 };
        Fit {
            gap: f64::from(self.gap),
            slope: f64::from(self.slope),
            history,
            variance: squares / (s0 - 2.0).max(0.5),
            redundancy: (1.0 + correlation) / (1.0 - correlation),
            s0,
            s1,
            s2,
            determinant: s0 * s2 - s1 * s1,
        }
    }

    /// Sum of the weights of what was seen.
    pub fn weight(&self) -> f64 {
        f64::from(self.s0)
    }
}

impl Fit {
    /// Change from the newest value, that many ticks ahead.
    pub fn at(&self, ahead: f64) -> f64 {
        self.gap + self.slope * ahead
    }

    /// Whether there is enough behind it to say anything.
    pub fn is_determined(&self) -> bool {
        self.determinant > 0.0 && self.s0 >= 4.0
    }

    /// Squared standard error of the slope.
    pub fn slope_variance(&self) -> f64 {
        self.redundancy * self.variance * self.s0 / self.determinant
    }

    /// Squared standard error of a value that many ticks ahead, if the line goes on.
    pub fn variance_at(&self, ahead: f64) -> f64 {
        let line = (self.s2 - 2.0 * ahead * self.s1 + ahead * ahead * self.s0) / self.determinant;
        self.variance * (1.0 + self.redundancy * line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const SPAN: f64 = 20.0;

    fn fed(ticks: usize, mut value: impl FnMut(usize) -> f64) -> FadingLine {
        let keep = (-1.0 / SPAN).exp();
        let mut line = FadingLine::new();
        let mut last = value(0);
        for i in 1..ticks {
            let v = value(i);
            line.update(keep, 1.0, v - last);
            last = v;
        }
        line
    }

    #[test]
    fn it_equals_weighted_least_squares() {
        let mut noise = Noise::new(1);
        let values: Vec<f64> = (0..60).map(|i| 0.5 * f64::from(i) + noise.normal()).collect();
        let line = fed(60, |i| values[i]).fit(SPAN);
        let (mut s, mut sx, mut sxx, mut sy, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, v) in values.iter().enumerate() {
            let (x, y) = (i as f64 - 59.0, v - values[59]);
            let w = (x / SPAN).exp();
            (s, sx, sxx, sy, sxy) = (s + w, sx + w * x, sxx + w * x * x, sy + w * y, sxy + w * x * y);
        }
        let slope = (s * sxy - sx * sy) / (s * sxx - sx * sx);
        let level = (sy - slope * sx) / s;
        assert!((line.slope - slope).abs() < 1e-3 && (line.gap - level).abs() < 1e-3, "{} {slope}", line.slope);
        let squares: f64 = values
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let x = i as f64 - 59.0;
                (x / SPAN).exp() * (v - values[59] - level - slope * x).powi(2)
            })
            .sum();
        assert!((f64::from(fed(60, |i| values[i]).squares) / squares - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_gap_counts_as_its_ticks() {
        let keep = (-1.0 / SPAN).exp();
        let mut line = FadingLine::new();
        for i in 0..40 {
            let ticks = if i == 30 { 7.0 } else { 1.0 };
            line.update(keep, ticks, 2.0 * ticks);
        }
        assert!((line.fit(SPAN).at(10.0) - 20.0).abs() < 1e-2);
    }
}
