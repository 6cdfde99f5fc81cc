//! Deltas that came one by one: only their series knows what they add to, and whether it has them counted. Knows nothing of
//! where they came from. See [`CounterStart::Increment`].

use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

use super::shard::Arrival;
use super::store::Store;
use crate::base::{CounterStart, Millis, is_stale};

/// Slot and time of increments that are left out.
pub(super) type Overtaken = HashSet<(u32, Millis), FxBuildHasher>;

/// Where a series comes to stand by an increment; None where it has that counted already.
pub(super) fn grown(store: &mut Store, slot: u32, t: Millis, by: f64) -> Option<f64> {
    let series = &store.series[slot as usize];
    let newest = series.newest();
    if newest.t == t {
        return None;
    }
    if newest.v.is_finite() {
        return Some(newest.v + by);
    }
    // There is nothing to add to behind a staleness marker: the counter goes on from zero, as one that begins anew.
    let begin = t.saturating_sub(1);
    if series.begins(begin, CounterStart::Anew) {
        let _ = store.append(slot, begin, 0.0);
    }
    Some(by)
}

/// Of what waits, the increments up to `until` behind which waits a total of the same series that goes on: that of an earlier
/// process, which either has them counted, or has taken them for too old. Added up they could go above it, and it would be
/// taken for a reset. None where there is no increment at all.
pub(super) fn overtaken<'a>(waiting: impl Iterator<Item = &'a Arrival> + Clone, until: Millis) -> Option<Overtaken> {
    let mut increments = waiting.clone().filter(|arrival| arrival.adds).peekable();
    increments.peek()?;
    let ready: Vec<(u32, Millis)> =
        increments.filter(|arrival| arrival.t <= until).map(|arrival| (arrival.slot, arrival.t)).collect();
    if ready.is_empty() {
        return Some(Overtaken::default());
    }
    // What follows in each series, and whether it is a total that goes on.
    let mut others: HashMap<u32, Vec<(Millis, bool)>, FxBuildHasher> =
        ready.iter().map(|(slot, _)| (*slot, Vec::new())).collect();
    for &Arrival { slot, t, v, .. } in waiting.filter(|arrival| !arrival.adds) {
        let goes_on = match CounterStart::of(v) {
            None => !is_stale(v),
            Some(CounterStart::Anew) => false,
            Some(_) => continue,
        };
        if let Some(others) = others.get_mut(&slot) {
            others.push((t, goes_on));
        }
    }
    others.values_mut().for_each(|others| others.sort_unstable());
    let is_overtaken = |(slot, t): &(u32, Millis)| {
        let next = others.get(slot).and_then(|others| others.get(others.partition_point(|(other, _)| other <= t)));
        next.is_some_and(|(_, goes_on)| *goes_on)
    };
    Some(ready.into_iter().filter(is_overtaken).collect())
}
