//! Two sets of rules over the same history: which pages one gives and the other does not. Pure.

use std::collections::BTreeMap;

use super::pages::{Page, RuleFindings};
use crate::base::{Labels, Millis};

/// One alert's pages before and after a change of rules; an alert is known by its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change<'a> {
    /// The alert.
    pub alert: &'a str,
    /// Pages before and after.
    pub pages: (usize, usize),
    /// Milliseconds of firing before and after.
    pub firing: (Millis, Millis),
    /// Pages that only the rules before give.
    pub gone: Vec<&'a Page>,
    /// Pages that only the rules after give.
    pub new: Vec<&'a Page>,
}

/// Compares. A page is the same on both sides if an alert with the same labels fires there at some instant of it; labels
/// that a rule adds count, so a changed severity is a new page.
#[must_use]
pub fn compare<'a>(before: &'a [RuleFindings], after: &'a [RuleFindings], end: Millis) -> Vec<Change<'a>> {
    let mut names: Vec<&str> = Vec::new();
    for findings in before.iter().chain(after) {
        if !names.contains(&findings.rule.alert.as_str()) {
            names.push(&findings.rule.alert);
        }
    }
    names.into_iter().map(|alert| change(alert, before, after, end)).collect()
}

fn change<'a>(alert: &'a str, before: &'a [RuleFindings], after: &'a [RuleFindings], end: Millis) -> Change<'a> {
    let of = |side: &'a [RuleFindings]| -> Vec<&'a Page> {
        side.iter().filter(|findings| findings.rule.alert == alert).flat_map(|findings| &findings.pages).collect()
    };
    let (before, after) = (of(before), of(after));
    let firing = |pages: &[&Page]| pages.iter().map(|page| page.until(end) - page.fired_at).sum();
    Change {
        alert,
        pages: (before.len(), after.len()),
        firing: (firing(&before), firing(&after)),
        gone: only(&before, &after, end),
        new: only(&after, &before, end),
    }
}

/// Pages of `these` that no page of `those` is the same as.
fn only<'a>(these: &[&'a Page], those: &[&'a Page], end: Millis) -> Vec<&'a Page> {
    let mut by_labels: BTreeMap<&Labels, Vec<&Page>> = BTreeMap::new();
    for page in those {
        by_labels.entry(&page.labels).or_default().push(page);
    }
    let overlaps = |a: &Page, b: &Page| a.fired_at <= b.until(end) && b.fired_at <= a.until(end);
    let is_there = |page: &Page| by_labels.get(&page.labels).is_some_and(|them| them.iter().any(|b| overlaps(page, b)));
    let mut only: Vec<&Page> = these.iter().copied().filter(|page| !is_there(page)).collect();
    only.sort_by(|a, b| (a.fired_at, &a.labels).cmp(&(b.fired_at, &b.labels)));
    only
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::RuleRef;

    fn rule(alert: &str, pages: &[(&str, Millis, Option<Millis>)]) -> RuleFindings {
        let text = String::new;
        let rule = RuleRef { file: text(), group: text(), alert: alert.to_owned(), expr: text() };
        let page = |&(host, fired_at, resolved_at): &(&str, Millis, Option<Millis>)| Page {
            labels: Labels::from_pairs([("host", host)]),
            annotations: vec![],
            value: 0.0,
            active_at: fired_at,
            fired_at,
            resolved_at,
        };
        RuleFindings { rule: Arc::new(rule), labels: vec![], hold: 0, pages: pages.iter().map(page).collect() }
    }

    #[test]
    fn pages_only_one_side_gives_are_told() {
        let before =
            [rule("A", &[("a", 10, Some(20)), ("a", 50, Some(60)), ("b", 50, None)]), rule("B", &[("a", 1, None)])];
        let after = [rule("A", &[("a", 15, Some(30)), ("a", 61, Some(70)), ("b", 90, None)]), rule("C", &[])];
        let changes = compare(&before, &after, 100);
        assert_eq!(changes.iter().map(|c| c.alert).collect::<Vec<_>>(), ["A", "B", "C"]);
        let a = &changes[0];
        assert_eq!((a.pages, a.firing), ((3, 3), (10 + 10 + 50, 15 + 9 + 10)));
        assert_eq!(a.gone.iter().map(|p| p.fired_at).collect::<Vec<_>>(), [50]);
        assert_eq!(a.new.iter().map(|p| p.fired_at).collect::<Vec<_>>(), [61]);
        assert_eq!((changes[1].gone.len(), changes[1].new.len(), changes[2].pages), (1, 0, (0, 0)));
    }
}
