//! A rule to begin with, in the form of a rule file's list.

use std::fmt::Write as _;

use super::{Kind, Limit};

/// A rule over an expression, which is a selector, perhaps within a `rate()`; `peers` names the label whose values tell
/// series of one metric apart, where there is one.
pub(super) fn rules(metric: &str, expr: &str, kind: Kind, limit: Limit, peers: Option<&str>) -> String {
    let profile = kind.profile();
    let named = match profile {
        "default" => String::new(),
        name => format!(", \"{name}\""),
    };
    let (what, condition, note) = match kind {
        Kind::Filling | Kind::Draining => (
            "RunsOut",
            format!("time_until({expr}, {}, 0.5{named}) < 4 * 3600", limit.value),
            if limit.is_known {
                ""
            } else {
                "  # write the limit in place of the highest value seen, or drop the rule"
            },
        ),
        Kind::Utilisation | Kind::Sawtooth => (
            "RunsFull",
            format!("predict_quantile(0.95, {expr}, 4 * 3600{named}) > {}", limit.value),
            if limit.is_known { "" } else { "  # write the limit in place of the highest value seen" },
        ),
        Kind::Successes => ("Unusual", format!("predict_anomaly(1 - {expr}{named}) > 1"), ""),
        _ => ("Unusual", format!("predict_anomaly({expr}{named}) > 1"), ""),
    };
    let name = camel(metric);
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "- alert: {name}{what}{note}\n  expr: {}\n  keep_firing_for: 1h\n  labels:\n    severity: ticket\n",
        scalar(&condition)
    );
    if let Some(label) = peers {
        let condition = format!("outlier_score({expr}, \"{label}\") > 1");
        let _ = write!(
            out,
            "- alert: {name}UnlikeItsPeers\n  expr: {}\n  for: 15m\n  labels:\n    severity: ticket\n",
            scalar(&condition)
        );
    }
    out
}

/// A metric as a selector; names that are none in the language are matched.
pub(super) fn selector(metric: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if metric.chars().all(is_name) && metric.starts_with(|c: char| !c.is_ascii_digit()) {
        return metric.to_owned();
    }
    let mut quoted = String::new();
    for c in metric.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    format!("{{__name__=\"{quoted}\"}}")
}

/// A YAML scalar in single quotes, which hold anything that is one line.
fn scalar(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `http_requests_total` as `HttpRequestsTotal`.
fn camel(metric: &str) -> String {
    let words = metric.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words
        .flat_map(|word| word.chars().enumerate().map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c }))
        .collect();
    // An alert's name may begin with anything; one of digits alone would be a number in YAML.
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("Series{name}") }
}
