//! What the HTML page draws from, as JSON: times in milliseconds, numbers with the digits that a screen shows.

use serde_json::{Value, json};

use crate::base::Millis;

use super::json::labels;
use super::{Report, name_of};
use crate::backtest::charts::Chart;
use crate::backtest::curves::Bucket;
use crate::backtest::pages::Page;
use crate::backtest::plot::Curve;

/// Alerts listed of one rule; the rest is counted.
const ALERTS: usize = 500;

/// The document.
pub(super) fn data(report: &Report<'_>) -> Value {
    let history = report.history;
    let judgement = &report.judgement;
    let (scores, total) = report.scores();
    let figures = |name: String, score: &crate::backtest::score::Score| {
        json!({
            "name": name,
            "pages": score.pages,
            "firing": score.firing,
            "flaps": score.flaps,
            "precision": score.precision(),
            "recall": score.recall(),
            "lead": score.median_lead(),
        })
    };
    let rules = scores.iter().enumerate().map(|(index, (findings, score))| {
        let mut rule = figures(name_of(findings, &history.rules), score);
        let alerts = findings.pages.iter().take(ALERTS);
        rule["expr"] = json!(findings.rule.expr);
        rule["alerts"] = alerts.map(|page| alert(page, judgement.end)).collect();
        rule["alertsLeftOut"] = json!(findings.pages.len().saturating_sub(ALERTS));
        rule["charts"] = history.charts.iter().filter(|chart| chart.rule == index).map(chart).collect();
        rule["incidents"] = judgement.incidents.map_or(json!([]), |incidents| {
            let concerned = incidents.iter().enumerate().filter(|(_, i)| i.concerns(&findings.rule.alert));
            concerned.map(|(index, _)| json!(index)).collect()
        });
        rule
    });
    let incidents = judgement.incidents.unwrap_or_default().iter();
    json!({
        "title": report.title,
        "start": history.start,
        "end": history.end,
        "samples": history.samples,
        "series": history.series,
        "hasTruth": judgement.incidents.is_some(),
        "chartsLeftOut": history.charts_left_out,
        "total": figures("all".to_owned(), &total),
        "rules": rules.collect::<Vec<Value>>(),
        "incidents": incidents
            .map(|i| json!({"name": i.name, "start": i.start, "end": i.end, "match": i.labels}))
            .collect::<Vec<Value>>(),
    })
}

fn alert(page: &Page, end: Millis) -> Value {
    json!({
        "labels": labels(&page.labels),
        "annotations": page.annotations,
        "value": number(page.value),
        "fired": page.fired_at,
        "until": page.until(end),
        "open": page.resolved_at.is_none(),
    })
}

fn chart(chart: &Chart) -> Value {
    let curves = &chart.curves;
    let column = |of: fn(&Bucket) -> f32| -> Value {
        let values: Vec<Value> = curves.buckets().iter().map(|b| number(f64::from(of(b)))).collect();
        if values.iter().all(Value::is_null) { Value::Null } else { Value::Array(values) }
    };
    json!({
        "labels": labels(&chart.labels),
        "watched": chart.watched,
        "origin": curves.origin(),
        "width": curves.width(),
        "threshold": chart.threshold.map(|(curve, at)| json!({"reading": curve == Curve::Reading, "at": number(at)})),
        "low": column(|b| b.value.0),
        "high": column(|b| b.value.1),
        "expected": column(|b| (b.expected.0 + b.expected.1) / 2.0),
        "lower": column(|b| b.band.0),
        "upper": column(|b| b.band.1),
        "readingLow": column(|b| b.reading.0),
        "readingHigh": column(|b| b.reading.1),
    })
}

/// A number with six digits; null for what JSON cannot say.
fn number(v: f64) -> Value {
    let rounded: f64 = format!("{v:.5e}").parse().unwrap_or(f64::NAN);
    if rounded.is_finite() { json!(rounded) } else { Value::Null }
}
