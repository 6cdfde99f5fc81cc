//! What a backtest found, for people (text, one HTML file) and for programs (JSON).
//!
//! Pure: histories and judgements in, text out. docs/backtest.md defines every figure.

mod data;
mod html;
mod json;
mod table;

pub use html::html;
pub use json::json;
pub use table::text;

use crate::base::Millis;

use super::compare::{Change, compare};
use super::history::History;
use super::pages::RuleFindings;
use super::score::{Judgement, Score};

/// What is reported of.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// How the rules are called.
    pub title: &'a str,
    /// What came of them.
    pub history: &'a History,
    /// What they are judged by.
    pub judgement: Judgement<'a>,
    /// From when on models learnt, where that was before the first instant that counts.
    pub learn_from: Option<Millis>,
    /// Other rules over the same history: how they are called, and what came of them.
    pub other: Option<(&'a str, &'a History)>,
}

impl<'a> Report<'a> {
    /// Each rule with its score, and the score of all.
    fn scores(&self) -> (Vec<(&'a RuleFindings, Score)>, Score) {
        let history = self.history;
        let scores: Vec<Score> = history.rules.iter().map(|rule| self.judgement.score(rule)).collect();
        let total = self.judgement.total(&scores);
        (history.rules.iter().zip(scores).collect(), total)
    }

    /// What other rules change, alert by alert.
    fn changes(&self) -> Option<(&'a str, Vec<Change<'a>>)> {
        let (title, other) = self.other?;
        Some((title, compare(&self.history.rules, &other.rules, self.judgement.end)))
    }
}

/// An alert's name, with the rule's labels where another rule has the same name.
fn name_of(findings: &RuleFindings, all: &[RuleFindings]) -> String {
    let name = &findings.rule.alert;
    if all.iter().filter(|other| other.rule.alert == *name).count() < 2 || findings.labels.is_empty() {
        return name.clone();
    }
    let labels: Vec<String> = findings.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{name}{{{}}}", labels.join(", "))
}
