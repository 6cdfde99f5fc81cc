//! The places of a season in a byte or two each: whole numbers of a unit that follows the largest of them.
//!
//! The unit is a power of two. It grows when a value needs it, and falls once a cycle when none does any more, so that a
//! spike costs precision for a season or two and not for good. What is rounded away is half a unit: 0.8% of the largest
//! value in one byte at most, 0.003% in two, as much again where the unit has grown since.

use serde::{Deserialize, Serialize};

use super::saved::{Fixed, words};

/// A whole number that a place is kept as.
pub(super) trait Whole: Fixed {
    /// The largest.
    const MOST: f64;
    /// Nearest to a value that is at most [`Self::MOST`] away from zero.
    fn nearest(v: f64) -> Self;
    /// As it was.
    fn value(self) -> f64;
}

impl Whole for i8 {
    const MOST: f64 = 127.0;
    fn nearest(v: f64) -> Self {
        v.round() as Self
    }
    fn value(self) -> f64 {
        f64::from(self)
    }
}

impl Whole for i16 {
    const MOST: f64 = 32_767.0;
    fn nearest(v: f64) -> Self {
        v.round() as Self
    }
    fn value(self) -> f64 {
        f64::from(self)
    }
}

/// Values beyond are clipped, and differences smaller are none.
const LARGEST: f64 = 1e30;
const SMALLEST_UNIT: f64 = 1e-30;
/// The unit falls when no value takes more than this share of the numbers, by this factor at most: values that it has
/// rounded to nothing have to show themselves again.
const SMALL_SHARE: f64 = 0.125;
const MOST_FALL: f64 = 16.0;

/// `N` places, all zero at first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "T: Fixed")]
pub(super) struct Cells<T, const N: usize> {
    #[serde(with = "words")]
    cells: [T; N],
    /// 0 before the first value that is not 0.
    unit: f32,
}

impl<T: Whole, const N: usize> Cells<T, N> {
    /// All zero.
    pub fn new() -> Self {
        Self { cells: [T::nearest(0.0); N], unit: 0.0 }
    }

    /// The value at a place below `N`.
    pub fn get(&self, place: usize) -> f64 {
        self.cells[place].value() * f64::from(self.unit)
    }

    /// Sets a place below `N`. Setting the first begins a new cycle.
    pub fn set(&mut self, place: usize, v: f64) {
        let v = if v.is_finite() { v.clamp(-LARGEST, LARGEST) } else { 0.0 };
        if v.abs() > T::MOST * f64::from(self.unit) {
            self.change_unit(v.abs());
        } else if place == 0 {
            let largest = (0..N).map(|i| self.get(i).abs()).fold(v.abs(), f64::max);
            let range = T::MOST * f64::from(self.unit);
            if largest < SMALL_SHARE * range {
                self.change_unit(largest.max(range / MOST_FALL));
            }
        }
        if self.unit > 0.0 {
            self.cells[place] = T::nearest(v / f64::from(self.unit));
        }
    }

    /// Takes a distance off all places.
    pub fn shift(&mut self, distance: f64) {
        (0..N).for_each(|i| self.set(i, self.get(i) - distance));
    }

    /// The unit in which this value takes at least half of the numbers.
    fn change_unit(&mut self, largest: f64) {
        let unit = (largest / T::MOST).log2().ceil().exp2().max(SMALLEST_UNIT);
        let ratio = f64::from(self.unit) / f64::from(unit as f32);
        for cell in &mut self.cells {
            *cell = T::nearest((cell.value() * ratio).clamp(-T::MOST, T::MOST));
        }
        self.unit = unit as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_spike_costs_precision_for_one_cycle() {
        let mut week = Cells::<i8, 24>::new();
        (0..24).for_each(|i| week.set(i, i as f64));
        assert!((week.get(5) - 5.0).abs() <= 0.2);
        week.set(7, 1e4);
        assert!((week.get(7) - 1e4).abs() < 80.0 && week.get(5) == 0.0);
        for _ in 0..4 {
            (0..24).for_each(|i| week.set(i, i as f64));
        }
        assert!((0..24).all(|i| (week.get(i) - i as f64).abs() <= 0.3), "{week:?}");
    }

    #[test]
    fn all_places_shift() {
        let mut day = Cells::<i16, 24>::new();
        (0..24).for_each(|i| day.set(i, 100.0 + i as f64));
        day.shift(110.0);
        assert!((0..24).all(|i| (day.get(i) - (i as f64 - 10.0)).abs() < 0.02), "{day:?}");
    }

    proptest! {
        #[test]
        fn what_is_set_comes_back(values in prop::collection::vec(-1e20..1e20f64, 24)) {
            let mut day = Cells::<i16, 24>::new();
            let mut week = Cells::<i8, 24>::new();
            let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
            for (i, v) in values.iter().enumerate() {
                day.set(i, *v);
                week.set(i, *v);
            }
            for (i, v) in values.iter().enumerate() {
                prop_assert!((day.get(i) - v).abs() <= 7e-5 * largest);
                prop_assert!((week.get(i) - v).abs() <= 0.017 * largest);
            }
        }

        #[test]
        fn any_value_is_survived(values in prop::collection::vec(any::<f64>(), 1..60)) {
            let mut week = Cells::<i8, 24>::new();
            for (i, v) in values.iter().enumerate() {
                week.set(i % 24, *v);
            }
            prop_assert!((0..24).all(|i| week.get(i).is_finite()));
        }
    }
}
