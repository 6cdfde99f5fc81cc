//! Expressions that a host asks for at instants of its own choice, beside the rules: unit tests compare their values.
//!
//! They are planned together with the rules, so that their windows are kept from the first sample on.

use crate::base::Labels;
use crate::promql::{NodeId, Plan};

use super::coordinator::Run;
use super::engine::Engine;
use super::eval::Moment;
use super::executor::Executor;
use super::task::Stage;
use super::value::EvalError;

/// A planned expression.
#[derive(Debug)]
pub struct Query {
    root: NodeId,
    stage: Stage,
}

impl Query {
    /// The query whose value is a node's.
    #[must_use]
    pub fn new(plan: &Plan, root: NodeId) -> Self {
        Self { root, stage: Stage::for_roots(plan, &[root]) }
    }
}

impl Engine {
    /// The value of the `index`-th expression given to [`Self::load_with_queries`] at the watermark, sorted by labels; a
    /// scalar is one element without labels. It sees what the rules have recorded up to the watermark.
    ///
    /// Models (the predictive functions) learn from every instant they are evaluated at. An expression that has some should
    /// therefore stand in a rule as well, and be asked for at that rule's ticks only.
    ///
    /// # Errors
    /// The expression has no value, for instance because of a many-to-many match.
    pub fn query(&mut self, index: usize, executor: &dyn Executor) -> Result<Vec<(Labels, f64)>, EvalError> {
        let (Some(query), Some(t)) = (self.queries.get(index), self.watermark) else { return Ok(vec![]) };
        self.round += 1;
        let at = Moment { t, round: self.round, new_models: self.models() < self.options.limits.models };
        let run = Run { plan: &self.plan, volatile: &self.volatile, at, executor };
        self.coordinator.run(run, &mut self.shards, &query.stage);
        let vector = self.coordinator.result(query.root)?;
        let interner = &self.coordinator.evaluator.store.interner;
        let mut elements: Vec<(Labels, f64)> = vector.iter().map(|(id, v)| (interner.labels(id), v)).collect();
        elements.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(elements)
    }
}
