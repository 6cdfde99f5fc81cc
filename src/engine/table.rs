//! The rows of one leaf: a window for each series that its selector matches, struct by struct, so that a tick walks memory
//! in order.

use crate::base::{Millis, Sample, is_stale};
use crate::promql::{LeafKind, RangeFn, quantile};
use crate::window::{
    Accumulator, Counter, Cursor, Extreme, Max, Min, Nothing, Recent, Regression, Ring, Spread, Sum, Window,
};

use super::interner::LabelId;
use super::store::Series;

/// Windows of one kind over many series.
#[derive(Debug)]
pub struct Rows<A> {
    windows: Vec<Window<A>>,
    /// How far each window has taken in its ring; empty where windows take samples in as they come.
    heads: Vec<Cursor>,
}

/// What a leaf keeps of its series.
#[derive(Debug)]
pub enum Kept {
    /// The series' own newest sample is all that is needed.
    Newest,
    /// An instant selector that looks back by an offset.
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
    /// The same without the name.
    pub nameless: Vec<LabelId>,
    kept: Kept,
    lags: bool,
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

impl Table {
    /// An empty table for a leaf.
    #[must_use]
    pub fn new(leaf: &crate::promql::Leaf) -> Self {
        let lags = leaf.lags();
        let kept = match leaf.kind {
            LeafKind::Instant if lags => Kept::Lagging(Rows::default()),
            LeafKind::Instant => Kept::Newest,
            LeafKind::Counter => Kept::Counter(Rows::default()),
            LeafKind::Recent => Kept::Recent(Rows::default()),
            LeafKind::Regression => Kept::Regression(Rows::default()),
            LeafKind::Sum => Kept::Sum(Rows::default()),
            LeafKind::Spread => Kept::Spread(Rows::default()),
            LeafKind::Min => Kept::Min(Rows::default()),
            LeafKind::Max => Kept::Max(Rows::default()),
            LeafKind::Samples => Kept::Samples(Rows::default()),
            LeafKind::Retained => Kept::Retained(vec![]),
        };
        let (range, offset) = (leaf.range, leaf.offset);
        Self {
            identity: leaf.identity.clone(),
            slots: vec![],
            ids: vec![],
            nameless: vec![],
            kept,
            lags,
            range,
            offset,
            query_offset: leaf.query_offset,
        }
    }

    /// Whether its rows need the series' ring.
    #[must_use]
    pub fn needs_ring(&self) -> bool {
        !matches!(self.kept, Kept::Newest)
    }

    /// How long after its newest sample a series can still matter here.
    #[must_use]
    pub fn memory(&self, query_offset: Millis) -> Millis {
        self.range + self.offset + query_offset
    }

    /// Adds a row for a series; gives its number. What the ring already holds is taken in.
    pub fn add(&mut self, slot: u32, id: LabelId, nameless: LabelId, ring: &Ring) -> u32 {
        let row = self.slots.len() as u32;
        self.slots.push(slot);
        self.ids.push(id);
        self.nameless.push(nameless);
        let lags = self.lags;
        match &mut self.kept {
            Kept::Retained(tails) => tails.push(ring.origin()),
            kept => on_rows!(kept, rows => rows.add(ring, lags), ()),
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
        if !self.lags {
            on_rows!(&mut self.kept, rows => rows.windows[row as usize].push(head), ());
        }
    }

    /// The oldest place in the ring that a row needs.
    #[must_use]
    pub fn tail(&mut self, row: u32, ring: &Ring) -> Cursor {
        let lags = self.lags;
        let memory = self.memory(self.query_offset);
        if let Kept::Retained(tails) = &mut self.kept {
            let tail = &mut tails[row as usize];
            let mut at = *tail;
            while ring.next(&mut at).is_some_and(|sample| sample.t <= ring.head().t().saturating_sub(memory)) {
                *tail = at;
            }
            return *tail;
        }
        on_rows!(&self.kept, rows => rows.tail(row as usize, lags), ring.head())
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
        let end = t - self.offset;
        let start = end - self.range;
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
                    rows.advance(row, series[slot as usize].ring(), start, end);
                    let newest = rows.heads[row].sample();
                    if rows.windows[row].count() > 0 && !is_stale(newest.v) {
                        out(self.ids[row], newest);
                    }
                }
            }
            _ => {}
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
        let end = t - self.offset;
        let span = self.range;
        let start = end - span;
        let slots = &self.slots;
        let ids = if func == RangeFn::Last { &self.ids } else { &self.nameless };
        macro_rules! each {
            ($rows:ident, $window:ident, $ring:ident => $value:expr) => {
                for (row, &slot) in slots.iter().enumerate() {
                    let $ring = series[slot as usize].ring();
                    let $window = $rows.advance(row, $ring, start, end);
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
            Kept::Regression(rows) => each!(rows, w, _ring => w.line(t).map(|line| match func {
                RangeFn::Deriv => line.slope,
                _ => line.value + line.slope * param,
            })),
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
                each!(rows, w, ring => {
                    values.clear();
                    values.extend(w.samples(ring).map(|s| s.v));
                    (!values.is_empty()).then(|| quantile(param, &mut values))
                });
            }
        }
    }
}

impl<A> Default for Rows<A> {
    fn default() -> Self {
        Self { windows: vec![], heads: vec![] }
    }
}

impl<A: Accumulator> Rows<A> {
    fn add(&mut self, ring: &Ring, lags: bool) {
        let mut at = ring.origin();
        let mut window = Window::new(at);
        if lags {
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
    }

    fn tail(&self, row: usize, lags: bool) -> Cursor {
        let window = &self.windows[row];
        // An empty window that lags begins where it has got to, not where it last held something.
        if lags && window.count() == 0 { self.heads[row] } else { window.tail() }
    }

    #[inline]
    fn advance(&mut self, row: usize, ring: &Ring, start: Millis, end: Millis) -> &Window<A> {
        let window = &mut self.windows[row];
        if let Some(head) = self.heads.get_mut(row) {
            let mut at = *head;
            while ring.next(&mut at).is_some_and(|s| s.t <= end) {
                window.push(at);
                *head = at;
            }
        }
        window.evict(ring, start);
        window
    }
}

#[inline]
fn counter_value(w: &Window<Counter>, func: RangeFn, end: Millis, span: Millis) -> Option<f64> {
    match func {
        RangeFn::Rate => return w.extrapolated(end, span, true, true),
        RangeFn::Increase => return w.extrapolated(end, span, true, false),
        RangeFn::Delta => return w.extrapolated(end, span, false, false),
        _ => {}
    }
    (w.count() > 0).then(|| match func {
        RangeFn::Changes => f64::from(w.sums.changes),
        RangeFn::Resets => f64::from(w.sums.resets),
        RangeFn::Count => f64::from(w.count()),
        RangeFn::Last => w.sums.last.v,
        _ => 1.0,
    })
}
