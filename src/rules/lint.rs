//! What a rule file may say but hardly means: warnings that are sure and cheap.

use std::collections::HashMap;
use std::ops::Range;

use super::diagnostic::Collector;
use super::{Rule, RuleKind};

/// Labels that make an alert another one at every tick.
pub(super) fn label(found: &mut Collector, name: &str, value: &str, at: Range<usize>) {
    let in_action =
        |sign: &str| value.split("{{").skip(1).any(|rest| rest.split("}}").next().is_some_and(|a| a.contains(sign)));
    if in_action("$value") || in_action(".Value") {
        found.warning(
            at,
            format!(
                "the label {name} contains the value, so the alert changes its identity with every change of the value"
            ),
            "put the value into an annotation",
        );
    }
}

/// Rules of one group that write the same.
///
/// Rules of equal kind, name and labels are usual and right where their expressions select different series. With equal
/// expressions as well, the later one writes the very same series or alerts again: Prometheus takes such files
/// (promtool's lint complains), forewarn refuses them, because two alert machines would answer for one alert.
/// Across groups the same is only a waste, and no fault of either file's group.
pub(super) fn duplicates(found: &mut Collector, rules: &[(Rule, Range<usize>)]) {
    let mut seen = HashMap::with_capacity(rules.len());
    for (rule, at) in rules {
        let mut labels: Vec<_> = rule.labels.iter().collect();
        labels.sort();
        let is_alert = matches!(rule.kind, RuleKind::Alert { .. });
        let first = *seen.entry((is_alert, &rule.name, labels, rule.expr.trim())).or_insert(at.start);
        if first != at.start {
            let line = found.position(first).line;
            let name = &rule.name;
            found.error_with_help(
                at.clone(),
                format!(
                    "the rule {name} stands in this group twice: same name, labels and expression as in line {line}"
                ),
                "remove one of them",
            );
        }
    }
}
