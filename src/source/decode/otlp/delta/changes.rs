//! What messages have changed in the running totals, so that those that are refused can be taken back. Knows no wire format.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::Total;

/// Most changes that wait for the message that came behind them; when there are more, all are forgotten.
const SKIPPED_MAX: usize = 10_000;

/// What a message has changed, in order.
#[derive(Debug, Default)]
pub struct DeltaChanges(pub(super) Vec<Change>);

impl DeltaChanges {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// A series' total before and after a delta, or before its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) series: u128,
    pub(super) before: Option<Total>,
    pub(super) after: Option<Total>,
}

/// Changes that could not be taken back because another message had come meanwhile. They are, when that one is.
#[derive(Debug, Default)]
pub(super) struct Skipped(HashMap<(u128, u64), Change, FxBuildHasher>);

impl Skipped {
    /// Adds one. The end of a series is none: what came behind it knows nothing of what was before.
    pub(super) fn add(&mut self, change: Change) {
        let Some(after) = change.after else { return };
        if self.0.len() >= SKIPPED_MAX {
            self.0.clear();
        }
        self.0.insert((change.series, after.last), change);
    }

    /// Takes out the one that has led to what a series now stands at.
    pub(super) fn leading_to(&mut self, series: u128, total: Option<Total>) -> Option<Change> {
        let total = total?;
        let place = (series, total.last);
        self.0.get(&place).filter(|change| change.after == Some(total))?;
        self.0.remove(&place)
    }

    /// Takes out the one of the delta of a series at that time: it has come again.
    pub(super) fn come_again(&mut self, series: u128, time: u64) -> Option<Change> {
        // Mostly there are none at all.
        if self.0.is_empty() { None } else { self.0.remove(&(series, time)) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
