//! The order in which a query's elements are handed out: by labels, where Prometheus promises nothing; by value where the
//! expression itself sorts.

use std::cmp::Ordering;

use crate::base::{Labels, METRIC_NAME};
use crate::promql::{Grouping, Order};

/// Puts elements in their order.
pub(super) fn put_in_order(order: &Order, elements: &mut [(Labels, f64)]) {
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    match order {
        Order::Labels => {}
        Order::Ascending(groups) => by_value(groups, elements, |a, b| a.partial_cmp(&b)),
        Order::Descending(groups) => by_value(groups, elements, |a, b| b.partial_cmp(&a)),
    }
}

fn by_value(groups: &Grouping, elements: &mut [(Labels, f64)], compare: fn(f64, f64) -> Option<Ordering>) {
    // Stable: equal values stay in the order of their labels.
    elements.sort_by(|(a, x), (b, y)| {
        let value = || x.is_nan().cmp(&y.is_nan()).then(compare(*x, *y).unwrap_or(Ordering::Equal));
        group(a, groups).cmp(&group(b, groups)).then_with(value)
    });
}

/// The labels by which an aggregation groups.
fn group(labels: &Labels, groups: &Grouping) -> Labels {
    let is_named = |name: &str| groups.labels.iter().any(|l| l == name);
    labels.as_ref().filter(|name| if groups.without { name != METRIC_NAME && !is_named(name) } else { is_named(name) })
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
            put_in_order(&Order::of(&parse(expr).unwrap()), &mut elements);
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
