//! The coordinator: puts the shards' results together and evaluates what needs all of them.

use crate::base::{LabelsRef, Millis};
use crate::promql::{FeedId, NodeId, Op, Plan};

use super::eval::{Evaluator, Moment, Role, finish, merge_groups};
use super::executor::Executor;
use super::interner::{IdMap, LabelId, Marks, UNKNOWN};
use super::shard::Shard;
use super::task::Stage;
use super::value::{EvalError, Value, Vector};

/// Evaluator of global nodes.
#[derive(Debug)]
pub struct Coordinator {
    /// Global nodes, the elements of global subqueries, and the label sets of everything that crosses.
    pub evaluator: Evaluator,
    /// For each shard: its label ids as the coordinator's.
    translations: Vec<IdMap>,
    marks: Marks,
}

/// What a stage is evaluated with.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Nodes whose value holds for one round only.
    pub volatile: &'a [bool],
    /// When.
    pub at: Moment,
    /// Who works on the shards.
    pub executor: &'a dyn Executor,
}

impl Coordinator {
    /// A coordinator of so many shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self {
            evaluator: Evaluator::new(Role::Coordinator),
            translations: (0..shards).map(|_| IdMap::default()).collect(),
            marks: Marks::default(),
        }
    }

    /// Evaluates a stage: first in the shards, then here.
    pub fn run(&mut self, run: Run<'_>, shards: &mut [Shard], stage: &Stage) {
        let Run { plan, volatile, at, executor } = run;
        self.tell_inputs(run, shards, stage);
        executor.for_each(shards, &|shard| shard.run(plan, volatile, &stage.local, at));
        for &id in stage.vectors.iter().chain(&stage.parts) {
            if !self.evaluator.has(volatile, id, at) {
                let value = self.gather(plan, id, shards);
                self.evaluator.put(id, at, value);
            }
        }
        self.evaluator.run(plan, volatile, &stage.global, at);
    }

    /// Evaluates a subquery's inner expression and stores its elements where it was evaluated.
    pub fn run_feed(&mut self, run: Run<'_>, shards: &mut [Shard], feed: FeedId, stage: &Stage) {
        let Run { plan, volatile, at, executor } = run;
        if stage.global.is_empty() && stage.parts.is_empty() {
            self.tell_inputs(run, shards, stage);
            executor.for_each(shards, &|shard| {
                shard.run(plan, volatile, &stage.local, at);
                shard.evaluator.feed(plan, feed, at.t);
            });
        } else {
            self.run(run, shards, stage);
            self.evaluator.feed(plan, feed, at.t);
        }
    }

    /// Evaluates the parameters of local nodes that depend on series, and tells the shards.
    fn tell_inputs(&mut self, run: Run<'_>, shards: &mut [Shard], stage: &Stage) {
        let Some(before) = &stage.before else { return };
        self.run(run, shards, before);
        for &id in &stage.inputs {
            for shard in shards.iter_mut() {
                shard.evaluator.put(id, run.at, self.evaluator.value(id).clone());
            }
        }
    }

    /// The elements of a rule's result; a scalar counts as one element without labels. Names that were to go are gone.
    pub fn result(&mut self, root: NodeId) -> Result<Vector, EvalError> {
        match self.evaluator.value(root) {
            Ok(Value::Vector(vector)) => {
                let vector = vector.clone();
                self.settled(vector)
            }
            Ok(Value::Scalar(v)) => {
                let v = *v;
                let id = self.evaluator.store.interner.intern(LabelsRef::from_canonical(&[]));
                Ok(Vector { ids: vec![id], values: vec![v] })
            }
            Ok(_) => Ok(Vector::default()),
            Err(e) => Err(e.clone()),
        }
    }

    fn settled(&mut self, mut vector: Vector) -> Result<Vector, EvalError> {
        let interner = &mut self.evaluator.store.interner;
        if interner.drops_names_late() {
            self.marks.clear();
            for id in &mut vector.ids {
                *id = interner.settled(*id);
                if self.marks.insert(*id, 0).is_some() {
                    return Err(EvalError::SameLabels(interner.labels(*id).to_string()));
                }
            }
        }
        Ok(vector)
    }

    /// Drops what is out of reach and label sets nobody uses but those `pinned`; says what became of each.
    pub fn collect_garbage(&mut self, plan: &Plan, t: Millis, pinned: &[LabelId]) -> Vec<LabelId> {
        self.forget_translations();
        self.evaluator.collect_garbage(plan, t, &[], pinned).1
    }

    /// The shards have renumbered their label sets.
    pub fn forget_translations(&mut self) {
        self.translations.iter_mut().for_each(IdMap::clear);
    }

    fn gather(&mut self, plan: &Plan, id: NodeId, shards: &[Shard]) -> Result<Value, EvalError> {
        let mut out = Vector::default();
        let mut groups = Vec::new();
        let mut elements = 0.0;
        self.marks.clear();
        for (at, shard) in shards.iter().enumerate() {
            match shard.evaluator.value(id) {
                Err(e) => return Err(e.clone()),
                Ok(Value::Scalar(count)) => elements += count,
                Ok(Value::Rows(_)) => {}
                Ok(Value::Vector(vector)) => {
                    for (id, v) in vector.iter() {
                        let id = self.translate(at, shard, id);
                        out.push(id, v);
                    }
                }
                Ok(Value::Groups(theirs)) => {
                    let translated =
                        theirs.iter().map(|(id, part)| (self.translate(at, shard, *id), part.clone())).collect();
                    if let Op::Aggregate { op, .. } = &plan.nodes[id].op {
                        merge_groups(&mut groups, translated, &mut self.marks, op);
                    }
                }
            }
        }
        match &plan.nodes[id].op {
            Op::Aggregate { op, .. } => finish(op, &groups, &mut self.evaluator.store.interner, &mut out),
            Op::Absent(labels, _) if elements == 0.0 => {
                let labels = crate::base::Labels::from_pairs(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                out.push(self.evaluator.store.interner.intern(labels.as_ref()), 1.0);
            }
            _ => {}
        }
        Ok(Value::Vector(out))
    }

    #[inline]
    fn translate(&mut self, at: usize, shard: &Shard, id: LabelId) -> LabelId {
        let known = self.translations[at].get(id);
        if known != UNKNOWN {
            return known;
        }
        let labels = shard.evaluator.store.interner.labels(id);
        let own = self.evaluator.store.interner.intern(labels.as_ref());
        self.translations[at].set(id, own);
        own
    }
}
