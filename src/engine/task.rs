//! What is to be done at an instant: which nodes the shards evaluate, which results cross to the coordinator, and which
//! nodes it evaluates then.

use std::collections::BTreeSet;

use crate::promql::{FeedId, LeafId, LeafSource, NodeId, Op, Place, Plan};

/// Nodes to evaluate together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// What it takes for the coordinator to have `inputs`.
    pub before: Option<Box<Stage>>,
    /// Parameters of local nodes that depend on series: the coordinator tells the shards their values.
    pub inputs: Vec<NodeId>,
    /// For the shards, in order.
    pub local: Vec<NodeId>,
    /// Local results that the coordinator needs, whole.
    pub vectors: Vec<NodeId>,
    /// Global nodes of which each shard gives its part: aggregations that can be summed up, and `absent`.
    pub parts: Vec<NodeId>,
    /// For the coordinator, in order.
    pub global: Vec<NodeId>,
    /// Subqueries that these nodes read, inner ones first.
    pub feeds: Vec<FeedId>,
    /// Leaves that these nodes read.
    pub leaves: Vec<LeafId>,
    /// Whether nothing comes of nothing: without any series in its leaves, every root is an empty vector.
    pub strict: bool,
}

impl Stage {
    /// What it takes for the coordinator to have these nodes' values.
    #[must_use]
    pub fn for_roots(plan: &Plan, roots: &[NodeId]) -> Self {
        let mut sets = Sets::default();
        for &root in roots {
            sets.global(plan, root);
            feeds_below(plan, root, &mut sets.feeds);
        }
        sets.into_stage(plan, roots)
    }

    /// What it takes for a subquery's inner expression, wherever it is evaluated.
    #[must_use]
    pub fn for_feed(plan: &Plan, feed: FeedId) -> Self {
        let node = plan.feeds[feed].node;
        let mut sets = Sets::default();
        match plan.nodes[node].place {
            Place::Local => sets.local(plan, node),
            _ => sets.global(plan, node),
        }
        feeds_below(plan, node, &mut sets.feeds);
        sets.into_stage(plan, &[node])
    }
}

#[derive(Default)]
struct Sets {
    inputs: BTreeSet<NodeId>,
    local: BTreeSet<NodeId>,
    vectors: BTreeSet<NodeId>,
    parts: BTreeSet<NodeId>,
    global: BTreeSet<NodeId>,
    feeds: BTreeSet<FeedId>,
}

impl Sets {
    fn global(&mut self, plan: &Plan, id: NodeId) {
        let node = &plan.nodes[id];
        if node.place == Place::Local {
            self.vectors.insert(id);
            return self.local(plan, id);
        }
        let summed_in_shards = match &node.op {
            Op::Aggregate { op, arg, .. } if op.has_partials() => Some(*arg),
            Op::Absent(_, arg) => Some(*arg),
            _ => None,
        };
        if let Some(arg) = summed_in_shards.filter(|&arg| plan.nodes[arg].place == Place::Local) {
            self.parts.insert(id);
            self.local.insert(id);
            return self.local(plan, arg);
        }
        if self.global.insert(id) {
            for child in node.op.children() {
                self.global(plan, child);
            }
        }
    }

    fn local(&mut self, plan: &Plan, id: NodeId) {
        if self.local.insert(id) {
            for child in plan.nodes[id].op.children() {
                if plan.nodes[child].place == Place::Global {
                    self.inputs.insert(child);
                } else {
                    self.local(plan, child);
                }
            }
        }
    }
}

impl Sets {
    fn into_stage(self, plan: &Plan, roots: &[NodeId]) -> Stage {
        let inputs: Vec<NodeId> = self.inputs.into_iter().collect();
        let before = (!inputs.is_empty()).then(|| Box::new(Stage::for_roots(plan, &inputs)));
        let nodes = || self.local.iter().chain(&self.global).map(|&id| &plan.nodes[id].op);
        let mut leaves: BTreeSet<LeafId> = nodes().filter_map(Op::leaf).collect();
        leaves.extend(before.iter().flat_map(|stage| &stage.leaves));
        let from_nothing = |op: &Op| matches!(op, Op::Absent(..) | Op::Vector(_) | Op::Calendar(_, None));
        let strict = !nodes().any(from_nothing) && !roots.iter().any(|&root| plan.nodes[root].is_scalar);
        // Ids rise from what is read to what reads, so their order is an order of evaluation.
        Stage {
            leaves: leaves.into_iter().collect(),
            strict,
            before,
            inputs,
            local: self.local.into_iter().collect(),
            vectors: self.vectors.into_iter().collect(),
            parts: self.parts.into_iter().collect(),
            global: self.global.into_iter().collect(),
            feeds: self.feeds.into_iter().collect(),
        }
    }
}

/// Whether a node may see, within one tick, what rules of that tick record: its value then holds for one round only.
#[must_use]
pub fn volatile_nodes(plan: &Plan, recorded: &BTreeSet<String>) -> Vec<bool> {
    let mut volatile = vec![false; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate() {
        let own = node.op.leaf().is_some_and(|leaf| match &plan.leaves[leaf].source {
            LeafSource::Selector(selector) => recorded.iter().any(|name| selector.could_match_name(name)),
            LeafSource::Feed(_) => false,
        });
        volatile[id] = own || node.op.children().iter().any(|&child| volatile[child]);
    }
    volatile
}

/// Whether an expression can see series of any of these names, in subqueries too.
#[must_use]
pub fn can_see(plan: &Plan, root: NodeId, names: &BTreeSet<String>) -> bool {
    let node = &plan.nodes[root];
    let own = node.op.leaf().is_some_and(|leaf| match &plan.leaves[leaf].source {
        LeafSource::Selector(selector) => names.iter().any(|name| selector.could_match_name(name)),
        LeafSource::Feed(feed) => can_see(plan, plan.feeds[*feed].node, names),
    });
    own || node.op.children().iter().any(|&child| can_see(plan, child, names))
}

/// The subqueries that an expression reads, those inside others included.
fn feeds_below(plan: &Plan, root: NodeId, feeds: &mut BTreeSet<FeedId>) {
    let op = &plan.nodes[root].op;
    if let Some(LeafSource::Feed(feed)) = op.leaf().map(|leaf| &plan.leaves[leaf].source)
        && feeds.insert(*feed)
    {
        feeds_below(plan, plan.feeds[*feed].node, feeds);
    }
    for child in op.children() {
        feeds_below(plan, child, feeds);
    }
}
