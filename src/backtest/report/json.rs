//! The report as JSON. Its shape is a promise to programs: keys are added, never renamed (tests/fixtures/backtest).

use serde_json::{Map, Value, json};

use crate::base::{Labels, Millis, format_rfc3339, format_value};

use super::Report;
use crate::backtest::compare::Change;
use crate::backtest::pages::{Page, RuleFindings};
use crate::backtest::score::{FLAP_WITHIN, Score};

/// Version of the shape.
const VERSION: u32 = 1;

/// The report as a JSON document.
#[must_use]
pub fn json(report: &Report<'_>) -> Value {
    let history = report.history;
    let (scores, total) = report.scores();
    let rules: Vec<Value> = scores.iter().map(|(findings, score)| rule(report, findings, score)).collect();
    let mut document = json!({
        "version": VERSION,
        "rules_from": report.title,
        "start": time(history.start),
        "end": time(history.end),
        "learn_from": report.learn_from.map(time),
        "definitions": {
            "lead_window_seconds": seconds(report.judgement.lead_window),
            "flap_within_seconds_least": seconds(FLAP_WITHIN),
        },
        "samples": history.samples,
        "series": history.series,
        "samples_lost": history.lost,
        "pages_left_out": history.pages_left_out,
        "faults": history.faults,
        "total": score(&total),
        "rules": rules,
    });
    if let Some(incidents) = report.judgement.incidents {
        let found = |index: usize| total.truth.iter().flat_map(|t| &t.found).find(|(found, _)| *found == index);
        let incidents = incidents.iter().enumerate().map(|(index, incident)| {
            json!({
                "name": incident.name,
                "start": time(incident.start),
                "end": time(incident.end),
                "found": found(index).is_some(),
                "lead_seconds": found(index).map(|(_, lead)| seconds(*lead)),
            })
        });
        document["incidents"] = incidents.collect();
    }
    if let Some((title, changes)) = report.changes() {
        document["comparison"] =
            json!({"rules_from": title, "alerts": changes.iter().map(change).collect::<Vec<Value>>()});
    }
    document
}

fn rule(report: &Report<'_>, findings: &RuleFindings, of_rule: &Score) -> Value {
    let names = |page| {
        let accounts = report.judgement.accounts(&findings.rule.alert, page);
        accounts.filter_map(|index| Some(report.judgement.incidents?.get(index)?.name.as_str())).collect::<Vec<&str>>()
    };
    let alerts = findings.pages.iter().map(|one| {
        let mut alert = page(one);
        if report.judgement.incidents.is_some() {
            alert["incidents"] = json!(names(one));
        }
        alert
    });
    json!({
        "alert": findings.rule.alert,
        "file": findings.rule.file,
        "group": findings.rule.group,
        "expr": findings.rule.expr,
        "labels": pairs(&findings.labels),
        "score": score(of_rule),
        "alerts": alerts.collect::<Vec<Value>>(),
    })
}

fn score(score: &Score) -> Value {
    let mut figures = json!({
        "pages": score.pages,
        "firing_seconds": seconds(score.firing),
        "flaps": score.flaps,
    });
    if let Some(truth) = &score.truth {
        figures["true_pages"] = json!(truth.true_pages);
        figures["incidents"] = json!(truth.incidents);
        figures["incidents_found"] = json!(truth.found.len());
        figures["precision"] = json!(score.precision());
        figures["recall"] = json!(score.recall());
        figures["median_lead_seconds"] = json!(score.median_lead().map(seconds));
    }
    figures
}

fn change(change: &Change<'_>) -> Value {
    json!({
        "alert": change.alert,
        "pages": {"before": change.pages.0, "after": change.pages.1},
        "firing_seconds": {"before": seconds(change.firing.0), "after": seconds(change.firing.1)},
        "new": change.new.iter().map(|one| page(one)).collect::<Vec<Value>>(),
        "gone": change.gone.iter().map(|one| page(one)).collect::<Vec<Value>>(),
    })
}

/// As Prometheus' API names these things.
fn page(page: &Page) -> Value {
    json!({
        "labels": labels(&page.labels),
        "annotations": pairs(&page.annotations),
        "value": format_value(page.value),
        "activeAt": time(page.active_at),
        "firedAt": time(page.fired_at),
        "resolvedAt": page.resolved_at.map(time),
    })
}

pub(super) fn labels(labels: &Labels) -> Value {
    Value::Object(labels.as_ref().iter().map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

fn pairs(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<String, Value>>())
}

fn time(t: Millis) -> String {
    format_rfc3339(t)
}

fn seconds(span: Millis) -> f64 {
    span as f64 / 1000.0
}
