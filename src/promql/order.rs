//! The order in which an expression's elements are shown to whoever asks once. Rules have no use for it.

use std::cmp::Ordering;

use promql_parser::parser::token::{T_BOTTOMK, T_TOPK};
use promql_parser::parser::{Expr, LabelModifier};

use crate::base::{Labels, METRIC_NAME};

/// An order that an expression asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    falls: bool,
    /// `topk` and `bottomk` show one group after the other: these labels, or all others.
    grouping: Option<(bool, Vec<String>)>,
}

impl Order {
    /// The order of the outermost operation, if that gives one.
    #[must_use]
    pub fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Paren(inner) => Self::of(&inner.expr),
            Expr::Call(call) if call.func.name == "sort" => Some(Self { falls: false, grouping: None }),
            Expr::Call(call) if call.func.name == "sort_desc" => Some(Self { falls: true, grouping: None }),
            Expr::Aggregate(aggregate) if [T_TOPK, T_BOTTOMK].contains(&aggregate.op.id()) => {
                let grouping = aggregate.modifier.as_ref().map(|modifier| match modifier {
                    LabelModifier::Include(labels) => (true, labels.labels.clone()),
                    LabelModifier::Exclude(labels) => (false, labels.labels.clone()),
                });
                Some(Self { falls: aggregate.op.id() == T_TOPK, grouping })
            }
            _ => None,
        }
    }

    /// Puts elements in this order: by value, NaN last, equal ones by labels.
    pub fn arrange(&self, elements: &mut [(Labels, f64)]) {
        elements.sort_by(|a, b| {
            let groups = self.grouping.as_ref().map_or(Ordering::Equal, |(only, labels)| {
                group(&a.0, *only, labels).cmp(&group(&b.0, *only, labels))
            });
            let values = if self.falls { b.1.partial_cmp(&a.1) } else { a.1.partial_cmp(&b.1) };
            let nan_last = a.1.is_nan().cmp(&b.1.is_nan());
            groups.then(nan_last).then(values.unwrap_or(Ordering::Equal)).then_with(|| a.0.cmp(&b.0))
        });
    }
}

fn group<'a>(labels: &'a Labels, only: bool, named: &[String]) -> Vec<(&'a str, &'a str)> {
    let is_named = |name: &str| named.iter().any(|n| n == name);
    let kept = |name: &str| if only { is_named(name) } else { !is_named(name) && name != METRIC_NAME };
    labels.as_ref().iter().filter(|(name, _)| kept(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    fn arranged(expr: &str, elements: &[(&str, &str, f64)]) -> Vec<String> {
        let labels = |a: &str, b: &str| Labels::from_pairs([("a", a), ("b", b)]);
        let mut elements: Vec<_> = elements.iter().map(|(a, b, v)| (labels(a, b), *v)).collect();
        Order::of(&parse(expr).unwrap()).unwrap().arrange(&mut elements);
        elements.iter().map(|(_, v)| v.to_string()).collect()
    }

    #[test]
    fn values_are_sorted_with_nan_last() {
        let elements = [("1", "x", 2.0), ("2", "y", f64::NAN), ("3", "x", 1.0), ("4", "y", 3.0)];
        assert_eq!(arranged("sort(m)", &elements), ["1", "2", "3", "NaN"]);
        assert_eq!(arranged("(sort_desc(m))", &elements), ["3", "2", "1", "NaN"]);
        assert_eq!(arranged("topk(9, m)", &elements), ["3", "2", "1", "NaN"]);
        assert_eq!(arranged("bottomk by (b) (9, m)", &elements), ["1", "2", "3", "NaN"]);
        assert_eq!(arranged("topk without (a) (9, m)", &elements), ["2", "1", "3", "NaN"]);
        assert_eq!(Order::of(&parse("sort(m) + 0").unwrap()), None);
    }
}
