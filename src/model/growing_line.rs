//! A line through all ticks since it began, up to a memory beyond which the past fades.
//!
//! Least squares over n equally spaced points as a filter with two gains, α = 2(2n-1)/(n(n+1)) and β = 6/(n(n+1)) (the
//! expanding-memory filter, Brookner, Tracking and Kalman Filtering Made Easy, 1998, ch. 1); past the memory the gains stay.
//! In the coordinates of the newest tick (time 0, value 0), so that nothing large is subtracted. Times are in ticks. Knows
//! nothing of what lines are used for.

use serde::{Deserialize, Serialize};

/// State of a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GrowingLine {
    /// The line's level at the newest tick, less the newest value.
    gap: f64,
    /// Change a tick.
    slope: f64,
    /// Points behind it.
    points: u32,
}

impl GrowingLine {
    /// Through the first value.
    pub fn new() -> Self {
        Self { gap: 0.0, slope: 0.0, points: 1 }
    }

    /// How far the next value, which differs from the newest by `delta` and lies `ticks` ahead, is from the line.
    pub fn error(&self, ticks: f64, delta: f64) -> f64 {
        delta - self.gap - self.slope * ticks
    }

    /// Variance of [`Self::error`] in variances of one value around the line; infinite for less than two points.
    pub fn error_variance(&self, ticks: f64) -> f64 {
        if self.points < 2 {
            return f64::INFINITY;
        }
        let n = f64::from(self.points);
        let from_middle = (n - 1.0) / 2.0 + ticks;
        1.0 + 1.0 / n + 12.0 * from_middle * from_middle / (n * (n * n - 1.0))
    }

    /// Learns that value, whose error counts as `error`: what is clipped moves the line less.
    pub fn learn(&mut self, memory: u32, ticks: f64, delta: f64, error: f64) {
        self.points = self.points.saturating_add(1).min(memory.max(2));
        let n = f64::from(self.points);
        let scale = n * (n + 1.0);
        self.gap += self.slope * ticks + 2.0 * (2.0 * n - 1.0) / scale * error - delta;
        self.slope += 6.0 / scale * error / ticks;
    }

    /// The line's level less the newest value.
    pub fn gap(&self) -> f64 {
        self.gap
    }

    /// Change a tick.
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// Points behind it, at most the memory.
    pub fn points(&self) -> u32 {
        self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(memory: u32, values: &[f64]) -> GrowingLine {
        let mut line = GrowingLine::new();
        for pair in values.windows(2) {
            let delta = pair[1] - pair[0];
            let error = line.error(1.0, delta);
            line.learn(memory, 1.0, delta, error);
        }
        line
    }

    #[test]
    fn it_is_the_least_squares_line() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let n = values.len() as f64;
        let (mean_t, mean) = ((n - 1.0) / 2.0, values.iter().sum::<f64>() / n);
        let products: f64 = values.iter().enumerate().map(|(t, v)| (t as f64 - mean_t) * (v - mean)).sum();
        let slope = products / (0..8).map(|t| (f64::from(t) - mean_t).powi(2)).sum::<f64>();
        let line = fed(100, &values);
        assert!((line.slope() - slope).abs() < 1e-12, "{} {slope}", line.slope());
        assert!((line.gap() - (mean + slope * (7.0 - mean_t) - 6.0)).abs() < 1e-12);
    }

    #[test]
    fn its_error_is_known_and_it_forgets() {
        // One step ahead of n points: 1 + (4n + 2) / (n(n - 1)).
        let line = fed(100, &[0.0, 1.0, 0.0, 1.0]);
        assert!((line.error_variance(1.0) - (1.0 + 18.0 / 12.0)).abs() < 1e-12);
        assert!(line.error_variance(20.0) > 50.0 && GrowingLine::new().error_variance(1.0).is_infinite());
        let bent: Vec<f64> = (0..300).map(|i| if i < 100 { 0.0 } else { 5.0 * f64::from(i - 100) }).collect();
        assert!((fed(20, &bent).slope() - 5.0).abs() < 1e-3);
        assert!(fed(1000, &bent).slope() < 4.9);
    }
}
