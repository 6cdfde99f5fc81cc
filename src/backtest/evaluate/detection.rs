//! The detector over a series, and how often it would page.

use std::collections::VecDeque;

use super::RecordedSeries;
use crate::base::Millis;
use crate::model::{Detector, DetectorParams, Profile};

/// How long a page is not repeated: points, and at most milliseconds.
const QUIET_POINTS: Millis = 120;
const QUIET_MS: Millis = 10 * 3_600_000;
const DAY: Millis = 86_400_000;

/// How often a series would page at a score above 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Detection {
    /// Points.
    pub points: usize,
    /// Length of the series.
    pub weeks: f64,
    /// Pages.
    pub pages: usize,
    /// Of these, those at points that nobody has called an anomaly; where nobody was asked, all.
    pub unlabelled: usize,
    /// Pages within the first day.
    pub first_day: usize,
}

/// The score of each point that would page, 0 for the others: a score stands only above the highest of the 120 points
/// before it (at most ten hours), since an alert is not repeated. With them how often it pages.
#[must_use]
pub fn page_scores(profile: &Profile, series: &RecordedSeries) -> (Vec<f64>, Detection) {
    let interval = series.interval();
    let quiet = QUIET_MS.min(QUIET_POINTS * interval);
    let params = DetectorParams::new(profile, interval);
    let mut detector = Detector::new();
    let mut recent: VecDeque<(Millis, f64)> = VecDeque::new();
    let mut detection = Detection { points: series.points.len(), weeks: series.weeks(), ..Detection::default() };
    let begin = series.points.first().map_or(0, |(t, _)| *t);
    let mut scores = Vec::with_capacity(series.points.len());
    for (at, (t, v)) in series.points.iter().enumerate() {
        let score = detector.update(&params, *t, *v).map_or(0.0, |score| score.score);
        while recent.front().is_some_and(|(then, _)| *then < t - quiet) {
            recent.pop_front();
        }
        let highest = recent.iter().map(|(_, score)| *score).fold(0.0, f64::max);
        let stands = score > highest;
        scores.push(if stands { score } else { 0.0 });
        // Only the first above 1 pages; what rises further is the same page.
        if stands && score > 1.0 && highest <= 1.0 {
            detection.pages += 1;
            detection.unlabelled += usize::from(!series.labels.get(at).copied().unwrap_or(false));
            detection.first_day += usize::from(t - begin < DAY);
        }
        recent.push_back((*t, score));
    }
    (scores, detection)
}

/// The value below which that share of the values lies; NaN of none.
#[must_use]
pub fn quantile_of(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_pages_once_and_missing_values_never() {
        let mut rng = 1u64;
        let mut noise = move || {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (rng >> 40) as f64 / f64::from(1 << 24)
        };
        let mut points: Vec<(Millis, f64)> = (0..6_000).map(|i| (i * 300_000, 10.0 + noise())).collect();
        for (at, v) in [(4_000, 60.0), (4_001, 90.0), (4_002, 60.0)] {
            points[at].1 = v;
        }
        points[4_500].1 = f64::NAN;
        let mut series = RecordedSeries { points, labels: vec![] };
        let profile = Profile::builtin("default").unwrap();
        let (scores, all) = page_scores(&profile, &series);
        assert_eq!((scores.len(), scores[4_500], scores[4_002]), (6_000, 0.0, 0.0));
        assert!(scores[4_000] > 1.0, "{}", scores[4_000]);
        series.labels = vec![true; 6_000];
        let (_, labelled) = page_scores(&profile, &series);
        assert_eq!((labelled.pages, labelled.unlabelled, all.unlabelled), (all.pages, 0, all.pages));
        assert!((all.weeks - 5_999.0 / 2_016.0).abs() < 1e-9 && all.pages < 8, "{all:?}");
    }
}
