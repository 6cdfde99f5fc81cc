//! What rule files may say: Prometheus' own checks (`model/rulefmt`), and from each document its groups.
//!
//! Reads no files and evaluates nothing.

use std::ops::Range;

use serde_saphyr::Spanned;

use super::collector::{Collector, Scope};
use super::duplicates::duplicates;
use super::expression::Expression;
use super::format::{Group, Pairs, Rule as RuleNode, Scalar, span};
use super::lint::{self, Subject, Text};
use super::template_check::template;
use super::{Rule, RuleGroup, RuleKind};
use crate::base::{METRIC_NAME, Millis, nearest, parse_duration};

/// A group, as far as it can be made sense of. `names` are those of the file's groups so far.
pub(super) fn group(
    found: &mut Collector<'_>,
    node: Spanned<Group>,
    kubernetes: bool,
    names: &mut Vec<String>,
) -> RuleGroup {
    let place = span(node.defined);
    found.enter(Scope::Group, place.start);
    let group = node.value;
    for key in &group.unknown {
        // Prometheus' operator hands this one to Thanos.
        if !(kubernetes && key.value == "partial_response_strategy") {
            unknown_key(found, key, "a group", Group::KEYS);
        }
    }
    let first_line = found.rest_of_line(place.start);
    let (name, at) = text(&group.name, &first_line);
    if name.is_empty() {
        found.error_with_help(
            "name",
            at,
            "a group needs a name",
            "add name: with a name that no other group of the file has",
        );
    } else if names.contains(&name) {
        let message = format!("the group name {name:?} is given twice in this file");
        found.error_with_help("duplicate", at, message, "rename one of the groups, or put their rules into one");
    } else {
        names.push(name.clone());
    }
    let labels = pairs(found, group.labels.flatten(), "label");
    let query_offset = duration(found, &group.query_offset);
    let mut rules = Vec::new();
    let interval = duration(found, &group.interval).filter(|interval| *interval > 0);
    for node in group.rules.flatten().unwrap_or_default() {
        rules.extend(rule(found, node, &labels, interval, query_offset));
    }
    duplicates(found, &rules);
    RuleGroup {
        file: found.file().to_owned(),
        name,
        interval,
        query_offset,
        limit: limit(found, &group.limit),
        rules: rules.into_iter().map(|(rule, _)| rule).collect(),
    }
}

/// The code of faults about keys that nothing knows.
pub const UNKNOWN_KEY: &str = "unknown-key";

/// A key that nothing knows.
pub(super) fn unknown_key(found: &mut Collector<'_>, key: &Spanned<String>, of: &str, known: &[&str]) {
    let message = format!("unknown key {} in {of}", key.value);
    let lower = key.value.to_ascii_lowercase();
    let is_test = of == "a rule file"
        && ["tests", "rule_files", "evaluation_interval", "fuzzy_compare"].contains(&key.value.as_str());
    let help = match nearest(&lower, known.iter().copied()) {
        Some(near) => format!("did you mean {near}? known keys: {}", known.join(", ")),
        None if is_test => "a file of unit tests is for forewarn test rules".to_owned(),
        None => format!("known keys: {}", known.join(", ")),
    };
    found.error_with_help(UNKNOWN_KEY, span(key.referenced), message, help);
}

/// A rule and the bytes of its name in the file; None where it has no name or no expression.
fn rule(
    found: &mut Collector<'_>,
    node: Spanned<RuleNode>,
    group_labels: &[Pair],
    interval: Option<Millis>,
    query_offset: Option<Millis>,
) -> Option<(Rule, Range<usize>)> {
    let place = span(node.defined);
    found.enter(Scope::Rule, place.start);
    let first_line = found.rest_of_line(place.start);
    let rule = node.value;
    for key in &rule.unknown {
        unknown_key(found, key, "a rule", RuleNode::KEYS);
    }
    let name = name(found, &rule, first_line.clone());
    let (at, is_alert) = name.as_ref().map_or((first_line, true), |(_, at, is_alert)| (at.clone(), *is_alert));
    if let Some((name, at, false)) = &name {
        recording(found, &rule, name, at);
    }
    let expr = Expression::read(found, &rule.expr, &at, name.as_ref().map_or("", |(name, _, _)| name), query_offset);
    let mut labels: Vec<(String, String)> = group_labels.iter().map(|(n, v, _)| (n.clone(), v.clone())).collect();
    let mut texts: Vec<Text> = group_labels
        .iter()
        .map(|(name, value, at)| Text {
            is_label: true,
            name: name.clone(),
            template: None,
            value: value.clone(),
            at: at.clone(),
        })
        .collect();
    for (name, value, at) in pairs(found, rule.labels.flatten(), "label") {
        let template = if is_alert { template(found, &value, &at) } else { None };
        texts.push(Text { is_label: true, name: name.clone(), template, value: value.clone(), at });
        match labels.iter_mut().find(|(n, _)| *n == name) {
            Some(label) => label.1 = value,
            None => labels.push((name, value)),
        }
    }
    // The order in the file means nothing: writing them in another one must not end the rule's alerts at a reload.
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    let hold = duration(found, &rule.hold).unwrap_or(0);
    let keep_firing = duration(found, &rule.keep_firing_for).unwrap_or(0);
    let mut annotations = Vec::new();
    for (name, value, at) in pairs(found, rule.annotations.flatten(), "annotation") {
        if is_alert {
            let template = template(found, &value, &at);
            texts.push(Text { is_label: false, name: name.clone(), template, value: value.clone(), at });
        }
        annotations.push((name, value));
    }
    let ((name, at, _), expr) = (name?, expr?);
    if let Some(root) = expr.parsed.locate() {
        let source = std::sync::Arc::clone(found.shared_source());
        let place = |within: Range<usize>| expr.place(&source, within);
        let (name, at) = (name.as_str(), at.clone());
        let subject = Subject { name, at, is_alert, hold, interval, texts: &texts, root: &root, place: &place };
        lint::rule(found, &subject);
    }
    let kind = if is_alert { RuleKind::Alert { hold, keep_firing, annotations } } else { RuleKind::Record };
    Some((Rule { name, expr: expr.written, labels, kind, position: found.position(place.start) }, at))
}

/// The rule's name, its place, and whether it is an alert's.
fn name(found: &mut Collector<'_>, rule: &RuleNode, first_line: Range<usize>) -> Option<(String, Range<usize>, bool)> {
    let (record, record_at) = text(&rule.record, &first_line);
    let (alert, alert_at) = text(&rule.alert, &first_line);
    match (record.is_empty(), alert.is_empty()) {
        (true, true) => found.error_with_help(
            "name",
            first_line,
            "a rule needs a name: record or alert",
            "alert: names an alert, record: the series that the result is stored as",
        ),
        (false, false) => found.error_with_help(
            "name",
            record_at.start.max(alert_at.start)..record_at.end.max(alert_at.end),
            "a rule has either record or alert, not both",
            "make two rules of it",
        ),
        (false, true) => return Some((record, record_at, false)),
        (true, false) => return Some((alert, alert_at, true)),
    }
    None
}

const IS_ALERT: &str = "remove it, or write alert: instead of record:";

/// What only alerts may have, and the name of a metric.
fn recording(found: &mut Collector<'_>, rule: &RuleNode, name: &str, at: &Range<usize>) {
    if name.contains(['{', '}']) {
        let message = "the name of a recorded metric has braces";
        found.error_with_help("name", at.clone(), message, "labels to add go under labels:");
    }
    let is_set = |scalar: &Option<Scalar>| {
        let written = text(scalar, at).0;
        !written.is_empty() && parse_duration(&written) != Ok(0)
    };
    if is_set(&rule.hold) {
        let message = "a recording rule has no for: only alerts have it";
        found.error_with_help("recording-rule", text(&rule.hold, at).1, message, IS_ALERT);
    }
    if is_set(&rule.keep_firing_for) {
        let message = "a recording rule has no keep_firing_for: only alerts have it";
        found.error_with_help("recording-rule", text(&rule.keep_firing_for, at).1, message, IS_ALERT);
    }
    if let Some(Some(Pairs(annotations))) = &rule.annotations
        && let Some((first, _)) = annotations.first()
    {
        let message = "a recording rule has no annotations: only alerts have them";
        found.error_with_help("recording-rule", span(first.referenced), message, IS_ALERT);
    }
}

/// A name, its value, and the bytes of the value in the file.
type Pair = (String, String, Range<usize>);

fn pairs(found: &mut Collector<'_>, pairs: Option<Pairs>, what: &str) -> Vec<Pair> {
    let mut out = Vec::new();
    for (name, value) in pairs.unwrap_or_default().0 {
        let at = span(name.referenced);
        if name.value.is_empty() {
            found.error_with_help("name", at, format!("the {what} has no name"), "give it a name, or remove it");
        } else if name.value == METRIC_NAME && what == "label" {
            found.error_with_help(
                "name",
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

fn limit(found: &mut Collector<'_>, node: &Option<Scalar>) -> usize {
    let (written, at) = text(node, &(0..0));
    if written.is_empty() {
        return 0;
    }
    // Prometheus takes a number only, not a text that reads like one.
    let quoted = found.source()[at.clone()].starts_with(['"', '\'']);
    written.parse().ok().filter(|_| !quoted).unwrap_or_else(|| {
        let message = format!("not a number of alerts or samples: {written}");
        found.error_with_help("number", at, message, "limit is a whole number; 0 or none is no limit");
        0
    })
}

fn duration(found: &mut Collector<'_>, node: &Option<Scalar>) -> Option<Millis> {
    let (written, at) = text(node, &(0..0));
    let is_given = node.as_ref().is_some_and(|node| node.value.is_some());
    if written.is_empty() && !is_given {
        return None;
    }
    match parse_duration(&written) {
        Ok(millis) => Some(millis),
        Err(_) => {
            let help = duration_help(&written);
            found.error_with_help("duration", at, format!("not a duration: {written}"), help);
            None
        }
    }
}

fn duration_help(written: &str) -> String {
    let general = "durations are written like 5m, 1h30m or 15s; units ms, s, m, h, d, w, y, largest first, whole numbers; at most 292 years";
    if written.is_empty() {
        return format!("leave the key out if there is none; {general}");
    }
    if written.chars().all(|c| c.is_ascii_digit()) {
        return format!("a duration has a unit: {written}s, {written}m; {general}");
    }
    let shortened: String = written.split_whitespace().collect::<Vec<_>>().concat();
    let words =
        ["seconds", "second", "secs", "sec", "minutes", "minute", "mins", "min", "hours", "hour", "days", "day"];
    let short = words.iter().find_map(|word| shortened.strip_suffix(word).map(|n| format!("{n}{}", &word[..1])));
    match short.or(Some(shortened)).filter(|s| s != written && parse_duration(s).is_ok()) {
        Some(short) => format!("write {short}; {general}"),
        None => general.to_owned(),
    }
}

/// A scalar's text and place; empty, at `otherwise`, where it is missing or null.
pub(super) fn text(node: &Option<Scalar>, otherwise: &Range<usize>) -> (String, Range<usize>) {
    match node {
        Some(Spanned { value: Some(value), defined, .. }) => (value.clone(), span(*defined)),
        _ => (String::new(), otherwise.clone()),
    }
}
