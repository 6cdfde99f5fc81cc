//! Which series rules read, for sources that have to be asked for them.

use std::collections::BTreeSet;

use super::{RuleKind, RuleSet};
use crate::promql::selectors;

/// Selectors of the series that rules read, but for those that they write themselves: what a history holds of these already
/// would stand in the way of what is computed.
#[must_use]
pub fn selectors_of(rules: &RuleSet) -> Vec<String> {
    let all = || rules.groups.iter().flat_map(|group| &group.rules);
    let recording = all().filter(|rule| rule.kind == RuleKind::Record).map(|rule| rule.name.as_str());
    let own: BTreeSet<&str> = recording.chain(["ALERTS", "ALERTS_FOR_STATE"]).collect();
    let mut found: Vec<String> = Vec::new();
    // Rules that do not parse are refused where they are loaded.
    for selector in all().filter_map(|rule| selectors(&rule.expr).ok()).flatten() {
        let name = selector.split('{').next().unwrap_or_default();
        if !own.contains(name) && !found.contains(&selector) {
            found.push(selector);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::load_file;

    #[test]
    fn what_rules_write_themselves_is_not_asked_for() {
        let text = "groups: [{name: g, rules: [{record: 'a:b', expr: 'sum(a) / sum(c{x=\"1\"})'}, {alert: A, expr: 'a:b > 1 and a'},
                    {alert: B, expr: 'ALERTS{x=\"y\"} == 1 or rate(c{x=\"1\"}[5m]) > 0'}]}]";
        let rules = RuleSet { groups: load_file("r.yml", text).0.into_iter().map(Arc::new).collect() };
        assert_eq!(selectors_of(&rules), ["a", "c{x=\"1\"}"]);
    }
}
