//! Running totals of delta series: PromQL knows only cumulative counters. Knows no wire format and no clock.
//!
//! The state lives with a source, is bounded by `limits.delta_series`, and is not part of checkpoints: after a restart totals
//! begin at zero. [`Standing::Anew`] says so, and the decoder tells the engine with a [`CounterStart::Anew`] right before the
//! sample: where the series stood elsewhere, that is the reset of a counter, which `rate` and `increase` count in full, even
//! where the new total is above the old one. Order and starts are judged as the Collector's deltatocumulative processor does
//! (and Prometheus with `otlp-deltatocumulative`, which uses it).
//!
//! What a sender was not told to be safe it sends again, though the log may have it, as a part of a total that only the engine
//! knows. No process can have taken a delta that was still in the future when it ended; those before [`DeltaTotals::since`]
//! are therefore handed on one by one, as a [`CounterStart::Increment`], which the engine adds to what the series has, or
//! leaves out where it has a sample of that instant.
//!
//! A message that is added up and then refused will come again: [`DeltaTotals::undo`] takes its deltas back out.

mod changes;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

pub use changes::DeltaChanges;
use changes::{Change, Skipped};

#[cfg(doc)]
use crate::base::CounterStart;
use crate::base::{Limits, Millis, TimeSpan};

/// Series without a point for between one and two such spans of event time are forgotten.
const GENERATION_MS: Millis = 10 * 60_000;

/// For so long after its first delta a total says where it began: that one may have been refused, or late.
const TOLD_NANOS: u64 = 60_000_000_000;

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

/// A delta that was added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added {
    /// The value of its sample.
    pub value: f64,
    /// What that is.
    pub standing: Standing,
    /// Whether nothing was known of the series, or its total begins anew with it.
    pub is_first: bool,
}

/// What the sample of a delta says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The total, which goes on.
    Total,
    /// The total, which began anew with the delta of that time, Unix nanoseconds.
    Anew(u64),
    /// The delta alone. An earlier process may have counted it.
    Increment,
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
    /// From when on no earlier process can have taken deltas, Unix nanoseconds; 0 where what is read again is known to the
    /// message.
    since: u64,
    /// What has changed since [`DeltaTotals::changes`] was asked last.
    changes: Vec<Change>,
    skipped: Skipped,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Total {
    /// When the stream of deltas began, Unix nanoseconds; 0 where the sender does not say.
    start: u64,
    /// Time of the first delta that was counted, Unix nanoseconds.
    first: u64,
    /// Time of the newest delta, Unix nanoseconds.
    pub(super) last: u64,
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
            skipped: Skipped::default(),
        }
    }

    /// The same for a source of which an earlier process may have kept what comes, up to the newest instant of `accepted`: now
    /// and `limits.future_seconds`.
    #[must_use]
    pub fn since(limits: &Limits, accepted: TimeSpan) -> Self {
        let mut totals = Self::new(limits);
        totals.may_have_been_kept(accepted);
        totals
    }

    /// Says so before the first delta.
    pub(super) fn may_have_been_kept(&mut self, accepted: TimeSpan) {
        self.since = accepted.newest.saturating_add(1).max(0).unsigned_abs().saturating_mul(1_000_000);
    }

    /// Adds a delta of a series and gives what its sample says.
    ///
    /// # Errors
    /// The delta is old, or the series one too many.
    pub fn add(&mut self, series: u128, delta: Delta) -> Result<Added, DeltaFault> {
        let Delta { start, time, value, is_counter } = delta;
        self.turn((time / 1_000_000) as Millis);
        let known = self.current.get(&series).copied().or_else(|| self.previous.remove(&series));
        let is_alone = is_counter && time < self.since;
        let total = match known {
            Some(total) if start < total.start || time <= total.last => {
                self.current.insert(series, total);
                return self.come_again(series, time, is_alone.then_some(value));
            }
            Some(total) if is_counter && total.last < self.since => Total { first: time, last: time, value, ..total },
            Some(total) => Total { last: time, value: total.value + value, ..total },
            None if self.len() >= self.max => return Err(DeltaFault::TooMany),
            None => Total { start, first: time, last: time, value },
        };
        self.current.insert(series, total);
        self.changes.push(Change { series, before: known, after: Some(total) });
        let standing = match total.first {
            _ if is_alone => Standing::Increment,
            first if time - first <= TOLD_NANOS => Standing::Anew(first),
            _ => Standing::Total,
        };
        let is_first = known.is_none() || !is_alone && total.first == time;
        Ok(Added { value: total.value, standing, is_first })
    }

    /// What becomes of a delta that is not newer than the last one. If it was refused before and is not in the total, nobody
    /// else tells of it: it is handed on where it stands for itself. Else it is, and must not be taken back any more.
    fn come_again(&mut self, series: u128, time: u64, alone: Option<f64>) -> Result<Added, DeltaFault> {
        match (self.skipped.come_again(series, time), alone) {
            (Some(change), Some(value)) => {
                self.changes.push(change);
                Ok(Added { value, standing: Standing::Increment, is_first: false })
            }
            _ => Err(DeltaFault::OutOfOrder),
        }
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
            if !self.take_back(&change) {
                self.skipped.add(change);
                continue;
            }
            while let Some(skipped) = self.skipped.leading_to(change.series, self.total(change.series)) {
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
mod tests;
