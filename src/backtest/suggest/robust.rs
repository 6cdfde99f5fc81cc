//! Medians and quantiles: what a few wild values do not move.

/// The median; puts the values into order. None of none. Of an even number the lower of the middle two.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// The value below which a share of sorted values lies.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64) as usize).copied()
}

/// Moves what lies outside these quantiles to them.
pub(super) fn clip_to_quantiles(values: &mut [f64], share: f64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    if let (Some(low), Some(high)) = (quantile(&sorted, share), quantile(&sorted, 1.0 - share)) {
        values.iter_mut().for_each(|v| *v = v.clamp(low, high));
    }
}

/// A ratio, and 0 where it is none.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}
