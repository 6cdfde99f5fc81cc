//! The order in which a query's elements are handed out: by labels, where Prometheus promises nothing; by value where the
//! expression itself sorts.

use std::cmp::Ordering;

use promql_parser::parser::{Expr, LabelModifier, token};

use crate::base::{Labels, METRIC_NAME};

/// Puts elements, which come sorted by labels, into the order that Prometheus gives for `sort`, `sort_desc`, `topk` and
/// `bottomk` around the whole expression. NaN comes last.
pub(super) fn in_prometheus_order(expr: &Expr, elements: &mut [(Labels, f64)]) {
    match expr {
        Expr::Paren(inner) => in_prometheus_order(&inner.expr, elements),
        Expr::Call(call) if call.func.name == "sort" => elements.sort_by(|a, b| by_value(a.1, b.1, false)),
        Expr::Call(call) if call.func.name == "sort_desc" => elements.sort_by(|a, b| by_value(a.1, b.1, true)),
        Expr::Aggregate(aggregate) if matches!(aggregate.op.id(), token::T_TOPK | token::T_BOTTOMK) => {
            let descending = aggregate.op.id() == token::T_TOPK;
            let group = |labels: &Labels| group_of(labels, aggregate.modifier.as_ref());
            elements.sort_by(|a, b| group(&a.0).cmp(&group(&b.0)).then(by_value(a.1, b.1, descending)));
        }
        _ => {}
    }
}

fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

/// The labels by which an aggregation groups.
fn group_of(labels: &Labels, modifier: Option<&LabelModifier>) -> Labels {
    match modifier {
        None => Labels::default(),
        Some(LabelModifier::Include(by)) => labels.as_ref().filter(|name| by.labels.iter().any(|l| l == name)),
        Some(LabelModifier::Exclude(without)) => {
            labels.as_ref().filter(|name| name != METRIC_NAME && without.labels.iter().all(|l| l != name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse;

    #[test]
    fn expressions_that_sort_are_sorted_by_value() {
        let order = |expr: &str| {
            let values = [("a", "1", 2.0), ("b", "1", f64::NAN), ("c", "2", 3.0), ("d", "2", 1.0)];
            let mut elements: Vec<(Labels, f64)> =
                values.iter().map(|(x, y, v)| (Labels::from_pairs([("x", *x), ("y", *y)]), *v)).collect();
            in_prometheus_order(&parse(expr).unwrap(), &mut elements);
            elements.iter().map(|(labels, _)| labels.as_ref().get("x").unwrap().to_owned()).collect::<String>()
        };
        assert_eq!(order("m"), "abcd");
        assert_eq!(order("sort(m)"), "dacb");
        assert_eq!(order("(sort_desc(m))"), "cadb");
        assert_eq!(order("topk(4, m)"), "cadb");
        assert_eq!(order("topk by (y) (4, m)"), "abcd");
        assert_eq!(order("bottomk without (x) (4, m)"), "abdc");
        assert_eq!(order("sort(m) + 1"), "abcd");
    }
}
