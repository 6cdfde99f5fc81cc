//! Holds a single series to a budget of pages, whatever its distribution: each page makes the next a little harder, and
//! time makes it easier.
//!
//! Adaptive conformal inference (Gibbs and Candès 2021) on the level: threshold += step × (page − allowed), never below 0,
//! so that a series within its budget is left as it is calibrated. In the long run pages cannot exceed what is allowed.
//! Knows levels and time, not values.

use serde::{Deserialize, Serialize};

use crate::base::Millis;

const WEEK_MS: f64 = 7.0 * 86_400_000.0;
/// Added to the level needed at each page.
const STEP: f64 = 0.4;
/// Pages that leave it where it is, as a multiple of the profile's budget.
const ALLOWED: f64 = 5.0;
/// Most that is added.
const RAISED_MAX: f64 = 4.0;
/// Findings closer together are one page; less by as much as the budget is above one a week.
const PAGE_MS: f64 = 12.0 * 3_600_000.0;

/// How far the level needed stands above 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PageBudget {
    raised: f32,
    /// When the last page was counted.
    last: Millis,
}

impl PageBudget {
    /// Nothing spent.
    pub fn new() -> Self {
        Self { raised: 0.0, last: Millis::MIN }
    }

    /// Lets time pass, at so many false alarms a week.
    pub fn lower(&mut self, elapsed: Millis, a_week: f64) {
        if self.raised > 0.0 {
            let down = STEP * ALLOWED * a_week * elapsed as f64 / WEEK_MS;
            self.raised = (f64::from(self.raised) - down).max(0.0) as f32;
        }
    }

    /// What is to be taken off a level.
    pub fn raised(&self) -> f64 {
        f64::from(self.raised)
    }

    /// A finding at `t`, at so many false alarms a week.
    pub fn spend(&mut self, t: Millis, a_week: f64) {
        if t.saturating_sub(self.last) as f64 > PAGE_MS / a_week.max(1.0) {
            self.raised = (f64::from(self.raised) + STEP).min(RAISED_MAX) as f32;
            self.last = t;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    /// Pages in the last of `weeks` of a series that has a finding of this level every `hours`.
    fn pages(level: f64, hours: i64, weeks: i64) -> usize {
        let mut budget = PageBudget::new();
        let mut found = 0;
        for h in 0..weeks * 168 {
            budget.lower(HOUR, 1.0);
            if h % hours == 0 && level > budget.raised() {
                found += usize::from(h >= (weeks - 1) * 168);
                budget.spend(h * HOUR, 1.0);
            }
        }
        found
    }

    #[test]
    fn a_series_that_pages_too_often_comes_down_to_what_is_allowed() {
        assert_eq!(pages(1.0, 13, 10), 5, "13 a week are asked for");
        assert_eq!(pages(3.0, 13, 10), 5);
        assert_eq!(pages(1.0, 84, 10), 2, "two a week are within the budget");
    }

    #[test]
    fn findings_of_one_incident_are_one_page() {
        let mut budget = PageBudget::new();
        for minute in 0..600 {
            budget.spend(minute * 60_000, 1.0);
        }
        assert!((budget.raised() - STEP).abs() < 1e-6);
    }
}
