//! Quantiles: of a set of values, and of a classic histogram's buckets; and the share of a histogram between two bounds.

/// The φ-quantile of values, interpolated between ranks as Prometheus does; sorts `values`. NaN if empty or φ is NaN,
/// -Inf below 0, +Inf above 1. NaN values sort first.
#[must_use]
pub fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let n = values.len() as f64;
    let rank = phi * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// The median of the absolute deviations from the median; changes `values`. NaN if one of them is.
#[must_use]
pub fn median_deviation(values: &mut [f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, values)
}

/// One cumulative bucket: upper bound and count of observations at or below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Upper bound, inclusive.
    pub upper: f64,
    /// Cumulative count (or rate).
    pub count: f64,
}

/// Relative differences of counts below this are taken for rounding noise (`smallDeltaTolerance` in Prometheus).
const NOISE: f64 = 1e-12;

/// `histogram_quantile` over the buckets of one histogram, as Prometheus' `BucketQuantile`: buckets of equal bounds are
/// merged, counts forced to rise, values interpolated linearly within a bucket. NaN without a `+Inf` bucket or with
/// fewer than two buckets; the second highest bound if the quantile lies in the `+Inf` bucket. Also, whether counts had to be
/// forced by more than noise.
#[must_use]
pub fn bucket_quantile(phi: f64, buckets: &mut Vec<Bucket>) -> (f64, bool) {
    if phi.is_nan() {
        return (f64::NAN, false);
    }
    if phi < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if phi > 1.0 {
        return (f64::INFINITY, false);
    }
    if !merge_equal_bounds(buckets) {
        return (f64::NAN, false);
    }
    let forced = force_rising(buckets);
    (quantile_of_rising(phi, buckets), forced)
}

fn quantile_of_rising(phi: f64, buckets: &[Bucket]) -> f64 {
    if buckets.len() < 2 {
        return f64::NAN;
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let rank = phi * observations;
    let last = buckets.len() - 1;
    let b = buckets[..last].partition_point(|bucket| bucket.count < rank);
    if b == last {
        return buckets[last - 1].upper;
    }
    if b == 0 && buckets[0].upper <= 0.0 {
        return buckets[0].upper;
    }
    let (start, below) = if b == 0 { (0.0, 0.0) } else { (buckets[b - 1].upper, buckets[b - 1].count) };
    let inside = buckets[b].count - below;
    start + (buckets[b].upper - start) * ((rank - below) / inside)
}

/// The share of observations between two bounds, as Prometheus' `BucketFraction`: linear within a bucket, the first of
/// positive bounds beginning at zero. In a bucket of infinite width all observations lie at infinity. NaN without a `+Inf`
/// bucket, without observations, or with a NaN bound.
#[must_use]
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !merge_equal_bounds(buckets) {
        return f64::NAN;
    }
    let observations = buckets[buckets.len() - 1].count;
    if observations == 0.0 || observations.is_nan() || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    // Counts that fall with rising bounds must not give more than all.
    let rank = |bound| below(bound, buckets).min(observations);
    (rank(upper) - rank(lower)) / observations
}

/// How many observations lie below a bound.
fn below(bound: f64, buckets: &[Bucket]) -> f64 {
    let b = buckets.partition_point(|bucket| bucket.upper <= bound);
    let (start, rank) = match b.checked_sub(1) {
        Some(before) => (buckets[before].upper, buckets[before].count),
        None if buckets[0].upper > 0.0 => (0.0, 0.0),
        None => (f64::NEG_INFINITY, 0.0),
    };
    match buckets.get(b) {
        Some(_) if bound <= start => rank,
        Some(bucket) if start == f64::NEG_INFINITY => bucket.count,
        Some(bucket) => rank + (bucket.count - rank) * ((bound - start) / (bucket.upper - start)),
        None => rank,
    }
}

/// Sorts buckets and merges those of equal bounds; whether the last is `+Inf`.
fn merge_equal_bounds(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|later, kept| {
        let same = later.upper == kept.upper;
        if same {
            kept.count += later.count;
        }
        same
    });
    buckets.last().is_some_and(|b| b.upper == f64::INFINITY)
}

fn force_rising(buckets: &mut [Bucket]) -> bool {
    let mut highest = f64::NEG_INFINITY;
    let mut forced = false;
    for bucket in buckets {
        let noise = (bucket.count - highest).abs() <= NOISE * (bucket.count.abs().min(highest.abs()));
        forced |= !noise && bucket.count < highest;
        if noise || bucket.count < highest {
            bucket.count = highest;
        } else {
            highest = bucket.count;
        }
    }
    forced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_values() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(quantile(1.0, &mut [3.0, 1.0]), 3.0);
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
    }

    #[test]
    fn fractions_of_buckets() {
        let inf = f64::INFINITY;
        let h = [(1.0, 1.0), (2.0, 3.0), (inf, 100.0)];
        let share = |lower, upper, h: &[(f64, f64)]| bucket_fraction(lower, upper, &mut buckets(h));
        assert_eq!(share(0.0, 1.5, &h), 0.02);
        assert_eq!((share(400.0, inf, &h), share(4.0, 5.0, &h), share(-inf, inf, &h)), (0.97, 0.0, 1.0));
        let negative = [(-3.0, 10.0), (-2.0, 12.0), (inf, 100.0)];
        assert_eq!((share(-4.0, -2.0, &negative), share(-inf, -2.5, &negative)), (0.02, 0.11));
        assert!(share(0.0, f64::NAN, &h).is_nan() && share(0.0, 1.0, &h[..2]).is_nan());
        assert_eq!(share(3.0, 2.0, &h), 0.0);
    }

    fn buckets(counts: &[(f64, f64)]) -> Vec<Bucket> {
        counts.iter().map(|&(upper, count)| Bucket { upper, count }).collect()
    }

    #[test]
    fn quantiles_of_buckets() {
        let inf = f64::INFINITY;
        let h = [(0.1, 5.0), (0.2, 15.0), (inf, 20.0)];
        assert!((bucket_quantile(0.5, &mut buckets(&h)).0 - 0.15).abs() < 1e-12);
        assert_eq!(bucket_quantile(0.99, &mut buckets(&h)).0, 0.2);
        assert!(bucket_quantile(0.5, &mut buckets(&h[..2])).0.is_nan());
        assert!(bucket_quantile(0.5, &mut buckets(&[(inf, 3.0)])).0.is_nan());
        // A dip is flattened, not answered with nonsense.
        let dip = [(1.0, 10.0), (2.0, 9.0), (inf, 10.0)];
        assert_eq!(bucket_quantile(1.0, &mut buckets(&dip)).0, 1.0);
    }
}
