//! What a simulated series does when nothing happens: noise taken from recorded series, or made up of the same kinds.
//!
//! Each base has one value a bin for the whole simulation, scaled so that 99% of them lie between 0 and 1. Knows nothing
//! of limits, ramps and teeth.

use std::f64::consts::TAU;

use super::random::Random;
use super::{BIN, BINS, DAY_BINS};
use crate::backtest::evaluate::{RecordedSeries, quantile_of};

/// Shortest recorded series that is used; a shorter span is mirrored at its ends.
const LEAST_DAYS: f64 = 10.0;
const HOUR_BINS: usize = DAY_BINS / 24;

/// A base and what it is called.
#[derive(Clone, Debug)]
pub struct Base {
    /// The kind, or where it comes from.
    pub name: String,
    pub(super) values: Vec<f64>,
}

/// Makes noise of one kind.
type Make = fn(&mut Random) -> Vec<f64>;

/// Kinds of noise that are made up.
const KINDS: [(&str, Make); 4] = [("web", web), ("memory", memory), ("heavy", heavy), ("smooth", smooth)];

/// Made-up bases, so many of each kind.
#[must_use]
pub fn made_up(seed: u64, of_each_kind: usize) -> Vec<Base> {
    let all = (0..of_each_kind as u64).flat_map(|i| KINDS.map(|kind| (i, kind)));
    all.zip(0..)
        .filter_map(|((_, (name, make)), at)| {
            let values = scaled(make(&mut Random::new(seed.wrapping_mul(1_000_003).wrapping_add(at))))?;
            Some(Base { name: name.to_owned(), values })
        })
        .collect()
}

/// A base from a recorded series; None of one that is too short, or flat. Points an hour apart are joined by lines with
/// noise on them, since a straight line would be too easy.
#[must_use]
pub fn recorded(name: &str, series: &RecordedSeries, seed: u64) -> Option<Base> {
    let points: Vec<(f64, f64)> =
        series.points.iter().filter(|(_, v)| v.is_finite()).map(|(t, v)| (*t as f64 / BIN as f64, *v)).collect();
    let (first, last) = (points.first()?.0, points.last()?.0);
    if last - first < LEAST_DAYS * DAY_BINS as f64 || series.interval() > 3_600_000 {
        return None;
    }
    let steps: Vec<f64> = points.windows(2).map(|pair| (pair[1].1 - pair[0].1).abs()).collect();
    let sparse = series.interval() > 2 * BIN;
    let roughness = if sparse { 0.3 * quantile_of(&mut steps.clone(), 0.5) } else { 0.0 };
    let mut random = Random::new(seed);
    let span = (last - first) as usize;
    let mut at = 0;
    let mut values = Vec::with_capacity(BINS);
    let along: Vec<f64> = (0..span)
        .map(|i| {
            let t = first + i as f64;
            while points.get(at + 1).is_some_and(|next| next.0 <= t) {
                at += 1;
            }
            let (t0, v0) = points[at];
            let v = match points.get(at + 1) {
                Some((t1, v1)) if sparse => v0 + (v1 - v0) * (t - t0) / (t1 - t0),
                _ => v0,
            };
            v + roughness * random.normal()
        })
        .collect();
    while values.len() < BINS {
        values.extend(along.iter().take(BINS - values.len()));
        values.extend(along.iter().rev().take(BINS - values.len()));
    }
    Some(Base { name: name.to_owned(), values: scaled(values)? })
}

fn scaled(mut values: Vec<f64>) -> Option<Vec<f64>> {
    let mut sorted = values.clone();
    let (low, high) = (quantile_of(&mut sorted, 0.005), quantile_of(&mut sorted, 0.995));
    let width = high - low;
    if !width.is_finite() || width <= 0.0 {
        return None;
    }
    values.iter_mut().for_each(|v| *v = (*v - low) / width);
    Some(values)
}

/// Requests of a web service: day, week, noise in proportion, a rare spike.
fn web(random: &mut Random) -> Vec<f64> {
    let (day, half_day, weekend) = (random.between(0.2, 0.6), random.between(0.0, 0.2), random.between(0.0, 0.4));
    let (phase, noise) = (random.between(0.0, 1.0), random.between(0.01, 0.08));
    let mut wander = 0.0;
    (0..BINS)
        .map(|i| {
            let turn = TAU * (i as f64 / DAY_BINS as f64 + phase);
            let week = if i / DAY_BINS % 7 >= 5 { 1.0 - weekend } else { 1.0 };
            wander = 0.9 * wander + 0.4 * noise * random.normal();
            let spike = if random.happens(0.001) { random.between(0.2, 1.0) } else { 0.0 };
            let season = 1.0 + day * libm::sin(turn) + half_day * libm::cos(2.0 * turn);
            week * season * (1.0 + wander + noise * random.normal() + spike)
        })
        .collect()
}

/// Memory of a pod: a level that wanders and is pulled back, spikes of a few minutes, restarts.
fn memory(random: &mut Random) -> Vec<f64> {
    let (noise, pull, spikes) = (random.scale(0.002, 0.05), random.scale(0.001, 0.02), random.scale(0.002, 0.04));
    let (mut level, mut spike, mut left) = (1.0, 0.0, 0);
    (0..BINS)
        .map(|_| {
            level += pull * (1.0 - level) + 0.01 * random.normal();
            if random.happens(0.000_5) {
                level = random.between(0.7, 1.0);
            }
            if left > 0 {
                left -= 1;
            } else {
                (spike, left) = (0.0, 0);
                if random.happens(spikes) {
                    (spike, left) = (random.between(0.05, 0.4), random.between(0.0, 3.0) as u32);
                }
            }
            level * (1.0 + noise * random.normal()) + spike
        })
        .collect()
}

/// Latencies and queue lengths: heavy tails, correlated, with a weak season.
fn heavy(random: &mut Random) -> Vec<f64> {
    let (spread, keep, day) = (random.between(0.3, 1.0), random.between(0.3, 0.95), random.between(0.0, 0.5));
    let mut wander = 0.0;
    (0..BINS)
        .map(|i| {
            wander = keep * wander + libm::sqrt(1.0 - keep * keep) * random.normal();
            let outlier = if random.happens(0.003) { random.between(0.5, 2.5) } else { 0.0 };
            libm::exp(spread * wander + outlier + day * libm::sin(TAU * i as f64 / DAY_BINS as f64))
        })
        .collect()
}

/// What a disk holds: growth by day that is cleaned up by night, hardly any noise, a file written or deleted now and then.
fn smooth(random: &mut Random) -> Vec<f64> {
    let (growth, noise, files) = (random.between(0.0, 1.0), random.scale(0.001, 0.03), random.between(0.0, 0.01));
    let (mut level, mut offset) = (0.0, 0.0);
    (0..BINS)
        .map(|i| {
            let hour = i / HOUR_BINS % 24;
            let rate = if (8..20).contains(&hour) { 1.0 } else { -1.0 };
            level += growth * rate / 144.0;
            if random.happens(files) {
                offset = 0.7 * offset + 0.2 * random.normal();
            }
            level + offset + noise * random.normal()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_whole_finite_and_scaled() {
        let hourly = RecordedSeries {
            points: (0..400).map(|h| (h * 3_600_000, libm::sin(h as f64 / 4.0))).collect(),
            labels: vec![],
        };
        let mut all = made_up(7, 2);
        assert_eq!(all.len(), 8);
        all.push(recorded("hourly", &hourly, 1).unwrap());
        for base in &all {
            assert_eq!(base.values.len(), BINS, "{}", base.name);
            let inside = base.values.iter().filter(|v| (0.0..=1.0).contains(*v)).count();
            assert!((BINS * 985 / 1000..BINS * 995 / 1000).contains(&inside), "{} {inside}", base.name);
        }
        assert_eq!(all[0].values, made_up(7, 1)[0].values, "seeds decide");
        assert_ne!(all[0].values, made_up(8, 1)[0].values);
    }

    #[test]
    fn what_is_short_flat_or_sparse_is_no_base() {
        let series = |n: i64, step: i64, wave: f64| RecordedSeries {
            points: (0..n).map(|i| (i * step, wave * (i % 7) as f64)).collect(),
            labels: vec![],
        };
        assert!(recorded("short", &series(100, 300_000, 1.0), 1).is_none());
        assert!(recorded("flat", &series(5_000, 300_000, 0.0), 1).is_none());
        assert!(recorded("daily", &series(50, 86_400_000, 1.0), 1).is_none());
        assert!(recorded("good", &series(5_000, 300_000, 1.0), 1).is_some());
    }
}
