//! What lints ask of a part of an expression: its operator, function, metric and numbers.

use promql_parser::label::MatchOp;
use promql_parser::parser::{Expr, VectorSelector};

use crate::base::{METRIC_NAME, Millis};
use crate::promql::Located;

/// The operator of two operands, as it is written.
pub(super) fn operator(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Binary(binary) => Some(binary.op.to_string()),
        _ => None,
    }
}

/// Whether it compares, with or without `bool`.
pub(super) fn is_comparison(expr: &Expr) -> bool {
    operator(expr).is_some_and(|op| matches!(op.as_str(), "==" | "!=" | "<" | "<=" | ">" | ">="))
}

/// Whether it compares and gives only the elements for which the comparison holds.
pub(super) fn is_filter(expr: &Expr) -> bool {
    is_comparison(expr) && !returns_bool(expr)
}

/// Whether it has the modifier `bool`.
pub(super) fn returns_bool(expr: &Expr) -> bool {
    matches!(expr, Expr::Binary(binary) if binary.modifier.as_ref().is_some_and(|m| m.return_bool))
}

/// Whether it is `and`, `or` or `unless`.
pub(super) fn is_set(expr: &Expr) -> bool {
    operator(expr).is_some_and(|op| matches!(op.as_str(), "and" | "or" | "unless"))
}

/// The aggregation's name.
pub(super) fn aggregation(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Aggregate(aggregate) => Some(aggregate.op.to_string()),
        _ => None,
    }
}

/// The called function's name.
pub(super) fn function(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Call(call) => Some(call.func.name),
        _ => None,
    }
}

/// The value of a string.
pub(super) fn text<'e>(part: &Located<'e>) -> Option<&'e str> {
    match part.expr {
        Expr::StringLiteral(literal) => Some(&literal.val),
        _ => None,
    }
}

/// The selector, with or without a range.
pub(super) fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

/// The metric that a selector takes, if it is one.
pub(super) fn metric(expr: &Expr) -> Option<&str> {
    let selector = selector(expr)?;
    let by_matcher = || {
        let mut named = selector.matchers.matchers.iter().filter(|m| m.name == METRIC_NAME);
        named.next().filter(|m| m.op == MatchOp::Equal).map(|m| m.value.as_str())
    };
    selector.name.as_deref().or_else(by_matcher)
}

/// Milliseconds of a range, and of its steps if it is a subquery's that says so.
pub(super) fn range(expr: &Expr) -> Option<(Millis, Option<Millis>)> {
    let millis = |d: core::time::Duration| Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX);
    match expr {
        Expr::MatrixSelector(matrix) => Some((millis(matrix.range), None)),
        Expr::Subquery(subquery) => Some((millis(subquery.range), subquery.step.map(millis))),
        _ => None,
    }
}
