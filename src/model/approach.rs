//! Whether a series is on its way somewhere: three fading lines, from a few ticks to half a day, each believed only while it
//! stands out.
//!
//! A line is believed on a side once its slope has, for some ticks on end, been significant and steeper than any departure
//! of this line from the next longer one that was seen lately. So a daily rise, a tooth, or a burst that a series has again and again
//! is its habit and no trend, while what goes on longer than the habit is one, and so is what has never gone another way.
//! Source: the prototypes behind models/saturation.md (three regressions, significance against the series' own increments,
//! a run of agreeing bins).
//!
//! Sees the series without its season, times in ticks. Knows nothing of thresholds and of what is forecast.

use serde::{Deserialize, Serialize};

use super::fading_line::{FadingLine, Fit};

pub(super) const LINES: usize = 3;
const SHORTEST_TICKS: f64 = 8.0;
const LONGEST_MS: f64 = 12.0 * 3_600_000.0;
/// The longest line has this many times the shortest one's ticks at least.
const LEAST_RATIO: f64 = 18.0;
/// Standard errors that a slope has to be from zero.
const SIGNIFICANT: f64 = 2.5;
/// A slope stands out if it exceeds the departures seen lately this many times.
const STANDS_OUT: f64 = 1.1;
/// Departures fade with these time constants, in those of the longest line; a larger one is approached by a fifth a tick, so
/// that a spike leaves little.
const FADE_SPANS: [f64; LINES] = [4.0, 4.0, 1.0];
const ATTACK: f64 = 1.2;
/// The slope of the whole history forgets with this time constant.
const DRIFT_MS: f64 = 7.0 * 86_400_000.0;

/// Constants of one profile and interval.
#[derive(Clone, Debug)]
pub(super) struct ApproachParams {
    spans: [f64; LINES],
    keeps: [f64; LINES],
    fades: [f64; LINES],
    drift_gain: f64,
}

/// State of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Approach {
    lines: [FadingLine; LINES],
    /// Largest departure of each line's slope from the next longer one's, lately.
    habit: [f32; LINES],
    /// Mean change a tick.
    drift: f32,
    /// Ticks for which each line has stood out, negative while it falls.
    runs: [i16; LINES],
}

impl ApproachParams {
    /// Constants for a tick of so many milliseconds; `forgetting` is relative to the reference.
    pub fn new(tick_ms: f64, forgetting: f64) -> Self {
        let longest = (LONGEST_MS / tick_ms).max(LEAST_RATIO * SHORTEST_TICKS);
        let spans = [SHORTEST_TICKS, (SHORTEST_TICKS * longest).sqrt(), longest];
        Self {
            spans,
            keeps: spans.map(|span| (-1.0 / span).exp()),
            fades: FADE_SPANS.map(|fade| 1.0 / (fade * longest * forgetting).max(1.0)),
            drift_gain: (tick_ms / (DRIFT_MS * forgetting)).min(1.0),
        }
    }
}

impl Approach {
    /// Nothing seen but the first value.
    pub fn new() -> Self {
        Self { lines: std::array::from_fn(|_| FadingLine::new()), habit: [0.0; LINES], drift: 0.0, runs: [0; LINES] }
    }

    /// Learns that the value changed by `delta` over `ticks` ticks, having changed `changes` times before.
    pub fn update(&mut self, params: &ApproachParams, changes: u32, ticks: f64, delta: f64) {
        let gain = params.drift_gain.max(1.0 / (f64::from(changes) + 1.0));
        self.drift += (gain * (delta / ticks - f64::from(self.drift))) as f32;
        for (line, keep) in self.lines.iter_mut().zip(params.keeps) {
            line.update(keep, ticks, delta);
        }
        let fits: [Fit; LINES] = std::array::from_fn(|i| self.lines[i].fit(params.spans[i]));
        for (i, fit) in fits.iter().enumerate() {
            let longer = fits.get(i + 1).map_or(f64::from(self.drift), |next| next.slope);
            let habit = f64::from(self.habit[i]);
            self.runs[i] = if stands_out(fit, habit) {
                let run = f64::from(self.runs[i]);
                (if fit.slope > 0.0 { run.max(0.0) + 1.0 } else { run.min(0.0) - 1.0 }) as i16
            } else {
                0
            };
            // Before a line has seen its own length, it differs from the longer one by chance.
            if f64::from(changes) > params.spans[i] {
                let departure = (fit.slope - longer).abs();
                let next = match habit {
                    h if h <= 0.0 => departure,
                    h if departure > h => departure.min(ATTACK * h),
                    h => departure.max(h * (1.0 - params.fades[i])),
                };
                self.habit[i] = next as f32;
            }
        }
    }

    /// The lines that are believed on a side (1 or -1), and for how many ticks they have been.
    pub fn believed(&self, params: &ApproachParams, side: f64) -> impl Iterator<Item = (Fit, f64)> {
        let all = self.lines.iter().zip(params.spans).zip(self.runs);
        let found = all.filter(move |(_, run)| side * f64::from(*run) > 0.0);
        found.map(|((line, span), run)| (line.fit(span), f64::from(run).abs()))
    }
}

fn stands_out(fit: &Fit, habit: f64) -> bool {
    let slope = fit.slope.abs();
    fit.is_determined()
        && slope > STANDS_OUT * habit
        && slope * slope > SIGNIFICANT * SIGNIFICANT * fit.slope_variance()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    /// Feeds values of a tick of five minutes; gives at how many of the ticks after `from` a line was believed upwards.
    fn believed(ticks: u32, from: u32, mut value: impl FnMut(u32) -> f64) -> usize {
        let params = ApproachParams::new(300_000.0, 1.0);
        let (mut approach, mut last, mut count) = (Approach::new(), value(0), 0);
        for i in 1..ticks {
            let v = value(i);
            approach.update(&params, i - 1, 1.0, v - last);
            last = v;
            count += usize::from(i > from && approach.believed(&params, 1.0).next().is_some());
        }
        count
    }

    #[test]
    fn a_steady_rise_is_believed_whether_new_or_as_old_as_the_series() {
        assert!(believed(60, 20, f64::from) >= 38);
        assert!(believed(5_000, 4_000, f64::from) >= 990);
        let mut noise = Noise::new(1);
        let found = believed(3_100, 3_010, |i| noise.normal() + f64::from(i.saturating_sub(3_000)));
        assert!(found >= 70, "{found} of 89");
    }

    #[test]
    fn habits_are_no_trend() {
        for seed in 0..5 {
            let mut noise = Noise::new(seed);
            let quiet = believed(6_000, 1_000, |_| noise.normal());
            assert!(quiet < 400, "noise: {quiet} of 5,000");
            let mut noise = Noise::new(seed);
            let teeth = believed(6_000, 1_000, |i| f64::from(i % 60) + noise.normal());
            assert!(teeth < 150, "teeth: {teeth} of 5,000");
            let mut noise = Noise::new(seed);
            let waves = believed(6_000, 1_000, |i| {
                30.0 * (f64::from(i) / 288.0 * std::f64::consts::TAU).sin() + noise.normal()
            });
            assert!(waves < 1_000, "waves: {waves} of 5,000");
        }
    }

    #[test]
    fn neither_scale_nor_shift_nor_sign_matters() {
        let mut noise = Noise::new(3);
        let values: Vec<f64> = (0..2_000).map(|i| noise.normal() + f64::from((i - 1_900i32).max(0))).collect();
        let plain = believed(2_000, 0, |i| values[i as usize]);
        assert!(plain > 50);
        assert_eq!(plain, believed(2_000, 0, |i| 1024.0 * values[i as usize] - 4096.0));
        let params = ApproachParams::new(300_000.0, 1.0);
        let (mut up, mut down) = (Approach::new(), Approach::new());
        for i in 1..2_000 {
            let delta = values[i] - values[i - 1];
            up.update(&params, i as u32 - 1, 1.0, delta);
            down.update(&params, i as u32 - 1, 1.0, -delta);
        }
        assert_eq!(up.runs.map(|run| -run), down.runs);
    }
}
