//! Which lints there are, which of them are on, and what they assume.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::base::Millis;

/// A doubt about a rule that is accepted all the same. docs/lints.md says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Lint {
    RangeTooShort,
    BlindRange,
    NeverTrue,
    NeverMatches,
    ContradictoryMatchers,
    AlwaysFires,
    NoCondition,
    IrateInAlert,
    ExtrapolatedEquality,
    RateOfGauge,
    GaugeFunctionOfCounter,
    RawCounter,
    RateOfAggregate,
    ValueInLabel,
    LabelDropped,
    BucketsDropped,
    QuantileRange,
    ForecastWithoutGate,
    ForecastHorizon,
    PlainRegex,
    RedundantAnchor,
    EmptyAlternative,
    UselessMatcher,
    DashboardVariable,
    UnknownLint,
    ForLongerThanRange,
    CounterName,
    RecordingRuleName,
    MissingSeverity,
    MissingSummary,
}

use Lint as L;

/// Every lint with its code, and whether it is on unless switched off.
const TABLE: [(Lint, &str, bool); 30] = [
    (L::RangeTooShort, "range-too-short", true),
    (L::BlindRange, "blind-range", true),
    (L::NeverTrue, "never-true", true),
    (L::NeverMatches, "never-matches", true),
    (L::ContradictoryMatchers, "contradictory-matchers", true),
    (L::AlwaysFires, "always-fires", true),
    (L::NoCondition, "no-condition", true),
    (L::IrateInAlert, "irate-in-alert", true),
    (L::ExtrapolatedEquality, "extrapolated-equality", true),
    (L::RateOfGauge, "rate-of-gauge", true),
    (L::GaugeFunctionOfCounter, "gauge-function-of-counter", true),
    (L::RawCounter, "raw-counter", true),
    (L::RateOfAggregate, "rate-of-aggregate", true),
    (L::ValueInLabel, "value-in-label", true),
    (L::LabelDropped, "label-dropped", true),
    (L::BucketsDropped, "buckets-dropped", true),
    (L::QuantileRange, "quantile-range", true),
    (L::ForecastWithoutGate, "forecast-without-gate", true),
    (L::ForecastHorizon, "forecast-horizon", true),
    (L::PlainRegex, "plain-regex", true),
    (L::RedundantAnchor, "redundant-anchor", true),
    (L::EmptyAlternative, "empty-alternative", true),
    (L::UselessMatcher, "useless-matcher", true),
    (L::DashboardVariable, "dashboard-variable", true),
    (L::UnknownLint, "unknown-lint", true),
    (L::ForLongerThanRange, "for-longer-than-range", false),
    (L::CounterName, "counter-name", false),
    (L::RecordingRuleName, "recording-rule-name", false),
    (L::MissingSeverity, "missing-severity", false),
    (L::MissingSummary, "missing-summary", false),
];

impl Lint {
    /// All lints.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.into_iter().map(|(lint, _, _)| lint)
    }

    /// The code by which it is shown, switched off and looked up.
    #[must_use]
    pub fn code(self) -> &'static str {
        TABLE.iter().find(|(lint, _, _)| *lint == self).map_or("", |(_, code, _)| code)
    }

    /// Whether it is on unless switched off.
    #[must_use]
    pub fn is_default(self) -> bool {
        TABLE.iter().any(|(lint, _, on)| *lint == self && *on)
    }

    /// The section of docs/lints.md about it.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        let docs = include_str!("../../../docs/lints.md");
        let heading = format!("\n### {}\n", self.code());
        let section = docs.find(&heading).map_or("", |at| &docs[at + heading.len()..]);
        section[..section.find("\n##").unwrap_or(section.len())].trim()
    }
}

/// No lint has this code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no lint {code}{}", nearest.map(|n| format!("; did you mean {}?", n.code())).unwrap_or_default())]
pub struct UnknownLint {
    code: String,
    nearest: Option<Lint>,
}

impl FromStr for Lint {
    type Err = UnknownLint;

    fn from_str(code: &str) -> Result<Self, UnknownLint> {
        let found = TABLE.iter().find(|(_, known, _)| *known == code).map(|(lint, _, _)| *lint);
        found.ok_or_else(|| {
            let nearest = crate::base::nearest(code, TABLE.iter().map(|(_, known, _)| *known));
            UnknownLint { code: code.to_owned(), nearest: nearest.and_then(|n| n.parse().ok()) }
        })
    }
}

/// Which lints are on, and what is known of the system whose rules they judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintOptions {
    /// Lints that are on.
    pub on: BTreeSet<Lint>,
    /// Milliseconds between two samples of a series.
    pub scrape_interval: Millis,
    /// Milliseconds between evaluations of groups, and steps of subqueries, that do not say otherwise.
    pub evaluation_interval: Millis,
    /// Names of the profiles that predictive functions can ask for; None where it is not known which there will be.
    pub profiles: Option<BTreeSet<String>>,
}

impl Default for LintOptions {
    fn default() -> Self {
        let on = Lint::all().filter(|lint| lint.is_default()).collect();
        Self { on, scrape_interval: 15_000, evaluation_interval: 15_000, profiles: None }
    }
}

impl LintOptions {
    /// What is worth a word whenever rules are loaded, and not only when somebody asks for a check.
    #[must_use]
    pub fn when_loading() -> Self {
        Self { on: [Lint::ValueInLabel].into(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lint_has_a_code_and_an_explanation() {
        let codes: BTreeSet<&str> = Lint::all().map(Lint::code).collect();
        assert_eq!(codes.len(), TABLE.len());
        for lint in Lint::all() {
            assert_eq!(lint.code().parse(), Ok(lint));
            assert!(lint.explanation().len() > 80, "docs/lints.md says nothing of {}", lint.code());
        }
        let error = Lint::from_str("rate-of-gaueg").unwrap_err();
        assert_eq!(error.to_string(), "there is no lint rate-of-gaueg; did you mean rate-of-gauge?");
        assert_eq!(Lint::from_str("x").unwrap_err().to_string(), "there is no lint x");
    }
}
