//! The rows of one leaf: a window for each series that its selector matches, struct by struct, so that a tick walks memory
//! in order.

use serde::{Deserialize, Serialize};

use crate::base::{Millis, Sample, is_stale};
use crate::promql::{LeafKind, RangeFn, median_deviation, quantile};
use crate::window::{
    Accumulator, Counter, Cursor, Extreme, Max, Min, Nothing, Recent, Regression, Ring, Spread, Sum, Window,
};

use super::interner::LabelId;
use super::store::Series;
use super::window_value::{counter_value, extreme_time};

/// Windows of one kind over many series.
#[derive(Debug)]
pub struct Rows<A> {
    pub(super) windows: Vec<Window<A>>,
    /// How far each window has taken in its ring, where windows lag.
    pub(super) heads: Vec<Cursor>,
    /// The samples of each window, where windows are pinned: the series' ring need not reach back to them.
    pub(super) own: Vec<Ring>,
}

/// When samples get into a table's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Intake {
    /// As they come.
    AtOnce,
    /// When an evaluation's window has reached them.
    Lagging,
    /// As they come, those in `(start, end]`; the window never moves.
    Pinned { start: Millis, end: Millis },
}

/// What a leaf keeps of its series.
#[derive(Debug)]
pub enum Kept {
    /// The series' own newest sample is all that is needed.
    Newest,
    /// An instant selector that looks back by an offset, or to an instant.
    Lagging(Rows<Nothing>),
    /// rate and its family.
    Counter(Rows<Counter>),
    /// irate, idelta.
    Recent(Rows<Recent>),
    /// deriv, predict_linear.
    Regression(Rows<Regression>),
    /// Sums and means.
    Sum(Rows<Sum>),
    /// Variances.
    Spread(Rows<Spread>),
    /// Minimum.
    Min(Rows<Extreme<Min>>),
    /// Maximum.
    Max(Rows<Extreme<Max>>),
    /// Functions that walk the window.
    Samples(Rows<Nothing>),
    /// Nothing is evaluated; for each row, the place in the ring from which on samples are kept.
    Retained(Vec<Cursor>),
}

/// One leaf's rows.
#[derive(Debug)]
pub struct Table {
    /// Identity of the leaf across reloads.
    pub identity: String,
    /// Slot of each row's series.
    pub slots: Vec<u32>,
    /// Label set of each row's series.
    pub ids: Vec<LabelId>,
    /// The same without the name, or marked to lose it.
    pub nameless: Vec<LabelId>,
    pub(super) kept: Kept,
    pub(super) intake: Intake,
    range: Millis,
    offset: Millis,
    query_offset: Millis,
}

/// Runs the same code on whatever kind of rows there is; the second form is for kinds without rows.
macro_rules! on_rows {
    ($kept:expr, $rows:ident => $run:expr, $otherwise:expr) => {
        match $kept {
            Kept::Newest | Kept::Retained(_) => $otherwise,
            Kept::Lagging($rows) | Kept::Samples($rows) => $run,
            Kept::Counter($rows) => $run,
            Kept::Recent($rows) => $run,
            Kept::Regression($rows) => $run,
            Kept::Sum($rows) => $run,
            Kept::Spread($rows) => $run,
            Kept::Min($rows) => $run,
            Kept::Max($rows) => $run,
        }
    };
}
pub(super) use on_rows;

impl Kept {
    fn new(kind: LeafKind, intake: Intake) -> Self {
        match kind {
            LeafKind::Instant if !matches!(intake, Intake::AtOnce) => Self::Lagging(Rows::default()),
            LeafKind::Instant => Self::Newest,
            LeafKind::Counter => Self::Counter(Rows::default()),
            LeafKind::Recent => Self::Recent(Rows::default()),
            LeafKind::Regression => Self::Regression(Rows::default()),
            LeafKind::Sum => Self::Sum(Rows::default()),
            LeafKind::Spread => Self::Spread(Rows::default()),
            LeafKind::Min => Self::Min(Rows::default()),
            LeafKind::Max => Self::Max(Rows::default()),
            LeafKind::Samples => Self::Samples(Rows::default()),
            LeafKind::Retained => Self::Retained(vec![]),
        }
    }
}

impl Table {
    /// An empty table for a leaf.
    #[must_use]
    pub fn new(leaf: &crate::promql::Leaf) -> Self {
        let intake = match leaf.pinned {
            Some(end) => Intake::Pinned { start: end - leaf.range, end },
            None if leaf.lags() => Intake::Lagging,
            None => Intake::AtOnce,
        };
        Self {
            identity: leaf.identity.clone(),
            range: leaf.range,
            offset: leaf.offset,
            query_offset: leaf.query_offset,
            ..Self::detached(leaf.kind, intake)
        }
    }

    /// An empty table of no leaf.
    #[must_use]
    pub(super) fn detached(kind: LeafKind, intake: Intake) -> Self {
        Self {
            identity: String::new(),
            slots: vec![],
            ids: vec![],
            nameless: vec![],
            kept: Kept::new(kind, intake),
            intake,
            range: 0,
            offset: 0,
            query_offset: 0,
        }
    }

    /// Whether its rows need the series' ring.
    #[must_use]
    pub fn needs_ring(&self) -> bool {
        !matches!(self.kept, Kept::Newest)
    }

    /// How long after its newest sample a series can still matter here, whatever a pinned window holds.
    #[must_use]
    pub fn memory(&self, query_offset: Millis) -> Millis {
        match self.intake {
            Intake::Pinned { .. } => 0,
            _ => self.range + self.offset + query_offset,
        }
    }

    /// Whether a row is pinned and holds samples: its series matters for as long as the leaf is there.
    #[must_use]
    pub fn is_pinned(&self, row: u32) -> bool {
        on_rows!(&self.kept, rows => rows.own.get(row as usize).is_some_and(|own| !own.is_empty()), false)
    }

    /// Adds a row for a series; gives its number. What the ring already holds is taken in.
    pub fn add(&mut self, slot: u32, id: LabelId, nameless: LabelId, ring: &Ring) -> u32 {
        let row = self.slots.len() as u32;
        self.slots.push(slot);
        self.ids.push(id);
        self.nameless.push(nameless);
        let intake = self.intake;
        match &mut self.kept {
            Kept::Retained(tails) => tails.push(ring.origin()),
            kept => on_rows!(kept, rows => rows.add(ring, intake), ()),
        }
        row
    }

    /// Removes a row; the last one takes its number. Gives the slot of that one, if there is one.
    pub fn remove(&mut self, row: u32) -> Option<u32> {
        let i = row as usize;
        self.slots.swap_remove(i);
        self.ids.swap_remove(i);
        self.nameless.swap_remove(i);
        match &mut self.kept {
            Kept::Retained(tails) => {
                tails.swap_remove(i);
            }
            kept => on_rows!(kept, rows => rows.remove(i), ()),
        }
        self.slots.get(i).copied()
    }

    /// Takes in the sample that the ring's head has just passed.
    #[inline]
    pub fn push(&mut self, row: u32, head: Cursor) {
        match self.intake {
            Intake::AtOnce => on_rows!(&mut self.kept, rows => rows.windows[row as usize].push(head), ()),
            Intake::Lagging => {}
            Intake::Pinned { start, end } => {
                on_rows!(&mut self.kept, rows => rows.pin(row as usize, head.sample(), start, end), ());
            }
        }
    }

    /// The oldest place in the ring that a row needs.
    #[must_use]
    pub fn tail(&mut self, row: u32, ring: &Ring) -> Cursor {
        let intake = self.intake;
        let memory = self.memory(self.query_offset);
        if let Kept::Retained(tails) = &mut self.kept {
            let tail = &mut tails[row as usize];
            let mut at = *tail;
            while ring.next(&mut at).is_some_and(|sample| sample.t <= ring.head().t().saturating_sub(memory)) {
                *tail = at;
            }
            return *tail;
        }
        on_rows!(&self.kept, rows => rows.tail(row as usize, ring, intake), ring.head())
    }

    /// The samples kept of a row's series with `start < t <= end`, staleness markers among them.
    pub fn retained<'a>(
        &self,
        row: usize,
        ring: &'a Ring,
        start: Millis,
        end: Millis,
    ) -> impl Iterator<Item = Sample> + 'a {
        let mut at = match &self.kept {
            Kept::Retained(tails) => tails[row],
            _ => ring.head(),
        };
        std::iter::from_fn(move || ring.next(&mut at)).skip_while(move |s| s.t <= start).take_while(move |s| s.t <= end)
    }

    /// The newest sample of each series at `t`, within the look-back and not stale.
    pub fn instant(&mut self, t: Millis, series: &[Series], mut out: impl FnMut(LabelId, Sample)) {
        let (start, end) = self.window(t);
        match &mut self.kept {
            Kept::Newest => {
                for (row, &slot) in self.slots.iter().enumerate() {
                    let newest = series[slot as usize].newest();
                    if newest.t > start && !is_stale(newest.v) {
                        out(self.ids[row], newest);
                    }
                }
            }
            Kept::Lagging(rows) => {
                for (row, &slot) in self.slots.iter().enumerate() {
                    let holds = rows.advance(row, series[slot as usize].ring(), start, end).0.count() > 0;
                    let newest = rows.newest(row);
                    if holds && !is_stale(newest.v) {
                        out(self.ids[row], newest);
                    }
                }
            }
            _ => {}
        }
    }

    /// The samples in each window at `t`, where there are any.
    pub fn samples(&mut self, t: Millis, series: &[Series], mut out: impl FnMut(LabelId, Vec<Sample>)) {
        let (start, end) = self.window(t);
        let Kept::Samples(rows) = &mut self.kept else { return };
        for (row, &slot) in self.slots.iter().enumerate() {
            let (window, ring) = rows.advance(row, series[slot as usize].ring(), start, end);
            if window.count() > 0 {
                out(self.ids[row], window.samples(ring).collect());
            }
        }
    }

    /// The function's value for each series at `t`; nothing where it has none.
    pub fn range(
        &mut self,
        func: RangeFn,
        param: f64,
        t: Millis,
        series: &[Series],
        mut out: impl FnMut(LabelId, f64),
    ) {
        let (start, end) = self.window(t);
        let span = self.range;
        let slots = &self.slots;
        let ids = if func.keeps_names() { &self.ids } else { &self.nameless };
        macro_rules! each {
            ($rows:ident, $window:ident, $ring:ident => $value:expr) => {
                for (row, &slot) in slots.iter().enumerate() {
                    let ($window, $ring) = $rows.advance(row, series[slot as usize].ring(), start, end);
                    if let Some(v) = $value {
                        out(ids[row], v);
                    }
                }
            };
        }
        match &mut self.kept {
            Kept::Newest | Kept::Lagging(_) | Kept::Retained(_) => {}
            Kept::Counter(rows) => each!(rows, w, _ring => counter_value(w, func, end, span)),
            Kept::Recent(rows) => each!(rows, w, _ring => w.last_step(func == RangeFn::Irate)),
            Kept::Regression(rows) => each!(rows, w, ring => match func {
                RangeFn::Deriv => w.line(t).map(|line| line.slope),
                _ => w.predicted(ring, t, param),
            }),
            Kept::Sum(rows) => {
                each!(rows, w, ring => if func == RangeFn::Avg { w.mean(ring) } else { w.sum(ring) });
            }
            Kept::Spread(rows) => each!(rows, w, _ring => w.variance().map(|v| match func {
                RangeFn::Stddev => v.sqrt(),
                _ => v,
            })),
            Kept::Min(rows) => each!(rows, w, _ring => w.extreme()),
            Kept::Max(rows) => each!(rows, w, _ring => w.extreme()),
            Kept::Samples(rows) => {
                let mut values = Vec::new();
                each!(rows, w, ring => (w.count() > 0).then(|| match func {
                    RangeFn::MaxTime => extreme_time(w.samples(ring), |v, best| v >= best),
                    RangeFn::MinTime => extreme_time(w.samples(ring), |v, best| v <= best),
                    _ => {
                        values.clear();
                        values.extend(w.samples(ring).map(|s| s.v));
                        if func == RangeFn::Mad { median_deviation(&mut values) } else { quantile(param, &mut values) }
                    }
                }));
            }
        }
    }
}

impl Table {
    /// Where the window of an evaluation at `t` begins and ends.
    fn window(&self, t: Millis) -> (Millis, Millis) {
        match self.intake {
            Intake::Pinned { start, end } => (start, end),
            _ => (t - self.offset - self.range, t - self.offset),
        }
    }
}

impl<A> Default for Rows<A> {
    fn default() -> Self {
        Self { windows: vec![], heads: vec![], own: vec![] }
    }
}

impl<A: Accumulator> Rows<A> {
    fn add(&mut self, ring: &Ring, intake: Intake) {
        let mut at = ring.origin();
        if let Intake::Pinned { start, end } = intake {
            self.own.push(Ring::default());
            self.windows.push(Window::new(Ring::default().origin()));
            while let Some(sample) = ring.next(&mut at) {
                self.pin(self.own.len() - 1, sample, start, end);
            }
            return;
        }
        let mut window = Window::new(at);
        if matches!(intake, Intake::Lagging) {
            self.heads.push(at);
        } else {
            while ring.next(&mut at).is_some() {
                window.push(at);
            }
        }
        self.windows.push(window);
    }

    fn remove(&mut self, row: usize) {
        self.windows.swap_remove(row);
        if !self.heads.is_empty() {
            self.heads.swap_remove(row);
        }
        if !self.own.is_empty() {
            self.own.swap_remove(row);
        }
    }

    fn tail(&self, row: usize, ring: &Ring, intake: Intake) -> Cursor {
        let window = &self.windows[row];
        match intake {
            // An empty window that lags begins where it has got to, not where it last held something.
            Intake::Lagging if window.count() == 0 => self.heads[row],
            Intake::Pinned { .. } => ring.head(),
            _ => window.tail(),
        }
    }

    /// Takes a sample into a pinned window, if it lies in it.
    fn pin(&mut self, row: usize, sample: Sample, start: Millis, end: Millis) {
        if start < sample.t && sample.t <= end {
            self.own[row].push(sample.t, sample.v);
            self.windows[row].push(self.own[row].head());
        }
    }

    /// The newest sample that a row has got to, where it lags or is pinned.
    fn newest(&self, row: usize) -> Sample {
        self.heads.get(row).map_or_else(|| self.own[row].head().sample(), Cursor::sample)
    }

    /// The row's window at an evaluation, and the ring its samples lie in.
    #[inline]
    fn advance<'a>(&'a mut self, row: usize, ring: &'a Ring, start: Millis, end: Millis) -> (&'a Window<A>, &'a Ring) {
        let window = &mut self.windows[row];
        if let Some(head) = self.heads.get_mut(row) {
            let mut at = *head;
            while ring.next(&mut at).is_some_and(|s| s.t <= end) {
                window.push(at);
                *head = at;
            }
        }
        let ring = self.own.get(row).unwrap_or(ring);
        window.evict(ring, start);
        (window, ring)
    }
}
