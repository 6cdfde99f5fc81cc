//! What is worth seeing of a rule: the series it watches, what was expected of it, and what the rule's function said.
//!
//! Reads expressions and writes others, which the engine evaluates beside the rules at the same instants; models that a
//! rule has are the same ones there. Knows nothing of how it is drawn.

use std::sync::Arc;

use promql_parser::parser::{BinaryExpr, Call, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};

use crate::promql::parse;
use crate::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};

/// Name of the groups whose recordings are plotted; no rule asks for them.
const PREFIX: &str = "forewarn:plot:";

/// Bounds of the band: 95% of what was expected lies between.
const BAND: (&str, &str) = ("0.025", "0.975");

/// What a curve of a plot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// The series.
    Value,
    /// What was expected for it before it was seen.
    Expected,
    /// Lower end of the band.
    Lower,
    /// Upper end.
    Upper,
    /// What the rule's predictive function gave.
    Reading,
}

/// What is to be drawn of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Expression of each curve, that of the value first.
    pub curves: Vec<(Curve, String)>,
    /// The number that the rule compares a curve with.
    pub threshold: Option<(Curve, f64)>,
}

impl Plot {
    /// The plot of an alerting rule's expression; None where it is no expression.
    #[must_use]
    pub fn of(expr: &str) -> Option<Self> {
        let tree = parse(expr).ok()?;
        let mut finder = Finder(None);
        // The visitor has no errors.
        let _ = walk_expr(&mut finder, &tree);
        match &finder.0 {
            Some(call) => Self::of_call(call, &tree),
            None => {
                let (watched, threshold) = compared(&tree);
                Some(Self {
                    curves: vec![(Curve::Value, watched.to_string())],
                    threshold: threshold.map(|t| (Curve::Value, t)),
                })
            }
        }
    }

    fn of_call(call: &Call, whole: &Expr) -> Option<Self> {
        let args: Vec<&Expr> = call.args.args.iter().map(AsRef::as_ref).collect();
        let watched = match (call.func.name, args.as_slice()) {
            ("predict_linear", [Expr::MatrixSelector(range), ..]) => range.vs.to_string(),
            ("predict_quantile", [_, v, ..]) | (_, [v, ..]) => v.to_string(),
            _ => return None,
        };
        let mut curves = vec![(Curve::Value, watched.clone())];
        if call.func.name != "predict_linear" {
            let profile = match args.last() {
                Some(Expr::StringLiteral(_)) => args.last().map(|name| format!(", {name}")).unwrap_or_default(),
                _ => String::new(),
            };
            let quantile = |phi: &str| format!("predict_quantile({phi}, {watched}, 0{profile})");
            curves.push((Curve::Expected, quantile("0.5")));
            curves.push((Curve::Lower, quantile(BAND.0)));
            curves.push((Curve::Upper, quantile(BAND.1)));
        }
        let reading = call.to_string();
        let (compared, threshold) = compared(whole);
        let threshold = threshold.filter(|_| compared.to_string() == reading).map(|t| (Curve::Reading, t));
        curves.push((Curve::Reading, reading));
        Some(Self { curves, threshold })
    }
}

/// The rules with groups beside them that record what is to be drawn, and the plots of the alerting rules, in order.
#[must_use]
pub fn with_plots(rules: &RuleSet) -> (RuleSet, Vec<Option<Plot>>) {
    let mut all = rules.clone();
    let mut plots = Vec::new();
    for group in &rules.groups {
        let mut recording = RuleGroup { name: PREFIX.to_owned(), limit: 0, rules: vec![], ..group.as_ref().clone() };
        for rule in group.rules.iter().filter(|rule| matches!(rule.kind, RuleKind::Alert { .. })) {
            let plot = Plot::of(&rule.expr);
            for (curve, expr) in plot.iter().flat_map(|plot| &plot.curves).filter(|(_, expr)| parse(expr).is_ok()) {
                let (name, position) = (name_of(plots.len(), *curve), Position { line: 1, column: 1 });
                let rule = Rule { name, expr: expr.clone(), labels: vec![], kind: RuleKind::Record, position };
                recording.rules.push(rule);
            }
            plots.push(plot);
        }
        if !recording.rules.is_empty() {
            all.groups.push(Arc::new(recording));
        }
    }
    (all, plots)
}

/// Which alerting rule and curve a recorded metric is of.
#[must_use]
pub fn plotted(metric: &str) -> Option<(usize, Curve)> {
    let (rule, curve) = metric.strip_prefix(PREFIX)?.split_once(':')?;
    let curve = match curve {
        "value" => Curve::Value,
        "expected" => Curve::Expected,
        "lower" => Curve::Lower,
        "upper" => Curve::Upper,
        "reading" => Curve::Reading,
        _ => return None,
    };
    Some((rule.parse().ok()?, curve))
}

fn name_of(rule: usize, curve: Curve) -> String {
    let curve = match curve {
        Curve::Value => "value",
        Curve::Expected => "expected",
        Curve::Lower => "lower",
        Curve::Upper => "upper",
        Curve::Reading => "reading",
    };
    format!("{PREFIX}{rule}:{curve}")
}

/// The first predictive function of an expression.
struct Finder(Option<Call>);

impl ExprVisitor for Finder {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        if let Expr::Call(call) = expr
            && ["predict_anomaly", "predict_seasonal", "predict_quantile", "predict_linear", "time_until", "changed_at"]
                .contains(&call.func.name)
        {
            self.0.get_or_insert_with(|| call.clone());
        }
        Ok(self.0.is_none())
    }
}

/// What an expression compares, and the number it compares it with. Of a set operation, the left side decides.
fn compared(expr: &Expr) -> (&Expr, Option<f64>) {
    match expr {
        Expr::Paren(inner) => compared(&inner.expr),
        Expr::Binary(BinaryExpr { op, lhs, .. }) if op.is_set_operator() => compared(lhs),
        Expr::Binary(BinaryExpr { op, lhs, rhs, .. }) if op.is_comparison_operator() => {
            match (constant(lhs), constant(rhs)) {
                (None, number) => (inner(lhs), number),
                (number, _) => (inner(rhs), number),
            }
        }
        other => (other, None),
    }
}

fn inner(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => inner(&paren.expr),
        other => other,
    }
}

/// The number that an expression without series is.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::NumberLiteral(number) => Some(number.val),
        Expr::Paren(paren) => constant(&paren.expr),
        Expr::Unary(unary) => Some(-constant(&unary.expr)?),
        Expr::Binary(binary) => {
            let (a, b) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            match binary.op.to_string().as_str() {
                "+" => Some(a + b),
                "-" => Some(a - b),
                "*" => Some(a * b),
                "/" => Some(a / b),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(expr: &str) -> Vec<String> {
        Plot::of(expr).unwrap().curves.into_iter().map(|(_, expr)| expr).collect()
    }

    #[test]
    fn the_watched_series_and_its_threshold_are_found() {
        assert_eq!(curves("rate(errors_total[5m]) > 0.5 and up == 1"), ["rate(errors_total[5m])"]);
        let threshold = |expr: &str| Plot::of(expr).unwrap().threshold;
        assert_eq!(threshold("rate(errors_total[5m]) > 0.5 and up == 1"), Some((Curve::Value, 0.5)));
        assert_eq!(threshold("-(2 * 5) > (x)"), Some((Curve::Value, -10.0)));
        assert_eq!(threshold("x > y"), None);
        assert_eq!(threshold("time_until(x, 0) < 4 * 3600"), Some((Curve::Reading, 14_400.0)));
        assert_eq!(threshold("time_until(x, 0) / 2 < 3600"), None, "the curve is not what is compared");
    }

    #[test]
    fn predictive_rules_show_what_was_expected() {
        assert_eq!(
            curves("max by (a) (predict_anomaly(sum by (a, b) (x), \"traffic\")) > 1"),
            [
                "sum by (a, b) (x)",
                "predict_quantile(0.5, sum by (a, b) (x), 0, \"traffic\")",
                "predict_quantile(0.025, sum by (a, b) (x), 0, \"traffic\")",
                "predict_quantile(0.975, sum by (a, b) (x), 0, \"traffic\")",
                "predict_anomaly(sum by (a, b) (x), \"traffic\")",
            ]
        );
        assert_eq!(curves("predict_quantile(0.95, x, 1h) < 0")[1], "predict_quantile(0.5, x, 0)");
        assert_eq!(curves("predict_linear(x{a=\"b\"}[6h], 4 * 3600) < 0")[0], "x{a=\"b\"}");
    }

    #[test]
    fn names_of_curves_are_read_again() {
        for curve in [Curve::Value, Curve::Expected, Curve::Lower, Curve::Upper, Curve::Reading] {
            assert_eq!(plotted(&name_of(12, curve)), Some((12, curve)));
        }
        assert_eq!(plotted("up"), None);
    }
}
