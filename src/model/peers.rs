//! How far each member of a group is from its peers, at one instant.
//!
//! The distance from the median in units of the median absolute deviation (MAD), over the distance that the farthest of as
//! many normal peers exceeds at one instant in a hundred. Few peers say little about what is usual among them, so among
//! few a member must be much farther off. Holds no state; knows nothing of labels.
//!
//! Source: Davies, Gather: The identification of multiple outliers, JASA 88 (1993), who standardise the "Hampel identifier"
//! in this way.

use statrs::distribution::{ContinuousCDF, Normal};

/// Fewer peers than these give no score.
const FEWEST: usize = 3;
/// Standard deviations of a normal distribution a MAD.
const SD_PER_MAD: f64 = 1.482_602_218_505_602;
/// MADs a mean absolute deviation, of a normal distribution.
const MAD_PER_MEAN: f64 = 0.845_347_5;
/// The usual deviation is taken to be at least this share of the median: what is closer together than measurements are
/// exact has no outliers.
const SMALLEST_SHARE: f64 = 0.005;
/// Share of instants at which the farthest of normal peers has a score above 1.
const FALSE_SHARE: f64 = 0.01;
/// Members, and the largest distance in MADs that is not exceeded at 99% of instants. Simulated:
/// `x = numpy.random.default_rng(1).standard_normal((4_000_000, n)); d = abs(x - median(x, 1)); quantile(max(d, 1) / median(d, 1), .99)`
const FARTHEST: [(usize, f64); 18] = [
    (3, 164.84),
    (4, 23.70),
    (5, 27.51),
    (6, 14.94),
    (7, 15.84),
    (8, 11.82),
    (9, 12.19),
    (10, 10.21),
    (11, 10.50),
    (12, 9.32),
    (15, 8.83),
    (20, 7.74),
    (30, 7.09),
    (50, 6.63),
    (100, 6.39),
    (200, 6.35),
    (500, 6.49),
    (1000, 6.64),
];

/// A score for each value: 0 in the middle of the group, above 1 for a member farther off than chance explains. None for
/// a value that is no number, in a group of fewer than three numbers, and in one whose median is infinite.
///
/// Multiplying all values by the same number changes nothing; nor does adding one, but where the values then are within a
/// few thousandths of their median.
#[must_use]
pub fn peer_scores(values: &[f64]) -> Vec<Option<f64>> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    let nobody = || vec![None; values.len()];
    if sorted.len() < FEWEST {
        return nobody();
    }
    let middle = median(&mut sorted);
    if !middle.is_finite() {
        return nobody();
    }
    let mut distances: Vec<f64> = sorted.iter().map(|v| (v - middle).abs()).collect();
    let usual = median(&mut distances);
    // Where most are equal their mean deviation has to do (Iglewicz, Hoaglin: How to detect and handle outliers, 1993).
    let usual = if usual > 0.0 { usual } else { MAD_PER_MEAN * mean_of_finite(&mut distances) };
    let one = usual.max(SMALLEST_SHARE * middle.abs()) * farthest(sorted.len());
    let score = |v: f64| {
        let distance = (v - middle).abs();
        if distance == 0.0 { 0.0 } else { distance / one }
    };
    values.iter().map(|v| Some(*v).filter(|v| !v.is_nan()).map(score)).collect()
}

/// The distance in MADs at which a score is 1.
fn farthest(members: usize) -> f64 {
    let after = FARTHEST.partition_point(|(n, _)| *n < members);
    match FARTHEST.get(after) {
        Some((n, distance)) if *n == members || after == 0 => *distance,
        Some((above, high)) => {
            let (below, low) = FARTHEST[after - 1];
            let (from, to) = ((below as f64).ln(), (*above as f64).ln());
            low + (high - low) * ((members as f64).ln() - from) / (to - from)
        }
        // The median and the MAD of so many are as good as known.
        None => SD_PER_MAD * Normal::standard().inverse_cdf(1.0 - FALSE_SHARE / (2.0 * members as f64)),
    }
}

/// The median; puts the values into another order. There must be one.
fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    if odd {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Not their sum, which may be too large.
    if lower == upper { upper } else { lower / 2.0 + upper / 2.0 }
}

/// The same for any order of them.
fn mean_of_finite(distances: &mut [f64]) -> f64 {
    distances.sort_unstable_by(f64::total_cmp);
    let finite = distances.iter().filter(|d| d.is_finite());
    let (sum, n) = finite.fold((0.0, 0.0), |(sum, n), d| (sum + d, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use augurs::outlier::{DbscanDetector, MADDetector, OutlierDetector};
    use proptest::prelude::*;

    use super::super::synthetic::Noise;
    use super::*;

    fn scores(values: &[f64]) -> Vec<f64> {
        peer_scores(values).into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn the_distance_is_in_units_of_the_usual_one() {
        // Median 4, distances 2 1 0 1 96, MAD 1; five members: 27.51.
        let got = scores(&[2.0, 3.0, 4.0, 5.0, 100.0]);
        let wanted = [2.0, 1.0, 0.0, 1.0, 96.0].map(|d| d / 27.51);
        assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-12), "{got:?}");
    }

    #[test]
    fn nobody_is_judged_without_peers() {
        assert_eq!(peer_scores(&[]), []);
        assert_eq!(peer_scores(&[1.0, 100.0]), [None, None]);
        assert_eq!(peer_scores(&[1.0, f64::NAN, 100.0]), [None; 3]);
        assert_eq!(peer_scores(&[f64::INFINITY, f64::INFINITY, 1.0]), [None; 3]);
        assert_eq!(peer_scores(&[1.0, 1.0, f64::NAN, 1.0])[2], None);
    }

    #[test]
    fn what_is_as_good_as_equal_has_no_outlier() {
        assert_eq!(scores(&[5.0; 8]), [0.0; 8]);
        let mut close = [1000.0; 20];
        close[3] = 1001.0;
        assert!(scores(&close).iter().all(|s| *s < 1.0));
        close[3] = 2000.0;
        assert!(scores(&close)[3] > 1.0);
        assert_eq!(scores(&[1.0, 1.0, 1.0, f64::INFINITY])[3], f64::INFINITY);
    }

    #[test]
    fn chance_makes_an_outlier_at_one_instant_in_a_hundred() {
        let mut noise = Noise::new(7);
        for members in [3, 5, 13, 25, 70] {
            let instants = 20_000;
            let found = (0..instants)
                .filter(|_| {
                    let values: Vec<f64> = (0..members).map(|_| noise.normal()).collect();
                    scores(&values).iter().any(|s| *s > 1.0)
                })
                .count();
            let share = found as f64 / f64::from(instants);
            assert!((0.007..0.013).contains(&share), "{members} members: {share}");
        }
    }

    /// The median of each member's scores over time, as `avg_over_time` and `for` would have it.
    fn over_time(rows: &[Vec<f64>]) -> Vec<f64> {
        let instants = rows[0].len();
        let each: Vec<Vec<f64>> =
            (0..instants).map(|t| scores(&rows.iter().map(|row| row[t]).collect::<Vec<_>>())).collect();
        (0..rows.len()).map(|i| median(&mut each.iter().map(|s| s[i]).collect::<Vec<_>>())).collect()
    }

    /// Twelve members with the same season; one may be off. Seeded.
    fn group(season: f64, outlier: Option<(usize, f64)>) -> Vec<Vec<f64>> {
        let mut noise = Noise::new(3);
        let off = |i: usize| outlier.filter(|(who, _)| *who == i).map_or(0.0, |(_, off)| off);
        let mut value =
            |i: usize, t: i32| 100.0 + season * (f64::from(t) / 20.0).sin() + off(i) + 2.0 * (noise.uniform() - 0.5);
        (0..12).map(|i| (0..200).map(|t| value(i, t)).collect()).collect()
    }

    fn found_by<D: OutlierDetector>(detector: &D, rows: &[Vec<f64>]) -> Vec<usize> {
        let views: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let data = detector.preprocess(&views).ok().unwrap();
        detector.detect(&data).ok().unwrap().outlying_series.into_iter().collect()
    }

    #[test]
    fn batch_detectors_of_augurs_find_the_same_members() {
        let dbscan = DbscanDetector::with_sensitivity(0.9).unwrap();
        let mad = MADDetector::with_sensitivity(0.5).unwrap();
        for outlier in [None, Some((4, 40.0)), Some((0, -25.0)), Some((11, 15.0))] {
            let truth: Vec<usize> = outlier.iter().map(|(who, _)| *who).collect();
            for season in [0.0, 50.0] {
                let rows = group(season, outlier);
                let ours: Vec<usize> = (0..12).filter(|&i| over_time(&rows)[i] > 1.0).collect();
                assert_eq!(ours, truth, "{season} {outlier:?}");
                // augurs' MAD detector has one median for all times, and does not see past a season; its DBSCAN has a
                // distance that is a share of the whole range, and finds clusters in noise where there is nothing else.
                let theirs = if season == 0.0 { found_by(&mad, &rows) } else { found_by(&dbscan, &rows) };
                assert_eq!(theirs, truth, "augurs: {season} {outlier:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn scale_and_order_change_nothing(mut values in prop::collection::vec(-1e6..1e6f64, 3..40), scale in 1e-3..1e3f64) {
            let before = scores(&values);
            let scaled: Vec<f64> = values.iter().map(|v| v * scale).collect();
            for (a, b) in before.iter().zip(scores(&scaled)) {
                prop_assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs()));
            }
            values.reverse();
            let mut reversed = scores(&values);
            reversed.reverse();
            prop_assert_eq!(before, reversed);
        }

        #[test]
        fn no_input_makes_a_score_that_is_no_number(values in prop::collection::vec(any::<f64>(), 0..40)) {
            for score in peer_scores(&values).into_iter().flatten() {
                prop_assert!(score >= 0.0);
            }
        }
    }
}
