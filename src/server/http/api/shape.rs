//! The JSON of rules and alerts: prometheus/prometheus `web/api/v1/api.go`, `RuleGroup`, `AlertingRule`,
//! `RecordingRule` and `Alert`. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Number;

use super::filter::Filter;
use crate::alert::AlertState;
use crate::base::{Labels, Millis, format_rfc3339};
use crate::engine::{AlertRuleView, AlertView, GroupView, RuleView};

/// `lastEvaluation` of what was never evaluated: Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A group with the rules that are asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleGroup<'a> {
    name: &'a str,
    file: &'a str,
    rules: Vec<Rule<'a>>,
    interval: Number,
    limit: usize,
    /// Seconds.
    evaluation_time: Number,
    last_evaluation: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rule<'a> {
    Alerting(AlertingRule<'a>),
    Recording(RuleTail<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertingRule<'a> {
    state: AlertState,
    duration: Number,
    keep_firing_for: Number,
    annotations: BTreeMap<&'a str, &'a str>,
    /// `null` where alerts are excluded, as in Prometheus.
    alerts: Option<Vec<Alert<'a>>>,
    #[serde(flatten)]
    tail: RuleTail<'a>,
}

/// What both kinds of rules have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleTail<'a> {
    name: &'a str,
    query: &'a str,
    /// None for recording rules without labels: Prometheus leaves the field out.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<&'a str, &'a str>>,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    /// What PromQL warns of; Prometheus has these with queries only.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    infos: &'a [String],
    /// Seconds, which it shares with rules that are evaluated at once with it.
    evaluation_time: Number,
    last_evaluation: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// An alert.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert<'a> {
    labels: &'a Labels,
    annotations: BTreeMap<&'a str, &'a str>,
    state: AlertState,
    active_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<String>,
    value: String,
}

impl<'a> RuleGroup<'a> {
    /// None if no rule of it is asked for.
    pub fn new(group: &'a GroupView, filter: &Filter) -> Option<Self> {
        if !filter.takes_group(group) {
            return None;
        }
        let last_evaluation = group.last_evaluation.map_or_else(|| NEVER.to_owned(), format_rfc3339);
        let asked = group.rules.iter().filter(|rule| filter.takes_rule(rule));
        let rules: Vec<_> = asked.map(|rule| Rule::new(rule, &last_evaluation, !filter.exclude_alerts)).collect();
        (!rules.is_empty()).then(|| Self {
            name: &group.name,
            file: &group.file,
            rules,
            interval: seconds(group.interval),
            limit: group.limit,
            evaluation_time: took(group.evaluation_time),
            last_evaluation,
        })
    }
}

impl<'a> Rule<'a> {
    fn new(rule: &'a RuleView, last_evaluation: &str, with_alerts: bool) -> Self {
        let health = match (&rule.last_error, rule.evaluated) {
            (Some(_), _) => "err",
            (None, true) => "ok",
            (None, false) => "unknown",
        };
        let tail = RuleTail {
            name: &rule.name,
            query: &rule.expr,
            labels: (rule.alert.is_some() || !rule.labels.is_empty()).then(|| map(&rule.labels)),
            health,
            last_error: rule.last_error.as_deref(),
            warnings: &rule.remarks.warnings,
            infos: &rule.remarks.infos,
            evaluation_time: took(rule.evaluation_time),
            last_evaluation: last_evaluation.to_owned(),
            kind: if rule.alert.is_some() { "alerting" } else { "recording" },
        };
        match &rule.alert {
            Some(alert) => Self::Alerting(AlertingRule::new(alert, tail, with_alerts)),
            None => Self::Recording(tail),
        }
    }
}

impl<'a> AlertingRule<'a> {
    fn new(rule: &'a AlertRuleView, tail: RuleTail<'a>, with_alerts: bool) -> Self {
        Self {
            state: rule.state,
            duration: seconds(rule.hold),
            keep_firing_for: seconds(rule.keep_firing),
            annotations: map(&rule.annotations),
            alerts: with_alerts.then(|| rule.active.iter().map(Alert::new).collect()),
            tail,
        }
    }
}

impl<'a> Alert<'a> {
    /// As the API shows it.
    pub fn new(alert: &'a AlertView) -> Self {
        Self {
            labels: &alert.labels,
            annotations: map(&alert.annotations),
            state: alert.state,
            active_at: format_rfc3339(alert.active_at),
            keep_firing_since: alert.keep_firing_since.map(format_rfc3339),
            value: scientific(alert.value),
        }
    }
}

fn map(pairs: &[(String, String)]) -> BTreeMap<&str, &str> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Whole seconds without a point, as Go writes them.
fn seconds(span: Millis) -> Number {
    if span % 1_000 == 0 {
        return Number::from(span / 1_000);
    }
    Number::from_f64(span as f64 / 1e3).unwrap_or_else(|| Number::from(0))
}

fn took(time: Duration) -> Number {
    match time {
        Duration::ZERO => Number::from(0),
        _ => Number::from_f64(time.as_secs_f64()).unwrap_or_else(|| Number::from(0)),
    }
}

/// Go's `strconv.FormatFloat(v, 'e', -1, 64)`: the shortest digits that read back, an exponent of two digits at least.
fn scientific(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{v:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Remarks;

    #[test]
    fn numbers_as_go_writes_them() {
        for (v, text) in [
            (1.0, "1e+00"),
            (1.5e7, "1.5e+07"),
            (-0.00001, "-1e-05"),
            (1e123, "1e+123"),
            (-0.0, "-0e+00"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(scientific(v), text);
        }
        assert_eq!((seconds(60_000).to_string(), seconds(1_500).to_string()), ("60".into(), "1.5".into()));
    }

    #[test]
    fn a_group_that_was_never_evaluated_and_a_failing_rule() {
        let rule = |error: Option<&str>| RuleView {
            name: "r".into(),
            expr: "a".into(),
            labels: vec![],
            last_error: error.map(str::to_owned),
            remarks: Default::default(),
            evaluated: error.is_some(),
            evaluation_time: Duration::from_micros(if error.is_some() { 250 } else { 0 }),
            alert: None,
        };
        let remarks = Remarks { warnings: vec!["w".into()], infos: vec!["i".into(), "j".into()] };
        let remarked = RuleView { remarks, ..rule(None) };
        let group = GroupView {
            file: "f".into(),
            name: "g".into(),
            interval: 15_000,
            limit: 3,
            last_evaluation: None,
            evaluation_time: Duration::from_millis(2),
            rules: vec![rule(None), rule(Some("many-to-many")), remarked],
        };
        let group = RuleGroup::new(&group, &Filter::default()).unwrap();
        let rule = json!({"name": "r", "query": "a", "health": "unknown", "evaluationTime": 0,
                          "lastEvaluation": NEVER, "type": "recording"});
        let mut failing = rule.clone();
        failing["health"] = json!("err");
        failing["evaluationTime"] = json!(0.00025);
        failing["lastError"] = json!("many-to-many");
        let mut remarked = rule.clone();
        (remarked["warnings"], remarked["infos"]) = (json!(["w"]), json!(["i", "j"]));
        let want = json!({"name": "g", "file": "f", "rules": [rule, failing, remarked], "interval": 15, "limit": 3,
                          "evaluationTime": 0.002, "lastEvaluation": NEVER});
        assert_eq!(serde_json::to_value(&group).unwrap(), want);
    }
}
