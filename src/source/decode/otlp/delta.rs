//! Running totals of delta series: PromQL knows only cumulative counters. Knows no wire format and no clock.
//!
//! The state lives with a source, is bounded by `limits.delta_series`, and is not part of checkpoints: after a restart totals
//! begin at zero. [`Added::begins`] says so, and the decoder tells the engine with a [`CounterStart::Anew`] right before the
//! sample: where the series stood elsewhere, that is the reset of a counter, which `rate` and `increase` count in full, even
//! where the new total is above the old one. Order and starts are judged as the Collector's deltatocumulative processor does
//! (and Prometheus with `otlp-deltatocumulative`, which uses it).
//!
//! What a sender was not told to be safe it sends again, though the log may have it: then the engine leaves the sample out,
//! and the total must not count it either. Such deltas are older than the process. So totals of counters begin anew with
//! each delta until one has come that is younger than [`DeltaTotals::since`]; a reset more changes nothing. (A sender whose clock
//! is further ahead than a restart takes can be counted twice for what it sends again.)
//!
//! A message that is added up and then refused will come again: [`DeltaTotals::undo`] takes its deltas back out.

use std::collections::VecDeque;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

#[cfg(doc)]
use crate::base::CounterStart;
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

/// A point of delta temporality; times are Unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delta {
    /// When the stream of deltas began, or the last delta was; 0 where the sender does not say.
    pub start: u64,
    /// Its own time.
    pub time: u64,
    /// What it adds.
    pub value: f64,
    /// Whether the total can only grow.
    pub is_counter: bool,
}

/// A total to which a delta was added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added {
    /// The total.
    pub total: f64,
    /// Whether it began with this delta.
    pub begins: bool,
}

/// Totals by series. The default has room for none.
#[derive(Debug, Default)]
pub struct DeltaTotals {
    /// Series seen since `began`.
    current: HashMap<u128, Total, FxBuildHasher>,
    /// Those seen only in the generation before.
    previous: HashMap<u128, Total, FxBuildHasher>,
    began: Millis,
    max: usize,
    /// When the process began, Unix nanoseconds; 0 where what is read again is known to the message.
    since: u64,
    /// What has changed since [`DeltaTotals::changes`] was asked last.
    changes: Vec<Change>,
    /// What could not be taken back because another message had come meanwhile. It is, when that one is.
    skipped: VecDeque<Change>,
}

/// What may be skipped; the oldest are forgotten.
const SKIPPED_MAX: usize = 10_000;

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
        Self {
            current,
            previous,
            began: Millis::MIN,
            max: limits.delta_series,
            since: 0,
            changes: Vec::new(),
            skipped: VecDeque::new(),
        }
    }

    /// The same for a source whose senders may send again what an earlier process has kept, before `now`.
    #[must_use]
    pub fn since(limits: &Limits, now: Millis) -> Self {
        Self { since: now.unsigned_abs().saturating_mul(1_000_000), ..Self::new(limits) }
    }

    /// Adds a delta of a series and gives the total.
    ///
    /// # Errors
    /// The delta is old, or the series one too many.
    pub fn add(&mut self, series: u128, delta: Delta) -> Result<Added, DeltaFault> {
        let Delta { start, time, value, is_counter } = delta;
        self.turn((time / 1_000_000) as Millis);
        let known = self.current.get(&series).copied().or_else(|| self.previous.remove(&series));
        let total = match known {
            Some(total) if start < total.start || time <= total.last => {
                self.current.insert(series, total);
                return Err(DeltaFault::OutOfOrder);
            }
            Some(total) if is_counter && total.last < self.since => Total { last: time, value, ..total },
            Some(total) => Total { last: time, value: total.value + value, ..total },
            None if self.len() >= self.max => return Err(DeltaFault::TooMany),
            None => Total { start, last: time, value },
        };
        let begins = known.is_none_or(|known| is_counter && known.last < self.since);
        self.current.insert(series, total);
        self.changes.push(Change { series, before: known, after: Some(total) });
        Ok(Added { total: total.value, begins })
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

    /// Takes a message back. Where another message has come to a series meanwhile, that one's total tells of both, and stays;
    /// when that one is taken back as well, both are.
    pub fn undo(&mut self, changes: DeltaChanges) {
        for change in changes.0.into_iter().rev() {
            let series = change.series;
            if !self.take_back(&change) {
                self.skipped.truncate(SKIPPED_MAX - 1);
                self.skipped.push_front(change);
                continue;
            }
            while let Some(i) = self.skipped.iter().position(|s| s.series == series && s.after == self.total(series)) {
                let Some(skipped) = self.skipped.remove(i) else { break };
                self.take_back(&skipped);
            }
        }
    }

    /// Whether the series still stands where the change has put it, and now stands where it was.
    fn take_back(&mut self, change: &Change) -> bool {
        if self.total(change.series) != change.after {
            return false;
        }
        self.remove(change.series);
        if let Some(before) = change.before.filter(|_| self.len() < self.max) {
            self.current.insert(change.series, before);
        }
        true
    }

    fn total(&self, series: u128) -> Option<Total> {
        self.current.get(&series).or_else(|| self.previous.get(&series)).copied()
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

    fn add(totals: &mut DeltaTotals, series: u128, start: u64, time: u64, value: f64) -> Result<f64, DeltaFault> {
        totals.add(series, Delta { start, time, value, is_counter: true }).map(|added| added.total)
    }

    fn totals(max: usize) -> DeltaTotals {
        DeltaTotals::new(&Limits { delta_series: max, ..Limits::default() })
    }

    #[test]
    fn deltas_add_up_and_old_ones_are_left_out() {
        let mut totals = totals(10);
        assert_eq!(add(&mut totals, 1, 5, 10, 3.0), Ok(3.0));
        assert_eq!(add(&mut totals, 1, 10, 20, 4.0), Ok(7.0));
        assert_eq!(add(&mut totals, 1, 10, 20, 4.0), Err(DeltaFault::OutOfOrder));
        assert_eq!(add(&mut totals, 1, 4, 30, 4.0), Err(DeltaFault::OutOfOrder));
        assert_eq!(add(&mut totals, 1, 20, 30, 1.0), Ok(8.0));
        totals.end(1);
        assert_eq!(add(&mut totals, 1, 30, 40, 1.0), Ok(1.0));
    }

    #[test]
    fn the_number_of_series_is_bounded_and_silent_ones_make_room() {
        let mut totals = totals(1);
        assert_eq!(add(&mut totals, 1, 0, MS, 1.0), Ok(1.0));
        assert_eq!(add(&mut totals, 2, 0, MS, 1.0), Err(DeltaFault::TooMany));
        let later = |generations: u64| generations * GENERATION_MS as u64 * MS + 2 * MS;
        assert_eq!(add(&mut totals, 2, 0, later(1), 1.0), Err(DeltaFault::TooMany));
        assert_eq!(add(&mut totals, 2, 0, later(2), 1.0), Ok(1.0));
        assert_eq!(totals.len(), 1);
    }

    #[test]
    fn a_message_that_is_taken_back_can_come_again() {
        let mut totals = totals(10);
        assert_eq!(add(&mut totals, 1, 0, 10, 3.0), Ok(3.0));
        totals.changes();
        // Of a known series twice, of a new one, and the end of that.
        for again in [true, false] {
            assert_eq!(add(&mut totals, 1, 0, 20, 4.0), Ok(7.0));
            assert_eq!(add(&mut totals, 1, 0, 30, 5.0), Ok(12.0));
            assert_eq!(add(&mut totals, 2, 0, 30, 1.0), Ok(1.0));
            totals.end(2);
            assert_eq!(add(&mut totals, 2, 0, 40, 2.0), Ok(2.0));
            let changes = totals.changes();
            if again {
                totals.undo(changes);
                assert_eq!(totals.len(), 1);
            }
        }
        assert_eq!(add(&mut totals, 1, 0, 30, 5.0), Err(DeltaFault::OutOfOrder), "it stands this time");
    }

    #[test]
    fn what_came_meanwhile_stays() {
        let mut totals = totals(10);
        add(&mut totals, 1, 0, 10, 3.0).unwrap();
        let refused = totals.changes();
        assert_eq!(add(&mut totals, 1, 0, 20, 4.0), Ok(7.0));
        totals.undo(refused);
        assert_eq!(add(&mut totals, 1, 0, 30, 1.0), Ok(8.0));
    }

    #[test]
    fn overlapping_messages_that_are_all_refused_are_all_taken_back() {
        for newer_first in [false, true] {
            let mut totals = totals(10);
            add(&mut totals, 1, 0, 10, 1.0).unwrap();
            totals.changes();
            let mut message = |time, delta| {
                add(&mut totals, 1, 0, time, delta).unwrap();
                add(&mut totals, 2, 0, time, delta).unwrap();
                add(&mut totals, 2, 0, time + 1, delta).unwrap();
                totals.changes()
            };
            let (older, newer) = (message(20, 2.0), message(30, 4.0));
            let (first, second) = if newer_first { (newer, older) } else { (older, newer) };
            totals.undo(first);
            totals.undo(second);
            assert_eq!((totals.len(), totals.skipped.len()), (1, 0), "the second series had begun with them");
            // They come again.
            assert_eq!(add(&mut totals, 1, 0, 20, 2.0), Ok(3.0));
            assert_eq!(add(&mut totals, 1, 0, 30, 4.0), Ok(7.0));
            assert_eq!(add(&mut totals, 2, 0, 20, 2.0), Ok(2.0));
        }
    }

    #[test]
    fn totals_begin_anew_until_the_process_was_there_when_they_grew() {
        let mut totals = DeltaTotals::since(&Limits::default(), 100);
        let mut add = |series, time: u64, is_counter| {
            let added = totals.add(series, Delta { start: 1, time: time * MS, value: 2.0, is_counter }).unwrap();
            (added.total, added.begins)
        };
        let counter: Vec<_> = [80, 90, 100, 110].map(|time| add(1, time, true)).into();
        assert_eq!(counter, [(2.0, true), (2.0, true), (2.0, true), (4.0, false)]);
        // What can fall has no resets.
        let gauge: Vec<_> = [80, 90, 100, 110].map(|time| add(2, time, false)).into();
        assert_eq!(gauge, [(2.0, true), (4.0, false), (6.0, false), (8.0, false)]);
    }

    #[test]
    fn a_series_that_goes_on_is_kept_for_ever() {
        let mut totals = totals(1);
        let total = (1..100).map(|i| add(&mut totals, 1, 0, i * (GENERATION_MS as u64) / 2 * MS, 1.0).unwrap()).last();
        assert_eq!(total, Some(99.0));
    }
}
