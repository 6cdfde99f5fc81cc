//! Ranges that hold too few samples, or leave samples between evaluations unseen.

use super::shape::{function, range};
use super::{Lint, Report};
use crate::base::{Millis, format_duration};
use crate::promql::Located;

/// Functions that need two samples.
const TWO_SAMPLES: [&str; 8] = ["rate", "increase", "irate", "delta", "idelta", "deriv", "predict_linear", "changes"];

/// Functions that ask what happened in the range: what no range covers is never seen.
const EVENTS: [&str; 4] = ["increase", "changes", "resets", "count_over_time"];

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    let (Some(name), Some(inner)) = (function(part.expr), part.children.first()) else { return };
    let Some((window, step)) = range(inner.expr) else { return };
    let is_subquery = matches!(inner.expr, promql_parser::parser::Expr::Subquery(_));
    let options = report.found.options();
    let (between, what) = match (is_subquery, step) {
        (true, Some(step)) => (step, "steps of the subquery"),
        (true, None) => (options.evaluation_interval, "steps of the subquery, global.evaluation_interval,"),
        (false, _) => (options.scrape_interval, "scrapes"),
    };
    if TWO_SAMPLES.contains(&name) && window < 2 * between {
        report.expr(
            Lint::RangeTooShort,
            &inner.span,
            format!(
                "{name}() needs two samples, and a range of {} often holds one at most: {what} are {} apart",
                format_duration(window),
                format_duration(between)
            ),
            format!("make it at least {}, better {}", format_duration(2 * between), format_duration(4 * between)),
        );
        return;
    }
    let interval: Option<Millis> = report.subject.interval;
    if let Some(interval) = interval.filter(|interval| EVENTS.contains(&name) && window < *interval) {
        let (window, interval) = (format_duration(window), format_duration(interval));
        report.expr(
            Lint::BlindRange,
            &inner.span,
            format!("the group is evaluated every {interval}, and each time {name}() looks back {window} only: what happens between is never seen"),
            format!("make the range at least {interval}, or the group's interval shorter"),
        );
    }
}
