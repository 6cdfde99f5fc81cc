//! Expressions that a host asks for at instants of its own choice, beside the rules: unit tests and scripts compare their
//! values.
//!
//! They are planned together with the rules, so that their windows are kept from the first sample on.

use serde::{Deserialize, Serialize};

use crate::base::{Labels, Millis, Sample};
use crate::promql::{Asked, LeafId, Plan, Span};

use super::annotations::{Remarking, Remarks};
use super::coordinator::Run;
use super::engine::Engine;
use super::eval::Moment;
use super::executor::Executor;
use super::query_order::put_in_order;
use super::task::Stage;
use super::value::EvalError;

/// An expression to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuerySpec {
    /// The expression.
    pub expr: String,
    /// How far behind the watermark it is evaluated; at least as far as it looks ahead, see [`crate::promql::reach`].
    pub query_offset: Millis,
    /// The instants it is asked for, if they are known: `@ start()` and `@ end()` are their ends, and an instant that `@`
    /// names may lie after them. None if it is asked for time and again, as rules are.
    pub span: Option<Span>,
}

impl From<String> for QuerySpec {
    fn from(expr: String) -> Self {
        Self { expr, query_offset: 0, span: None }
    }
}

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// A scalar.
    Scalar(f64),
    /// An instant vector: by labels, or in the order that `sort`, `sort_desc`, `topk` or `bottomk` gives it.
    Vector(Vec<(Labels, f64)>),
    /// The samples of a range, by labels; staleness markers are left out.
    Matrix(Vec<(Labels, Vec<Sample>)>),
    /// A string.
    Text(String),
}

impl QueryValue {
    /// The elements of a vector; a scalar is one element without labels. What is neither has none.
    #[must_use]
    pub fn into_elements(self) -> Vec<(Labels, f64)> {
        match self {
            Self::Scalar(v) => vec![(Labels::default(), v)],
            Self::Vector(elements) => elements,
            Self::Matrix(_) | Self::Text(_) => vec![],
        }
    }
}

/// A planned expression.
#[derive(Debug)]
pub struct Query {
    spec: QuerySpec,
    asked: Asked,
    stage: Stage,
    query_offset: Millis,
    remarking: Vec<Remarking>,
}

impl Query {
    /// The query for what was asked.
    #[must_use]
    pub(super) fn new(plan: &Plan, asked: Asked, spec: QuerySpec, remarking: Vec<Remarking>) -> Self {
        let stage = match &asked {
            Asked::Value { root, .. } => Stage::for_roots(plan, &[*root]),
            Asked::Samples(_) | Asked::Text(_) => Stage::default(),
        };
        let query_offset = spec.query_offset.max(0);
        Self { spec, asked, stage, query_offset, remarking }
    }

    /// As it was asked for.
    pub(super) fn spec(&self) -> &QuerySpec {
        &self.spec
    }
}

impl Engine {
    /// The value of the `index`-th expression given to [`Self::load_with_queries`], as of the watermark less the query's
    /// offset. It sees what the rules have recorded up to the watermark. None if there is no such query or no watermark yet.
    ///
    /// Models (the predictive functions) learn from every instant they are evaluated at. An expression that has some should
    /// therefore stand in a rule as well, and be asked for at that rule's ticks only.
    ///
    /// # Errors
    /// The expression has no value, for instance because of a many-to-many match.
    pub fn query(&mut self, index: usize, executor: &dyn Executor) -> Result<Option<QueryValue>, EvalError> {
        let (Some(query), Some(watermark)) = (self.queries.get(index), self.watermark) else { return Ok(None) };
        let t = watermark - query.query_offset;
        let (root, order) = match &query.asked {
            Asked::Text(text) => return Ok(Some(QueryValue::Text(text.clone()))),
            Asked::Samples(leaf) => return self.samples(*leaf, t).map(|s| Some(QueryValue::Matrix(s))),
            Asked::Value { root, order } => (*root, order),
        };
        self.round += 1;
        let at =
            Moment { t, due: watermark, round: self.round, new_models: self.models() < self.options.limits.models };
        let run = Run { plan: &self.plan, volatile: &self.volatile, at, executor };
        self.coordinator.run(run, &mut self.shards, &query.stage);
        let vector = self.coordinator.result(root)?;
        if self.plan.nodes[root].is_scalar {
            return Ok(Some(QueryValue::Scalar(vector.values.first().copied().unwrap_or(f64::NAN))));
        }
        let interner = &self.coordinator.evaluator.store.interner;
        let mut elements: Vec<(Labels, f64)> = vector.iter().map(|(id, v)| (interner.labels(id), v)).collect();
        put_in_order(order, &mut elements);
        Ok(Some(QueryValue::Vector(elements)))
    }

    /// What the evaluation of the `index`-th expression remarked, right after [`Self::query`] has given its value.
    #[must_use]
    pub fn query_remarks(&self, index: usize) -> Remarks {
        let (Some(query), Some(watermark)) = (self.queries.get(index), self.watermark) else {
            return Remarks::default();
        };
        self.remarks(&query.remarking, watermark - query.query_offset)
    }

    /// The samples in a leaf's windows at `t`, wherever they are.
    fn samples(&mut self, leaf: LeafId, t: Millis) -> Result<Vec<(Labels, Vec<Sample>)>, EvalError> {
        let mut found: Vec<(Labels, Vec<Sample>)> = Vec::new();
        let stores = self.shards.iter_mut().map(|shard| &mut shard.evaluator.store);
        for store in stores.chain([&mut self.coordinator.evaluator.store]) {
            if let Some(failure) = store.failure(&self.plan, leaf, t) {
                return Err(failure.clone());
            }
            let (tables, series, interner) = (&mut store.tables, &store.series, &mut store.interner);
            tables[leaf].samples(t, series, |id, samples| {
                let id = interner.settled(id);
                found.push((interner.labels(id), samples));
            });
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        match found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(EvalError::SameLabels(pair[0].0.to_string())),
            None => Ok(found),
        }
    }
}
