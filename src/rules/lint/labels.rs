//! Which labels the elements of an expression's value can have: what surely is absent, and what surely is there.
//!
//! Pure; knows no series. The rules are those of Prometheus' engine (`promql/engine.go`): what an aggregation, a vector
//! match or a function leaves of the labels.

use std::collections::BTreeSet;

use promql_parser::label::Labels;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{BinModifier, Expr, LabelModifier, VectorMatchCardinality};

use super::shape::{aggregation, function, is_set, text};
use crate::base::METRIC_NAME;
use crate::promql::{Located, LocatedMatcher, anchored};

type Names = BTreeSet<String>;

/// What is known of the labels of a vector's elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// No others than these can be there; None where any can.
    pub only: Option<Names>,
    /// These are not there.
    pub never: Names,
    /// Every element has these, with a value.
    pub surely: Names,
    /// Labels that the expression itself names as ones to keep: it hardly would if there were none.
    pub named: Names,
}

impl Flow {
    fn none() -> Self {
        Self { only: Some(Names::new()), ..Self::default() }
    }

    /// Whether an element can have the label.
    pub fn may_have(&self, label: &str) -> bool {
        !self.never.contains(label) && self.only.as_ref().is_none_or(|only| only.contains(label))
    }

    /// Labels that elements have, as far as can be told.
    pub fn expected(&self) -> impl Iterator<Item = &String> {
        self.surely.union(&self.named).filter(|label| self.may_have(label))
    }

    fn drop(&mut self, label: &str) {
        self.never.insert(label.to_owned());
        if let Some(only) = &mut self.only {
            only.remove(label);
        }
        self.surely.remove(label);
        self.named.remove(label);
    }

    fn add(&mut self, label: &str, surely: bool) {
        self.never.remove(label);
        if let Some(only) = &mut self.only {
            only.insert(label.to_owned());
        }
        if surely {
            self.surely.insert(label.to_owned());
        } else {
            self.surely.remove(label);
        }
    }

    fn keep(&mut self, labels: &Labels) {
        let kept: Names = labels.labels.iter().filter(|label| self.may_have(label)).cloned().collect();
        self.surely.retain(|label| kept.contains(label));
        self.named = kept.clone();
        self.only = Some(kept);
        self.never.clear();
    }

    /// What holds for an element of either.
    fn either(mut self, other: Self) -> Self {
        let absent = |label: &String, a: &Self, b: &Self| !a.may_have(label) && !b.may_have(label);
        let never: Names =
            self.never.union(&other.never).filter(|label| absent(label, &self, &other)).cloned().collect();
        self.only = match (self.only, other.only) {
            (Some(a), Some(b)) => Some(a.union(&b).cloned().collect()),
            _ => None,
        };
        self.never = never;
        self.surely = self.surely.intersection(&other.surely).cloned().collect();
        self.named = self.named.union(&other.named).cloned().collect();
        self
    }
}

/// The labels of an expression's value; none for a scalar.
pub(super) fn flow(part: &Located<'_>) -> Flow {
    match part.expr {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => selector(part),
        Expr::Subquery(_) => part.children.first().map_or_else(Flow::default, flow),
        Expr::Unary(_) => without_name(part.children.first()),
        Expr::Aggregate(aggregate) => {
            let mut out = part.children.last().map_or_else(Flow::default, flow);
            let op = aggregation(part.expr).unwrap_or_default();
            if matches!(op.as_str(), "topk" | "bottomk") {
                return out;
            }
            match &aggregate.modifier {
                None => out = Flow::none(),
                Some(LabelModifier::Include(labels)) => out.keep(labels),
                Some(LabelModifier::Exclude(labels)) => {
                    labels.labels.iter().for_each(|label| out.drop(label));
                    out.drop(METRIC_NAME);
                }
            }
            if op == "count_values"
                && let Some(label) = part.children.first().and_then(text)
            {
                out.add(label, true);
            }
            out
        }
        Expr::Call(_) => call(part),
        Expr::Binary(binary) => {
            let [lhs, rhs] = part.children.as_slice() else { return Flow::default() };
            operands(part, binary.modifier.as_ref(), flow(lhs), flow(rhs))
        }
        _ => Flow::none(),
    }
}

fn without_name(part: Option<&Located<'_>>) -> Flow {
    let mut out = part.map_or_else(Flow::default, flow);
    out.drop(METRIC_NAME);
    out
}

fn selector(part: &Located<'_>) -> Flow {
    let mut out = Flow::default();
    for matcher in &part.matchers {
        if is_surely_there(matcher) {
            out.surely.insert(matcher.label.clone());
        } else if matcher.operator == "=" && matcher.value.is_empty() {
            out.never.insert(matcher.label.clone());
        }
    }
    out
}

/// Whether a matcher takes no series without the label.
fn is_surely_there(matcher: &LocatedMatcher) -> bool {
    let matches_empty = || anchored(&matcher.value).is_ok_and(|regex| regex.is_match(""));
    match matcher.operator {
        "=" => !matcher.value.is_empty(),
        "!=" => matcher.value.is_empty(),
        "=~" => !matches_empty(),
        _ => matches_empty(),
    }
}

fn call(part: &Located<'_>) -> Flow {
    let name = function(part.expr).unwrap_or_default();
    let vector =
        part.children.iter().find(|child| matches!(child.expr.value_type(), ValueType::Vector | ValueType::Matrix));
    match name {
        "absent" | "absent_over_time" => {
            let mut out = Flow::none();
            for matcher in vector.map_or(&[][..], |v| &v.matchers).iter().filter(|m| m.operator == "=") {
                out.add(&matcher.label, true);
            }
            out
        }
        "vector" | "scalar" | "time" | "pi" => Flow::none(),
        "label_replace" | "label_join" => {
            let mut out = vector.map_or_else(Flow::default, flow);
            if let Some(label) = part.children.get(1).and_then(text) {
                let stays = out.surely.contains(label) && name == "label_replace";
                out.add(label, stays);
                out.named.insert(label.to_owned());
            }
            out
        }
        "sort" | "sort_desc" | "last_over_time" => vector.map_or_else(Flow::default, flow),
        "histogram_quantile" | "histogram_fraction" => {
            let mut out = without_name(vector);
            out.drop("le");
            out
        }
        _ if vector.is_none() => Flow::none(),
        _ => without_name(vector),
    }
}

fn operands(part: &Located<'_>, modifier: Option<&BinModifier>, lhs: Flow, rhs: Flow) -> Flow {
    let scalar = |i: usize| part.children[i].expr.value_type() == ValueType::Scalar;
    let keeps_name = modifier.is_none_or(|m| !m.return_bool) && super::shape::is_comparison(part.expr);
    let named = |mut flow: Flow| {
        if !keeps_name {
            flow.drop(METRIC_NAME);
        }
        flow
    };
    match (scalar(0), scalar(1)) {
        (true, true) => return Flow::none(),
        (true, false) => return named(rhs),
        (false, true) => return named(lhs),
        _ => {}
    }
    if is_set(part.expr) {
        return if super::shape::operator(part.expr).as_deref() == Some("or") { lhs.either(rhs) } else { lhs };
    }
    let matching = modifier.and_then(|m| m.matching.as_ref());
    let cardinality = modifier.map_or(&VectorMatchCardinality::OneToOne, |m| &m.card);
    let (mut out, one, included) = match cardinality {
        VectorMatchCardinality::ManyToOne(labels) => (lhs, rhs, Some(labels)),
        VectorMatchCardinality::OneToMany(labels) => (rhs, lhs, Some(labels)),
        _ => (lhs, rhs, None),
    };
    if let Some(included) = included {
        for label in &included.labels {
            if one.may_have(label) {
                out.add(label, one.surely.contains(label));
                out.named.insert(label.clone());
            } else {
                out.drop(label);
            }
        }
        return named(out);
    }
    match matching {
        Some(LabelModifier::Include(labels)) => out.keep(labels),
        Some(LabelModifier::Exclude(labels)) => labels.labels.iter().for_each(|label| out.drop(label)),
        None => {
            // Equal labels on both sides: what one side cannot have, no element of the result has.
            if let Some(only) = one.only {
                out.only = Some(out.only.map_or(only.clone(), |own| own.intersection(&only).cloned().collect()));
            }
            out.never.extend(one.never.iter().filter(|label| *label != METRIC_NAME).cloned());
            out.surely.extend(one.surely.iter().filter(|label| *label != METRIC_NAME).cloned());
        }
    }
    named(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse_parts;

    /// Which of some labels can be there, which surely are, and whether others can be.
    fn labels(text: &str) -> (String, String, bool) {
        let parsed = parse_parts(text).unwrap();
        let flow = flow(&parsed.locate().unwrap());
        let of = |test: &dyn Fn(&str) -> bool| {
            ["a", "b", "c", "le"].into_iter().filter(|l| test(l)).collect::<Vec<_>>().join(" ")
        };
        (of(&|l| flow.may_have(l)), of(&|l| flow.surely.contains(l)), flow.may_have("other"))
    }

    #[test]
    fn labels_flow_as_in_prometheus() {
        for (text, may, surely, others) in [
            ("x{a=\"1\", b=\"\", c=~\".*\"}", "a c le", "a", true),
            ("x{a!=\"\", b=~\".+\", c!~\"|z\"}", "a b c le", "a b c", true),
            ("rate(x{a=\"1\"}[5m])", "a b c le", "a", true),
            ("sum(x)", "", "", false),
            ("sum by (a, c) (x{c=\"1\"})", "a c", "c", false),
            ("sum by (a, b) (sum by (b) (x))", "b", "", false),
            ("sum without (a) (x{a=\"1\"})", "b c le", "", true),
            ("topk(3, x{a=\"1\"})", "a b c le", "a", true),
            ("count_values(\"c\", x)", "c", "c", false),
            ("histogram_quantile(0.9, sum by (a, le) (x))", "a", "", false),
            ("absent(x{a=\"1\", b=~\"2\"})", "a", "a", false),
            ("absent(sum(x{a=\"1\"}))", "", "", false),
            ("vector(1)", "", "", false),
            ("label_replace(sum by (a) (x), \"b\", \"$1\", \"a\", \"(.*)\")", "a b", "", false),
            ("sum by (a) (x) / 2 > 1", "a", "", false),
            ("1 - sum by (a) (x)", "a", "", false),
            ("sum by (a) (x) / y", "a", "", false),
            ("y / on (a, b) z", "a b", "", false),
            ("y / ignoring (a) z{c=\"1\"}", "b c le", "", true),
            ("sum by (a) (x) * on (a) group_left (b) y{b=\"1\"}", "a b", "b", false),
            ("y{b=\"1\"} * on (a) group_right (b) sum by (a, c) (x)", "a b c", "b", false),
            ("sum by (a) (x) * on (a) group_left (b) sum by (a) (y)", "a", "", false),
            ("sum by (a) (x) and on (a) y", "a", "", false),
            ("sum by (a) (x) or sum by (b) (y)", "a b", "", false),
            ("sum by (a) (x) or y", "a b c le", "", true),
            ("max_over_time(sum by (a) (x)[1h:])", "a", "", false),
            ("time()", "", "", false),
            ("quantile_over_time(0.9, x{a=\"1\"}[5m])", "a b c le", "a", true),
        ] {
            assert_eq!(labels(text), (may.to_owned(), surely.to_owned(), others), "{text}");
        }
    }
}
