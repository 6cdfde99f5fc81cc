//! Alerts that fire always or whenever a series is there, that flap, or that cannot last as long as `for` asks.

use promql_parser::parser::Expr;

use super::shape::{function, is_filter, is_set, metric, operator, range};
use super::values::{is_never_empty, values};
use super::{Lint, Report};
use crate::base::format_duration;
use crate::promql::Located;

/// Looks at the whole expression of an alert.
pub(super) fn check(report: &mut Report<'_, '_, '_>, whole: &Located<'_>) {
    if !report.subject.is_alert {
        return;
    }
    let is_dead_mans_switch = function(whole.expr) == Some("vector") && values(whole).single().is_some();
    if is_never_empty(whole) && !is_dead_mans_switch {
        report.expr(
            Lint::AlwaysFires,
            &whole.span,
            "the expression always has a value, so the alert always fires",
            "an alert fires for every element of its expression, whatever the value is: compare it with a bound; a \
             dead man's switch is written vector(1)",
        );
    } else if super::shape::returns_bool(whole.expr) {
        report.expr(
            Lint::AlwaysFires,
            whole.operator.as_ref().unwrap_or(&whole.span),
            "with bool the comparison gives 0 or 1 for every series, and the alert fires for both",
            "take bool away, so that only series for which the comparison holds are left",
        );
    } else if !is_dead_mans_switch && !has_condition(whole) {
        report.expr(
            Lint::NoCondition,
            &whole.span,
            "the alert fires for every series that is there, whatever its value",
            "compare the value with a bound, like > 0",
        );
    }
    whole.walk(&mut |part| {
        if function(part.expr) == Some("irate") {
            report.expr(
                Lint::IrateInAlert,
                &part.span,
                "irate() looks at the last two samples only: a short dip resets the alert, a short peak raises it",
                "use rate() in alerts",
            );
        }
    });
    event(report, whole);
}

/// Labels that say where a series comes from, not what state it is about.
const TARGET_LABELS: [&str; 14] = [
    "job",
    "instance",
    "namespace",
    "cluster",
    "region",
    "env",
    "environment",
    "app",
    "service",
    "pod",
    "container",
    "node",
    "host",
    "__name__",
];

/// Whether anything in the expression decides whether an element is there.
pub(super) fn has_condition(part: &Located<'_>) -> bool {
    let any = || part.children.iter().any(has_condition);
    match part.expr {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => {
            // A recorded series may be a condition's; ALERTS is there only while an alert is; and many exporters give
            // states as labels, as in node_state{state="down"}.
            metric(part.expr).is_none_or(|name| name.contains(':') || name.starts_with("ALERTS"))
                || part.matchers.iter().any(|matcher| !TARGET_LABELS.contains(&matcher.label.as_str()))
        }
        Expr::Binary(_) if operator(part.expr).as_deref() == Some("or") => part.children.iter().all(has_condition),
        Expr::Binary(_) => is_filter(part.expr) || is_set(part.expr) || any(),
        Expr::Call(_) => matches!(function(part.expr), Some("absent" | "absent_over_time" | "time_until")) || any(),
        _ => any(),
    }
}

/// `increase(x[5m]) > 0` with a `for` of 5m or more: one event is in the window for no longer than the window is.
fn event(report: &mut Report<'_, '_, '_>, whole: &Located<'_>) {
    let (Some(operator), [left, right]) = (&whole.operator, whole.children.as_slice()) else { return };
    let compares = matches!(self::operator(whole.expr).as_deref(), Some(">" | "!="));
    if !compares || !is_filter(whole.expr) || values(right).single() != Some(0.0) {
        return;
    }
    let mut counted = left;
    while let (Expr::Aggregate(_), [.., inner]) = (counted.expr, counted.children.as_slice()) {
        counted = inner;
    }
    let window = counted.children.first().and_then(|child| range(child.expr));
    let (Some("increase" | "changes" | "resets" | "rate" | "delta"), Some((window, None))) =
        (function(counted.expr), window)
    else {
        return;
    };
    let hold = report.subject.hold;
    if hold >= window {
        let span = left.span.start..operator.end.max(right.span.end);
        let window = format_duration(window);
        report.expr(
            Lint::ForLongerThanRange,
            &span,
            format!(
                "one event is seen for {window}, the range, and the alert waits for {}: a single event never fires",
                format_duration(hold)
            ),
            "make the range longer than for:, or leave for: out",
        );
    }
}
