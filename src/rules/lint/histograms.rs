//! Quantiles: of what has no buckets left, and such that are none.

use promql_parser::parser::Expr;

use super::labels::flow;
use super::shape::{aggregation, function, metric};
use super::values::values;
use super::{Lint, Report};
use crate::promql::Located;

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    let called = function(part.expr);
    let phi = match (called, aggregation(part.expr).as_deref()) {
        (Some("histogram_quantile" | "quantile_over_time"), _) | (_, Some("quantile")) => part.children.first(),
        _ => None,
    };
    if let Some(phi) = phi
        && let Some(value) = values(phi).single()
        && !(0.0..=1.0).contains(&value)
    {
        let gives = if value < 0.0 { "-Inf" } else { "+Inf" };
        report.expr(
            Lint::QuantileRange,
            &phi.span,
            format!("{value} is no quantile: outside of 0 to 1 the result is {gives}"),
            if value > 1.0 && value <= 100.0 {
                format!("the {value}th percentile is the quantile {}", value / 100.0)
            } else {
                "a quantile lies between 0 and 1".to_owned()
            },
        );
    }
    let buckets = match called {
        Some("histogram_quantile") => part.children.get(1),
        Some("histogram_fraction") => part.children.get(2),
        _ => None,
    };
    if let (Some(buckets), Some(name)) = (buckets, called) {
        dropped(report, name, buckets);
    }
}

fn dropped(report: &mut Report<'_, '_, '_>, function: &str, buckets: &Located<'_>) {
    if !flow(buckets).may_have("le") {
        let culprit = first_without_le(buckets);
        report.expr(
            Lint::BucketsDropped,
            &culprit.span,
            format!("{function}() needs the label le, and this drops it: the result is always empty"),
            "keep le, as in sum by (le) (rate(x_bucket[5m]))",
        );
        return;
    }
    let mut names = Vec::new();
    buckets.walk(&mut |part| names.extend(metric(part.expr).map(|name| (name.to_owned(), part.span.clone()))));
    for (name, span) in names {
        if !name.contains(':') && ["_sum", "_count", "_total"].iter().any(|end| name.ends_with(end)) {
            report.expr(
                Lint::BucketsDropped,
                &span,
                format!("{function}() needs a histogram's buckets, and {name} has none by its name"),
                "use the series that end in _bucket",
            );
        }
    }
}

/// The innermost part that has lost the label.
fn first_without_le<'p, 'e>(part: &'p Located<'e>) -> &'p Located<'e> {
    let vectors = |c: &&Located<'e>| !matches!(c.expr, Expr::NumberLiteral(_) | Expr::StringLiteral(_));
    match part.children.iter().filter(vectors).find(|child| !flow(child).may_have("le")) {
        Some(child) => first_without_le(child),
        None => part,
    }
}
