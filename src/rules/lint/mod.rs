//! Lints: what a rule may say but hardly means. Each file is one family; docs/lints.md explains every one.
//!
//! Judges text alone; knows no series. In doubt a lint is silent: a warning that is often wrong teaches people to
//! overlook the others.

mod alerts;
mod code;
mod comments;
mod counters;
mod forecasts;
mod histograms;
mod labels;
mod matching;
mod ranges;
mod selectors;
mod shape;
mod style;
mod templates;
mod truth;
mod values;

use std::ops::Range;

pub use code::{Lint, LintOptions, UnknownLint};
pub(super) use comments::{Disable, disables};

use super::collector::Collector;
use crate::alert::Template;
use crate::base::Millis;
use crate::promql::Located;

/// A rule as lints see it.
pub(super) struct Subject<'a> {
    /// Its name, and where that stands.
    pub name: &'a str,
    pub at: Range<usize>,
    /// Whether it alerts.
    pub is_alert: bool,
    /// Milliseconds of `for`.
    pub hold: Millis,
    /// Milliseconds between evaluations, if its group says so.
    pub interval: Option<Millis>,
    /// Its own labels, those of its group, and its annotations.
    pub texts: &'a [Text],
    /// The expression.
    pub root: &'a Located<'a>,
    /// From bytes of the expression's text to bytes of the file.
    pub place: &'a dyn Fn(Range<usize>) -> Range<usize>,
}

/// A label or annotation.
pub(super) struct Text {
    pub is_label: bool,
    pub name: String,
    /// None where it does not parse, or is no template.
    pub template: Option<Template>,
    /// From bytes of its value to bytes of the file.
    pub value: String,
    pub at: Range<usize>,
}

/// Lints one rule.
pub(super) fn rule(found: &mut Collector<'_>, subject: &Subject<'_>) {
    let mut report = Report { found, subject };
    let whole = subject.root;
    alerts::check(&mut report, whole);
    templates::check(&mut report);
    style::check(&mut report);
    truth::check_whole(&mut report, whole);
    whole.walk(&mut |part| {
        truth::check(&mut report, part);
        counters::check(&mut report, part);
        forecasts::check(&mut report, part);
        histograms::check(&mut report, part);
        matching::check(&mut report, part);
        ranges::check(&mut report, part);
        selectors::check(&mut report, part);
    });
    forecasts::check_whole(&mut report, whole);
}

/// Where a lint's findings go.
struct Report<'r, 'a, 'o> {
    found: &'r mut Collector<'o>,
    subject: &'r Subject<'a>,
}

impl Report<'_, '_, '_> {
    /// About a part of the expression.
    fn expr(&mut self, lint: Lint, span: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.found.lint(lint, (self.subject.place)(span.clone()), message, help);
    }

    /// About a place in the file.
    fn file(&mut self, lint: Lint, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.found.lint(lint, span, message, help);
    }
}
