//! Evaluates nodes of a plan over one store: in every shard for local nodes, in the coordinator for global ones.

mod aggregate;
mod binary;
mod histogram;
mod labels;
mod model;
mod peers;
mod saved;
mod scratch;
mod simple;

use std::sync::Arc;

use crate::base::{METRIC_NAME, Millis};
use crate::model::Profile;
use crate::promql::{Annotations, Grouping, Names, NodeId, Op, Plan};

use super::interner::{Interner, LabelId};
use super::store::Store;
use super::value::{EvalError, Value, Vector};

pub use aggregate::{finish, merge_groups};
pub use model::ModelTable;
pub use saved::SavedModel;
pub use scratch::Scratch;

/// A store with what nodes remember.
#[derive(Debug, Default)]
pub struct Evaluator {
    /// Series and windows.
    pub store: Store,
    role: Role,
    memos: Vec<Memo>,
    states: Vec<State>,
    /// Nodes whose state is models.
    modelled: Vec<NodeId>,
    /// What tables that are gone counted, see [`Self::unmodelled`].
    pub(super) unmodelled_before: u64,
    scratch: Scratch,
}

/// Whose evaluator it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A shard's: of an aggregation it gives its part.
    #[default]
    Shard,
    /// The coordinator's: it gives the whole.
    Coordinator,
}

/// When nodes are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The instant, in event time.
    pub t: Millis,
    /// How far event time had come: what a pinned window holds depends on that, whatever the instant.
    pub due: Millis,
    /// Number of the round. Within a tick a later round sees what earlier rules have recorded.
    pub round: u64,
    /// Whether elements without a model may get one: there were fewer than `limits.models` when the tick began. Said for the
    /// whole tick, so that it does not matter which shard comes first.
    pub new_models: bool,
}

#[derive(Debug)]
struct Memo {
    at: Option<Moment>,
    value: Result<Value, EvalError>,
    annotations: Annotations,
    /// The instant that the annotations are of: they outlive a value whose label sets have got other numbers.
    annotated: Option<Millis>,
}

impl Default for Memo {
    fn default() -> Self {
        Self { at: None, value: Ok(Value::Scalar(f64::NAN)), annotations: Annotations::default(), annotated: None }
    }
}

/// What a node remembers from tick to tick.
#[derive(Debug, Default)]
enum State {
    /// Nothing.
    #[default]
    None,
    /// What was found out about label sets; can be found out again.
    Labels(Box<labels::LabelState>),
    /// Models: learnt, so it must survive.
    Models(Box<ModelTable>),
}

/// What an operation has at hand.
struct Context<'a> {
    plan: &'a Plan,
    t: Millis,
    new_models: bool,
    memos: &'a [Memo],
    store: &'a mut Store,
    scratch: &'a mut Scratch,
    role: Role,
    annotations: &'a mut Annotations,
}

type Evaluated = Result<Value, EvalError>;

impl Evaluator {
    /// An evaluator without a plan.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { role, ..Self::default() }
    }

    /// Whether a node has a value for this moment already.
    #[must_use]
    pub fn has(&self, volatile: &[bool], id: NodeId, at: Moment) -> bool {
        self.memos[id].at.is_some_and(|m| m.t == at.t && m.due == at.due && (m.round == at.round || !volatile[id]))
    }

    /// Evaluates nodes in order, those that have a value for this moment already left out.
    pub fn run(&mut self, plan: &Plan, volatile: &[bool], nodes: &[NodeId], at: Moment) {
        for &id in nodes {
            if self.has(volatile, id, at) {
                continue;
            }
            let mut state = std::mem::take(&mut self.states[id]);
            let (done, rest) = self.memos.split_at_mut(id);
            let memo = &mut rest[0];
            let old = std::mem::replace(&mut memo.value, Ok(Value::Scalar(f64::NAN)));
            let (store, scratch, role) = (&mut self.store, &mut self.scratch, self.role);
            let annotations = &mut memo.annotations;
            annotations.clear();
            let new_models = at.new_models;
            let mut cx = Context { plan, t: at.t, new_models, memos: done, store, scratch, role, annotations };
            memo.value = cx.evaluate(id, reuse(old), &mut state, &self.states);
            (memo.at, memo.annotated) = (Some(at), Some(at.t));
            self.states[id] = state;
        }
    }

    /// A node's value, evaluated before or put in by [`Self::put`].
    pub fn value(&self, id: NodeId) -> &Result<Value, EvalError> {
        &self.memos[id].value
    }

    /// What a node has remarked, if it was evaluated within `lag` before `t`.
    pub fn annotations(&self, id: NodeId, t: Millis, lag: Millis) -> Option<&Annotations> {
        let memo = &self.memos[id];
        memo.annotated.filter(|at| *at > t.saturating_sub(lag).saturating_sub(1)).map(|_| &memo.annotations)
    }

    /// Sets the value of a node that was evaluated elsewhere.
    pub fn put(&mut self, id: NodeId, at: Moment, value: Evaluated) {
        self.memos[id] = Memo { at: Some(at), value, ..Memo::default() };
    }

    /// Stores the elements of a subquery's inner expression.
    pub fn feed(&mut self, plan: &Plan, feed: usize, t: Millis) {
        match &self.memos[plan.feeds[feed].node].value {
            Ok(Value::Vector(vector)) => vector.iter().for_each(|(id, v)| self.store.append_fed(plan, feed, id, t, v)),
            Ok(_) => {}
            Err(error) => self.store.fail_fed(plan, feed, t, error),
        }
    }

    /// Takes over another plan; models of nodes that both have are kept.
    pub fn replan(
        &mut self,
        old: &Plan,
        plan: &Plan,
        profile: &dyn Fn(&str) -> Option<Arc<Profile>>,
        leaves_of: impl Fn(crate::base::LabelsRef<'_>) -> Vec<u32>,
    ) {
        self.store.replan(old, plan, leaves_of);
        let unmodelled = self.unmodelled();
        let mut before: Vec<(String, State)> =
            old.nodes.iter().map(|n| n.identity.clone()).zip(self.states.drain(..)).collect();
        self.states = plan
            .nodes
            .iter()
            .map(|node| {
                let Op::Model { kind, profile: name, schedule, .. } = &node.op else { return State::None };
                // Rules that name a profile nobody has are refused before.
                let Some(profile) = profile(name) else { return State::None };
                let known = before.iter_mut().find(|(identity, _)| *identity == node.identity);
                match known.map(|(_, state)| std::mem::take(state)) {
                    Some(State::Models(table)) if table.fits(&profile) => State::Models(table),
                    _ => State::Models(Box::new(ModelTable::new(*kind, profile, schedule.interval))),
                }
            })
            .collect();
        self.modelled = (0..self.states.len()).filter(|&id| matches!(self.states[id], State::Models(_))).collect();
        self.unmodelled_before += unmodelled - self.unmodelled();
        self.memos = plan.nodes.iter().map(|_| Memo::default()).collect();
    }

    /// Drops series out of reach of every window (but for slots `awaited`), models not fed for long, and label sets nobody
    /// uses (but for those `pinned`).
    /// Gives the keys of the series dropped, and what became of each label set.
    pub fn collect_garbage(
        &mut self,
        plan: &Plan,
        t: Millis,
        awaited: &[bool],
        pinned: &[LabelId],
    ) -> (Vec<u128>, Vec<LabelId>) {
        let gone = self.store.expire(plan, t, awaited);
        let mut live = vec![false; self.store.interner.len()];
        self.store.mark_live(&mut live);
        for &id in pinned {
            live[id as usize] = true;
        }
        for state in &mut self.states {
            if let State::Models(table) = state {
                table.expire(t);
                table.mark_live(&mut live);
            }
        }
        let remap = self.store.interner.compact(&live);
        self.store.renumber(&remap);
        for state in &mut self.states {
            match state {
                State::Models(table) => table.renumber(&remap),
                other => *other = State::None,
            }
        }
        for memo in &mut self.memos {
            memo.at = None;
        }
        (gone, remap)
    }

    /// Models held.
    #[must_use]
    pub fn models(&self) -> usize {
        self.tables().map(ModelTable::len).sum()
    }

    /// Elements that went without a model because there was no room for one.
    #[must_use]
    pub fn unmodelled(&self) -> u64 {
        self.unmodelled_before + self.tables().map(ModelTable::refused).sum::<u64>()
    }

    /// The models of a node, if it has any here.
    #[must_use]
    pub fn table(&self, id: NodeId) -> Option<&ModelTable> {
        match self.states.get(id) {
            Some(State::Models(table)) => Some(&**table),
            _ => None,
        }
    }

    fn tables(&self) -> impl Iterator<Item = &ModelTable> {
        self.modelled.iter().filter_map(|&id| match &self.states[id] {
            State::Models(table) => Some(&**table),
            _ => None,
        })
    }
}

/// A vector's memory, whatever it held.
fn reuse(old: Evaluated) -> Vector {
    match old {
        Ok(Value::Vector(mut vector)) => {
            vector.clear();
            vector
        }
        _ => Vector::default(),
    }
}

impl Context<'_> {
    fn evaluate(&mut self, id: NodeId, mut out: Vector, state: &mut State, states: &[State]) -> Evaluated {
        let plan = self.plan;
        match &plan.nodes[id].op {
            Op::Model { arg, .. } => return self.feed_models(*arg, state),
            Op::Score(model) => self.scores(*model, states, &mut out)?,
            Op::ChangedAt(model) => self.changes(*model, states, &mut out)?,
            Op::ForecastQuantile(model, phi, ahead) => {
                let (phi, ahead) = (self.scalar(*phi)?, self.scalar(*ahead)?);
                self.forecasts(*model, phi, ahead, states, &mut out)?;
            }
            Op::TimeUntil(model, threshold, phi) => {
                let (threshold, phi) = (self.scalar(*threshold)?, self.scalar(*phi)?);
                self.times_until(*model, threshold, phi, states, &mut out)?;
            }
            Op::Aggregate { op, arg, param, grouping } if !op.has_partials() => {
                self.aggregate_whole(op, *arg, *param, grouping, labels::of(state), &mut out)?;
            }
            Op::Aggregate { op, arg, grouping, .. } => {
                let groups = self.aggregate_parts(op, *arg, grouping, labels::of(state))?;
                if self.role == Role::Shard {
                    return Ok(Value::Groups(groups));
                }
                aggregate::finish(op, &groups, &mut self.store.interner, &mut out);
            }
            // How many elements there are, for the coordinator to add up.
            Op::Absent(_, arg) if self.role == Role::Shard => {
                return Ok(Value::Scalar(vector(self.memos, *arg)?.len() as f64));
            }
            Op::Binary { op, lhs, rhs, return_bool, matching } => {
                let scalars = (plan.nodes[*lhs].is_scalar, plan.nodes[*rhs].is_scalar);
                match scalars {
                    (true, true) => return Ok(Value::Scalar(op.apply(self.scalar(*lhs)?, self.scalar(*rhs)?))),
                    (false, false) => {
                        self.match_vectors(*op, *lhs, *rhs, *return_bool, matching, labels::of(state), &mut out)?;
                    }
                    _ => self.with_scalar(*op, *lhs, *rhs, *return_bool, &mut out)?,
                }
            }
            Op::Set { op, lhs, rhs, matching } => {
                self.set_operation(*op, *lhs, *rhs, matching, labels::of(state), &mut out)?;
            }
            Op::HistogramQuantile(phi, buckets) => {
                self.histogram_quantile(*phi, *buckets, labels::of(state), &mut out)?;
            }
            Op::HistogramFraction(lower, upper, buckets) => {
                self.histogram_fraction(*lower, *upper, *buckets, labels::of(state), &mut out)?;
            }
            Op::LabelReplace { arg, dst, replacement, src, regex } => {
                self.label_replace(*arg, dst, replacement, src, regex, labels::of(state), &mut out)?;
            }
            Op::LabelJoin { arg, dst, separator, src } => {
                self.label_join(*arg, dst, separator, src, labels::of(state), &mut out)?;
            }
            Op::OutlierScore { arg, apart } => self.outlier_scores(*arg, apart, labels::of(state), &mut out)?,
            other => return self.simple(other, out),
        }
        Ok(Value::Vector(out))
    }

    fn scalar(&self, id: NodeId) -> Result<f64, EvalError> {
        match &self.memos[id].value {
            Ok(Value::Scalar(v)) => Ok(*v),
            Ok(_) => Ok(f64::NAN),
            Err(e) => Err(e.clone()),
        }
    }

    fn interner(&mut self) -> &mut Interner {
        &mut self.store.interner
    }

    /// Refuses elements made equal by dropping their names, where `arg`'s may differ in nothing else.
    fn check_unique(&mut self, arg: NodeId, ids: &[LabelId]) -> Result<(), EvalError> {
        if self.plan.nodes[arg].names == Names::Many { self.check_distinct(ids) } else { Ok(()) }
    }

    /// Whether elements differ in the names that are to go, so that groups made of them may have to lose theirs.
    fn marks_groups(&self, grouping: &Grouping) -> bool {
        self.store.interner.drops_names_late()
            && !grouping.without
            && grouping.labels.iter().any(|label| label == METRIC_NAME)
    }

    fn check_distinct(&mut self, ids: &[LabelId]) -> Result<(), EvalError> {
        self.scratch.marks.clear();
        for &id in ids {
            if self.scratch.marks.insert(id, 0).is_some() {
                return Err(EvalError::SameLabels(self.store.interner.labels(id).to_string()));
            }
        }
        Ok(())
    }
}

/// The vector of a node; empty where it gave something else.
fn vector(memos: &[Memo], id: NodeId) -> Result<&Vector, EvalError> {
    static EMPTY: Vector = Vector { ids: Vec::new(), values: Vec::new() };
    match &memos[id].value {
        Ok(Value::Vector(vector)) => Ok(vector),
        Ok(_) => Ok(&EMPTY),
        Err(e) => Err(e.clone()),
    }
}
