//! What rule files may say: Prometheus' own checks (`model/rulefmt`), and from each document its groups.
//!
//! Reads no files and evaluates nothing.

use std::ops::Range;

use promql_parser::parser::value::ValueType;
use serde_saphyr::Spanned;

use super::diagnostic::Collector;
use super::format::{Group, Pairs, Rule as RuleNode, Scalar, span};
use super::{Rule, RuleGroup, RuleKind, lint, scalar};
use crate::alert::Template;
use crate::base::{METRIC_NAME, Millis, parse_duration};
use crate::promql::parse;

/// A group, as far as it can be made sense of. `names` are those of the file's groups so far.
pub(super) fn group(
    found: &mut Collector,
    node: Spanned<Group>,
    kubernetes: bool,
    names: &mut Vec<String>,
) -> RuleGroup {
    let place = span(node.defined);
    let group = node.value;
    for key in &group.unknown {
        // Prometheus' operator hands this one to Thanos.
        if !(kubernetes && key.value == "partial_response_strategy") {
            unknown_key(found, key, "a group", "name, interval, query_offset, limit, labels, rules");
        }
    }
    let first_line = place.start..place.start + found.source()[place].find('\n').unwrap_or(0);
    let (name, at) = text(&group.name, &first_line);
    if name.is_empty() {
        found.error(at, "a group needs a name");
    } else if names.contains(&name) {
        found.error(at, format!("the group name {name:?} is given twice in this file"));
    } else {
        names.push(name.clone());
    }
    let labels = pairs(found, group.labels.flatten(), "label");
    let mut rules = Vec::new();
    for node in group.rules.flatten().unwrap_or_default() {
        rules.extend(rule(found, node, &labels));
    }
    lint::duplicates(found, &rules);
    RuleGroup {
        file: found.file().to_owned(),
        name,
        interval: duration(found, &group.interval).filter(|interval| *interval > 0),
        query_offset: duration(found, &group.query_offset),
        limit: limit(found, &group.limit),
        rules: rules.into_iter().map(|(rule, _)| rule).collect(),
    }
}

/// What the message about a key that nothing knows begins with.
pub const UNKNOWN_KEY: &str = "unknown key ";

/// A key that nothing knows.
pub(super) fn unknown_key(found: &mut Collector, key: &Spanned<String>, of: &str, known: &str) {
    let message = format!("{UNKNOWN_KEY}{} in {of}", key.value);
    found.error_with_help(span(key.referenced), message, format!("known keys: {known}"));
}

/// A rule and the bytes of its name in the file; None where it has no name or no expression.
fn rule(found: &mut Collector, node: Spanned<RuleNode>, group_labels: &[Pair]) -> Option<(Rule, Range<usize>)> {
    let place = span(node.defined);
    let line = found.source()[place.clone()].find('\n').unwrap_or(place.len());
    let first_line = place.start..place.start + line;
    let rule = node.value;
    for key in &rule.unknown {
        unknown_key(found, key, "a rule", "record, alert, expr, for, keep_firing_for, labels, annotations");
    }
    let (name, at, is_alert) = name(found, &rule, first_line)?;
    if !is_alert {
        recording(found, &rule, &name, &at);
    }
    let expr = expression(found, &rule.expr, &at, &name);
    let mut labels: Vec<(String, String)> = group_labels.iter().map(|(n, v, _)| (n.clone(), v.clone())).collect();
    for (name, value, at) in pairs(found, rule.labels.flatten(), "label") {
        if is_alert {
            template(found, &value, &at);
            lint::label(found, &name, &value, at);
        }
        match labels.iter_mut().find(|(n, _)| *n == name) {
            Some(label) => label.1 = value,
            None => labels.push((name, value)),
        }
    }
    // The order in the file means nothing: writing them in another one must not end the rule's alerts at a reload.
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    let hold = duration(found, &rule.hold).unwrap_or(0);
    let keep_firing = duration(found, &rule.keep_firing_for).unwrap_or(0);
    let annotations = pairs(found, rule.annotations.flatten(), "annotation");
    let kind = if is_alert {
        annotations.iter().for_each(|(_, value, at)| template(found, value, at));
        let annotations = annotations.into_iter().map(|(name, value, _)| (name, value)).collect();
        RuleKind::Alert { hold, keep_firing, annotations }
    } else {
        RuleKind::Record
    };
    Some((Rule { name, expr: expr?, labels, kind, position: found.position(place.start) }, at))
}

/// The rule's name, its place, and whether it is an alert's.
fn name(found: &mut Collector, rule: &RuleNode, first_line: Range<usize>) -> Option<(String, Range<usize>, bool)> {
    let (record, record_at) = text(&rule.record, &first_line);
    let (alert, alert_at) = text(&rule.alert, &first_line);
    match (record.is_empty(), alert.is_empty()) {
        (true, true) => found.error(first_line, "a rule needs a name: record or alert"),
        (false, false) => found.error(
            record_at.start.max(alert_at.start)..record_at.end.max(alert_at.end),
            "a rule has either record or alert, not both",
        ),
        (false, true) => return Some((record, record_at, false)),
        (true, false) => return Some((alert, alert_at, true)),
    }
    None
}

/// What only alerts may have, and the name of a metric.
fn recording(found: &mut Collector, rule: &RuleNode, name: &str, at: &Range<usize>) {
    if name.contains(['{', '}']) {
        found.error_with_help(at.clone(), "the name of a recorded metric has braces", "labels to add go under labels:");
    }
    let is_set = |scalar: &Option<Scalar>| {
        let written = text(scalar, at).0;
        !written.is_empty() && parse_duration(&written) != Ok(0)
    };
    if is_set(&rule.hold) {
        found.error(text(&rule.hold, at).1, "a recording rule has no for: only alerts have it");
    }
    if is_set(&rule.keep_firing_for) {
        found.error(text(&rule.keep_firing_for, at).1, "a recording rule has no keep_firing_for: only alerts have it");
    }
    if let Some(Some(Pairs(annotations))) = &rule.annotations
        && let Some((first, _)) = annotations.first()
    {
        found.error(span(first.referenced), "a recording rule has no annotations: only alerts have them");
    }
}

/// The rule's expression, if it can be evaluated.
fn expression(found: &mut Collector, node: &Option<Scalar>, at: &Range<usize>, name: &str) -> Option<String> {
    let (written, place) = text(node, at);
    if written.trim().is_empty() {
        found.error(place, format!("the rule {name} has no expr"));
        return None;
    }
    let (message, help, within) = match parse(&written) {
        Ok(expr) => match expr.value_type() {
            ValueType::Vector | ValueType::Scalar => return Some(written),
            ValueType::Matrix => {
                ("a rule needs an instant vector or a scalar, not a range vector".to_owned(), None, None)
            }
            ValueType::String => ("a rule needs an instant vector or a scalar, not a string".to_owned(), None, None),
        },
        Err(error) => (error.message, error.help, error.span),
    };
    let within = within.unwrap_or(0..written.trim_end().len());
    let exact = scalar::place(found.source(), place.clone(), &written, within);
    // Only where the scalar has escapes that change its letters does the place stay the scalar's start.
    let place = exact.unwrap_or(place.start..place.start + 1);
    match help {
        Some(help) => found.error_with_help(place, message, help),
        None => found.error(place, message),
    }
    None
}

/// A name, its value, and the bytes of the value in the file.
type Pair = (String, String, Range<usize>);

fn pairs(found: &mut Collector, pairs: Option<Pairs>, what: &str) -> Vec<Pair> {
    let mut out = Vec::new();
    for (name, value) in pairs.unwrap_or_default().0 {
        let at = span(name.referenced);
        if name.value.is_empty() {
            found.error(at, format!("the name of a {what} is empty"));
        } else if name.value == METRIC_NAME && what == "label" {
            found.error_with_help(
                at,
                "the label __name__ cannot be set",
                "the name of a recorded metric is given by record:",
            );
        } else {
            out.push((name.value, value.value.unwrap_or_default(), span(value.defined)));
        }
    }
    out
}

fn template(found: &mut Collector, text: &str, at: &Range<usize>) {
    match Template::parse(text) {
        Err(fault) if fault.unavailable => found.warning(
            at.clone(),
            fault.message,
            "the rule is loaded; this text will read <error expanding template>, so say it without a query",
        ),
        Err(fault) => found.error(at.clone(), format!("not a template: {}", fault.message)),
        Ok(_) => {}
    }
}

fn limit(found: &mut Collector, node: &Option<Scalar>) -> usize {
    let (written, at) = text(node, &(0..0));
    if written.is_empty() {
        return 0;
    }
    written.parse().unwrap_or_else(|_| {
        found.error(at, format!("not a number of alerts or samples: {written}"));
        0
    })
}

fn duration(found: &mut Collector, node: &Option<Scalar>) -> Option<Millis> {
    let (written, at) = text(node, &(0..0));
    if written.is_empty() {
        return None;
    }
    match parse_duration(&written) {
        Ok(millis) => Some(millis),
        Err(_) => {
            let help = "durations are written like 5m, 1h30m or 15s; units ms, s, m, h, d, w, y, largest first";
            found.error_with_help(at, format!("not a duration: {written}"), help);
            None
        }
    }
}

/// A scalar's text and place; empty, at `otherwise`, where it is missing or null.
fn text(node: &Option<Scalar>, otherwise: &Range<usize>) -> (String, Range<usize>) {
    match node {
        Some(Spanned { value: Some(value), defined, .. }) => (value.clone(), span(*defined)),
        _ => (String::new(), otherwise.clone()),
    }
}
