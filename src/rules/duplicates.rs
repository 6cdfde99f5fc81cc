//! Rules that stand in a group twice.

use std::collections::HashMap;
use std::ops::Range;

use super::collector::Collector;
use super::{Rule, RuleKind};

/// Rules of one group that write the same.
///
/// Rules of equal kind, name and labels are usual and right where their expressions select different series. With equal
/// expressions as well, the later one writes the very same series or alerts again: Prometheus takes such files
/// (promtool's lint complains), forewarn refuses them, because two alert machines would answer for one alert.
/// Across groups the same is only a waste, and no fault of either file's group.
pub(super) fn duplicates(found: &mut Collector<'_>, rules: &[(Rule, Range<usize>)]) {
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
                "duplicate",
                at.clone(),
                format!(
                    "the rule {name} stands in this group twice: same name, labels and expression as in line {line}"
                ),
                "remove one of them; rules that differ in a label may stand side by side",
            );
        }
    }
}
