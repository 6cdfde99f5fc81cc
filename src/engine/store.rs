//! The series that rules ask for, and the leaves' rows over them.

use crate::base::{CounterStart, LabelsRef, Millis, Sample};
use crate::promql::{FeedId, Leaf, LeafId, LeafSource, Plan};
use crate::window::Ring;

use super::failures::Failures;
use super::interner::{IdMap, Interner, LabelId, UNKNOWN};
use super::table::Table;
use super::value::EvalError;

/// One series: its newest sample, its recent ones, and where it stands in the leaves.
#[derive(Debug, Default)]
pub struct Series {
    /// Identity, see [`LabelsRef::key`]; 0 for an element of a subquery's inner expression.
    pub key: u128,
    /// Its label set.
    pub id: LabelId,
    pub(super) newest: Sample,
    pub(super) any: bool,
    pub(super) ring: Option<Ring>,
    /// Leaf and row of each window over it.
    pub(super) rows: Box<[(u32, u32)]>,
}

impl Series {
    /// A series that was saved.
    pub(super) fn restored(
        key: u128,
        id: LabelId,
        newest: Option<Sample>,
        ring: Option<Ring>,
        rows: Vec<(u32, u32)>,
    ) -> Self {
        Self { key, id, newest: newest.unwrap_or_default(), any: newest.is_some(), ring, rows: rows.into() }
    }

    /// The newest sample, staleness markers included; long ago if there is none.
    #[inline]
    #[must_use]
    pub fn newest(&self) -> Sample {
        if self.any { self.newest } else { Sample { t: Millis::MIN, v: 0.0 } }
    }

    /// Whether a counter that begins at `t` stood at zero then, as far as can be told from what the series holds.
    #[must_use]
    pub fn begins(&self, t: Millis, start: CounterStart) -> bool {
        match start {
            CounterStart::Created => !self.any || self.newest.t < t,
            // A staleness marker is not zero: what it was before counts.
            CounterStart::Anew => self.any && self.newest.t < t && self.newest.v != 0.0,
            CounterStart::Increment => false,
        }
    }

    /// The recent samples.
    #[inline]
    #[must_use]
    pub fn ring(&self) -> &Ring {
        self.ring.as_ref().unwrap_or(Ring::none())
    }

    /// Heap and own bytes, for reports.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.len() * 8 + self.ring.as_ref().map_or(0, Ring::heap_bytes)
    }
}

/// Series and rows of one evaluator.
#[derive(Debug, Default)]
pub struct Store {
    /// Label sets of everything here.
    pub interner: Interner,
    /// Series by slot; freed slots are used again.
    pub series: Vec<Series>,
    /// One a leaf of the plan.
    pub tables: Vec<Table>,
    free: Vec<u32>,
    /// Slots of the elements of each feed, by label set.
    feeds: Vec<IdMap>,
    /// Failed steps of each feed.
    pub(super) failures: Vec<Failures>,
}

/// Why an append was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is a sample at this instant already, with the same value.
    Duplicate,
    /// There is a sample at this instant already, with another value.
    Conflict,
    /// There is a newer sample already.
    OutOfOrder,
}

impl Store {
    /// Adds a series to the leaves named; gives its slot.
    pub fn create(&mut self, labels: LabelsRef<'_>, leaves: &[u32]) -> u32 {
        let id = self.interner.intern(labels);
        self.create_with(labels.key(), id, leaves)
    }

    /// Appends a sample to a series and to its windows.
    ///
    /// # Errors
    /// What is not newer than the newest is refused.
    #[inline]
    pub fn append(&mut self, slot: u32, t: Millis, v: f64) -> Result<(), Refused> {
        let series = &mut self.series[slot as usize];
        if series.any && t <= series.newest.t {
            return Err(match t == series.newest.t {
                true if v.to_bits() == series.newest.v.to_bits() => Refused::Duplicate,
                true => Refused::Conflict,
                false => Refused::OutOfOrder,
            });
        }
        series.newest = Sample { t, v };
        series.any = true;
        if let Some(ring) = &mut series.ring {
            if ring.is_full() {
                let tables = &mut self.tables;
                let tails = series.rows.iter().map(|&(leaf, row)| tables[leaf as usize].tail(row, ring));
                let oldest = tails.reduce(|a, b| ring.older(a, b)).unwrap_or(ring.head());
                ring.trim(oldest);
            }
            ring.push(t, v);
            let head = ring.head();
            for &(leaf, row) in &series.rows {
                self.tables[leaf as usize].push(row, head);
            }
        }
        Ok(())
    }

    /// Appends an element of a subquery's inner expression.
    pub fn append_fed(&mut self, plan: &Plan, feed: FeedId, id: LabelId, t: Millis, v: f64) {
        let slot = match self.feeds[feed].get(id) {
            UNKNOWN => {
                let leaves = leaves_of_feed(plan, feed);
                let slot = self.create_with(0, id, &leaves);
                self.feeds[feed].set(id, slot);
                slot
            }
            slot => slot,
        };
        // Steps only go forward; a refusal would mean a step evaluated twice, which changes nothing.
        let _ = self.append(slot, t, v);
    }

    /// Notes that a subquery's inner expression failed at a step.
    pub fn fail_fed(&mut self, plan: &Plan, feed: FeedId, t: Millis, error: &EvalError) {
        self.failures[feed].note(t, plan.feeds[feed].schedule.interval, error);
    }

    /// Why a leaf's windows have no value at `t`: they hold a step at which their subquery's inner expression failed.
    #[must_use]
    pub fn failure(&self, plan: &Plan, leaf: LeafId, t: Millis) -> Option<&EvalError> {
        let leaf = &plan.leaves[leaf];
        let Leaf { source: LeafSource::Feed(feed), range, .. } = leaf else { return None };
        let end = leaf.end(t);
        self.failures[*feed].within(end - range, end, plan.feeds[*feed].schedule.interval)
    }

    /// Takes over another plan. Windows that both plans have are kept; `leaves_of` says which leaves a series belongs to.
    pub fn replan(&mut self, old: &Plan, plan: &Plan, leaves_of: impl Fn(LabelsRef<'_>) -> Vec<u32>) {
        let mut before: Vec<Option<Table>> = self.tables.drain(..).map(Some).collect();
        let mut is_new = Vec::new();
        for leaf in &plan.leaves {
            let known = before.iter_mut().find(|t| t.as_ref().is_some_and(|t| t.identity == leaf.identity));
            let table = known.and_then(Option::take);
            is_new.push(table.is_none());
            self.tables.push(table.unwrap_or_else(|| Table::new(leaf)));
        }
        let mut rows: Vec<Vec<(u32, u32)>> = vec![vec![]; self.series.len()];
        for (leaf, table) in self.tables.iter().enumerate() {
            for (row, &slot) in table.slots.iter().enumerate() {
                rows[slot as usize].push((leaf as u32, row as u32));
            }
        }
        let mut old_feeds: Vec<Option<IdMap>> = self.feeds.drain(..).map(Some).collect();
        let mut old_failures = std::mem::take(&mut self.failures);
        let mut leaves_by_slot: Vec<Option<Vec<u32>>> = vec![None; self.series.len()];
        for (feed, spec) in plan.feeds.iter().enumerate() {
            let known = old.feeds.iter().position(|f| f.identity == spec.identity);
            let slots = known.and_then(|k| old_feeds.get_mut(k).and_then(Option::take)).unwrap_or_default();
            for slot in slots.values() {
                leaves_by_slot[slot as usize] = Some(leaves_of_feed(plan, feed));
            }
            self.feeds.push(slots);
            let failures = known.and_then(|k| old_failures.get_mut(k)).map(std::mem::take);
            self.failures.push(failures.unwrap_or_default());
        }
        for slot in 0..self.series.len() {
            if self.series[slot].id == UNKNOWN {
                continue; // free
            }
            if self.series[slot].key != 0 {
                let labels = self.interner.labels(self.series[slot].id);
                leaves_by_slot[slot] = Some(leaves_of(labels.as_ref()));
            }
            let wanted = leaves_by_slot[slot].take().unwrap_or_default();
            let new: Vec<u32> = wanted.into_iter().filter(|&leaf| is_new[leaf as usize]).collect();
            self.series[slot].rows = std::mem::take(&mut rows[slot]).into();
            self.enlist(slot as u32, &new);
        }
    }

    /// Drops series that no leaf asks for any more, or whose newest sample no window can reach at `t`; of the latter, the slots
    /// `awaited` stay, as if they had never had a sample. Gives the keys of those dropped.
    pub fn expire(&mut self, plan: &Plan, t: Millis, awaited: &[bool]) -> Vec<u128> {
        let memory: Vec<Millis> =
            self.tables.iter().zip(&plan.leaves).map(|(table, leaf)| table.memory(leaf.query_offset)).collect();
        let mut gone = Vec::new();
        for slot in 0..self.series.len() as u32 {
            let series = &self.series[slot as usize];
            if series.id == UNKNOWN {
                continue;
            }
            if series.rows.iter().any(|&(leaf, row)| self.tables[leaf as usize].is_pinned(row)) {
                continue;
            }
            let reach = series.rows.iter().map(|&(leaf, _)| memory[leaf as usize]).max();
            // A minute of grace keeps a series that is a little late from being built up again.
            if reach.is_some_and(|reach| series.newest().t >= t.saturating_sub(reach).saturating_sub(60_000)) {
                continue;
            }
            if awaited.get(slot as usize) != Some(&true) || reach.is_none() {
                gone.push(series.key);
                self.remove(slot);
            } else if series.any {
                let (key, id) = (series.key, series.id);
                let leaves: Vec<u32> = series.rows.iter().map(|row| row.0).collect();
                self.remove(slot);
                // The slot freed last is the first to be used again.
                self.create_with(key, id, &leaves);
            }
        }
        for feed in &mut self.feeds {
            feed.retain(|slot| self.series[slot as usize].id != UNKNOWN);
        }
        for (feed, failures) in self.failures.iter_mut().enumerate() {
            let leaves =
                leaves_of_feed(plan, feed).into_iter().map(|leaf| (&plan.leaves[leaf as usize], leaf as usize));
            let windows: Vec<(Millis, Millis)> = leaves
                .map(|(leaf, i)| match leaf.pinned {
                    Some(end) => (end - leaf.range, end),
                    None => (t.saturating_sub(memory[i]), Millis::MAX),
                })
                .collect();
            failures.retain_within(&windows);
        }
        gone
    }

    /// Takes a series in that was saved, of a subquery if it is an element of one, and already in its leaves' last rows. Gives
    /// its slot; None if the subquery has an element of these labels.
    pub(super) fn adopt(&mut self, series: Series, feed: Option<FeedId>) -> Option<u32> {
        let slot = self.series.len() as u32;
        if let Some(feed) = feed {
            if self.feeds[feed].get(series.id) != UNKNOWN {
                return None;
            }
            self.feeds[feed].set(series.id, slot);
        }
        self.series.push(series);
        Some(slot)
    }

    /// The elements of subqueries, by slot.
    pub(super) fn fed(&self) -> Vec<(u32, FeedId)> {
        let of = |(feed, slots): (FeedId, &IdMap)| slots.values().map(|slot| (slot, feed)).collect::<Vec<_>>();
        let mut fed: Vec<(u32, FeedId)> = self.feeds.iter().enumerate().flat_map(of).collect();
        fed.sort_unstable();
        fed
    }

    /// Whether a slot is in use.
    #[must_use]
    pub fn holds(&self, slot: u32) -> bool {
        self.series[slot as usize].id != UNKNOWN
    }

    /// Marks the label sets in use.
    pub fn mark_live(&self, live: &mut [bool]) {
        for series in self.series.iter().filter(|s| s.id != UNKNOWN) {
            live[series.id as usize] = true;
        }
    }

    /// Renumbers label sets after the interner was compacted.
    pub fn renumber(&mut self, remap: &[LabelId]) {
        for series in self.series.iter_mut().filter(|s| s.id != UNKNOWN) {
            series.id = remap[series.id as usize];
        }
        for table in &mut self.tables {
            for i in 0..table.ids.len() {
                table.ids[i] = remap[table.ids[i] as usize];
                table.nameless[i] = self.interner.dropped(table.ids[i]);
            }
        }
        for feed in &mut self.feeds {
            feed.renumber(remap);
        }
    }

    /// Whether a leaf has no series with a sample.
    #[must_use]
    pub fn is_empty(&self, leaf: usize) -> bool {
        !self.tables[leaf].slots.iter().any(|&slot| self.series[slot as usize].any)
    }

    /// Series held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len() - self.free.len()
    }

    fn create_with(&mut self, key: u128, id: LabelId, leaves: &[u32]) -> u32 {
        let series = Series { key, id, ..Series::default() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.series[slot as usize] = series;
                slot
            }
            None => {
                self.series.push(series);
                (self.series.len() - 1) as u32
            }
        };
        self.enlist(slot, leaves);
        slot
    }

    /// Adds a series to leaves it does not stand in yet.
    pub(super) fn enlist(&mut self, slot: u32, leaves: &[u32]) {
        let needs_ring = leaves.iter().any(|&leaf| self.tables[leaf as usize].needs_ring());
        let series = &mut self.series[slot as usize];
        if needs_ring && series.ring.is_none() {
            let mut ring = Ring::default();
            if series.any {
                ring.push(series.newest.t, series.newest.v);
            }
            series.ring = Some(ring);
        }
        let nameless = self.interner.dropped(series.id);
        let mut rows = std::mem::take(&mut series.rows).into_vec();
        for &leaf in leaves {
            let series = &self.series[slot as usize];
            let row = self.tables[leaf as usize].add(slot, series.id, nameless, series.ring());
            rows.push((leaf, row));
        }
        self.series[slot as usize].rows = rows.into();
    }

    fn remove(&mut self, slot: u32) {
        let series = std::mem::take(&mut self.series[slot as usize]);
        self.series[slot as usize].id = UNKNOWN;
        for &(leaf, row) in &series.rows {
            if let Some(moved) = self.tables[leaf as usize].remove(row) {
                // The table's last row has taken this one's number.
                let from = self.tables[leaf as usize].slots.len() as u32;
                for entry in &mut self.series[moved as usize].rows {
                    if *entry == (leaf, from) {
                        entry.1 = row;
                    }
                }
            }
        }
        self.free.push(slot);
    }
}

/// The leaves over a subquery.
pub(super) fn leaves_of_feed(plan: &Plan, feed: FeedId) -> Vec<u32> {
    let is_over = |source: &LeafSource| matches!(source, LeafSource::Feed(f) if *f == feed);
    (0..plan.leaves.len()).filter(|&i| is_over(&plan.leaves[i].source)).map(|i| i as u32).collect()
}
