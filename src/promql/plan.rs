//! What a set of expressions becomes: a graph of nodes whose equal parts are shared, over leaves that are windows.
//!
//! Nodes stand in the order in which they can be evaluated. A node is *local* if every shard can evaluate it over its own
//! series alone, *global* if it needs the others' results, and *anywhere* if it needs no series at all.

use std::collections::HashMap;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::base::{METRIC_NAME, Millis};

use super::arith::{BinaryOp, SetOp};
use super::calendar::CalendarFn;
use super::leaf::{Feed, Leaf};
use super::math::MathFn;

/// Index of a node in [`Plan::nodes`].
pub type NodeId = usize;
/// Index of a leaf in [`Plan::leaves`].
pub type LeafId = usize;
/// Index of a feed in [`Plan::feeds`].
pub type FeedId = usize;

/// The whole graph.
#[derive(Debug, Default)]
pub struct Plan {
    /// Nodes, every one after what it reads.
    pub nodes: Vec<Node>,
    /// Windows and newest samples over series.
    pub leaves: Vec<Leaf>,
    /// Inner expressions of subqueries.
    pub feeds: Vec<Feed>,
    /// Whether functions leave the names to be dropped at the end of an expression.
    pub drops_names_late: bool,
    pub(super) known_nodes: HashMap<String, NodeId>,
    pub(super) known_leaves: HashMap<String, LeafId>,
    pub(super) known_feeds: HashMap<String, FeedId>,
    /// Calls and aggregations of the expression planned last, see [`super::sites`].
    pub(super) planned: Vec<(usize, NodeId)>,
}

/// Instants at which something is evaluated: `k * interval`, once samples up to `query_offset` later are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Schedule {
    /// Milliseconds between instants; positive.
    pub interval: Millis,
    /// Milliseconds to wait for late samples.
    pub query_offset: Millis,
}

impl Schedule {
    /// How many instants from `next` on are processed before `to`.
    #[must_use]
    pub fn steps_before(&self, next: Millis, to: Millis) -> i64 {
        let behind = to.saturating_sub(next).saturating_sub(self.query_offset).max(0);
        behind / self.interval + i64::from(behind % self.interval > 0)
    }
}

/// Where a node is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It reads no series.
    Anywhere,
    /// In every shard, over its own series.
    Local,
    /// By the coordinator.
    Global,
}

/// Which metric names the elements of a vector bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// None: dropped.
    None,
    /// All the same one.
    One(String),
    /// Any; dropping them may make two elements equal.
    Many,
}

/// One operation.
#[derive(Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Where.
    pub place: Place,
    /// Whether it gives a scalar rather than a vector.
    pub is_scalar: bool,
    /// Names of its elements.
    pub names: Names,
    /// Identity across reloads, for nodes that keep state: the expression as the parser prints it, and the schedule.
    pub identity: String,
}

/// Operations. Labels and parameters are resolved; children are node ids.
#[derive(Debug)]
pub enum Op {
    /// A number.
    Number(f64),
    /// `time()`.
    Time,
    /// Instant vector selector.
    Instant(LeafId),
    /// `timestamp()` of an instant vector selector.
    InstantTime(LeafId),
    /// A function of a window.
    Range {
        /// The window.
        leaf: LeafId,
        /// The function.
        func: RangeFn,
        /// Its scalar parameter: φ, or seconds ahead.
        param: Option<NodeId>,
    },
    /// `-v`
    Negate(NodeId),
    /// Arithmetic and comparison; either side may be a scalar.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left.
        lhs: NodeId,
        /// Right.
        rhs: NodeId,
        /// `bool`.
        return_bool: bool,
        /// How vectors are matched.
        matching: Matching,
    },
    /// `and`, `or`, `unless`.
    Set {
        /// The operator.
        op: SetOp,
        /// Left.
        lhs: NodeId,
        /// Right.
        rhs: NodeId,
        /// How elements are matched.
        matching: Matching,
    },
    /// Aggregation.
    Aggregate {
        /// The operator.
        op: AggregateOp,
        /// The vector.
        arg: NodeId,
        /// φ or k.
        param: Option<NodeId>,
        /// Grouping.
        grouping: Grouping,
    },
    /// A function of one value.
    Math(MathFn, NodeId),
    /// `clamp`, `clamp_min`, `clamp_max`: vector, lower, upper.
    Clamp(NodeId, Option<NodeId>, Option<NodeId>),
    /// `round`: vector, to the nearest multiple.
    Round(NodeId, Option<NodeId>),
    /// Date functions; without a vector, of the evaluation's time.
    Calendar(CalendarFn, Option<NodeId>),
    /// `histogram_quantile`: φ, buckets.
    HistogramQuantile(NodeId, NodeId),
    /// `histogram_fraction`: lower, upper, buckets.
    HistogramFraction(NodeId, NodeId, NodeId),
    /// `label_replace`.
    LabelReplace {
        /// The vector.
        arg: NodeId,
        /// Label to set.
        dst: String,
        /// With `$1` and the like.
        replacement: String,
        /// Label to read.
        src: String,
        /// Anchored.
        regex: Regex,
    },
    /// `label_join`.
    LabelJoin {
        /// The vector.
        arg: NodeId,
        /// Label to set.
        dst: String,
        /// Between the values.
        separator: String,
        /// Labels to read.
        src: Vec<String>,
    },
    /// `outlier_score`: how far each element is from its peers.
    OutlierScore {
        /// The vector.
        arg: NodeId,
        /// Labels in which peers differ; they are equal in all others but the name.
        apart: Vec<String>,
    },
    /// `absent`, `absent_over_time`: the labels that the selector's equality matchers give, and the vector.
    Absent(Vec<(String, String)>, NodeId),
    /// `scalar()`.
    Scalar(NodeId),
    /// `vector()`.
    Vector(NodeId),
    /// `timestamp()` of anything but a selector.
    EvaluationTime(NodeId),
    /// Online models, one for each element, fed at every tick of the schedule.
    Model {
        /// What is modelled.
        arg: NodeId,
        /// Which kind of model.
        kind: ModelKind,
        /// Name of the profile.
        profile: String,
        /// When it is fed.
        schedule: Schedule,
    },
    /// `predict_anomaly`: scores of a detector.
    Score(NodeId),
    /// `changed_at`: when the newest change that a change detector has found began.
    ChangedAt(NodeId),
    /// `predict_seasonal`, `predict_quantile`: forecaster, φ, seconds ahead.
    ForecastQuantile(NodeId, NodeId, NodeId),
    /// `time_until`: forecaster, threshold, φ.
    TimeUntil(NodeId, NodeId, NodeId),
}

/// Kinds of online model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelKind {
    /// Scores how unusual the newest value is.
    Detector,
    /// Forecasts.
    Forecaster,
    /// Finds lasting changes of the level.
    ChangeDetector,
}

/// Functions of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RangeFn {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    Changes,
    Resets,
    Avg,
    Sum,
    Min,
    Max,
    Count,
    First,
    Last,
    FirstTime,
    LastTime,
    MaxTime,
    MinTime,
    Mad,
    Present,
    Quantile,
    Stddev,
    Stdvar,
}

impl RangeFn {
    /// Whether its elements keep their metric's name: it gives samples as they are.
    #[must_use]
    pub fn keeps_names(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }
}

/// How the elements of two vectors find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// `on(labels)` rather than `ignoring(labels)`.
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// Which side may have several for one of the other.
    pub cardinality: Cardinality,
    /// Labels that `group_left`/`group_right` takes from the one side.
    pub include: Vec<String>,
}

impl Matching {
    /// Whether elements match on all labels but the name.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.on && self.labels.iter().all(|l| l == METRIC_NAME) && self.cardinality == Cardinality::OneToOne
    }
}

/// Cardinality of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
}

/// `by` or `without`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// `without` rather than `by`.
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

/// Aggregation operators.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues(String),
}

impl AggregateOp {
    /// Whether shards can each sum up their part, and the parts be put together.
    #[must_use]
    pub fn has_partials(&self) -> bool {
        !matches!(self, Self::Topk | Self::Bottomk | Self::Quantile | Self::CountValues(_))
    }
}

impl Op {
    /// The nodes it reads.
    #[must_use]
    pub fn children(&self) -> Vec<NodeId> {
        match self {
            Self::Number(_) | Self::Time | Self::Instant(_) | Self::InstantTime(_) => vec![],
            Self::Range { param, .. } => param.iter().copied().collect(),
            Self::Binary { lhs, rhs, .. } | Self::Set { lhs, rhs, .. } => vec![*lhs, *rhs],
            Self::Aggregate { arg, param, .. } => std::iter::once(*arg).chain(*param).collect(),
            Self::Calendar(_, arg) => arg.iter().copied().collect(),
            Self::Clamp(arg, low, high) => std::iter::once(*arg).chain(*low).chain(*high).collect(),
            Self::Round(arg, to) => std::iter::once(*arg).chain(*to).collect(),
            Self::HistogramQuantile(a, b) => vec![*a, *b],
            Self::HistogramFraction(a, b, c) | Self::ForecastQuantile(a, b, c) | Self::TimeUntil(a, b, c) => {
                vec![*a, *b, *c]
            }
            Self::Negate(arg)
            | Self::Math(_, arg)
            | Self::LabelReplace { arg, .. }
            | Self::LabelJoin { arg, .. }
            | Self::OutlierScore { arg, .. }
            | Self::Absent(_, arg)
            | Self::Scalar(arg)
            | Self::Vector(arg)
            | Self::EvaluationTime(arg)
            | Self::Model { arg, .. }
            | Self::Score(arg)
            | Self::ChangedAt(arg) => vec![*arg],
        }
    }

    /// Those of them that are scalar parameters of what is kept in the shards: functions of windows and models. Where they
    /// depend on series, the coordinator tells the shards what they are.
    #[must_use]
    pub fn parameters(&self) -> Vec<NodeId> {
        match self {
            Self::Range { param, .. } => param.iter().copied().collect(),
            Self::ForecastQuantile(_, a, b) | Self::TimeUntil(_, a, b) => vec![*a, *b],
            _ => vec![],
        }
    }

    /// The leaf it reads.
    #[must_use]
    pub fn leaf(&self) -> Option<LeafId> {
        match self {
            Self::Instant(leaf) | Self::InstantTime(leaf) | Self::Range { leaf, .. } => Some(*leaf),
            _ => None,
        }
    }

    /// What it does, without what it reads: equal operations on equal children have equal signatures.
    #[must_use]
    pub fn signature(&self) -> String {
        match self {
            Self::Number(v) => format!("number {:x}", v.to_bits()),
            Self::Time => "time".into(),
            Self::Instant(_) => "instant".into(),
            Self::InstantTime(_) => "instant_time".into(),
            Self::Range { func, .. } => format!("{func:?}"),
            Self::Negate(_) => "negate".into(),
            Self::Binary { op, return_bool, matching, .. } => format!("{op:?} {return_bool} {matching:?}"),
            Self::Set { op, matching, .. } => format!("{op:?} {matching:?}"),
            Self::Aggregate { op, grouping, .. } => format!("{op:?} {grouping:?}"),
            Self::Math(f, _) => format!("{f:?}"),
            Self::Clamp(_, low, high) => format!("clamp {} {}", low.is_some(), high.is_some()),
            Self::Round(..) => "round".into(),
            Self::Calendar(f, _) => format!("{f:?}"),
            Self::HistogramQuantile(..) => "histogram_quantile".into(),
            Self::HistogramFraction(..) => "histogram_fraction".into(),
            Self::LabelReplace { dst, replacement, src, regex, .. } => {
                format!("label_replace {dst:?} {replacement:?} {src:?} {:?}", regex.as_str())
            }
            Self::LabelJoin { dst, separator, src, .. } => format!("label_join {dst:?} {separator:?} {src:?}"),
            Self::OutlierScore { apart, .. } => format!("outlier_score {apart:?}"),
            Self::Absent(labels, _) => format!("absent {labels:?}"),
            Self::Scalar(_) => "scalar".into(),
            Self::Vector(_) => "vector".into(),
            Self::EvaluationTime(_) => "evaluation_time".into(),
            Self::Model { kind, profile, schedule, .. } => format!("{kind:?} {profile:?} {schedule:?}"),
            Self::Score(_) => "score".into(),
            Self::ChangedAt(_) => "changed_at".into(),
            Self::ForecastQuantile(..) => "forecast_quantile".into(),
            Self::TimeUntil(..) => "time_until".into(),
        }
    }
}
