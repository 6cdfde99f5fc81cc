//! What a node gives at a tick.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::promql::ExactSum;

use super::interner::LabelId;

/// Elements by label set. No two have the same one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vector {
    /// Label sets.
    pub ids: Vec<LabelId>,
    /// Values, in the order of `ids`.
    pub values: Vec<f64>,
}

/// A node's result.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// A vector.
    Vector(Vector),
    /// What an aggregation has summed up of one shard's series, by group.
    Groups(Vec<(LabelId, Part)>),
    /// Rows of a table of models, by element.
    Rows(Vec<(LabelId, u32)>),
}

/// What all aggregations that work in parts keep of a group; none depends on the order of the values.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Elements.
    pub count: u64,
    /// Their sum.
    pub sum: ExactSum,
    /// Sum of their squares.
    pub squares: ExactSum,
    /// Minimum or maximum.
    pub extreme: Option<f64>,
    /// Whether the group's name is to go, because that of any element is.
    pub drops_name: bool,
}

/// Why an expression has no value at a tick. The rule's state stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum EvalError {
    /// Dropping or changing labels made two elements equal.
    #[error("vector cannot contain metrics with the same labelset: {0}")]
    SameLabels(String),
    /// The "one" side of a match has several.
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side", pair[0], pair[1]
    )]
    ManyToMany {
        /// The match group's labels.
        group: String,
        /// left or right.
        side: Cow<'static, str>,
        /// Two of the series on that side.
        pair: Box<[String; 2]>,
    },
    /// Several on one side without group_left or group_right.
    #[error("multiple matches for labels {0}: many-to-one matching must be explicit (group_left/group_right)")]
    ManyToOne(String),
    /// group_left or group_right gave the same labels twice.
    #[error("multiple matches for labels {0}: grouping labels must ensure unique matches")]
    NotUnique(String),
    /// More alerts or samples than the group's `limit`.
    #[error("exceeded limit of {limit} with {got}")]
    Limit {
        /// The limit.
        limit: usize,
        /// What the rule gave.
        got: usize,
    },
    /// topk or bottomk asked for a number of elements that is none.
    #[error("topk and bottomk need a finite number of elements, not {0}")]
    Parameter(String),
    /// The alert machine refused the vector.
    #[error("{0}")]
    Alert(String),
    /// A label that count_values or a template names cannot be one.
    #[error("invalid label name {0:?}")]
    LabelName(String),
}

impl EvalError {
    /// The error in Prometheus' words, where ours say more.
    #[must_use]
    pub fn in_prometheus_words(&self) -> String {
        match self {
            Self::SameLabels(_) => "vector cannot contain metrics with the same labelset".to_owned(),
            Self::Parameter(k) if k == "NaN" => "Parameter value is NaN".to_owned(),
            Self::Parameter(k) => format!("Scalar value {k} overflows int64"),
            other => other.to_string(),
        }
    }
}

impl Vector {
    /// Adds an element.
    #[inline]
    pub fn push(&mut self, id: LabelId, value: f64) {
        self.ids.push(id);
        self.values.push(value);
    }

    /// Elements with their values.
    pub fn iter(&self) -> impl Iterator<Item = (LabelId, f64)> + '_ {
        self.ids.iter().copied().zip(self.values.iter().copied())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Forgets all, keeping the memory.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.values.clear();
    }
}
