//! Which changes of level are a series' habit, and no news: the teeth of a sawtooth, a job that runs every night, weekends.
//!
//! Remembers the largest changes of the last weeks. A change is habit if there were three of its size and direction lately, or
//! two of them at this time of day, or one at this time of the week. Knows no values and no noise.

use serde::{Deserialize, Serialize};

/// Changes that are remembered.
const CHANGES: usize = 12;
/// Two changes are alike if the smaller is at least this share of the larger.
const ALIKE: f32 = 0.5;
/// As many alike at any time, at this time of day, at this time of the week, make a habit.
const EVER: usize = 3;
const DAILY: usize = 2;
const WEEKLY: usize = 1;
const DAY_S: u32 = 86_400;
const WEEK_S: u32 = 7 * DAY_S;
/// So near to the same time counts as that time.
const NEAR_S: u32 = 5_400;
/// A habit that was not kept for this long is none: four weeks.
const FORGOTTEN_S: u32 = 28 * DAY_S;

/// State: sizes with their signs, 0 where there is none, and when, in seconds of the series' life.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Habit {
    changes: [(f32, u32); CHANGES],
}

impl Habit {
    /// Whether a change of this size (negative: downwards) is what the series does anyway. One at this time of day is enough
    /// while it is not known whether the series has a season.
    pub fn knows(&self, at_s: u32, size: f32, season_is_known: bool) -> bool {
        let alike =
            |other: f32| other * size > 0.0 && other.abs().min(size.abs()) >= ALIKE * other.abs().max(size.abs());
        let ages = || {
            let alike = self.changes.iter().filter(move |(other, _)| alike(*other));
            alike.map(move |(_, then)| at_s.saturating_sub(*then)).filter(|age| *age <= FORGOTTEN_S)
        };
        let at_same = |period: u32| {
            ages().filter(|age| age % period <= NEAR_S && *age >= period || period - age % period <= NEAR_S).count()
        };
        ages().count() >= EVER || at_same(DAY_S) >= if season_is_known { DAILY } else { 1 } || at_same(WEEK_S) >= WEEKLY
    }

    /// Remembers a change in the place of one that is forgotten, or of the smallest.
    pub fn learn(&mut self, at_s: u32, size: f32) {
        for change in &mut self.changes {
            if at_s.saturating_sub(change.1) > FORGOTTEN_S {
                *change = (0.0, 0);
            }
        }
        let smallest = self.changes.iter_mut().min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        if let Some(smallest) = smallest.filter(|smallest| smallest.0.abs() <= size.abs()) {
            *smallest = (size, at_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 3_600;

    fn after(changes: &[(u32, f32)]) -> Habit {
        let mut habit = Habit::default();
        changes.iter().for_each(|(at, size)| habit.learn(*at, *size));
        habit
    }

    #[test]
    fn what_came_three_times_is_habit_in_its_direction_and_size() {
        let habit = after(&[(0, -10.0), (40 * HOUR, -12.0), (71 * HOUR, -9.0)]);
        assert!(habit.knows(100 * HOUR, -10.0, true) && habit.knows(100 * HOUR, -6.0, true));
        assert!(
            !habit.knows(100 * HOUR, 10.0, true)
                && !habit.knows(100 * HOUR, -40.0, true)
                && !habit.knows(100 * HOUR, -2.0, true)
        );
        assert!(!after(&[(0, -10.0), (40 * HOUR, -12.0)]).knows(71 * HOUR, -10.0, true), "two are none");
        assert!(!habit.knows(100 * HOUR + FORGOTTEN_S, -10.0, true));
    }

    #[test]
    fn a_time_of_day_needs_two_and_a_time_of_the_week_one() {
        let nightly = [(2 * HOUR, 5.0), (26 * HOUR, 5.0)];
        assert!(after(&nightly).knows(50 * HOUR + 1_200, 5.0, true) && after(&nightly).knows(49 * HOUR, 5.0, true));
        assert!(!after(&nightly).knows(56 * HOUR, 5.0, true) && !after(&nightly[..1]).knows(26 * HOUR, 5.0, true));
        let weekend = after(&[(10 * HOUR, -5.0)]);
        assert!(weekend.knows(10 * HOUR + WEEK_S, -5.0, true) && weekend.knows(9 * HOUR + 2 * WEEK_S, -5.0, true));
        assert!(!weekend.knows(20 * HOUR + WEEK_S, -5.0, true) && !weekend.knows(10 * HOUR + 600, -5.0, true));
    }

    #[test]
    fn the_largest_are_remembered() {
        let mut habit = after(&[(0, 100.0), (1, 100.0), (2, 100.0)]);
        (0..100).for_each(|i| habit.learn(10 + i, 1.0));
        assert!(habit.knows(200, 100.0, true) && habit.knows(200, 1.0, true));
    }
}
