//! What an hour of the week is usually like: a mean of that hour over the weeks, the newest counting most.
//!
//! Needs no calendar: whichever days are alike show themselves by the distance of a week. A byte for an hour, as a distance
//! from the week's middle. Read with how far the series stands from it now: as a transient that decays within a day or two,
//! and as a shift that stays.

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use super::smoothing::{ErrorSize, Gains, Level};

/// Hours of a week.
pub(super) const WEEK: usize = 168;
/// A week's weight in the mean; 1/n in the first weeks.
const GAIN: f64 = 0.3;
/// The distance from the week as something that passes.
pub(super) const PASSING: Gains = Gains { level: 0.0, season: GAIN, decay: 0.95, transient: 0.5, clip: 2.0 };
/// The distance from the week as something that stays.
pub(super) const STAYING: Gains = Gains { level: 0.2, season: 0.0, decay: 0.0, transient: 0.0, clip: 2.0 };

/// The week's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Week {
    cells: Cells<i8, WEEK>,
    middle: f32,
    pub passing: Level,
    pub staying: Level,
    size: ErrorSize,
}

impl Week {
    /// Nothing seen.
    pub fn new() -> Self {
        let none = Level::default();
        Self { cells: Cells::new(), middle: 0.0, passing: none, staying: none, size: ErrorSize::default() }
    }

    /// Begins after the first week, which is asked for hour by hour.
    pub fn begin(&mut self, of_hour: impl Fn(usize) -> f64) {
        let (low, high) = (0..WEEK)
            .map(&of_hour)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        self.middle = (0.5 * (low + high)) as f32;
        (0..WEEK).for_each(|hour| self.cells.set(hour, of_hour(hour) - f64::from(self.middle)));
    }

    /// The usual value at an hour of the week.
    pub fn usual(&self, hour: usize) -> f64 {
        f64::from(self.middle) + self.cells.get(hour)
    }

    /// Learns the next hour, the `seen`-th (from 0) after the first week.
    pub fn learn(&mut self, seen: u32, hour: usize, y: f64) {
        let distance = y - self.usual(hour);
        let error = distance - self.passing.ahead(&PASSING, 1);
        let clipped = self.size.clip(seen, error, PASSING.clip);
        let most = PASSING.clip * self.size.get();
        self.staying.learn(&STAYING, (distance - self.staying.ahead(&STAYING, 1)).clamp(-most, most));
        self.passing.learn(&PASSING, clipped);
        let weeks = f64::from(seen / WEEK as u32) + 2.0;
        let learnt = GAIN.max(1.0 / weeks) * (distance - error + clipped);
        self.cells.set(hour, self.cells.get(hour) + learnt);
        if hour == 0 {
            self.centre();
        }
    }

    /// Once a week: a level that has wandered off would cost the cells their precision.
    fn centre(&mut self) {
        let (low, high) = (0..WEEK)
            .map(|hour| self.cells.get(hour))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let off = 0.5 * (low + high);
        if off.abs() > 0.25 * (high - low) {
            self.cells.shift(off);
            self.middle += off as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    /// Higher on five days of seven, by the hour within each.
    fn value(hour: usize) -> f64 {
        let of_day = if hour / 24 % 7 < 5 { 100.0 } else { 40.0 };
        of_day + (hour % 24) as f64
    }

    fn fed(weeks: usize, mut of: impl FnMut(usize) -> f64) -> Week {
        let mut week = Week::new();
        let first: Vec<f64> = (0..WEEK).map(&mut of).collect();
        week.begin(|hour| first[hour]);
        (WEEK..weeks * WEEK).for_each(|i| week.learn((i - WEEK) as u32, i % WEEK, of(i)));
        week
    }

    #[test]
    fn it_is_the_mean_of_the_weeks_and_later_a_fading_one() {
        let mut noise = Noise::new(1);
        let week = fed(12, |i| value(i) + noise.normal());
        let off: f64 = (0..WEEK).map(|h| (week.usual(h) - value(h)).powi(2)).sum::<f64>() / WEEK as f64;
        // A fading mean with gain .3 has .3 / 1.7 of the variance; a byte adds (.8 / sqrt 12)^2.
        assert!(off < 0.35, "{off}");
    }

    #[test]
    fn one_odd_week_moves_the_usual_one_by_two_errors_an_hour_at_most() {
        let mut noise = Noise::new(2);
        let mut week = fed(6, |i| value(i) + noise.normal());
        let (size, before) = (week.size.get(), f64::from(week.passing.transient));
        week.learn(6 * WEEK as u32, 0, value(0) + 1000.0);
        assert!((week.usual(0) - value(0)).abs() < 0.3 * 2.0 * size + 2.0, "{}", week.usual(0));
        // What it keeps of the transient before, and the gain times two usual errors.
        let transient = f64::from(week.passing.transient) - PASSING.decay * before;
        assert!((transient - 0.5 * 2.0 * size).abs() < 1e-3, "{transient}");
    }

    #[test]
    fn a_lasting_shift_is_known_within_a_day() {
        let mut noise = Noise::new(3);
        let mut week = fed(5, |i| value(i) + noise.normal());
        for i in 5 * WEEK..5 * WEEK + 24 {
            week.learn((i - WEEK) as u32, i % WEEK, value(i) + 30.0);
        }
        assert!((week.staying.ahead(&STAYING, 20) - 30.0).abs() < 6.0, "{:?}", week.staying);
    }

    #[test]
    fn a_level_that_wanders_far_keeps_its_precision() {
        // A hundred weeks, each 50 higher: without centring a byte would hold steps of 40.
        let week = fed(100, |i| value(i) + 50.0 * (i / WEEK) as f64);
        let day = week.usual(12) - week.usual(6);
        assert!((day - 6.0).abs() < 3.0, "{day}");
    }
}
