//! At which steps a subquery's inner expression failed: while one of them lies in a window, the window has no value.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::Millis;

use super::value::EvalError;

/// Failed steps of one subquery.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Failures {
    /// First and last of steps that failed one after the other, oldest first.
    runs: VecDeque<(Millis, Millis)>,
    /// Why the newest of them failed.
    error: Option<EvalError>,
}

impl Failures {
    /// Notes that the step at `t` failed; steps lie `interval` apart.
    pub fn note(&mut self, t: Millis, interval: Millis, error: &EvalError) {
        match self.runs.back_mut() {
            Some(run) if run.1 + interval >= t => run.1 = t,
            _ => self.runs.push_back((t, t)),
        }
        self.error = Some(error.clone());
    }

    /// Why a window `(start, end]` has no value, if it holds a failed step.
    #[must_use]
    pub fn within(&self, start: Millis, end: Millis, interval: Millis) -> Option<&EvalError> {
        let holds_step = |&(first, last): &(Millis, Millis)| {
            let (from, to) = ((start + 1).max(first), end.min(last));
            from <= to && from + (-from).rem_euclid(interval) <= to
        };
        self.error.as_ref().filter(|_| self.runs.iter().any(holds_step))
    }

    /// Adds those of another part of the same subquery.
    pub fn merge(&mut self, other: &Self, interval: Millis) {
        if self.runs.back().map(|run| run.1) < other.runs.back().map(|run| run.1) || self.error.is_none() {
            self.error.clone_from(&other.error);
        }
        let mut runs: Vec<(Millis, Millis)> = self.runs.drain(..).chain(other.runs.iter().copied()).collect();
        runs.sort_unstable();
        for run in runs {
            match self.runs.back_mut() {
                Some(last) if last.1.saturating_add(interval) >= run.0 => last.1 = last.1.max(run.1),
                _ => self.runs.push_back(run),
            }
        }
    }

    /// Forgets steps that lie in none of these windows `(start, end]`.
    pub fn retain_within(&mut self, windows: &[(Millis, Millis)]) {
        self.runs.retain(|&(first, last)| windows.iter().any(|&(start, end)| last > start && first <= end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_fails_while_it_holds_a_failed_step() {
        let mut failures = Failures::default();
        let error = EvalError::Parameter("NaN".into());
        for t in [60, 70, 100] {
            failures.note(t, 10, &error);
        }
        assert_eq!(failures.runs, [(60, 70), (100, 100)]);
        let fails = |f: &Failures, start, end| f.within(start, end, 10).is_some();
        assert!(fails(&failures, 59, 60) && fails(&failures, 0, 200) && fails(&failures, 69, 75));
        assert!(!fails(&failures, 0, 59) && !fails(&failures, 60, 69) && !fails(&failures, 70, 99));
        failures.retain_within(&[(70, 200)]);
        assert!(!fails(&failures, 0, 99) && fails(&failures, 0, 100));
        failures.retain_within(&[(0, 99), (99, 100)]);
        assert!(fails(&failures, 0, 100));
        failures.retain_within(&[(0, 99), (100, 200)]);
        assert!(!fails(&failures, 0, 200));
    }
}
