//! Which of a batch's samples a receiver refuses: found by asking again with parts of it. Pure.
//!
//! Prometheus takes a request whole or not at all, and does not say which sample was at fault. Parts go in such an order that
//! no sample of a series overtakes an older one: first each **run** of samples of one instant by itself, oldest first (after a
//! restart the older ones are there already, and are refused); then, where a run is refused, its halves, quarters and so on,
//! among which there is no order since each series is there once.

use std::collections::VecDeque;
use std::ops::Range;

use crate::base::Millis;

use super::super::recorded::{Outcome, Refusal};

/// Requests for a run, its halves and its quarters. Where all of these are refused because of the samples' instants, and a
/// process before this one may have sent them, the whole run is taken for one that the receiver has. Of newer runs no sample is
/// given up for the sake of another.
const HOPELESS: usize = 7;
/// Requests for a run from which on parts that are refused are not divided any more.
const DIVIDED_MAX: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Parts {
    times: Vec<Millis>,
    /// Samples of instants before may be repetitions of a process that was restarted.
    started: Millis,
    outcomes: Vec<Outcome>,
    /// The whole batch, as long as nothing is known.
    whole: bool,
    /// Runs that come later, in order.
    runs: VecDeque<Range<usize>>,
    /// What is left of the current one.
    pieces: VecDeque<Range<usize>>,
    /// Requests for the current run, and how many were taken.
    asked: usize,
    taken: usize,
}

impl Parts {
    /// Of a batch of samples at these instants, in order, by a process that `started` then.
    pub(super) fn new(times: Vec<Millis>, started: Millis) -> Self {
        let outcomes = vec![Outcome::Retry; times.len()];
        Self {
            times,
            started,
            outcomes,
            whole: true,
            runs: VecDeque::new(),
            pieces: VecDeque::new(),
            asked: 0,
            taken: 0,
        }
    }

    /// What is to be sent next; None once all is settled.
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        if self.whole {
            return (!self.times.is_empty()).then_some(0..self.times.len());
        }
        if self.pieces.is_empty() {
            (self.asked, self.taken) = (0, 0);
            self.pieces.extend(self.runs.pop_front());
        }
        self.pieces.pop_front()
    }

    /// The part was taken.
    pub(super) fn sent(&mut self, part: Range<usize>) {
        self.whole = false;
        (self.asked, self.taken) = (self.asked + 1, self.taken + 1);
        self.outcomes[part].fill(Outcome::Sent);
    }

    /// The part was refused, whatever is in it if it cannot be divided.
    pub(super) fn refused(&mut self, part: Range<usize>, refusal: Refusal, divides: bool) {
        let repeats = self.times[part.start] < self.started;
        let was_whole = std::mem::replace(&mut self.whole, false);
        self.asked += 1;
        if !divides {
            return self.outcomes[part].fill(Outcome::Refused(refusal));
        }
        if was_whole {
            self.runs = self.runs_of();
            if self.runs.len() > 1 {
                return;
            }
            self.runs.clear();
        }
        let middle = part.start + part.len() / 2;
        if part.len() > 1 && self.asked < DIVIDED_MAX {
            self.pieces.extend([part.start..middle, middle..part.end]);
        } else {
            self.outcomes[part].fill(Outcome::Refused(refusal));
        }
        if repeats && refusal != Refusal::Refused && self.asked >= HOPELESS && self.taken == 0 {
            for part in std::mem::take(&mut self.pieces) {
                self.outcomes[part].fill(Outcome::Refused(refusal));
            }
        }
    }

    /// What became of each sample; what was not settled is to be sent again.
    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }

    fn runs_of(&self) -> VecDeque<Range<usize>> {
        let mut runs: VecDeque<Range<usize>> = VecDeque::new();
        for (i, t) in self.times.iter().enumerate() {
            match runs.back_mut() {
                Some(run) if self.times[run.start] == *t => run.end = i + 1,
                _ => runs.push_back(i..i + 1),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a receiver that takes a request whole or not at all makes of it, and how often it was asked. `newest` is what it
    /// has of each series; `bad` are samples that it would refuse in any case.
    fn deliver(samples: &[(usize, Millis)], newest: &mut [Millis], bad: &[usize]) -> (Vec<Outcome>, usize) {
        let mut parts = Parts::new(samples.iter().map(|s| s.1).collect(), Millis::MAX);
        let mut asked = 0;
        while let Some(part) = parts.next() {
            asked += 1;
            let mut after = newest.to_vec();
            let fault = part.clone().find_map(|i| {
                let (series, t) = samples[i];
                let refusal = if bad.contains(&i) {
                    Refusal::Refused
                } else if after[series] > t {
                    Refusal::OutOfOrder
                } else {
                    after[series] = t;
                    return None;
                };
                Some(refusal)
            });
            match fault {
                None => {
                    newest.copy_from_slice(&after);
                    parts.sent(part);
                }
                Some(refusal) => parts.refused(part, refusal, true),
            }
        }
        (parts.into_outcomes(), asked)
    }

    fn ticks(series: usize, instants: Range<Millis>) -> Vec<(usize, Millis)> {
        instants.flat_map(|t| (0..series).map(move |s| (s, t))).collect()
    }

    #[test]
    fn four_series_of_somebody_else_cost_the_others_nothing() {
        let theirs = [3, 30, 60, 90];
        let refuse = |started: Millis| {
            let mut parts = Parts::new(vec![7; 100], started);
            while let Some(part) = parts.next() {
                match theirs.iter().any(|i| part.contains(i)) {
                    true => parts.refused(part, Refusal::OutOfOrder, true),
                    false => parts.sent(part),
                }
            }
            parts.into_outcomes().iter().filter(|o| **o == Outcome::Sent).count()
        };
        assert_eq!(refuse(5), 96);
        assert_eq!(refuse(8), 0, "of an instant before the start it is taken for a repetition");
    }

    #[test]
    fn one_request_where_all_is_well() {
        let (outcomes, asked) = deliver(&ticks(10, 0..5), &mut [-1; 10], &[]);
        assert!(outcomes.iter().all(|o| *o == Outcome::Sent));
        assert_eq!(asked, 1);
        assert!(Parts::new(vec![], 0).next().is_none());
    }

    #[test]
    fn what_a_restart_sends_again_is_refused_and_nothing_new_is_lost() {
        // The receiver has all up to 5, of the first three series 6 as well.
        let mut newest = [5; 50];
        newest[..3].fill(6);
        let samples = ticks(50, 0..10);
        let (outcomes, asked) = deliver(&samples, &mut newest, &[]);
        for ((series, t), outcome) in samples.iter().zip(&outcomes) {
            let want = if *t < 5 { Outcome::Refused(Refusal::OutOfOrder) } else { Outcome::Sent };
            // Of instant 5 the three are refused; of what shares their part nothing is new.
            if *t != 5 {
                assert_eq!(*outcome, want, "{series}@{t}");
            }
        }
        assert!(newest.iter().all(|t| *t == 9));
        assert!(asked < 1 + 5 * HOPELESS + DIVIDED_MAX + 5, "{asked}");
    }

    #[test]
    fn one_bad_sample_of_a_thousand_is_found() {
        let samples = ticks(1000, 0..1);
        let (outcomes, asked) = deliver(&samples, &mut [-1; 1000], &[777]);
        let refused: Vec<usize> = (0..1000).filter(|i| outcomes[*i] != Outcome::Sent).collect();
        assert_eq!(refused, [777]);
        assert!(asked <= 22, "{asked}");
    }

    #[test]
    fn refusals_that_are_about_all_of_it_are_not_divided() {
        let mut parts = Parts::new(vec![1, 2, 3], 0);
        let whole = parts.next().unwrap();
        parts.refused(whole, Refusal::Refused, false);
        assert_eq!((parts.next(), parts.into_outcomes()), (None, vec![Outcome::Refused(Refusal::Refused); 3]));
    }

    #[test]
    fn what_was_not_settled_is_sent_again() {
        let mut parts = Parts::new(vec![1, 2], 0);
        parts.refused(0..2, Refusal::OutOfOrder, true);
        let first = parts.next().unwrap();
        parts.sent(first);
        assert_eq!(parts.into_outcomes(), [Outcome::Sent, Outcome::Retry]);
    }

    proptest! {
        /// Whatever the receiver has and whatever is bad: every sample is settled, in a bounded number of requests, no series
        /// goes back, and where few are bad no good one is lost.
        #[test]
        fn every_sample_is_settled(
            series in 1_usize..40, instants in 1_i64..8, has in -1_i64..8, bad in prop::collection::vec(0_usize..300, 0..3),
        ) {
            let samples = ticks(series, 0..instants);
            let mut newest = vec![has; series];
            let (outcomes, asked) = deliver(&samples, &mut newest, &bad);
            prop_assert!(outcomes.iter().all(|o| *o != Outcome::Retry));
            prop_assert!(asked <= 1 + instants as usize * (2 * DIVIDED_MAX + 1));
            for (i, (s, t)) in samples.iter().enumerate() {
                if *t >= has && !bad.contains(&i) {
                    prop_assert_eq!(outcomes[i], Outcome::Sent, "{}@{}", s, t);
                }
            }
        }
    }
}
