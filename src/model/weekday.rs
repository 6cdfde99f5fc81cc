//! What the day of the week adds to the daily season: one mean error of the season for each two hours of the week, in a byte.
//!
//! The season forgets within days, so that a Saturday is expected to be like its Friday and a Monday like its Sunday; these
//! errors come back each week and can be foretold. They count only as far as they have made the errors smaller, so that a
//! series without a week is left alone. Knows no calendar: it is told the bucket.

use serde::{Deserialize, Serialize};

use super::saved::words;

/// Buckets of a week: two hours each.
pub(super) const BUCKETS: usize = 84;
/// A bucket that was never visited.
const NEVER: i8 = i8::MIN;
const CELL_MAX: f64 = 127.0;
/// Gain of a bucket at each of its visits, after the first few.
const GAIN: f64 = 0.3;
/// Corrected error over plain error: from here the correction counts, ...
const RATIO_NONE: f64 = 0.95;
/// ... and from here it counts whole.
const RATIO_WHOLE: f64 = 0.8;

/// The errors of the week.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Week {
    #[serde(with = "words")]
    cells: [i8; BUCKETS],
    /// What one step of a cell means.
    unit: f32,
    /// Mean error of the visit that is going on.
    mean: f32,
    points: u16,
    /// Its bucket; [`BUCKETS`] before the first point.
    bucket: u8,
    /// Mean sizes of the season's error: as it is, and corrected.
    plain: f32,
    corrected: f32,
}

/// What the week says of an instant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Foretold {
    /// Bucket of the week.
    bucket: usize,
    /// Mean error of the season in it, if it was visited before.
    error: Option<f64>,
    /// The part of it that is believed: to be added to the season.
    pub correction: f64,
    /// By how much the level is expected to move as this bucket begins.
    pub step: f64,
}

impl Week {
    /// Nothing known.
    pub fn new() -> Self {
        Self {
            cells: [NEVER; BUCKETS],
            unit: 0.0,
            mean: 0.0,
            points: 0,
            bucket: BUCKETS as u8,
            plain: 0.0,
            corrected: 0.0,
        }
    }

    /// What is known of a bucket.
    pub fn look(&self, bucket: usize) -> Foretold {
        let believed = self.believed();
        let error = self.error(bucket);
        let correction = believed * error.unwrap_or(0.0);
        let before = usize::from(self.bucket);
        let began = before != bucket && before < BUCKETS;
        let step = if began { correction - believed * self.error(before).unwrap_or(0.0) } else { 0.0 };
        Foretold { bucket, error, correction, step }
    }

    /// Learns an error of the uncorrected season, at most `limit` of it. `gain` is that of the mean sizes; `visits` how often
    /// a bucket was visited before.
    pub fn learn(&mut self, foretold: &Foretold, error: f64, limit: f64, gain: f64, visits: f64) {
        if usize::from(self.bucket) != foretold.bucket {
            self.close_visit(visits);
            self.bucket = foretold.bucket as u8;
        }
        self.points = self.points.saturating_add(1);
        follow(&mut self.mean, error.clamp(-limit, limit), 1.0 / f64::from(self.points));
        if let Some(known) = foretold.error {
            let size = |e: f64| e.abs().min(limit);
            follow(&mut self.plain, size(error), gain);
            follow(&mut self.corrected, size(error - known), gain);
        }
    }

    /// How much of the correction counts, 0 to 1.
    fn believed(&self) -> f64 {
        if self.plain <= 0.0 {
            return 0.0;
        }
        let ratio = f64::from(self.corrected) / f64::from(self.plain);
        ((RATIO_NONE - ratio) / (RATIO_NONE - RATIO_WHOLE)).clamp(0.0, 1.0)
    }

    fn error(&self, bucket: usize) -> Option<f64> {
        let cell = self.cells[bucket];
        (cell != NEVER).then(|| f64::from(cell) * f64::from(self.unit))
    }

    /// Puts the mean error of the visit into its bucket.
    fn close_visit(&mut self, visits: f64) {
        let bucket = usize::from(self.bucket);
        if bucket < BUCKETS && self.points > 0 {
            let mean = f64::from(self.mean);
            let now = self.error(bucket).map_or(mean, |held| held + GAIN.max(1.0 / (visits + 1.0)) * (mean - held));
            self.fit_unit(now.abs());
            let unit = f64::from(self.unit);
            self.cells[bucket] = if unit > 0.0 { (now / unit).round().clamp(-CELL_MAX, CELL_MAX) as i8 } else { 0 };
        }
        self.mean = 0.0;
        self.points = 0;
    }

    /// Makes the unit such that `size` fits and that the largest cell uses a good part of its range.
    fn fit_unit(&mut self, size: f64) {
        let unit = f64::from(self.unit);
        if unit == 0.0 {
            self.unit = (size / 64.0) as f32;
            return;
        }
        let known = self.cells.iter().filter(|cell| **cell != NEVER);
        let largest = known.map(|cell| f64::from(*cell).abs()).fold(size / unit, f64::max);
        let factor = match largest {
            l if l > CELL_MAX => (l / CELL_MAX).log2().ceil().exp2(),
            l if l < CELL_MAX / 4.0 && self.unit > 4.0 * f32::MIN_POSITIVE => 0.5,
            _ => return,
        };
        self.unit = (unit * factor) as f32;
        for cell in self.cells.iter_mut().filter(|cell| **cell != NEVER) {
            *cell = (f64::from(*cell) / factor).round() as i8;
        }
    }
}

fn follow(mean: &mut f32, v: f64, gain: f64) {
    *mean = (f64::from(*mean) + gain * (v - f64::from(*mean))) as f32;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weeks of errors by bucket, four points a bucket.
    fn learnt(weeks: usize, error: impl Fn(usize, usize) -> f64) -> Week {
        let mut week = Week::new();
        for w in 0..weeks {
            for bucket in 0..BUCKETS {
                for point in 0..4 {
                    let foretold = week.look(bucket);
                    week.learn(&foretold, error(bucket, w * 4 + point), 1e3, 0.003, w as f64);
                }
            }
        }
        week
    }

    #[test]
    fn errors_that_come_back_are_foretold_to_a_byte() {
        let of = |bucket: usize| {
            if bucket < 12 {
                -80.0
            } else if bucket < 24 {
                55.0
            } else {
                0.5
            }
        };
        let week = learnt(4, |bucket, _| of(bucket));
        for bucket in [0, 13, 40] {
            let foretold = week.look(bucket);
            assert!((foretold.correction - of(bucket)).abs() < 1.3, "{foretold:?}");
        }
        assert!((week.look(0).step - -80.5).abs() < 2.0, "{:?}", week.look(0));
    }

    #[test]
    fn what_does_not_come_back_is_left_alone() {
        let mut noise = crate::model::synthetic::Noise::new(3);
        let errors: Vec<f64> = (0..40).map(|_| 10.0 * noise.normal()).collect();
        let week = learnt(8, |bucket, point| errors[(bucket * 7 + point * 11) % 40]);
        for bucket in 0..BUCKETS {
            assert_eq!(week.look(bucket).correction, 0.0);
        }
    }

    #[test]
    fn the_unit_follows_the_errors_up_and_down() {
        let mut week = learnt(2, |_, _| 1e-3);
        for size in [1e6, 1.0] {
            for _ in 0..60 {
                for bucket in 0..BUCKETS {
                    let foretold = week.look(bucket);
                    week.learn(&foretold, if bucket % 2 == 0 { size } else { -size }, 1e9, 0.01, 9.0);
                }
            }
            assert!((week.error(4).unwrap() / size - 1.0).abs() < 0.05, "{size}: {:?}", week.error(4));
        }
    }

    #[test]
    fn nothing_known_is_no_correction() {
        let foretold = Week::new().look(5);
        assert_eq!((foretold.correction, foretold.step, foretold.error), (0.0, 0.0, None));
        assert_eq!(learnt(3, |_, _| 0.0).look(5).correction, 0.0);
    }
}
