//! Vector matching that can find no match, because one side has lost a label that the other has.

use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, LabelModifier};

use super::labels::{Flow, flow};
use super::shape::operator;
use super::values::is_never_empty;
use super::{Lint, Report};
use crate::base::METRIC_NAME;
use crate::promql::Located;

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    let Expr::Binary(binary) = part.expr else { return };
    let (Some(at), [left, right]) = (&part.operator, part.children.as_slice()) else { return };
    let op = operator(part.expr).unwrap_or_default();
    let vectors = [left, right].iter().all(|side| side.expr.value_type() == ValueType::Vector);
    // `or` takes what does not match as well; and vector(0) has no labels on purpose.
    if !vectors || op == "or" || is_never_empty(left) || is_never_empty(right) {
        return;
    }
    let (lhs, rhs) = (flow(left), flow(right));
    let matching = binary.modifier.as_ref().and_then(|m| m.matching.as_ref());
    let counts = |label: &str| match matching {
        Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|l| l == label),
        Some(LabelModifier::Exclude(labels)) => label != METRIC_NAME && !labels.labels.iter().any(|l| l == label),
        None => label != METRIC_NAME,
    };
    for (have, lack, side) in [(&lhs, &rhs, "right"), (&rhs, &lhs, "left")] {
        let Some(label) = missing(have, lack, &counts) else { continue };
        let (what, effect) = match op.as_str() {
            "unless" => ("nothing on the left ever matches", "so unless takes nothing away"),
            _ => ("no two elements ever match", "so there is never a result"),
        };
        let other = if side == "right" { "left" } else { "right" };
        report.expr(
            Lint::NeverMatches,
            at,
            format!("{what}: the {other} side has the label {label}, the {side} side cannot have it; {effect}"),
            match matching {
                Some(LabelModifier::Include(_)) => format!("keep {label} on the {side} side, or take it out of on()"),
                Some(LabelModifier::Exclude(_)) => format!("keep {label} on the {side} side, or add it to ignoring()"),
                None => format!("keep {label} on the {side} side, or match with on(...) or ignoring({label})"),
            },
        );
        return;
    }
}

/// A label by which is matched, that one side surely has or names, and the other cannot have.
fn missing(have: &Flow, lack: &Flow, counts: &dyn Fn(&str) -> bool) -> Option<String> {
    have.expected().find(|label| counts(label) && !lack.may_have(label)).cloned()
}
