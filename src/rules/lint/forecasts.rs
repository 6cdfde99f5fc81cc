//! predict_linear without anything that tells a trend from noise, and times ahead that cannot be meant.

use promql_parser::parser::Expr;

use super::shape::{function, is_filter, operator, text};
use super::values::values;
use super::{Lint, Report};
use crate::base::nearest;
use crate::promql::Located;

/// Fewer seconds ahead than this are hours or minutes whose factor was forgotten.
const SHORTEST_AHEAD_SECONDS: f64 = 60.0;

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    profile(report, part);
    let ahead = match function(part.expr) {
        Some("predict_linear" | "predict_seasonal") => part.children.get(1),
        Some("predict_quantile") => part.children.get(2),
        _ => return,
    };
    let Some(ahead) = ahead else { return };
    let Some(seconds) = values(ahead).single() else { return };
    // predict_quantile(φ, v, 0) is what was expected for now.
    let is_now = seconds == 0.0 && function(part.expr) == Some("predict_quantile");
    if seconds < SHORTEST_AHEAD_SECONDS && !is_now {
        report.expr(
            Lint::ForecastHorizon,
            &ahead.span,
            format!("the forecast looks {seconds} seconds ahead"),
            "the time is in seconds: four hours are 4 * 3600, or 4h",
        );
    }
}

/// A profile that there is not: no doubt but an error, since the rule would not be loaded.
fn profile(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    let index = match function(part.expr) {
        Some("predict_anomaly" | "changed_at") => 1,
        Some("predict_seasonal") => 2,
        Some("predict_quantile" | "time_until") => 3,
        _ => return,
    };
    let (Some(profiles), Some(argument)) = (&report.found.options().profiles, part.children.get(index)) else { return };
    let Some(name) = text(argument).filter(|name| !profiles.contains(*name)) else { return };
    let known = profiles.iter().map(String::as_str);
    let help = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    let place = (report.subject.place)(argument.span.clone());
    report.found.error_with_help("profile", place, format!("there is no profile {name:?}"), help);
}

/// Looks at the whole expression of an alert: forecasts that alone decide whether it fires.
pub(super) fn check_whole(report: &mut Report<'_, '_, '_>, whole: &Located<'_>) {
    if report.subject.is_alert {
        ungated(report, whole);
    }
}

fn ungated(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    match operator(part.expr).as_deref() {
        // Another condition has its say.
        Some("and") if part.children.iter().any(|child| !forecasts(child) && decides(child)) => return,
        Some("unless") => return part.children.first().into_iter().for_each(|child| ungated(report, child)),
        // x < 0.2 * y < predict_linear(...), a chain of conditions.
        Some(_) if is_filter(part.expr) && part.children.iter().any(|c| !forecasts(c) && decides(c)) => return,
        _ => {}
    }
    if is_filter(part.expr)
        && let Some(forecast) = part.children.iter().find_map(forecast)
    {
        report.expr(
            Lint::ForecastWithoutGate,
            &forecast.span,
            "predict_linear() alone decides here: it draws a line through any noise, and a short slope pages",
            "add a condition on the present, like `and x < 0.2 * size`; or use predict_quantile(0.95, v, t), which knows \
             how sure it is, or time_until(v, bound)",
        );
        return;
    }
    part.children.iter().for_each(|child| ungated(report, child));
}

/// The first predict_linear within.
fn forecast<'p, 'e>(part: &'p Located<'e>) -> Option<&'p Located<'e>> {
    if function(part.expr) == Some("predict_linear") {
        return Some(part);
    }
    part.children.iter().find_map(forecast)
}

fn forecasts(part: &Located<'_>) -> bool {
    forecast(part).is_some()
}

/// Whether the part leaves elements out by a comparison of its own.
fn decides(part: &Located<'_>) -> bool {
    is_filter(part.expr)
        || matches!(part.expr, Expr::Binary(_) | Expr::Aggregate(_) | Expr::Call(_))
            && part.children.iter().any(decides)
}
