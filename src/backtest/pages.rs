//! From transitions to pages: when each alert fired, and for how long.
//!
//! Knows alerts; knows nothing of incidents, scores or reports.

use std::collections::HashMap;
use std::sync::Arc;

use crate::alert::{AlertState, RuleRef, Transition};
use crate::base::{Labels, Millis};
use crate::rules::{RuleKind, RuleSet};

/// Most pages kept of one run; whatever pages oftener needs no figures to be judged by.
const PAGES_MAX: usize = 200_000;

/// An alert that began to fire within the period, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The alert's labels.
    pub labels: Labels,
    /// Annotations, as when it began to fire.
    pub annotations: Vec<(String, String)>,
    /// The expression's value then.
    pub value: f64,
    /// When the expression began to hold.
    pub active_at: Millis,
    /// When the alert began to fire.
    pub fired_at: Millis,
    /// When it stopped; None if it fires still at the end of the period.
    pub resolved_at: Option<Millis>,
}

/// An alerting rule and its pages, in order of time and then of labels.
#[derive(Clone, Debug)]
pub struct RuleFindings {
    /// File, group, alert and expression.
    pub rule: Arc<RuleRef>,
    /// Labels as written.
    pub labels: Vec<(String, String)>,
    /// `for`.
    pub hold: Millis,
    /// Its pages.
    pub pages: Vec<Page>,
}

/// Gathers pages.
#[derive(Debug)]
pub struct Collector {
    start: Millis,
    rules: Vec<RuleFindings>,
    /// Rules by what transitions say of theirs. Of two that differ in their labels only the first has the pages of both.
    index: HashMap<Arc<RuleRef>, usize>,
    /// Place of the page of each alert that fires now; None for those that began before the period.
    firing: HashMap<(usize, u128), usize>,
    kept: usize,
    left_out: u64,
}

impl Page {
    /// When it ended, at the latest with the period.
    #[must_use]
    pub fn until(&self, end: Millis) -> Millis {
        self.resolved_at.map_or(end, |resolved| resolved.min(end))
    }
}

impl Collector {
    /// A collector for the alerting rules of a set; what fired before `start` is not kept.
    #[must_use]
    pub fn new(rules: &RuleSet, start: Millis) -> Self {
        let mut this =
            Self { start, rules: vec![], index: HashMap::new(), firing: HashMap::new(), kept: 0, left_out: 0 };
        for group in &rules.groups {
            for rule in &group.rules {
                let RuleKind::Alert { hold, .. } = &rule.kind else { continue };
                let reference = Arc::new(RuleRef {
                    file: group.file.clone(),
                    group: group.name.clone(),
                    alert: rule.name.clone(),
                    expr: rule.expr.clone(),
                });
                this.index.entry(Arc::clone(&reference)).or_insert(this.rules.len());
                let labels = rule.labels.clone();
                this.rules.push(RuleFindings { rule: reference, labels, hold: *hold, pages: vec![] });
            }
        }
        this
    }

    /// Takes a transition; they come in order of time.
    pub fn take(&mut self, transition: &Transition) {
        let Some(&rule) = self.index.get(&transition.rule) else { return };
        let alert = (rule, transition.labels.as_ref().key());
        match (transition.from, transition.to) {
            (AlertState::Firing, AlertState::Firing) | (_, AlertState::Pending) => {}
            (_, AlertState::Firing) if transition.at < self.start => {}
            (_, AlertState::Firing) => {
                if self.kept == PAGES_MAX {
                    self.left_out += 1;
                    return;
                }
                self.kept += 1;
                let pages = &mut self.rules[rule].pages;
                self.firing.insert(alert, pages.len());
                pages.push(Page {
                    labels: transition.labels.clone(),
                    annotations: transition.annotations.clone(),
                    value: transition.value,
                    active_at: transition.active_at,
                    fired_at: transition.fired_at.unwrap_or(transition.at),
                    resolved_at: None,
                });
            }
            (_, AlertState::Inactive) => {
                if let Some(page) = self.firing.remove(&alert) {
                    self.rules[rule].pages[page].resolved_at = Some(transition.resolved_at.unwrap_or(transition.at));
                }
            }
        }
    }

    /// Index of an alerting rule among [`Self::finish`]'s, by what a transition says of it.
    #[must_use]
    pub fn rule_of(&self, transition: &Transition) -> Option<usize> {
        self.index.get(&transition.rule).copied()
    }

    /// The rules with their pages, and how many pages were not kept because there were too many.
    #[must_use]
    pub fn finish(self) -> (Vec<RuleFindings>, u64) {
        (self.rules, self.left_out)
    }
}
