//! How a failure of a test or script reads: what was checked, what is wrong, and the difference line by line.
//!
//! Knows no engine: what differs is told by `unit_test` and `promql_script`.

use std::fmt;

use crate::base::{Millis, format_duration, format_rfc3339};

/// Something that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Line of the file where what failed stands, from 1.
    pub line: Option<u64>,
    /// What was checked.
    pub check: Check,
    /// What is wrong.
    pub message: String,
    /// What was expected beside what came, line by line: `- ` before what is missing, `+ ` before what is too many, `~ `
    /// before what a nearly right one differs in, blanks before what is right.
    pub diff: Vec<String>,
    /// What may be the reason.
    pub hint: Option<String>,
}

/// What a failure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The series or the rules: there was nothing to check.
    Setup,
    /// Evaluation of the rule of this alert or metric.
    Rule(String, At),
    /// Alerts of this name.
    Alert(String, At),
    /// Alerts of this name from one time to the other.
    Window(String, At, At),
    /// This expression.
    Expr(String, At),
    /// This expression of a script, which gives its instants itself.
    Eval(String),
}

/// A time within a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Milliseconds since the start.
    pub elapsed: Millis,
    /// The start.
    pub start: Millis,
}

impl Failure {
    /// One that is not a comparison.
    pub(super) fn because(line: Option<u64>, check: Check, message: impl Into<String>) -> Self {
        Self { line, check, message: message.into(), diff: vec![], hint: None }
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
            Self::Rule(name, at) => write!(f, "rule: {name}, time: {at}"),
            Self::Alert(name, at) => write!(f, "alertname: {name}, time: {at}"),
            Self::Window(name, from, to) => write!(f, "alertname: {name}, from: {from}, to: {to}"),
            Self::Expr(expr, at) => {
                let line = expr.split_whitespace().collect::<Vec<_>>().join(" ");
                write!(f, "expr: {line}, time: {at}")
            }
            Self::Eval(expr) => f.write_str(expr),
        }
    }
}

/// As tests write it, and the instant if the test does not begin in 1970.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.elapsed))?;
        if self.start == 0 {
            return Ok(());
        }
        write!(f, " ({})", format_rfc3339(self.start.saturating_add(self.elapsed)))
    }
}
