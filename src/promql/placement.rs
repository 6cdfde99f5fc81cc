//! What is known of a node before it is evaluated: where that can be done, whether it gives a scalar, and which names its
//! elements bear.

use crate::base::METRIC_NAME;

use super::arith::SetOp;
use super::leaf::LeafSource;
use super::plan::{AggregateOp, Cardinality, LeafId, Names, NodeId, Op, Place};
use super::planner::Planner;

impl Planner<'_> {
    /// Whether an operation gives a scalar rather than a vector.
    pub(super) fn is_scalar(&self, op: &Op) -> bool {
        let scalar = |id: &NodeId| self.plan.nodes[*id].is_scalar;
        match op {
            Op::Number(_) | Op::Time | Op::Scalar(_) => true,
            Op::Negate(arg) => scalar(arg),
            Op::Binary { lhs, rhs, .. } => scalar(lhs) && scalar(rhs),
            _ => false,
        }
    }

    /// Where an operation is evaluated.
    pub(super) fn place(&self, op: &Op) -> Place {
        match op {
            Op::Number(_) | Op::Time => return Place::Anywhere,
            // One element without labels must not come from every shard.
            Op::Vector(_) | Op::Scalar(_) | Op::Aggregate { .. } | Op::Absent(..) => return Place::Global,
            Op::Calendar(_, None) => return Place::Global,
            // These may make elements of different shards equal.
            Op::LabelReplace { .. } | Op::LabelJoin { .. } => return Place::Global,
            // Peers are in any shard.
            Op::OutlierScore { .. } => return Place::Global,
            _ => {}
        }
        let parameters = op.parameters();
        let read = op.children().into_iter().filter(|child| !parameters.contains(child));
        let mut places: Vec<Place> = read.map(|child| self.plan.nodes[child].place).collect();
        if let Some(leaf) = op.leaf() {
            places.push(match self.plan.leaves[leaf].source {
                LeafSource::Selector(_) => Place::Local,
                LeafSource::Feed(feed) => self.plan.nodes[self.plan.feeds[feed].node].place,
            });
        }
        if places.iter().all(|p| *p == Place::Anywhere) {
            return Place::Anywhere;
        }
        let together = match op {
            Op::Binary { lhs, rhs, matching, .. } | Op::Set { lhs, rhs, matching, .. } => {
                let scalar_side = self.plan.nodes[*lhs].is_scalar || self.plan.nodes[*rhs].is_scalar;
                // Whether a right side that has several for one match group fails depends on whether the left has any
                // element at all, which one shard does not know.
                let right_is_unique = matches!(op, Op::Set { .. }) || self.plan.nodes[*rhs].names != Names::Many;
                scalar_side || (matching.is_plain() && right_is_unique)
            }
            // Where its argument fails no model learns, in no shard.
            Op::Model { arg, .. } => self.plan.nodes[*arg].names != Names::Many && !self.can_fail(*arg),
            _ => true,
        };
        if together && !places.contains(&Place::Global) { Place::Local } else { Place::Global }
    }

    /// Whether a node may fail: where names are dropped that may be all that two elements differ in, where vectors are
    /// matched on some labels only, and where anything below fails.
    fn can_fail(&self, id: NodeId) -> bool {
        let op = &self.plan.nodes[id].op;
        let matching_fails = match op {
            Op::Binary { matching, .. } => !matching.is_plain(),
            _ => false,
        };
        let leaf_fails = op.leaf().is_some_and(|leaf| {
            let drops_names = match op {
                Op::Instant(_) => false,
                Op::Range { func, .. } => !func.keeps_names(),
                _ => true,
            };
            let feed_fails = match self.plan.leaves[leaf].source {
                LeafSource::Selector(_) => false,
                LeafSource::Feed(feed) => self.can_fail(self.plan.feeds[feed].node),
            };
            feed_fails || (drops_names && self.leaf_names(leaf) == Names::Many)
        });
        let child_fails = |&child: &NodeId| self.plan.nodes[child].names == Names::Many || self.can_fail(child);
        matching_fails || leaf_fails || op.children().iter().any(child_fails)
    }

    fn leaf_names(&self, leaf: LeafId) -> Names {
        match &self.plan.leaves[leaf].source {
            LeafSource::Selector(s) => s.name.clone().map_or(Names::Many, Names::One),
            LeafSource::Feed(feed) => self.plan.nodes[self.plan.feeds[*feed].node].names.clone(),
        }
    }

    /// Which metric names the elements of an operation's result bear.
    pub(super) fn names(&self, op: &Op) -> Names {
        let of = |id: &NodeId| self.plan.nodes[*id].names.clone();
        let leaf_names = |leaf: LeafId| self.leaf_names(leaf);
        // What drops names gives elements without, or marks those it takes.
        let dropped = |names: Names| if self.plan.drops_names_late { names } else { Names::None };
        match op {
            Op::Instant(leaf) => leaf_names(*leaf),
            Op::Range { leaf, func, .. } if func.keeps_names() => leaf_names(*leaf),
            Op::InstantTime(leaf) | Op::Range { leaf, .. } => dropped(leaf_names(*leaf)),
            Op::Set { op: SetOp::Or, lhs, rhs, .. } if of(lhs) != of(rhs) => Names::Many,
            Op::Set { lhs, .. } => of(lhs),
            Op::Binary { op, lhs, rhs, return_bool, matching } => {
                let scalars = (self.plan.nodes[*lhs].is_scalar, self.plan.nodes[*rhs].is_scalar);
                let kept = match (scalars.0, matching.cardinality) {
                    (true, _) | (_, Cardinality::OneToMany) => of(rhs),
                    _ => of(lhs),
                };
                // group_left(__name__) may bring any name in.
                let many = matching.include.iter().any(|l| l == METRIC_NAME);
                match (op.is_comparison(), return_bool) {
                    (true, false) if many => Names::Many,
                    (true, false) => kept,
                    (true, true) => dropped(kept),
                    (false, _) if scalars.0 || scalars.1 => dropped(kept),
                    (false, _) => Names::None,
                }
            }
            Op::Negate(arg)
            | Op::Math(_, arg)
            | Op::Clamp(arg, ..)
            | Op::Round(arg, _)
            | Op::Calendar(_, Some(arg))
            | Op::EvaluationTime(arg)
            | Op::OutlierScore { arg, .. }
            | Op::HistogramQuantile(_, arg)
            | Op::HistogramFraction(_, _, arg) => dropped(of(arg)),
            Op::Aggregate { op: AggregateOp::Topk | AggregateOp::Bottomk, arg, .. } => of(arg),
            Op::Aggregate { grouping, .. } if !grouping.without && grouping.labels.iter().any(|l| l == METRIC_NAME) => {
                Names::Many
            }
            Op::LabelReplace { arg, dst, .. } | Op::LabelJoin { arg, dst, .. } => {
                if dst == METRIC_NAME {
                    Names::Many
                } else {
                    of(arg)
                }
            }
            _ => Names::None,
        }
    }
}
