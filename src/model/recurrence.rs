//! What comes back at the same time of day is no news: a level has to exceed what the same bucket of the day, or the one after,
//! has shown in the last days.
//!
//! A job that runs five minutes a day is too short for the season's half hours, and so it would page daily. Only for series
//! with several points a bucket; with one, the season holds the job itself. Knows levels and buckets, not values.

use serde::{Deserialize, Serialize};

use super::baseline::PHASES;
use super::saved::words;

/// Levels above which a bucket is marked, and how high at most.
const FROM: f64 = -1.0;
const RAISED_MAX: f64 = 4.0;
/// What is left of a mark a day later.
const KEPT: f64 = 0.7;
/// One step of a mark.
const UNIT: f64 = RAISED_MAX / u8::MAX as f64;
/// No bucket yet.
const NONE: u8 = u8::MAX;

/// Marks by bucket of the day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recurrence {
    #[serde(with = "words")]
    marks: [u8; PHASES],
    /// The bucket that is being visited, and the highest mark of its visit and of the one before.
    bucket: u8,
    now: u8,
    before: u8,
}

impl Recurrence {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { marks: [0; PHASES], bucket: NONE, now: 0, before: 0 }
    }

    /// What a level has to exceed in this bucket, of `buckets` a day; 0 where nothing was seen.
    pub fn raised(&self, bucket: usize, buckets: usize) -> f64 {
        // A visit marks its own bucket and the next when it is over, so the next one's mark is of yesterday: what comes a
        // little earlier or later than yesterday is known as well, and what is going on now is not held back by its begin.
        let mark = self.marks[bucket].max(self.marks[(bucket + 1) % buckets]);
        f64::from(mark) * UNIT
    }

    /// Takes note of a level seen in this bucket.
    pub fn see(&mut self, bucket: usize, level: f64) {
        if usize::from(self.bucket) != bucket {
            if let Some(mark) = self.marks.get_mut(usize::from(self.bucket)) {
                let kept = (f64::from(*mark) * KEPT) as u8;
                *mark = kept.max(self.now).max(self.before);
            }
            (self.before, self.now, self.bucket) = (self.now, 0, bucket as u8);
        }
        let mark = ((level - FROM) / UNIT).clamp(0.0, f64::from(u8::MAX)) as u8; // saturates, 0 for what is not a number
        self.now = self.now.max(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days of two points a bucket, quiet but for what `level` says of (day, bucket).
    fn days(days: usize, level: impl Fn(usize, usize) -> f64) -> Recurrence {
        let mut recurrence = Recurrence::new();
        for day in 0..days {
            for bucket in 0..PHASES {
                recurrence.see(bucket, level(day, bucket));
                recurrence.see(bucket, f64::NEG_INFINITY);
            }
        }
        recurrence
    }

    #[test]
    fn what_came_yesterday_at_this_time_is_expected_again() {
        let daily = days(3, |_, bucket| if bucket == 20 { 1.5 } else { -3.0 });
        for bucket in [19, 20, 21] {
            assert!((daily.raised(bucket, PHASES) - 2.5).abs() < 2.0 * UNIT, "{bucket}");
        }
        assert_eq!((daily.raised(18, PHASES), daily.raised(22, PHASES)), (0.0, 0.0));
    }

    #[test]
    fn what_is_going_on_is_not_held_back_by_its_begin() {
        let mut recurrence = days(2, |_, _| -3.0);
        for bucket in [10, 10, 11, 12, 13] {
            assert_eq!(recurrence.raised(bucket, PHASES), 0.0, "{bucket}");
            recurrence.see(bucket, 3.0);
        }
    }

    #[test]
    fn a_mark_fades_within_days() {
        let once = |later: usize| days(1 + later, |day, bucket| if day == 0 && bucket == 20 { 6.0 } else { -3.0 });
        let raised = |later| once(later).raised(20, PHASES);
        assert!((raised(0) - RAISED_MAX).abs() < 1e-9, "{}", raised(0));
        assert!((raised(2) - RAISED_MAX * KEPT * KEPT).abs() < 3.0 * UNIT);
        assert!(raised(9) < 0.15);
    }

    #[test]
    fn the_day_is_a_ring() {
        let midnight = days(2, |_, bucket| if bucket == 0 { 1.0 } else { -3.0 });
        assert!(midnight.raised(PHASES - 1, PHASES) > 1.9);
        assert_eq!(Recurrence::new().raised(PHASES - 1, PHASES), 0.0);
    }
}
