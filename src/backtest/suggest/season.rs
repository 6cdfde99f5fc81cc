//! How much of a series is a daily and a weekly season: augurs' MSTL over medians of hours.
//!
//! The periods are given, a day and a week, and not searched for: what machines do, they do by people's days.
//! Strength of a season as in Wang, Smith, Hyndman: Characteristic-based clustering for time series data, Data Mining and
//! Knowledge Discovery 13 (2006): 1 - var(remainder) / var(season + remainder).

use augurs::mstl::stlrs::{MstlParams, StlParams};

use super::robust::{clip_to_quantiles, median};
use crate::base::Millis;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
/// Widths of the steps that a series is laid on: the first that is no finer than the series.
const STEPS: [Millis; 7] = [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, DAY];
/// The newest weeks that are looked at.
const WEEKS_MAX: Millis = 8;
/// Fewer cycles say little: any wandering repeats itself twice.
const CYCLES_MIN: [usize; 2] = [4, 3];
/// Fewer steps a cycle are no shape.
const STEPS_A_CYCLE: usize = 4;
/// Share of steps on each end that outliers are clipped to.
const CLIPPED: f64 = 0.02;

/// Strength of the daily and the weekly season, each within 0 and 1; 0 where the series is too short to say.
pub(super) fn strengths(points: &[(Millis, f64)], interval: Millis) -> [f64; 2] {
    let Some(step) = STEPS.into_iter().find(|step| *step >= interval) else { return [0.0; 2] };
    let Some(mut grid) = grid(points, step) else { return [0.0; 2] };
    clip_to_quantiles(&mut grid, CLIPPED);
    let lengths = [DAY, 7 * DAY].map(|season| (season / step) as usize);
    let fits = |i: usize| lengths[i] >= STEPS_A_CYCLE && grid.len() >= CYCLES_MIN[i] * lengths[i];
    let which: Vec<usize> = (0..2).filter(|i| fits(*i)).collect();
    let periods: Vec<usize> = which.iter().map(|i| lengths[*i]).collect();
    // One constant a phase of the season, over the whole record: a smoother that follows each cycle finds a season in noise.
    let mut stl = StlParams::new();
    stl.seasonal_length(10 * grid.len() + 1).seasonal_degree(0);
    let mut found = [0.0; 2];
    if let Ok(parts) = MstlParams::new().stl_params(stl).fit(&grid, &periods) {
        for ((i, period), strength) in which.iter().zip(&periods).zip(parts.seasonal_strength()) {
            found[*i] = beyond_chance(strength, grid.len() / period);
        }
    }
    found
}

/// A constant a phase explains one part in as many as there are cycles of plain noise; what is left of a strength without.
fn beyond_chance(strength: f64, cycles: usize) -> f64 {
    let chance = 1.0 / cycles as f64;
    let left = (strength - chance) / (1.0 - chance);
    // A flat line has neither season nor remainder.
    if left.is_nan() { 0.0 } else { left.clamp(0.0, 1.0) }
}

/// Medians of steps, gaps bridged by straight lines. None where there are more gaps than values.
fn grid(points: &[(Millis, f64)], step: Millis) -> Option<Vec<f64>> {
    let last = points.last()?.0.div_euclid(step);
    let most = WEEKS_MAX * 7 * DAY / step;
    let first = points.first()?.0.div_euclid(step).max(last.saturating_sub(most - 1));
    let mut steps = vec![Vec::new(); usize::try_from(last.saturating_sub(first)).ok()? + 1];
    for (t, v) in points {
        let at = t.div_euclid(step).checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(values) = at.and_then(|at| steps.get_mut(at)) {
            values.push(*v);
        }
    }
    let known: Vec<(usize, f64)> =
        steps.iter_mut().enumerate().filter_map(|(at, values)| Some((at, median(values)?))).collect();
    if 2 * known.len() < steps.len() {
        return None;
    }
    let mut grid = Vec::with_capacity(steps.len());
    for pair in known.windows(2) {
        let ((from, a), (to, b)) = (pair[0], pair[1]);
        grid.extend((from..to).map(|at| a + (b - a) * (at - from) as f64 / (to - from) as f64));
    }
    grid.extend(known.last().map(|(_, v)| *v));
    Some(grid)
}
