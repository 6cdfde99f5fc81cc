//! Running totals of delta series: PromQL knows only cumulative counters. Knows no wire format and no clock.
//!
//! The state lives with the decoder that a source owns, is bounded by `limits.delta_series`, and is not part of
//! checkpoints: after a restart totals begin at zero, which to `rate` and `increase` is the reset of a counter, and
//! costs nothing. Order and starts are judged as the Collector's deltatocumulative processor does (and Prometheus with
//! `otlp-deltatocumulative`, which uses it).
//!
//! A message that is added up and then refused will come again: [`DeltaTotals::undo`] takes its deltas back out.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::base::{Limits, Millis};

/// Series without a point for between one and two such spans of event time are forgotten.
const GENERATION_MS: Millis = 10 * 60_000;

/// Why a delta was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaFault {
    /// Not newer than the last one: it has been counted already, or its time has passed.
    OutOfOrder,
    /// `limits.delta_series` are held already.
    TooMany,
}

/// Totals by series.
#[derive(Debug)]
pub struct DeltaTotals {
    /// Series seen since `began`.
    current: HashMap<u128, Total, FxBuildHasher>,
    /// Those seen only in the generation before.
    previous: HashMap<u128, Total, FxBuildHasher>,
    began: Millis,
    max: usize,
    /// What has changed since [`DeltaTotals::changes`] was asked last.
    changes: Vec<Change>,
}

/// What a message has changed, in order.
#[derive(Debug, Default)]
pub struct DeltaChanges(Vec<Change>);

#[derive(Debug)]
struct Change {
    series: u128,
    before: Option<Total>,
    after: Option<Total>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Total {
    /// When the stream of deltas began, Unix nanoseconds; 0 where the sender does not say.
    start: u64,
    /// Time of the newest delta, Unix nanoseconds.
    last: u64,
    value: f64,
}

impl DeltaTotals {
    /// No totals yet, and never more than `limits.delta_series`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let (current, previous) = (HashMap::default(), HashMap::default());
        Self { current, previous, began: Millis::MIN, max: limits.delta_series, changes: Vec::new() }
    }

    /// Adds the delta of a series at `time` of a stream that began at `start` (Unix nanoseconds both) and gives the total.
    ///
    /// # Errors
    /// The delta is old, or the series one too many.
    pub fn add(&mut self, series: u128, start: u64, time: u64, delta: f64) -> Result<f64, DeltaFault> {
        self.turn((time / 1_000_000) as Millis);
        let known = self.current.get(&series).copied().or_else(|| self.previous.remove(&series));
        let total = match known {
            Some(total) if start < total.start || time <= total.last => {
                self.current.insert(series, total);
                return Err(DeltaFault::OutOfOrder);
            }
            Some(total) => Total { last: time, value: total.value + delta, ..total },
            None if self.len() >= self.max => return Err(DeltaFault::TooMany),
            None => Total { start, last: time, value: delta },
        };
        self.current.insert(series, total);
        self.changes.push(Change { series, before: known, after: Some(total) });
        Ok(total.value)
    }

    /// Forgets a series: it has ended.
    pub fn end(&mut self, series: u128) {
        if let Some(before) = self.remove(series) {
            self.changes.push(Change { series, before: Some(before), after: None });
        }
    }

    /// What has changed since this was asked last; to be asked after each message, and kept until it is acknowledged.
    pub fn changes(&mut self) -> DeltaChanges {
        DeltaChanges(std::mem::take(&mut self.changes))
    }

    /// Takes a message back. Where another message has come to a series meanwhile, that one's total tells of both, and stays.
    pub fn undo(&mut self, changes: DeltaChanges) {
        for Change { series, before, after } in changes.0.into_iter().rev() {
            let now = self.current.get(&series).or_else(|| self.previous.get(&series)).copied();
            if now != after {
                continue;
            }
            self.remove(series);
            if let Some(before) = before.filter(|_| self.len() < self.max) {
                self.current.insert(series, before);
            }
        }
    }

    fn remove(&mut self, series: u128) -> Option<Total> {
        let current = self.current.remove(&series);
        self.previous.remove(&series).or(current)
    }

    /// Series held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.len() + self.previous.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a new generation when it is time.
    fn turn(&mut self, now: Millis) {
        if self.began == Millis::MIN {
            self.began = now;
        }
        let age = now.saturating_sub(self.began);
        if age >= GENERATION_MS {
            self.previous = std::mem::take(&mut self.current);
            if age >= 2 * GENERATION_MS {
                self.previous.clear();
            }
            self.began = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn totals(max: usize) -> DeltaTotals {
        DeltaTotals::new(&Limits { delta_series: max, ..Limits::default() })
    }

    #[test]
    fn deltas_add_up_and_old_ones_are_left_out() {
        let mut totals = totals(10);
        assert_eq!(totals.add(1, 5, 10, 3.0), Ok(3.0));
        assert_eq!(totals.add(1, 10, 20, 4.0), Ok(7.0));
        assert_eq!(totals.add(1, 10, 20, 4.0), Err(DeltaFault::OutOfOrder));
        assert_eq!(totals.add(1, 4, 30, 4.0), Err(DeltaFault::OutOfOrder));
        assert_eq!(totals.add(1, 20, 30, 1.0), Ok(8.0));
        totals.end(1);
        assert_eq!(totals.add(1, 30, 40, 1.0), Ok(1.0));
    }

    #[test]
    fn the_number_of_series_is_bounded_and_silent_ones_make_room() {
        let mut totals = totals(1);
        assert_eq!(totals.add(1, 0, MS, 1.0), Ok(1.0));
        assert_eq!(totals.add(2, 0, MS, 1.0), Err(DeltaFault::TooMany));
        let later = |generations: u64| generations * GENERATION_MS as u64 * MS + 2 * MS;
        assert_eq!(totals.add(2, 0, later(1), 1.0), Err(DeltaFault::TooMany));
        assert_eq!(totals.add(2, 0, later(2), 1.0), Ok(1.0));
        assert_eq!(totals.len(), 1);
    }

    #[test]
    fn a_message_that_is_taken_back_can_come_again() {
        let mut totals = totals(10);
        assert_eq!(totals.add(1, 0, 10, 3.0), Ok(3.0));
        totals.changes();
        // Of a known series twice, of a new one, and the end of that.
        for again in [true, false] {
            assert_eq!(totals.add(1, 0, 20, 4.0), Ok(7.0));
            assert_eq!(totals.add(1, 0, 30, 5.0), Ok(12.0));
            assert_eq!(totals.add(2, 0, 30, 1.0), Ok(1.0));
            totals.end(2);
            assert_eq!(totals.add(2, 0, 40, 2.0), Ok(2.0));
            let changes = totals.changes();
            if again {
                totals.undo(changes);
                assert_eq!(totals.len(), 1);
            }
        }
        assert_eq!(totals.add(1, 0, 30, 5.0), Err(DeltaFault::OutOfOrder), "it stands this time");
    }

    #[test]
    fn what_came_meanwhile_stays() {
        let mut totals = totals(10);
        totals.add(1, 0, 10, 3.0).unwrap();
        let refused = totals.changes();
        assert_eq!(totals.add(1, 0, 20, 4.0), Ok(7.0));
        totals.undo(refused);
        assert_eq!(totals.add(1, 0, 30, 1.0), Ok(8.0));
    }

    #[test]
    fn a_series_that_goes_on_is_kept_for_ever() {
        let mut totals = totals(1);
        let total = (1..100).map(|i| totals.add(1, 0, i * (GENERATION_MS as u64) / 2 * MS, 1.0).unwrap()).last();
        assert_eq!(total, Some(99.0));
    }
}
