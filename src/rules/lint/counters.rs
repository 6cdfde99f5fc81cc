//! Counters used as gauges, gauges used as counters, and rates of sums.
//!
//! A metric is known by its name only, after Prometheus' conventions for names; where the name says nothing, so do we.

use promql_parser::parser::Expr;

use super::shape::{aggregation, function, is_filter, metric, operator};
use super::values::values;
use super::{Lint, Report};
use crate::promql::Located;

/// Ends of names of counters, as Prometheus' own annotation knows them.
const COUNTERS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

/// Ends of names of gauges, where a counter would end otherwise.
const GAUGES: [&str; 29] = [
    "_active",
    "_available",
    "_avail",
    "_capacity",
    "_celsius",
    "_connected",
    "_current",
    "_depth",
    "_free",
    "_free_bytes",
    "_avail_bytes",
    "_available_bytes",
    "_usage_bytes",
    "_used_bytes",
    "_size_bytes",
    "_resident_memory_bytes",
    "_limit_bytes",
    "_working_set_bytes",
    "_info",
    "_lag",
    "_length",
    "_limit",
    "_percent",
    "_ratio",
    "_replicas",
    "_timestamp_seconds",
    "_up",
    "_used",
    "_utilization",
];

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    if let (Some(name), [inner, ..]) = (function(part.expr), part.children.as_slice()) {
        match name {
            "rate" | "increase" | "irate" => rate(report, name, part, inner),
            "delta" | "idelta" | "deriv" | "predict_linear" => gauge_function(report, name, inner),
            _ => {}
        }
    }
    if report.subject.is_alert && is_filter(part.expr) {
        raw(report, part);
        equality(report, part);
    }
}

fn rate(report: &mut Report<'_, '_, '_>, function: &str, part: &Located<'_>, inner: &Located<'_>) {
    if let Expr::Subquery(_) = inner.expr {
        let aggregates = inner.children.first().filter(|of| is_aggregate(of));
        if let Some(of) = aggregates {
            report.expr(
                Lint::RateOfAggregate,
                &part.span,
                format!("{function}() of an aggregation: one counter's reset looks like a reset of them all, and gives a peak"),
                format!("aggregate the rates, as in sum({function}(counter[5m])); here it is over `{}`", of.expr),
            );
        }
        return;
    }
    let Some(metric) = metric(inner.expr) else { return };
    if let Some((_, operations)) = metric.rsplit_once(':')
        && ["sum", "avg", "min", "max"].iter().any(|op| operations == *op || operations.starts_with(&format!("{op}_")))
    {
        report.expr(
            Lint::RateOfAggregate,
            &inner.span,
            format!("{function}() of {metric}, an aggregation by its name: one counter's reset looks like a reset of them all"),
            "record the aggregated rate instead",
        );
    } else if GAUGES.iter().any(|end| metric.ends_with(end)) || metric == "up" {
        report.expr(
            Lint::RateOfGauge,
            &inner.span,
            format!("{function}() is for counters, and {metric} is a gauge by its name: every fall counts as a reset"),
            "use deriv() or delta() for gauges",
        );
    } else if !metric.contains(':') && !COUNTERS.iter().any(|end| metric.ends_with(end)) {
        report.expr(
            Lint::CounterName,
            &inner.span,
            format!("{function}() is for counters, and {metric} does not end in _total, _sum, _count or _bucket"),
            "use delta() or deriv() if it is a gauge",
        );
    }
}

fn is_aggregate(part: &Located<'_>) -> bool {
    match part.expr {
        Expr::Aggregate(_) => {
            let op = aggregation(part.expr).unwrap_or_default();
            // A count of series is a gauge, its rate a matter of its own; sums of gauges cannot be told from the text.
            let inner = part.children.last();
            matches!(op.as_str(), "sum" | "avg")
                && inner.and_then(|i| metric(i.expr)).is_some_and(|name| COUNTERS.iter().any(|end| name.ends_with(end)))
        }
        Expr::Binary(_) => part.children.iter().any(is_aggregate),
        _ => false,
    }
}

fn gauge_function(report: &mut Report<'_, '_, '_>, function: &str, inner: &Located<'_>) {
    let Some(metric) = metric(inner.expr) else { return };
    if metric.ends_with("_total") && !metric.contains(':') {
        report.expr(
            Lint::GaugeFunctionOfCounter,
            &inner.span,
            format!(
                "{function}() is for gauges, and {metric} is a counter by its name: its resets are taken for falls"
            ),
            match function {
                "predict_linear" => "forecast the rate: predict_linear(rate(counter[5m])[1h:], seconds)",
                "idelta" => "use irate()",
                _ => "use increase() or rate()",
            },
        );
    }
}

/// Words for what happens, which is counted; `nodes_offline_total` and the like are gauges in spite of their end.
const EVENTS: [&str; 12] = [
    "error", "errors", "failure", "failures", "failed", "restarts", "restart", "retries", "timeouts", "dropped",
    "rejected", "evicted",
];

/// `errors_total > 5`: true for ever once it is.
fn raw(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    let [left, right] = part.children.as_slice() else { return };
    let mut counter = left;
    while let (Expr::Aggregate(_), [.., inner]) = (counter.expr, counter.children.as_slice()) {
        if aggregation(counter.expr).is_some_and(|op| op == "count") {
            return;
        }
        counter = inner;
    }
    let Some(metric) = metric(counter.expr) else { return };
    let is_event = metric.strip_suffix("_total").is_some_and(|name| EVENTS.iter().any(|event| name.ends_with(event)));
    let grows = matches!(operator(part.expr).as_deref(), Some(">" | ">="));
    if grows && is_event && values(right).single().is_some() && matches!(counter.expr, Expr::VectorSelector(_)) {
        report.expr(
            Lint::RawCounter,
            &part.span,
            format!(
                "{metric} is a counter by its name: once above the bound it stays there until the process restarts"
            ),
            format!("ask how much it grew: increase({metric}[5m]) > 0"),
        );
    }
}

/// `increase(x[5m]) == 1`: extrapolation to the whole range makes fractions of it.
fn equality(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    let (Some("==" | "!="), [left, right]) = (operator(part.expr).as_deref(), part.children.as_slice()) else { return };
    let mut rate = left;
    while let (Expr::Aggregate(_), [.., inner]) = (rate.expr, rate.children.as_slice()) {
        if !matches!(aggregation(rate.expr).as_deref(), Some("sum" | "avg" | "min" | "max")) {
            return;
        }
        rate = inner;
    }
    if let (Some(name @ ("rate" | "increase" | "delta")), Some(value)) = (function(rate.expr), values(right).single())
        && value != 0.0
    {
        report.expr(
            Lint::ExtrapolatedEquality,
            &part.span,
            format!("{name}() is extrapolated to the whole range, so its values are hardly ever {value} exactly"),
            "compare with > or <",
        );
    }
}
