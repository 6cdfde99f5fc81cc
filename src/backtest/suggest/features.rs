//! What a series is like, in a few numbers that outliers, its unit and its length hardly move.
//!
//! Pure; knows nothing of names, kinds and profiles.

use serde::Serialize;

use super::robust::{median, quantile, ratio};
use super::season::strengths;
use crate::base::Millis;

/// Outer over inner quantile range of a normal distribution's values: .975 - .025 over .75 - .25.
const NORMAL_TAILS: f64 = 2.906;
/// Blocks whose medians tell growth from wandering.
const BLOCKS: usize = 12;
/// Columns of the matrix that series are grouped by.
pub(super) const COLUMNS: usize = 12;

/// A series' features. Shares lie within 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Features {
    /// Points that are numbers.
    pub points: f64,
    /// Median distance of the points, seconds.
    pub interval_seconds: f64,
    /// Share of values that are 0.
    pub zeros: f64,
    /// Mean number of points in a row that are not 0.
    pub run: f64,
    /// Share of steps without a change.
    pub still: f64,
    /// Share of values that are whole numbers.
    pub integers: f64,
    /// Share of values below 0.
    pub negative: f64,
    /// Share of values within 0 and 1.
    pub within_one: f64,
    /// The median value.
    pub median: f64,
    /// Weight of the tails of changes: 0 of a normal distribution, towards 1 the heavier.
    pub tails: f64,
    /// Where the median lies between the .02 and .98 quantiles: 0 in the middle, 1 at the low end, -1 at the high end.
    pub skew: f64,
    /// Strength of the daily season.
    pub daily: f64,
    /// Strength of the weekly season.
    pub weekly: f64,
    /// 1 for a series that only grows, -1 for one that only falls, about 0 for one that comes back.
    pub growth: f64,
    /// Share of changes that are rises: about 0.5 of noise, towards 1 of a sawtooth that fills slowly.
    pub rises: f64,
}

/// Features of a series; points that are no finite numbers are left out. The points are in order of time.
#[must_use]
pub fn features(points: &[(Millis, f64)]) -> Features {
    let numbers: Vec<(Millis, f64)> = points.iter().copied().filter(|(_, v)| v.is_finite()).collect();
    let n = numbers.len() as f64;
    let mut all = Features { points: n, ..Features::default() };
    if numbers.is_empty() {
        return all;
    }
    let share = |is: fn(f64) -> bool| numbers.iter().filter(|(_, v)| is(*v)).count() as f64 / n;
    all.zeros = share(|v| v == 0.0);
    all.integers = share(|v| v.fract() == 0.0);
    all.negative = share(|v| v < 0.0);
    all.within_one = share(|v| (0.0..=1.0).contains(&v));
    let starts = numbers.iter().enumerate().filter(|(i, (_, v))| *v != 0.0 && (*i == 0 || numbers[i - 1].1 == 0.0));
    all.run = ratio((1.0 - all.zeros) * n, starts.count() as f64);
    // In shares of the largest value no difference is too large for a number.
    let largest = numbers.iter().map(|(_, v)| v.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let scaled: Vec<(Millis, f64)> = numbers.iter().map(|(t, v)| (*t, v / largest)).collect();
    let values: Vec<f64> = scaled.iter().map(|(_, v)| *v).collect();
    let interval = interval(&scaled);
    all.interval_seconds = interval as f64 / 1_000.0;
    (all.median, all.skew) = middle(&values, largest);
    (all.still, all.rises, all.tails) = changes(&values);
    all.growth = growth(&values);
    if all.still < 1.0 {
        [all.daily, all.weekly] = strengths(&scaled, interval);
    }
    all
}

impl Features {
    /// The features on one scale, on which a distance of 1 is that of opposites, whatever other series there are.
    ///
    /// Units and lengths are not in it; the interval and whether values are whole count for little. Multiples of 1/1024,
    /// so that last bits decide nothing.
    #[must_use]
    pub(super) fn row(&self) -> [f64; COLUMNS] {
        let is_share = self.within_one >= 1.0 && self.integers < 1.0;
        let row = [
            self.interval_seconds.max(1.0).log10() / 10.0,
            self.zeros,
            (2.0 * self.zeros).min(1.0) * (1.0 - 1.0 / self.run.max(1.0)),
            self.still,
            self.integers / 4.0,
            if is_share { 0.5 } else { 0.0 },
            if is_share { self.median } else { 0.0 },
            self.tails / 2.0,
            // Of what is mostly zero it only says whether the rest is more than a fiftieth.
            if self.zeros < 0.5 { self.skew / 2.0 } else { 0.0 },
            self.daily.max(self.weekly),
            self.growth,
            self.rises,
        ];
        row.map(|v| (v.clamp(-1.0, 1.0) * 1024.0).round() / 1024.0)
    }

    /// The median of each feature of some series.
    #[must_use]
    pub fn typical(all: &[Self]) -> Self {
        let of = |one: fn(&Self) -> f64| median(&mut all.iter().map(one).collect::<Vec<f64>>()).unwrap_or(0.0);
        Self {
            points: of(|f| f.points),
            interval_seconds: of(|f| f.interval_seconds),
            zeros: of(|f| f.zeros),
            run: of(|f| f.run),
            still: of(|f| f.still),
            integers: of(|f| f.integers),
            negative: of(|f| f.negative),
            within_one: of(|f| f.within_one),
            median: of(|f| f.median),
            tails: of(|f| f.tails),
            skew: of(|f| f.skew),
            daily: of(|f| f.daily),
            weekly: of(|f| f.weekly),
            growth: of(|f| f.growth),
            rises: of(|f| f.rises),
        }
    }
}

fn interval(points: &[(Millis, f64)]) -> Millis {
    let mut steps: Vec<Millis> = points.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].0)).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(60_000).max(1)
}

/// The median in the series' own unit, and how far off the middle of the quantiles it is.
fn middle(values: &[f64], unit: f64) -> (f64, f64) {
    let mut sorted = values.to_vec();
    let middle = median(&mut sorted).unwrap_or(0.0);
    let [low, high] = [0.02, 0.98].map(|share| quantile(&sorted, share).unwrap_or(0.0));
    (middle * unit, ratio((high - middle) - (middle - low), high - low))
}

/// Of one-step changes: the share of none, that of rises among the others, and the weight of the others' tails.
fn changes(values: &[f64]) -> (f64, f64, f64) {
    let steps = values.len().saturating_sub(1) as f64;
    let mut moved: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).filter(|d| *d != 0.0).collect();
    let n = moved.len() as f64;
    if moved.is_empty() {
        return (1.0, 0.5, 0.0);
    }
    moved.sort_unstable_by(f64::total_cmp);
    let rises = moved.iter().filter(|d| **d > 0.0).count() as f64 / n;
    let at = |share: f64| quantile(&moved, share).unwrap_or(0.0);
    let wide = ratio(at(0.975) - at(0.025), at(0.75) - at(0.25));
    let tails = if wide > NORMAL_TAILS { 1.0 - NORMAL_TAILS / wide } else { 0.0 };
    (1.0 - n / steps, rises, tails)
}

/// How straight the way of the blocks' medians is without its largest step, which may be a move to another level, times the
/// share of the variance that lies between blocks.
fn growth(values: &[f64]) -> f64 {
    if values.len() < 2 * BLOCKS {
        return 0.0;
    }
    let blocks: Vec<&[f64]> = values.chunks(values.len().div_ceil(BLOCKS)).collect();
    let medians: Vec<f64> = blocks.iter().filter_map(|block| median(&mut block.to_vec())).collect();
    let steps = || medians.windows(2).map(|pair| pair[1] - pair[0]);
    let way: f64 = steps().map(f64::abs).sum();
    let gone: f64 = steps().sum();
    let largest = steps().map(|step| step * gone.signum()).fold(0.0, f64::max);
    let within = blocks.iter().map(|block| spread(block)).sum::<f64>();
    gone.signum() * ratio((gone.abs() - largest).max(0.0), way) * (1.0 - ratio(within, spread(values))).max(0.0)
}

/// Sum of squares around the mean.
fn spread(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean) * (v - mean)).sum()
}
