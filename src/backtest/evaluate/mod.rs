//! Models over recorded series, one pass, every judgement made before its truth: the figures of model cards.
//!
//! Pure: series in, scores and figures out. Knows nothing of files and of the scorers that read the scores.

pub mod breaches;
mod detection;
mod forecasts;
mod hourly;

pub use detection::{Detection, page_scores, quantile_of};
pub use forecasts::{HorizonFigures, RampFigures, horizons, ramps};
pub use hourly::{HourlyFigures, hourly};

use crate::base::Millis;

/// A recorded series, its points in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedSeries {
    /// Time, and value; NaN where it is missing.
    pub points: Vec<(Millis, f64)>,
    /// For each point whether somebody has called it an anomaly; empty where nobody was asked.
    pub labels: Vec<bool>,
}

impl RecordedSeries {
    /// Median distance of the points.
    #[must_use]
    pub fn interval(&self) -> Millis {
        let mut steps: Vec<Millis> = self.points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(60_000).max(1)
    }

    /// From the first point to the last, in weeks.
    #[must_use]
    pub fn weeks(&self) -> f64 {
        let ends = self.points.first().zip(self.points.last());
        ends.map_or(0.0, |(first, last)| (last.0 - first.0) as f64 / (7.0 * 86_400_000.0))
    }
}
