//! What evaluations remark beside their values: warnings and infos, from wherever the nodes were evaluated.

use serde::{Deserialize, Serialize};

use crate::base::Millis;
use crate::promql::{Annotations, LeafSource, NodeId, Plan, Severity, Site};

use super::engine::Engine;
use super::eval::Evaluator;

/// Most warnings or infos that are put together.
const MOST: usize = 100;

/// What was remarked, each with its place in the expression; sorted, and bounded by what each node keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
            for annotation in evaluators().filter_map(of).flatten() {
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
            list.truncate(MOST);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::base::{BatchBuilder, Labels, Limits};
    use crate::engine::{Engine, EngineOptions, Inline, Output, Remarks};
    use crate::rules::{RuleSet, Severity, load_file};

    const RULES: &str = r#"groups: [{name: g, interval: 1m, rules: [
        {record: r:rate, expr: "rate(gauge[5m])"},
        {record: r:quantile, expr: "histogram_quantile(0.5, x_bucket) or max_over_time(rate(gauge[5m])[3m:1m])"},
        {record: r:plain, expr: "sum(gauge)"}]}]"#;

    /// What each rule has remarked, tick by tick; samples come in the first minute only.
    fn remarks(shards: usize) -> Vec<Vec<Remarks>> {
        let mut engine = Engine::new(EngineOptions { shards, ..EngineOptions::default() });
        let (groups, faults) = load_file("r.yml", RULES);
        assert!(faults.iter().all(|fault| fault.severity != Severity::Error), "{faults:?}");
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        engine.load(&rules, &Default::default(), &mut Output::default()).unwrap();
        let mut batch = BatchBuilder::new(&Limits::default());
        for i in 0..30 {
            let n = i.to_string();
            batch.series(Labels::from_pairs([("__name__", "gauge"), ("i", &n)]).as_ref());
            batch.sample(20_000, 1.0);
            batch.sample(50_000, 2.0);
            batch.series(Labels::from_pairs([("__name__", "x_bucket"), ("i", &n), ("le", &n.repeat(3))]).as_ref());
            batch.sample(50_000, f64::from(-i));
            batch.series(Labels::from_pairs([("__name__", "x_bucket"), ("i", &n), ("le", &format!("x{n}"))]).as_ref());
            batch.sample(50_000, 1.0);
        }
        engine.ingest(&batch.finish());
        let tick = |minute: i64| {
            engine.advance(minute * 60_000, &Inline, &mut Output::default());
            engine.groups()[0].rules.iter().map(|rule| rule.remarks.clone()).collect()
        };
        (1..=10).map(tick).collect()
    }

    #[test]
    fn rules_show_what_their_last_evaluation_remarked_whatever_the_shards() {
        let ticks = remarks(1);
        let [rate, quantile, plain] = &ticks[0][..] else { panic!() };
        let not_a_counter = |place: &str| {
            let text = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
            format!("{text}: \"gauge\" ({place})")
        };
        assert_eq!(*rate, Remarks { warnings: vec![], infos: vec![not_a_counter("1:6")] });
        assert_eq!(quantile.infos, [not_a_counter("1:57")]);
        assert_eq!(quantile.warnings.len(), 10, "bounded: {:?}", quantile.warnings);
        assert!(quantile.warnings[0].ends_with("malformed value of \"x0\" for metric name \"x_bucket\" (1:25)"));
        assert_eq!(*plain, Remarks::default());
        // The rate has left the window of five minutes, and then the subquery's three.
        assert_eq!((ticks[5][0].infos.len(), ticks[5][1].infos.len()), (0, 0), "{:?}", ticks[5]);
        assert_eq!(ticks[9][1], Remarks::default());
        assert_eq!(ticks, remarks(3));
    }
}
