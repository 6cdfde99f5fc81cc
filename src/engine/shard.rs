//! One shard: the series whose labels hash to it, their samples that wait for the watermark, and the local nodes over them.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::{CounterStart, Millis};
use crate::promql::{NodeId, Plan};

use super::eval::{Evaluator, Moment};
use super::increments::{Overtaken, grown, overtaken};
use super::store::{Refused, Store};

/// A sample for a series of this shard.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Slot of the series.
    pub slot: u32,
    /// Whether the value is an increment, to be added to what the series stands at; or says where one begins, which is of use
    /// where the series has nothing.
    pub adds: bool,
    /// Event time.
    pub t: Millis,
    /// Value.
    pub v: f64,
}

/// Samples that were not taken, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCounts {
    /// The same sample again.
    pub duplicate: u64,
    /// Another value for the same instant; the greater one stands, so that the order of arrival does not matter.
    pub conflict: u64,
    /// Older than what the series already has.
    pub out_of_order: u64,
}

/// A shard.
#[derive(Debug, Default)]
pub struct Shard {
    /// Its nodes, series and models.
    pub evaluator: Evaluator,
    /// Counts since the engine began.
    pub refused: RefusedCounts,
    /// Samples that have come since the last look, in order of arrival.
    fresh: Vec<Arrival>,
    /// Samples that have been looked at and wait for a later tick, in order.
    later: VecDeque<Arrival>,
    /// The oldest instant waited for, if any.
    oldest: Option<Millis>,
    /// Whether increments may be waiting.
    has_increments: bool,
}

impl RefusedCounts {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.duplicate = self.duplicate.wrapping_add(other.duplicate);
        self.conflict = self.conflict.wrapping_add(other.conflict);
        self.out_of_order = self.out_of_order.wrapping_add(other.out_of_order);
    }
}

impl Arrival {
    /// By time; of two values for one instant of a series the greater comes first, and the other is then refused. An increment
    /// comes behind a value, which has it counted, and before what says where a counter begins.
    #[inline]
    fn order(&self, other: &Self) -> Ordering {
        let rank = |arrival: &Self| match CounterStart::of(arrival.v) {
            None => u8::from(arrival.adds),
            Some(_) => 2,
        };
        let place = self.t.cmp(&other.t).then(self.slot.cmp(&other.slot));
        place.then_with(|| rank(self).cmp(&rank(other))).then_with(|| other.v.total_cmp(&self.v))
    }
}

impl Shard {
    /// Puts a sample where it waits for its tick.
    #[inline]
    pub fn receive(&mut self, arrival: Arrival) {
        self.oldest = Some(self.oldest.map_or(arrival.t, |oldest| oldest.min(arrival.t)));
        self.has_increments |= arrival.adds;
        self.fresh.push(arrival);
    }

    /// The samples waiting.
    pub fn arrivals(&self) -> impl Iterator<Item = &Arrival> {
        self.later.iter().chain(&self.fresh)
    }

    /// Samples waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.fresh.len() + self.later.len()
    }

    /// The oldest instant waited for.
    #[must_use]
    pub fn oldest_waiting(&self) -> Option<Millis> {
        self.oldest
    }

    /// Whether something waits for an instant up to this one.
    #[must_use]
    pub fn has_waiting(&self, until: Millis) -> bool {
        self.oldest.is_some_and(|oldest| oldest <= until)
    }

    /// Takes in what waits up to an instant: in order of time, so that the order of arrival does not matter.
    pub fn take_in(&mut self, until: Millis) {
        let overtaken = self.overtaken(until);
        // Arrivals are mostly in order already, which this sort uses.
        self.fresh.sort_by(Arrival::order);
        let ready = self.fresh.partition_point(|a| a.t <= until);
        let mut fresh = self.fresh.drain(..ready).peekable();
        loop {
            let waited = self.later.front().filter(|a| a.t <= until);
            let take_waited = match (waited, fresh.peek()) {
                (None, None) => break,
                (Some(waited), Some(arrived)) => waited.order(arrived).is_le(),
                (waited, _) => waited.is_some(),
            };
            let next = if take_waited { self.later.pop_front() } else { fresh.next() };
            let Some(arrival) = next else { break };
            let Arrival { slot, adds, t, v } = arrival;
            let store = &mut self.evaluator.store;
            let has_it = || store.series[slot as usize].newest().t == t;
            if adds && overtaken.contains(&(slot, t)) && !has_it() {
                self.refused.out_of_order += u64::from(CounterStart::of(v).is_none());
            } else {
                append(store, &mut self.refused, arrival);
            }
        }
        drop(fresh);
        let in_order = match (self.later.back(), self.fresh.first()) {
            (Some(last), Some(first)) => last.order(first).is_le(),
            _ => true,
        };
        self.later.extend(self.fresh.drain(..));
        if !in_order {
            self.later.make_contiguous().sort_by(Arrival::order);
        }
        self.oldest = self.later.front().map(|a| a.t);
        if self.later.is_empty() && self.later.capacity() > 1 << 20 {
            self.later.shrink_to(1 << 16);
        }
    }

    /// Appends at once what a rule has recorded.
    pub fn record(&mut self, slot: u32, t: Millis, v: f64) {
        append(&mut self.evaluator.store, &mut self.refused, Arrival { slot, adds: false, t, v });
    }

    fn overtaken(&mut self, until: Millis) -> Overtaken {
        if !self.has_increments {
            return Overtaken::default();
        }
        let found = overtaken(self.later.iter().chain(&self.fresh), until);
        self.has_increments = found.is_some();
        found.unwrap_or_default()
    }

    /// Evaluates local nodes.
    pub fn run(&mut self, plan: &Plan, volatile: &[bool], nodes: &[NodeId], at: Moment) {
        self.evaluator.run(plan, volatile, nodes, at);
    }

    /// Drops what no window can reach any more; gives the keys of the series dropped.
    pub fn collect_garbage(&mut self, plan: &Plan, t: Millis) -> Vec<u128> {
        let mut awaited = vec![false; self.evaluator.store.series.len()];
        for arrival in self.fresh.iter().chain(&self.later) {
            awaited[arrival.slot as usize] = true;
        }
        let gone = self.evaluator.collect_garbage(plan, t, &awaited, &[]).0;
        if !gone.is_empty() {
            // Slots are used again, so nothing may wait for one that is free.
            let store = &self.evaluator.store;
            self.fresh.retain(|arrival| store.holds(arrival.slot));
            self.later.retain(|arrival| store.holds(arrival.slot));
            self.oldest = self.fresh.iter().chain(&self.later).map(|arrival| arrival.t).min();
        }
        gone
    }
}

#[inline]
fn append(store: &mut Store, refused: &mut RefusedCounts, Arrival { slot, adds, t, v }: Arrival) {
    let v = match CounterStart::of(v) {
        None if adds => match grown(store, slot, t, v) {
            Some(v) => v,
            None => return refused.duplicate += 1,
        },
        None => v,
        Some(start) => {
            let series = &store.series[slot as usize];
            if !series.begins(t, start) || adds && series.any {
                return;
            }
            0.0
        }
    };
    match store.append(slot, t, v) {
        Ok(()) => {}
        Err(Refused::Duplicate) => refused.duplicate += 1,
        Err(Refused::Conflict) => refused.conflict += 1,
        Err(Refused::OutOfOrder) => refused.out_of_order += 1,
    }
}
