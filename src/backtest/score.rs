//! What a rule's pages are worth: how many, for how long, how many came back, and what they say of the incidents.
//! docs/backtest.md has the definitions. Pure.

use crate::base::Millis;

use super::incident::Incident;
use super::pages::{Page, RuleFindings};

/// A page of the same alert within this long of the one before, or within twice the rule's `for`, is a flap.
pub const FLAP_WITHIN: Millis = 15 * 60_000;

/// How long before an incident's start a page counts as an early warning, if nothing else is said.
pub const LEAD_WINDOW: Millis = 4 * 3_600_000;

/// What pages are judged by.
#[derive(Clone, Debug)]
pub struct Judgement<'a> {
    /// What really happened; None where nobody wrote it down.
    pub incidents: Option<&'a [Incident]>,
    /// See [`LEAD_WINDOW`].
    pub lead_window: Millis,
    /// First instant that counts.
    pub start: Millis,
    /// Last instant that counts.
    pub end: Millis,
}

/// The figures of one rule, or of all together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Alerts that began to fire.
    pub pages: usize,
    /// How long they fired, all together, in milliseconds.
    pub firing: Millis,
    /// Pages that followed so soon upon the end of the one before that they are the same one again.
    pub flaps: usize,
    /// What the incidents say; None where there are none written down.
    pub truth: Option<Truth>,
}

/// How pages and incidents go together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// Pages that an incident accounts for.
    pub true_pages: usize,
    /// Incidents within the period that the rule ought to find.
    pub incidents: usize,
    /// For each incident found, its index and how long before its start the first page came; negative: after it.
    pub found: Vec<(usize, Millis)>,
}

impl Score {
    /// Share of the pages that were true; None without pages.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.truth.as_ref()?.true_pages, self.pages)
    }

    /// Share of the incidents that were found; None where there was none to be found.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        let truth = self.truth.as_ref()?;
        ratio(truth.found.len(), truth.incidents)
    }

    /// Median of the lead times over the incidents found, in milliseconds.
    #[must_use]
    pub fn median_lead(&self) -> Option<Millis> {
        let mut leads: Vec<Millis> = self.truth.as_ref()?.found.iter().map(|(_, lead)| *lead).collect();
        leads.sort_unstable();
        let middle = leads.len() / 2;
        match leads.len() {
            0 => None,
            n if n % 2 == 1 => Some(leads[middle]),
            _ => Some((leads[middle - 1] + leads[middle]) / 2),
        }
    }
}

impl Judgement<'_> {
    /// The figures of one rule.
    #[must_use]
    pub fn score(&self, findings: &RuleFindings) -> Score {
        let pages = &findings.pages;
        let truth = self.incidents.map(|incidents| {
            let concerned = self.within(incidents).filter(|(_, i)| i.concerns(&findings.rule.alert));
            let mut truth = Truth {
                true_pages: pages.iter().filter(|page| self.is_true(&findings.rule.alert, page)).count(),
                ..Truth::default()
            };
            for (index, incident) in concerned {
                truth.incidents += 1;
                let first = pages.iter().filter(|page| self.is_about(incident, page)).map(|page| page.fired_at).min();
                truth.found.extend(first.map(|fired_at| (index, incident.start - fired_at)));
            }
            truth
        });
        Score {
            pages: pages.len(),
            firing: pages.iter().map(|page| page.until(self.end) - page.fired_at).sum(),
            flaps: flaps(pages, FLAP_WITHIN.max(findings.hold.saturating_mul(2))),
            truth,
        }
    }

    /// The figures of all rules together: an incident is found by whichever page of those that ought to find it came first.
    #[must_use]
    pub fn total(&self, scores: &[Score]) -> Score {
        let truth = self.incidents.map(|incidents| {
            let of_rules = || scores.iter().filter_map(|score| score.truth.as_ref());
            let lead = |wanted: usize| {
                let leads = of_rules().flat_map(|truth| &truth.found).filter(|(index, _)| *index == wanted);
                leads.map(|(_, lead)| *lead).max()
            };
            Truth {
                true_pages: of_rules().map(|truth| truth.true_pages).sum(),
                incidents: self.within(incidents).count(),
                found: self.within(incidents).filter_map(|(index, _)| Some((index, lead(index)?))).collect(),
            }
        });
        Score {
            pages: scores.iter().map(|score| score.pages).sum(),
            firing: scores.iter().map(|score| score.firing).sum(),
            flaps: scores.iter().map(|score| score.flaps).sum(),
            truth,
        }
    }

    /// Indices of the incidents that account for a page of this alert.
    pub fn accounts<'s>(&'s self, alert: &'s str, page: &'s Page) -> impl Iterator<Item = usize> + 's {
        let incidents = self.within(self.incidents.unwrap_or_default());
        incidents.filter(move |(_, i)| i.concerns(alert) && self.is_about(i, page)).map(|(index, _)| index)
    }

    fn is_true(&self, alert: &str, page: &Page) -> bool {
        self.accounts(alert, page).next().is_some()
    }

    /// Whether the page's labels fit, and it fired at some instant from the lead window before the incident to its end.
    fn is_about(&self, incident: &Incident, page: &Page) -> bool {
        let from = incident.start.saturating_sub(incident.lead_window.unwrap_or(self.lead_window));
        page.fired_at <= incident.end && page.until(self.end) >= from && incident.matches(&page.labels)
    }

    /// Those that have a part in the period.
    fn within<'i>(&self, incidents: &'i [Incident]) -> impl Iterator<Item = (usize, &'i Incident)> {
        let (start, end) = (self.start, self.end);
        incidents.iter().enumerate().filter(move |(_, i)| i.start <= end && i.end >= start)
    }
}

/// Pages that began within so long after the same alert's page before had ended.
fn flaps(pages: &[Page], within: Millis) -> usize {
    let mut ended = std::collections::HashMap::new();
    let mut flaps = 0;
    for page in pages {
        let before = ended.insert(page.labels.as_ref().key(), page.resolved_at);
        flaps += usize::from(before.flatten().is_some_and(|resolved| page.fired_at - resolved <= within));
    }
    flaps
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::incident::parse_incidents;
    use super::*;
    use crate::alert::RuleRef;
    use crate::base::Labels;

    const MINUTE: Millis = 60_000;

    fn page(host: &str, fired: i64, resolved: Option<i64>) -> Page {
        Page {
            labels: Labels::from_pairs([("alertname", "A"), ("host", host)]),
            annotations: vec![],
            value: 1.0,
            active_at: fired * MINUTE,
            fired_at: fired * MINUTE,
            resolved_at: resolved.map(|t| t * MINUTE),
        }
    }

    fn findings(pages: Vec<Page>) -> RuleFindings {
        let text = |t: &str| t.to_owned();
        let rule = Arc::new(RuleRef { file: text("f"), group: text("g"), alert: text("A"), expr: text("e") });
        RuleFindings { rule, labels: vec![], hold: 10 * MINUTE, pages }
    }

    #[test]
    fn figures_are_those_counted_by_hand() {
        // Minutes. Two incidents of host a, one of b that nobody finds, one that another rule ought to find, one outside.
        let incidents = parse_incidents(
            "
- {name: one, start: 1970-01-01T02:00:00Z, end: 1970-01-01T02:30:00Z, match: {host: a}}
- {name: two, start: 1970-01-01T10:00:00Z, end: 1970-01-01T11:00:00Z, match: {host: a}, lead_window: 1h}
- {name: three, start: 1970-01-01T05:00:00Z, end: 1970-01-01T05:10:00Z, match: {host: b}}
- {name: four, start: 1970-01-01T02:00:00Z, end: 1970-01-01T02:30:00Z, rules: [B]}
- {name: five, start: 1970-02-01T02:00:00Z, end: 1970-02-01T02:30:00Z}
",
        )
        .unwrap();
        let judgement =
            Judgement { incidents: Some(&incidents), lead_window: 30 * MINUTE, start: 0, end: 1_000 * MINUTE };
        let score = judgement.score(&findings(vec![
            page("a", 80, Some(89)),   // one minute too early for incident one
            page("a", 100, Some(110)), // 20 minutes before it; 11 after the last: a flap
            page("b", 115, Some(130)), // another host: false, and no flap of a's
            page("a", 131, Some(150)), // true; 21 minutes after the last: no flap, `for` being 10
            page("a", 170, Some(171)), // 20 minutes after the last: a flap; after the incident: false
            page("a", 400, Some(540)), // reaches into the hour before incident two
            page("a", 990, None),      // fires to the end
        ]));
        assert_eq!((score.pages, score.flaps), (7, 2));
        assert_eq!(score.firing, (9 + 10 + 15 + 19 + 1 + 140 + 10) * MINUTE);
        let truth = score.truth.as_ref().unwrap();
        assert_eq!((truth.true_pages, truth.incidents), (3, 3));
        assert_eq!(truth.found, [(0, 20 * MINUTE), (1, 200 * MINUTE)]);
        assert_eq!(score.precision(), Some(3.0 / 7.0));
        assert_eq!(score.recall(), Some(2.0 / 3.0));
        assert_eq!(score.median_lead(), Some(110 * MINUTE));

        let late = judgement.score(&findings(vec![page("a", 130, Some(131))]));
        assert_eq!(late.median_lead(), Some(-10 * MINUTE));
        let total = judgement.total(&[score, late]);
        assert_eq!((total.pages, total.flaps), (8, 2));
        let truth = total.truth.as_ref().unwrap();
        assert_eq!((truth.true_pages, truth.incidents, truth.found.len()), (4, 4, 2));
        assert_eq!(truth.found[0], (0, 20 * MINUTE), "the first page of any rule");
    }

    #[test]
    fn without_pages_or_incidents_there_is_no_share() {
        let judgement = Judgement { incidents: Some(&[]), lead_window: 0, start: 0, end: 1 };
        let score = judgement.score(&findings(vec![]));
        assert_eq!((score.precision(), score.recall(), score.median_lead()), (None, None, None));
        let judgement = Judgement { incidents: None, ..judgement };
        assert_eq!(judgement.score(&findings(vec![page("a", 0, None)])).truth, None);
    }
}
