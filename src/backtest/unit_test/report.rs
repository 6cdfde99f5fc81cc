//! What came of a unit test: its report, and alerts and values beside those expected.

use super::comparison::{Entry, compare};
use crate::alert::Transition;
use crate::backtest::verdict::{Check, Failure};
use crate::base::{Labels, Millis, format_value};
use crate::rules::unit_test::{ExpectedValue, Tolerance};

/// A test that was run.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    /// Its name, or its number where it has none.
    pub name: String,
    /// What it checked: alerts, windows and expressions.
    pub checks: usize,
    /// Samples that its rules and expressions were fed with.
    pub samples: u64,
    /// What went wrong; nothing if it passed.
    pub failures: Vec<Failure>,
    /// The alerts' changes in order of time, if they were asked for.
    pub timeline: Vec<AlertEvent>,
}

/// A change of an alert.
#[derive(Clone, Debug)]
pub struct AlertEvent {
    /// Milliseconds since the start.
    pub elapsed: Millis,
    /// The change.
    pub transition: Transition,
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
    /// Alerts that differ.
    pub(super) fn of_alerts(line: u64, check: Check, expected: &[FiringAlert], got: &[FiringAlert]) -> Self {
        let (e, g): (Vec<Entry<'_>>, Vec<Entry<'_>>) =
            (expected.iter().map(FiringAlert::entry).collect(), got.iter().map(FiringAlert::entry).collect());
        let diff = compare(&e, &g, |e, g| expected[e] == got[g]);
        let message = counts(expected.len(), got.len(), "firing alert");
        Self { diff, ..Self::because(Some(line), check, message) }
    }

    /// Values that differ.
    pub(super) fn of_values(
        line: u64,
        check: Check,
        expected: &[(Labels, ExpectedValue)],
        got: &[(Labels, f64)],
        same: impl Fn(ExpectedValue, f64) -> bool,
    ) -> Self {
        let entry = |labels, value| Entry { labels, value, below: [].into() };
        let e: Vec<Entry<'_>> = expected.iter().map(|(l, value)| entry(l.as_ref(), describe(*value))).collect();
        let g: Vec<Entry<'_>> = got.iter().map(|(l, value)| entry(l.as_ref(), format_value(*value))).collect();
        let diff = compare(&e, &g, |e, g| same(expected[e].1, got[g].1));
        let message = counts(expected.len(), got.len(), "sample");
        Self { diff, ..Self::because(Some(line), check, message) }
    }
}

impl FiringAlert {
    fn entry(&self) -> Entry<'_> {
        let below = self.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Entry { labels: self.labels.as_ref(), value: String::new(), below }
    }
}

/// Which values are expected, in words.
fn describe(value: ExpectedValue) -> String {
    match value {
        ExpectedValue::Near(value, None) => format_value(value),
        ExpectedValue::Near(value, Some(Tolerance::Absolute(most))) => {
            format!("{} ± {}", format_value(value), format_value(most))
        }
        ExpectedValue::Near(value, Some(Tolerance::Relative(share))) => {
            format!("{} ± {}%", format_value(value), format_value(share * 100.0))
        }
        ExpectedValue::Between(min, f64::INFINITY) => format!("at least {}", format_value(min)),
        ExpectedValue::Between(f64::NEG_INFINITY, max) => format!("at most {}", format_value(max)),
        ExpectedValue::Between(min, max) => format!("from {} to {}", format_value(min), format_value(max)),
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
