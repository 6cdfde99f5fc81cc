//! Why: what the models behind a rule say of an element. Reads the engine's state and changes nothing.

use serde::{Serialize, Serializer};

use crate::base::{Labels, METRIC_NAME, Millis, format_rfc3339};
use crate::model::ModelExplanation;
use crate::promql::{ModelKind, NodeId, Op, Plan};

use super::engine::Engine;
use super::eval::Evaluator;
use super::interner::LabelId;

/// Most elements looked through for those that an alert may be about.
const LOOKED_THROUGH: usize = 100_000;

/// What a model says of one element.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The rule's name.
    pub rule: String,
    /// The rule's expression.
    pub expr: String,
    /// The model's profile.
    pub profile: String,
    /// The element, without a metric name.
    #[serde(serialize_with = "as_object")]
    pub labels: Labels,
    /// The instant of the newest point.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Millis,
    /// What the model says.
    #[serde(flatten)]
    pub model: ModelExplanation,
}

/// What a rule asks of one of its models.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// The models' node.
    pub node: NodeId,
    /// Horizons, in milliseconds.
    ahead: Vec<Millis>,
    thresholds: Vec<f64>,
}

impl Engine {
    /// What the models behind the rules of this name say of the elements that have all these labels, by rule and labels; at
    /// most so many.
    #[must_use]
    pub fn explain(&self, rule: &str, labels: &[(String, String)], most: usize) -> Vec<Explanation> {
        let mut found = Vec::new();
        for group in &self.groups {
            for (state, spec) in group.rules.iter().zip(&group.spec.rules).filter(|(_, spec)| spec.name == rule) {
                // Labels that the rule sets are the alert's and not the element's.
                let own = |name: &str| name == "alertname" || spec.labels.iter().any(|(own, _)| own == name);
                let wanted: Vec<&(String, String)> = labels.iter().filter(|(name, _)| !own(name)).collect();
                let fits = |element: &Labels| wanted.iter().all(|(n, v)| element.as_ref().get(n).unwrap_or("") == v);
                for asked in asked_below(&self.plan, state.root) {
                    let mut of_rule: Vec<Explanation> = self
                        .rows(asked.node)
                        .filter_map(|(evaluator, id)| {
                            let element = Some(evaluator.store.interner.labels(id)).filter(fits)?;
                            let (at, model) = explain_row(evaluator, &asked, id)?;
                            let profile = evaluator.table(asked.node)?.profile().name.clone();
                            let (rule, expr) = (spec.name.clone(), spec.expr.clone());
                            Some(Explanation { rule, expr, profile, labels: element, at, model })
                        })
                        .collect();
                    of_rule.sort_by(|a, b| a.labels.cmp(&b.labels));
                    found.extend(of_rule);
                }
            }
        }
        found.truncate(most);
        found
    }

    /// What the first of a rule's models that knows this element, or one that it was made of, says of it.
    pub(super) fn explain_element(&self, asked: &[Asked], element: &Labels) -> Option<ModelExplanation> {
        let nameless = element.as_ref().filter(|name| name != METRIC_NAME);
        asked.iter().find_map(|asked| {
            let (_, model) = self.exactly(asked, &nameless).or_else(|| self.one_of(asked, &nameless))?;
            Some(model)
        })
    }

    fn exactly(&self, asked: &Asked, element: &Labels) -> Option<(Millis, ModelExplanation)> {
        let key = element.as_ref().key();
        self.evaluators().find_map(|evaluator| {
            evaluator.table(asked.node)?;
            explain_row(evaluator, asked, evaluator.store.interner.find(key)?)
        })
    }

    /// Of the elements that have all the labels of an aggregated one, the one with the highest score.
    fn one_of(&self, asked: &Asked, element: &Labels) -> Option<(Millis, ModelExplanation)> {
        let of_element = self.rows(asked.node).take(LOOKED_THROUGH).filter(|(evaluator, id)| {
            let labels = evaluator.store.interner.labels(*id);
            element.as_ref().iter().all(|(name, value)| labels.as_ref().get(name) == Some(value))
        });
        let explained = of_element.filter_map(|(evaluator, id)| {
            Some((evaluator.store.interner.labels(id), explain_row(evaluator, asked, id)?))
        });
        let score = |model: &ModelExplanation| match model {
            ModelExplanation::Anomaly(anomaly) => anomaly.score,
            ModelExplanation::Forecast(_) => 0.0,
            // The one that changed last.
            ModelExplanation::Change(told) => told.change.map_or(0.0, |change| change.at as f64),
        };
        // The labels decide between equals, so that the number of shards does not.
        let best = explained.max_by(|(a_labels, (_, a)), (b_labels, (_, b))| {
            score(a).total_cmp(&score(b)).then_with(|| b_labels.cmp(a_labels))
        });
        best.map(|(_, explained)| explained)
    }

    fn evaluators(&self) -> impl Iterator<Item = &Evaluator> {
        self.shards.iter().map(|shard| &shard.evaluator).chain([&self.coordinator.evaluator])
    }

    fn rows(&self, node: NodeId) -> impl Iterator<Item = (&Evaluator, LabelId)> {
        self.evaluators().flat_map(move |evaluator| {
            let elements = evaluator.table(node).map(|table| table.elements()).unwrap_or_default();
            elements.iter().map(move |&id| (evaluator, id))
        })
    }
}

/// The models below a node, and what is asked of each.
#[must_use]
pub(super) fn asked_below(plan: &Plan, root: NodeId) -> Vec<Asked> {
    let mut found: Vec<Asked> = Vec::new();
    collect(plan, root, &mut found);
    found.sort_by_key(|asked| asked.node);
    // Whatever scores says more of why than a forecast does.
    found.sort_by_key(|asked| !matches!(plan.nodes[asked.node].op, Op::Model { kind: ModelKind::Detector, .. }));
    found
}

fn collect(plan: &Plan, id: NodeId, found: &mut Vec<Asked>) {
    let op = &plan.nodes[id].op;
    if let Op::Model { .. } = op {
        entry(found, id);
    }
    match op {
        Op::ForecastQuantile(model, _, ahead) => {
            let ahead = constant(plan, *ahead).map(|seconds| (seconds * 1000.0) as Millis);
            entry(found, *model).ahead.extend(ahead);
        }
        Op::TimeUntil(model, threshold, _) => entry(found, *model).thresholds.extend(constant(plan, *threshold)),
        _ => {}
    }
    for child in op.children() {
        collect(plan, child, found);
    }
}

fn entry(found: &mut Vec<Asked>, node: NodeId) -> &mut Asked {
    let at = found.iter().position(|asked| asked.node == node).unwrap_or_else(|| {
        found.push(Asked { node, ahead: vec![], thresholds: vec![] });
        found.len() - 1
    });
    &mut found[at]
}

/// The number that a node without series is.
fn constant(plan: &Plan, id: NodeId) -> Option<f64> {
    match &plan.nodes[id].op {
        Op::Number(v) => Some(*v),
        Op::Negate(arg) => Some(-constant(plan, *arg)?),
        Op::Binary { op, lhs, rhs, .. } => Some(op.apply(constant(plan, *lhs)?, constant(plan, *rhs)?)),
        _ => None,
    }
}

fn explain_row(evaluator: &Evaluator, asked: &Asked, id: LabelId) -> Option<(Millis, ModelExplanation)> {
    let table = evaluator.table(asked.node)?;
    table.explain(table.row_of(id)?, &asked.ahead, &asked.thresholds)
}

fn as_object<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.as_ref().iter())
}

fn as_rfc3339<S: Serializer>(t: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_rfc3339(*t))
}
