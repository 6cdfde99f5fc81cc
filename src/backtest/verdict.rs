//! What came of a unit test, and how a failure reads.

use std::fmt;

use super::diff::diff;
use crate::base::{Labels, Millis, format_duration, format_value};

/// Most lines of a value or of a list of alerts that are compared line by line; the comparison costs their square.
const DIFF_LINES: usize = 2_000;

/// A test that was run.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// Its name, or its number where it has none.
    pub name: String,
    /// What it checked: alerts and expressions at their times.
    pub checks: usize,
    /// What went wrong; nothing if it passed.
    pub failures: Vec<Failure>,
}

/// Something that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Line of the test file where what failed stands, from 1.
    pub line: Option<u64>,
    /// What was checked.
    pub check: Check,
    /// What was expected and what came, as lines to compare; None where it did not get as far.
    pub difference: Option<(Vec<String>, Vec<String>)>,
    /// What is wrong.
    pub message: String,
}

/// What a failure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The series or the rules: the test could not be run.
    Setup,
    /// A rule's evaluation.
    Rule {
        /// Alert's or metric's name.
        name: String,
        /// Milliseconds since the start.
        time: Millis,
    },
    /// Alerts of one name.
    Alert {
        /// The name.
        name: String,
        /// Milliseconds since the start.
        time: Millis,
    },
    /// An expression.
    Expr {
        /// The expression.
        expr: String,
        /// Milliseconds since the start.
        time: Millis,
    },
    /// An evaluation of a script.
    Eval {
        /// The expression.
        expr: String,
    },
}

/// A firing alert, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FiringAlert {
    /// Labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations, sorted by name; an empty one is not the same as none.
    pub annotations: Vec<(String, String)>,
}

impl TestReport {
    /// Whether all is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Failure {
    /// One that is not a comparison.
    pub(super) fn because(line: Option<u64>, check: Check, message: impl Into<String>) -> Self {
        Self { line, check, difference: None, message: message.into() }
    }

    /// Alerts that differ.
    pub(super) fn of_alerts(line: u64, check: Check, expected: &[FiringAlert], got: &[FiringAlert]) -> Self {
        let lines = |alerts: &[FiringAlert]| alerts.iter().flat_map(FiringAlert::lines).collect();
        let difference = Some((lines(expected), lines(got)));
        let message = counts(expected.len(), got.len(), "firing alert");
        Self { line: Some(line), check, difference, message }
    }

    /// Values that differ.
    pub(super) fn of_values(line: u64, check: Check, expected: &[(Labels, f64)], got: &[(Labels, f64)]) -> Self {
        let lines =
            |v: &[(Labels, f64)]| v.iter().map(|(labels, v)| format!("{labels} {}", format_value(*v))).collect();
        let difference = Some((lines(expected), lines(got)));
        let message = counts(expected.len(), got.len(), "sample");
        Self { line: Some(line), check, difference, message }
    }

    /// The differing lines: `-` what was expected, `+` what came.
    #[must_use]
    pub fn diff(&self) -> Vec<String> {
        match &self.difference {
            Some((expected, got)) if expected.len().max(got.len()) <= DIFF_LINES => diff(expected, got),
            Some((expected, got)) => {
                let missing = expected.iter().filter(|line| !got.contains(line)).map(|line| format!("- {line}"));
                let excess = got.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
                missing.chain(excess).collect()
            }
            None => vec![],
        }
    }
}

/// The check and what is wrong, in one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.check {
            Check::Setup => f.write_str(&self.message),
            _ => write!(f, "{}: {}", self.check, self.message),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup => f.write_str("setup"),
            Self::Rule { name, time } => write!(f, "rule: {name}, time: {}", format_duration(*time)),
            Self::Alert { name, time } => write!(f, "alertname: {name}, time: {}", format_duration(*time)),
            Self::Expr { expr, time } => {
                let line = expr.split_whitespace().collect::<Vec<_>>().join(" ");
                write!(f, "expr: {line}, time: {}", format_duration(*time))
            }
            Self::Eval { expr } => f.write_str(expr),
        }
    }
}

impl FiringAlert {
    /// Labels on one line, each annotation on its own.
    fn lines(&self) -> Vec<String> {
        let annotations = self.annotations.iter().map(|(name, text)| format!("    {name}: {text:?}"));
        std::iter::once(self.labels.to_string()).chain(annotations).collect()
    }
}

/// What is wrong with so many.
fn counts(expected: usize, got: usize, what: &str) -> String {
    let plural = |n: usize| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    if expected == got {
        format!("{} other than expected", plural(got))
    } else {
        format!("expected {}, got {got}", plural(expected))
    }
}
