//! Between which bounds an expression's values lie, as far as its text tells; and whether it always has one.
//!
//! Pure interval arithmetic; knows no series. NaN is left aside: no comparison but `!=` holds for it.

use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;

use super::shape::{aggregation, function, is_comparison, is_filter, metric, operator, returns_bool};
use crate::promql::Located;

/// Bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub low: f64,
    pub high: f64,
}

const ALL: Bounds = bounds(f64::NEG_INFINITY, f64::INFINITY);
const POSITIVE: Bounds = bounds(0.0, f64::INFINITY);

const fn bounds(low: f64, high: f64) -> Bounds {
    Bounds { low, high }
}

impl Bounds {
    /// Whether the comparison holds for any two values within the bounds.
    pub fn can(self, op: &str, other: Self) -> bool {
        match op {
            "<" => self.low < other.high,
            "<=" => self.low <= other.high,
            ">" => self.high > other.low,
            ">=" => self.high >= other.low,
            "==" => self.low <= other.high && other.low <= self.high,
            _ => self.low != self.high || other.low != other.high || self.low != other.low,
        }
    }

    /// Whether the comparison holds for all values within the bounds.
    pub fn must(self, op: &str, other: Self) -> bool {
        match op {
            "<" => !self.can(">=", other),
            "<=" => !self.can(">", other),
            ">" => !self.can("<=", other),
            ">=" => !self.can("<", other),
            "==" => self.low == self.high && self == other,
            _ => !self.can("==", other),
        }
    }

    /// The one value, if it is one.
    pub fn single(self) -> Option<f64> {
        (self.low == self.high).then_some(self.low)
    }

    fn of(values: &[f64]) -> Self {
        if values.iter().any(|v| v.is_nan()) {
            return ALL;
        }
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        bounds(low, high)
    }

    fn with(self, other: Self, f: fn(f64, f64) -> f64) -> Self {
        let pairs = [(self.low, other.low), (self.low, other.high), (self.high, other.low), (self.high, other.high)];
        Self::of(&pairs.map(|(a, b)| f(a, b)))
    }

    /// Bounds of a sum of at least one value.
    fn summed(self) -> Self {
        bounds(
            if self.low < 0.0 { f64::NEG_INFINITY } else { self.low },
            if self.high > 0.0 { f64::INFINITY } else { self.high },
        )
    }
}

/// Bounds of an expression's values.
pub(super) fn values(part: &Located<'_>) -> Bounds {
    let child = |i: usize| part.children.get(i).map_or(ALL, values);
    match part.expr {
        Expr::NumberLiteral(number) => Bounds::of(&[number.val]),
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => by_name(metric(part.expr).unwrap_or_default()),
        Expr::Subquery(_) => child(0),
        Expr::Unary(_) => bounds(-child(0).high, -child(0).low),
        Expr::Aggregate(_) => {
            let inner = part.children.last().map_or(ALL, values);
            match aggregation(part.expr).unwrap_or_default().as_str() {
                "sum" => inner.summed(),
                "avg" | "min" | "max" | "topk" | "bottomk" => inner,
                "count" | "count_values" => bounds(1.0, f64::INFINITY),
                "group" => Bounds::of(&[1.0]),
                "stddev" | "stdvar" => POSITIVE,
                _ => ALL,
            }
        }
        Expr::Call(_) => call(part, function(part.expr).unwrap_or_default()),
        Expr::Binary(_) => binary(part, &operator(part.expr).unwrap_or_default()),
        _ => ALL,
    }
}

/// What the names of metrics promise.
fn by_name(name: &str) -> Bounds {
    match name {
        "up" => bounds(0.0, 1.0),
        "ALERTS" => Bounds::of(&[1.0]),
        _ if ["_total", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) => POSITIVE,
        _ => ALL,
    }
}

fn call(part: &Located<'_>, name: &str) -> Bounds {
    let child = |i: usize| part.children.get(i).map_or(ALL, values);
    match name {
        "absent" | "absent_over_time" | "present_over_time" => Bounds::of(&[1.0]),
        "rate" | "increase" | "irate" | "resets" | "changes" | "stddev_over_time" | "stdvar_over_time" | "sqrt"
        | "abs" | "exp" | "time" | "predict_anomaly" | "time_until" | "changed_at" | "outlier_score" => POSITIVE,
        "count_over_time" => bounds(1.0, f64::INFINITY),
        "sum_over_time" => child(0).summed(),
        "min_over_time" | "max_over_time" | "avg_over_time" | "last_over_time" | "vector" | "scalar" | "sort"
        | "sort_desc" | "label_replace" | "label_join" => child(0),
        "sgn" => bounds(-1.0, 1.0),
        "floor" | "ceil" | "round" if part.children.len() == 1 => bounds(child(0).low.floor(), child(0).high.ceil()),
        "clamp_min" => bounds(child(0).low.max(child(1).low), child(0).high.max(child(1).high)),
        "clamp_max" => bounds(child(0).low.min(child(1).low), child(0).high.min(child(1).high)),
        "clamp" => bounds(child(1).low, child(2).high),
        "histogram_fraction" => bounds(0.0, 1.0),
        "minute" => bounds(0.0, 59.0),
        "hour" => bounds(0.0, 23.0),
        "day_of_week" => bounds(0.0, 6.0),
        "day_of_month" => bounds(1.0, 31.0),
        "day_of_year" => bounds(1.0, 366.0),
        "days_in_month" => bounds(28.0, 31.0),
        "month" => bounds(1.0, 12.0),
        _ => ALL,
    }
}

fn binary(part: &Located<'_>, op: &str) -> Bounds {
    let [left, right] = part.children.as_slice() else { return ALL };
    let (lhs, rhs) = (values(left), values(right));
    match op {
        "+" => lhs.with(rhs, |a, b| a + b),
        "-" => lhs.with(rhs, |a, b| a - b),
        "*" => lhs.with(rhs, |a, b| a * b),
        "/" if lhs.low >= 0.0 && rhs.low > 0.0 => Bounds::of(&[lhs.low / rhs.high, lhs.high / rhs.low]),
        "/" if lhs.low >= 0.0 && rhs.low >= 0.0 => POSITIVE,
        "/" if rhs.low > 0.0 || rhs.high < 0.0 => lhs.with(rhs, |a, b| a / b),
        "and" | "unless" => lhs,
        "or" => bounds(lhs.low.min(rhs.low), lhs.high.max(rhs.high)),
        _ if returns_bool(part.expr) => bounds(0.0, 1.0),
        _ if is_comparison(part.expr) => {
            // With a scalar on the left the elements, and so the values, are those of the right.
            if left.expr.value_type() == ValueType::Scalar {
                narrowed(rhs, flipped(op), lhs)
            } else {
                narrowed(lhs, op, rhs)
            }
        }
        _ => ALL,
    }
}

/// The operator that says the same with its operands exchanged.
pub(super) fn flipped(op: &str) -> &str {
    match op {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

/// What is left of some values by a comparison.
fn narrowed(values: Bounds, op: &str, with: Bounds) -> Bounds {
    match op {
        "<" | "<=" => bounds(values.low, values.high.min(with.high)),
        ">" | ">=" => bounds(values.low.max(with.low), values.high),
        "==" => bounds(values.low.max(with.low), values.high.min(with.high)),
        _ => values,
    }
}

/// Whether the expression has a value at any time, whatever series there are.
pub(super) fn is_never_empty(part: &Located<'_>) -> bool {
    let child = |i: usize| part.children.get(i).is_some_and(is_never_empty);
    if part.expr.value_type() == ValueType::Scalar {
        return true;
    }
    match part.expr {
        Expr::Aggregate(_) => part.children.last().is_some_and(is_never_empty),
        Expr::Unary(_) => child(0),
        Expr::Call(call) => match function(part.expr).unwrap_or_default() {
            "vector" => true,
            "absent" | "absent_over_time" | "time_until" | "predict_seasonal" | "predict_quantile"
            | "predict_anomaly" | "changed_at" | "outlier_score" | "histogram_quantile" | "histogram_fraction" => false,
            // Of the current time, if they are given nothing.
            _ if call.args.args.is_empty() => true,
            _ => part.children.iter().all(|c| {
                c.expr.value_type() == ValueType::Scalar
                    || matches!(c.expr, Expr::StringLiteral(_))
                    || is_never_empty(c)
            }),
        },
        Expr::Binary(_) => match operator(part.expr).unwrap_or_default().as_str() {
            "or" => child(0) || child(1),
            "and" | "unless" => false,
            op => {
                // Two vectors find one another if both have no labels, as vector() has.
                let holds = || {
                    let [left, right] = part.children.as_slice() else { return false };
                    values(left).must(op, values(right))
                };
                child(0) && child(1) && (!is_filter(part.expr) || holds())
            }
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse_parts;

    fn of(text: &str) -> (f64, f64) {
        let parsed = parse_parts(text).unwrap();
        let found = values(&parsed.locate().unwrap());
        (found.low, found.high)
    }

    #[test]
    fn bounds_hold() {
        let inf = f64::INFINITY;
        for (text, low, high) in [
            ("x", -inf, inf),
            ("count(x)", 1.0, inf),
            ("count(x) - 1", 0.0, inf),
            ("-count(x)", -inf, -1.0),
            ("sum(up)", 0.0, inf),
            ("avg(up) * 100", 0.0, 100.0),
            ("1 - avg(up)", 0.0, 1.0),
            ("sum(rate(x[5m])) / count(y)", 0.0, inf),
            ("sum(rate(x[5m])) / sum(rate(y[5m]))", 0.0, inf),
            ("x > bool 5", 0.0, 1.0),
            ("x > 5", 5.0, inf),
            ("5 > x", -inf, 5.0),
            ("x > 5 < 3", 5.0, 3.0),
            ("absent(x) or vector(0)", 0.0, 1.0),
            ("hour() + 1", 1.0, 24.0),
            ("2 ^ x", -inf, inf),
            ("0 * (x / 0)", -inf, inf),
            ("clamp_max(x, 10)", -inf, 10.0),
            ("min_over_time(up[5m])", 0.0, 1.0),
            ("NaN", -inf, inf),
        ] {
            assert_eq!(of(text), (low, high), "{text}");
        }
    }

    #[test]
    fn comparisons_are_possible_or_certain() {
        let unit = bounds(0.0, 1.0);
        let at = |v| bounds(v, v);
        assert!(
            !unit.can(">", at(1.0)) && unit.can(">=", at(1.0)) && !unit.can("==", at(2.0)) && unit.can("!=", at(2.0))
        );
        assert!(
            unit.must(">=", at(0.0))
                && !unit.must(">", at(0.0))
                && unit.must("!=", at(2.0))
                && at(1.0).must("==", at(1.0))
        );
        assert!(!at(1.0).can("!=", at(1.0)) && ALL.can("<", at(0.0)) && !ALL.must("<", at(0.0)));
    }

    #[test]
    fn some_expressions_always_have_a_value() {
        let never_empty = |text: &str| is_never_empty(&parse_parts(text).unwrap().locate().unwrap());
        for text in
            ["1", "vector(1)", "sum(x) or vector(0)", "vector(1) > 0", "hour() >= 0", "sum(vector(1))", "scalar(x)"]
        {
            assert!(never_empty(text), "{text}");
        }
        for text in
            ["x", "absent(vector(1))", "vector(1) > 2", "hour() > 8", "vector(1) and x", "hour(x)", "rate(x[5m])"]
        {
            assert!(!never_empty(text), "{text}");
        }
    }
}
