//! Matchers: regular expressions that are none, that match everything or nothing, and variables of dashboards.

use super::shape::selector;
use super::{Lint, Report};
use crate::promql::{Located, LocatedMatcher, anchored};

/// Looks at one part.
pub(super) fn check(report: &mut Report<'_, '_, '_>, part: &Located<'_>) {
    if selector(part.expr).is_none() {
        return;
    }
    for (i, matcher) in part.matchers.iter().enumerate() {
        variable(report, matcher);
        if matcher.operator.ends_with('~') {
            regex(report, matcher);
        }
        contradiction(report, matcher, &part.matchers[..i]);
    }
}

fn regex(report: &mut Report<'_, '_, '_>, matcher: &LocatedMatcher) {
    let LocatedMatcher { label, operator, value, span } = matcher;
    let equality = if *operator == "=~" { "=" } else { "!=" };
    let anchors = value.starts_with('^') || value.ends_with('$') && !value.ends_with("\\$");
    let inner = value.strip_prefix('^').unwrap_or(value);
    let inner = if anchors { inner.strip_suffix('$').unwrap_or(inner) } else { inner };
    if value.is_empty() {
        report.expr(
            Lint::PlainRegex,
            span,
            "the empty regular expression matches the empty value only",
            format!("write {label}{equality}\"\""),
        );
    } else if matches!(value.as_str(), ".*" | "(.*)") {
        let (message, help) = match *operator {
            "=~" => {
                ("the matcher matches every value, and none", "leave it out, or use .+ where the label must be there")
            }
            _ => ("the matcher excludes every value, so the selector takes nothing", "leave it out"),
        };
        report.expr(Lint::UselessMatcher, span, message, help);
    } else if anchors && anchored(inner).is_ok() && !inner.contains('|') && !inner.is_empty() {
        report.expr(
            Lint::RedundantAnchor,
            span,
            "regular expressions of matchers match whole values anyway: ^ and $ do nothing",
            format!("write {label}{operator}{inner:?}"),
        );
    } else if has_empty_alternative(value) {
        report.expr(
            Lint::EmptyAlternative,
            span,
            "one alternative is empty: it matches series without the label",
            "take the extra | away; to have such series on purpose put it at the end: a|b|",
        );
    } else if !value.contains(regex_syntax_character) {
        report.expr(
            Lint::PlainRegex,
            span,
            "the regular expression is a plain string",
            format!("write {label}{equality}{value:?}; equality is found in an index and says what is meant"),
        );
    }
}

fn regex_syntax_character(c: char) -> bool {
    r"\.+*?()|[]{}^$".contains(c)
}

/// Whether `||` stands outside of classes. `a|` is the usual way of saying "or none", and meant.
fn has_empty_alternative(pattern: &str) -> bool {
    let mut in_class = false;
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '|' if !in_class && characters.peek() == Some(&'|') => return true,
            _ => {}
        }
    }
    false
}

/// `$job`, `${job}` and `[[job]]`: nobody fills them in.
fn variable(report: &mut Report<'_, '_, '_>, matcher: &LocatedMatcher) {
    let named = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let value = &matcher.value;
    let dollar = value.match_indices('$').any(|(i, _)| {
        let rest = &value[i + 1..];
        (i == 0 || !value[..i].ends_with('\\')) && (named(rest) || rest.strip_prefix('{').is_some_and(named))
    });
    let brackets = value.find("[[").is_some_and(|i| value[i..].contains("]]") && named(&value[i + 2..]));
    if dollar || (brackets && matcher.operator == "=") {
        report.expr(
            Lint::DashboardVariable,
            &matcher.span,
            "this is a variable of a dashboard; in a rule nobody fills it in, so nothing matches",
            "write the value, or leave the matcher out and keep the label in the result",
        );
    }
}

/// Two matchers of one label that no value can satisfy.
fn contradiction(report: &mut Report<'_, '_, '_>, matcher: &LocatedMatcher, before: &[LocatedMatcher]) {
    let same = before.iter().filter(|other| other.label == matcher.label);
    for other in same {
        let excluded = match (other.operator, matcher.operator) {
            ("=", _) => !holds(matcher, &other.value),
            (_, "=") => !holds(other, &matcher.value),
            ("=~", "!~") | ("!~", "=~") => other.value == matcher.value,
            _ => false,
        };
        if excluded {
            report.expr(
                Lint::ContradictoryMatchers,
                &(other.span.start..matcher.span.end),
                format!("no value of {} satisfies both matchers, so the selector takes nothing", matcher.label),
                "for either of two values write a regular expression: label=~\"a|b\"",
            );
            return;
        }
    }
}

fn holds(matcher: &LocatedMatcher, value: &str) -> bool {
    let matches = || anchored(&matcher.value).is_ok_and(|regex| regex.is_match(value));
    match matcher.operator {
        "=" => matcher.value == value,
        "!=" => matcher.value != value,
        "=~" => matches(),
        _ => !matches(),
    }
}
