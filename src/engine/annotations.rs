//! What evaluations remark beside their values: warnings and infos, from wherever the nodes were evaluated.

use crate::base::Millis;
use crate::promql::{Annotations, LeafSource, NodeId, Plan, Severity, Site};

use super::engine::Engine;
use super::eval::Evaluator;

/// Most warnings or infos that are put together.
const MOST: usize = 100;

/// What was remarked, each with its place in the expression; sorted, and bounded by what each node keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// What is most likely wrong.
    pub warnings: Vec<String>,
    /// What may be wrong.
    pub infos: Vec<String>,
}

/// A node that may remark something, of one rule or query.
#[derive(Clone, Debug)]
pub(super) struct Remarking {
    site: Site,
    /// How long before the evaluation the node may have been evaluated: it may be in a subquery.
    lag: Millis,
}

impl Remarks {
    /// Adds others; of many, the first few are kept.
    pub fn merge(&mut self, other: Self) {
        for (own, others) in [(&mut self.warnings, other.warnings), (&mut self.infos, other.infos)] {
            own.extend(others);
            own.sort();
            own.dedup();
            own.truncate(MOST);
        }
    }
}

impl Remarking {
    /// Those of an expression.
    pub fn of(plan: &Plan, root: NodeId, sites: Vec<Site>) -> Vec<Self> {
        let of_site = |site: Site| lag(plan, root, site.node).map(|lag| Self { site, lag });
        sites.into_iter().filter_map(of_site).collect()
    }
}

impl Engine {
    /// What these nodes have remarked for an evaluation at `t`.
    pub(super) fn remarks(&self, nodes: &[Remarking], t: Millis) -> Remarks {
        let mut remarks = Remarks::default();
        let evaluators = || self.shards.iter().map(|s| &s.evaluator).chain([&self.coordinator.evaluator]);
        for Remarking { site, lag } in nodes {
            let of = |evaluator: &Evaluator| evaluator.annotations(site.node, t, *lag).cloned();
            let mut together = Annotations::default();
            for annotation in evaluators().filter_map(of).flat_map(Annotations::into_iter) {
                together.add(annotation);
            }
            for annotation in together.iter() {
                let list = match annotation.severity() {
                    Severity::Warning => &mut remarks.warnings,
                    Severity::Info => &mut remarks.infos,
                };
                list.push(site.shown(annotation));
            }
        }
        for list in [&mut remarks.warnings, &mut remarks.infos] {
            list.sort();
            list.dedup();
        }
        remarks
    }
}

/// How long before an evaluation of `root` a value of `node` may be from that it was made of; None if it is not below it.
fn lag(plan: &Plan, root: NodeId, node: NodeId) -> Option<Millis> {
    // Nodes stand after what they read.
    if node > root {
        return None;
    }
    if node == root {
        return Some(0);
    }
    let op = &plan.nodes[root].op;
    let fed = op.leaf().map(|leaf| &plan.leaves[leaf]).and_then(|leaf| match leaf.source {
        LeafSource::Selector(_) => None,
        LeafSource::Feed(feed) => {
            let inner = lag(plan, plan.feeds[feed].node, node)?;
            // Where a window is pinned, its steps may lie anywhere.
            let own = if leaf.pinned.is_some() { Millis::MAX } else { leaf.range.saturating_add(leaf.offset) };
            Some(inner.saturating_add(own))
        }
    });
    op.children().into_iter().filter_map(|child| lag(plan, child, node)).chain(fed).max()
}
