//! Comparisons that hold never or always, and conditions that exclude one another.

use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;

use super::alerts::has_condition;
use super::shape::{aggregation, function, is_filter, operator};
use super::values::{Bounds, flipped, is_never_empty, values};
use super::{Lint, Report};
use crate::base::format_value;
use crate::promql::Located;

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    if function(part.expr) == Some("absent")
        && let Some(of) = part.children.first().filter(|of| is_never_empty(of))
    {
        report.expr(
            Lint::NeverTrue,
            &part.span,
            "absent() never gives anything here: its argument always has a value",
            format!("take away what stands in for missing series in `{}`", of.expr),
        );
    }
    if !is_filter(part.expr) {
        return;
    }
    let (Some(op), [left, right]) = (operator(part.expr), part.children.as_slice()) else { return };
    let (lhs, rhs) = (values(left), values(right));
    if !lhs.can(&op, rhs) {
        let scalar_first = left.expr.value_type() == ValueType::Scalar;
        let (tested, bounds, with) = if scalar_first { (right, rhs, lhs) } else { (left, lhs, rhs) };
        let op = if scalar_first { flipped(&op) } else { &op };
        report.expr(
            Lint::NeverTrue,
            &part.span,
            format!("the comparison never holds: {} is {}", described(tested), within(bounds)),
            help(tested, op, with),
        );
    }
}

/// Looks at the whole expression: an alert whose last comparison always holds.
pub(super) fn check_whole(report: &mut Report<'_, '_, '_>, whole: &Located<'_>) {
    let (Some(op), [left, right]) = (operator(whole.expr), whole.children.as_slice()) else { return };
    if op == "and" {
        contradiction(report, whole, left, right);
    }
    let (lhs, rhs) = (values(left), values(right));
    let scalar_first = left.expr.value_type() == ValueType::Scalar;
    let tested = if scalar_first { (right, rhs) } else { (left, lhs) };
    // count(x == 0) > 0 says no more than count(x == 0), but the condition is there.
    let decided = has_condition(tested.0) || counts(tested.0);
    if report.subject.is_alert && is_filter(whole.expr) && !decided && lhs.can(&op, rhs) && lhs.must(&op, rhs) {
        report.expr(
            Lint::AlwaysFires,
            &whole.span,
            format!("the comparison always holds: {} is {}", described(tested.0), within(tested.1)),
            "an alert fires for every element that is left: compare with a bound that tells good from bad",
        );
    }
}

/// `x > 5 and x < 3`: the same expression between bounds that exclude one another.
fn contradiction(report: &mut Report<'_, '_, '_>, whole: &Located<'_>, left: &Located<'_>, right: &Located<'_>) {
    let matched = matches!(whole.expr, Expr::Binary(b) if b.modifier.as_ref().is_some_and(|m| m.matching.is_some()));
    let ([a, _], [b, _]) = (left.children.as_slice(), right.children.as_slice()) else { return };
    if matched || !is_filter(left.expr) || !is_filter(right.expr) || a.expr != b.expr {
        return;
    }
    let (one, other) = (values(left), values(right));
    if one.low > other.high || other.low > one.high {
        report.expr(
            Lint::NeverTrue,
            &whole.span,
            "both conditions are about the same expression and exclude one another",
            "use or if either should fire",
        );
    }
}

/// Whether the value is a number of elements, of which there may be none.
fn counts(part: &Located<'_>) -> bool {
    aggregation(part.expr).is_some_and(|op| matches!(op.as_str(), "count" | "group" | "count_values"))
        || part.children.iter().any(counts)
}

fn described(part: &Located<'_>) -> String {
    match part.expr {
        Expr::Aggregate(aggregate) => format!("{}()", aggregate.op),
        Expr::Call(call) => format!("{}()", call.func.name),
        Expr::VectorSelector(_) => super::shape::metric(part.expr).map_or("it".to_owned(), str::to_owned),
        _ => "the left side".to_owned(),
    }
}

fn within(bounds: Bounds) -> String {
    match (bounds.low, bounds.high) {
        (low, high) if low == high => format!("always {}", format_value(low)),
        (low, high) if low > high => "already bounded to nothing".to_owned(),
        (low, f64::INFINITY) => format!("never below {}", format_value(low)),
        (f64::NEG_INFINITY, high) => format!("never above {}", format_value(high)),
        (low, high) => format!("between {} and {}", format_value(low), format_value(high)),
    }
}

fn help(tested: &Located<'_>, op: &str, with: Bounds) -> String {
    let counts = aggregation(tested.expr).is_some_and(|a| a == "count")
        || matches!(function(tested.expr), Some("count_over_time" | "present_over_time"));
    if counts && matches!(op, "==" | "<" | "<=") && with.high <= 1.0 {
        return "where nothing is counted there is no element at all: use absent(), or `or vector(0)` after the count"
            .to_owned();
    }
    match function(tested.expr) {
        Some("absent" | "absent_over_time") => {
            "it gives 1 where the series is missing and nothing where it is there: leave the comparison out".to_owned()
        }
        Some("rate" | "increase" | "irate") => "a fall is seen by deriv() or delta(), and of gauges only".to_owned(),
        _ => "mend the bound, or remove the rule".to_owned(),
    }
}
