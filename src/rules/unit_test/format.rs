//! The format of test files, as promtool reads it: unknown keys are refused, everything may be left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Spanned;

use super::schema::{DurationText, ScalarText};
use super::{Notation, NotationError};
use crate::base::{Labels, Millis, parse_duration, parse_rfc3339, parse_value};
use crate::promql::{ExprError, parse_metric};

/// A test file.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Patterns of the rule files under test, from the test file's own folder.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<String>>")]
    pub rule_files: Vec<String>,
    /// Milliseconds between evaluations of every group, whatever the groups' own intervals are.
    #[serde(default = "minute", deserialize_with = "interval")]
    #[schemars(with = "DurationText")]
    pub evaluation_interval: Millis,
    /// Names of groups that are evaluated in this order.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<String>>")]
    pub group_eval_order: Vec<String>,
    /// Whether values may differ from the expected ones in the last bit.
    #[serde(default)]
    pub fuzzy_compare: bool,
    /// The tests.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<TestGroup>>")]
    pub tests: Vec<TestGroup>,
}

/// A test: series, and what is to come of them.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestGroup {
    /// Milliseconds between the samples of the series; None means the file's `evaluation_interval`.
    #[serde(default, deserialize_with = "optional_interval")]
    #[schemars(with = "DurationText")]
    pub interval: Option<Millis>,
    /// Name.
    #[serde(default)]
    #[schemars(with = "Option<ScalarText>")]
    pub name: Option<String>,
    /// The series.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<InputSeries>>")]
    pub input_series: Vec<InputSeries>,
    /// Alerts that must fire, by time.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<AlertTest>>")]
    pub alert_rule_test: Vec<AlertTest>,
    /// Expressions and their values, by time.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<ExprTest>>")]
    pub promql_expr_test: Vec<ExprTest>,
    /// `global.external_labels`, for templates.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<BTreeMap<String, ScalarText>>")]
    pub external_labels: BTreeMap<String, String>,
    /// Where the server is reached from outside, for templates.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    pub external_url: String,
    /// The instant of the first samples and evaluations, milliseconds since the Unix epoch.
    #[serde(default, deserialize_with = "instant")]
    #[schemars(with = "ScalarText")]
    pub start_timestamp: Millis,
}

/// A series.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSeries {
    /// The metric, see [`Self::labels`].
    #[schemars(with = "ScalarText")]
    pub series: Spanned<String>,
    /// The values, see [`Notation`].
    #[schemars(with = "ScalarText")]
    pub values: Spanned<String>,
}

/// Alerts of one name that must fire at one time, and no others.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertTest {
    /// Milliseconds since the start.
    #[serde(default, deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    pub eval_time: Millis,
    /// The alert's name.
    #[schemars(with = "ScalarText")]
    pub alertname: Spanned<String>,
    /// The alerts.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<ExpectedAlert>>")]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that must fire.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    /// Its labels, `alertname` left out.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<BTreeMap<String, ScalarText>>")]
    pub exp_labels: BTreeMap<String, String>,
    /// Its annotations, expanded.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<BTreeMap<String, ScalarText>>")]
    pub exp_annotations: BTreeMap<String, String>,
}

/// The value of an expression at one time.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExprTest {
    /// The expression.
    #[schemars(with = "ScalarText")]
    pub expr: Spanned<String>,
    /// Milliseconds since the start.
    #[serde(default, deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    pub eval_time: Millis,
    /// Its elements, in any order.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<ExpectedSample>>")]
    pub exp_samples: Vec<ExpectedSample>,
}

/// An element of an expression's value.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSample {
    /// The metric, see [`Self::labels`].
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    pub labels: String,
    /// The value.
    #[serde(default, deserialize_with = "value")]
    #[schemars(with = "ScalarText")]
    pub value: f64,
    /// A native histogram, which is refused when the test is run.
    #[serde(default)]
    pub histogram: Option<String>,
}

/// A test file that does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFileError {
    /// What is wrong.
    pub message: String,
    /// Line and column, from 1, where they are known.
    pub position: Option<(u64, u64)>,
}

impl TestFile {
    /// Reads a test file's text.
    ///
    /// # Errors
    /// What YAML or the format has against it.
    pub fn parse(text: &str) -> Result<Self, TestFileError> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let error = error.without_snippet();
            let position = error.location().map(|at| (at.line(), at.column()));
            let shown = error.to_string();
            // The renderer names the place at the end; it is shown in front.
            let message = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(message, _)| message).to_owned();
            TestFileError { message, position }
        })
    }
}

impl std::error::Error for TestFileError {}

/// `line:column: message`, to be put behind the file's name and a colon.
impl fmt::Display for TestFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl InputSeries {
    /// The metric.
    ///
    /// # Errors
    /// It is none, or it has no labels.
    pub fn labels(&self) -> Result<Labels, ExprError> {
        parse_metric(&self.series.value)
    }

    /// The values.
    ///
    /// # Errors
    /// See [`NotationError`].
    pub fn notation(&self) -> Result<Notation, NotationError> {
        Notation::parse(&self.values.value)
    }
}

impl ExpectedSample {
    /// The metric; no text is the metric without labels.
    ///
    /// # Errors
    /// It is none.
    pub fn labels(&self) -> Result<Labels, ExprError> {
        parse_metric(&self.labels)
    }
}

fn minute() -> Millis {
    60_000
}

/// Null is the same as nothing, as in Go.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    match Option::<String>::deserialize(from)? {
        Some(text) => parse_duration(&text).map_err(D::Error::custom),
        None => Ok(0),
    }
}

/// Zero stands for the default.
fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    Ok(optional_interval(from)?.unwrap_or_else(minute))
}

fn optional_interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Millis>, D::Error> {
    Ok(Some(span(from)?).filter(|&millis| millis > 0))
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(0) };
    let seconds = || text.parse::<f64>().ok().filter(|s| s.abs() < 1e12).map(|s| (s * 1000.0).round() as Millis);
    parse_rfc3339(&text).or_else(seconds).ok_or_else(|| {
        D::Error::custom(format!("not an instant: {text:?} (write 2026-01-31T12:00:00Z, or seconds since 1970)"))
    })
}

/// A value as PromQL, JSON or YAML (`.nan`, `.inf`) write it.
fn value<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(0.0) };
    let plain = text.replacen(".inf", "inf", 1).replacen(".Inf", "Inf", 1);
    let plain = if plain.eq_ignore_ascii_case(".nan") { "NaN" } else { &plain };
    parse_value(plain).ok_or_else(|| D::Error::custom(format!("not a value: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_reads() {
        let file = TestFile::parse(
            r#"
rule_files: [rules.yml]
evaluation_interval: 15s
group_eval_order: [b, a]
fuzzy_compare: true
tests:
  - interval: 1m
    name: first
    input_series:
      - series: 'up{job="x"}'
        values: 1
    alert_rule_test:
      - eval_time: 1h30m
        alertname: Down
        exp_alerts:
          - exp_labels: {severity: page, code: 500}
            exp_annotations: {summary: "is: down"}
          - {}
      - {eval_time: 0, alertname: Other, exp_alerts: }
    promql_expr_test:
      - expr: up
        eval_time: 59s
        exp_samples:
          - {labels: 'up{job="x"}', value: 3.96e+4}
          - {value: .nan}
          - {value: -.Inf}
          - {value: "+Inf"}
    external_labels: {cluster: eu}
    external_url: http://x/y
    start_timestamp: "2024-01-01T00:00:00Z"
  - start_timestamp: 1609459200.5
"#,
        )
        .unwrap();
        assert_eq!((file.evaluation_interval, file.fuzzy_compare, file.tests.len()), (15_000, true, 2));
        let first = &file.tests[0];
        assert_eq!(first.interval, Some(60_000));
        assert_eq!(first.input_series[0].labels().unwrap().to_string(), r#"up{job="x"}"#);
        assert_eq!(first.input_series[0].notation().unwrap().iter().count(), 1);
        assert_eq!(first.alert_rule_test[0].eval_time, 5_400_000);
        assert_eq!(first.alert_rule_test[0].exp_alerts[0].exp_labels["code"], "500");
        assert!(first.alert_rule_test[0].exp_alerts[1].exp_labels.is_empty());
        assert!(first.alert_rule_test[1].exp_alerts.is_empty());
        assert_eq!(first.alert_rule_test[0].alertname.defined.line(), 14);
        let values: Vec<String> =
            first.promql_expr_test[0].exp_samples.iter().map(|s| format!("{}", s.value)).collect();
        assert_eq!(values, ["39600", "NaN", "-inf", "inf"]);
        assert_eq!(first.start_timestamp, 1_704_067_200_000);
        assert_eq!((file.tests[1].start_timestamp, file.tests[1].interval), (1_609_459_200_500, None));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, part) in [
            ("tests:\n  - nam: x\n", "nam"),
            ("tests:\n  - interval: 5\n", "not a duration"),
            ("tests:\n  - promql_expr_test: [{expr: x, exp_samples: [{value: one}]}]\n", "not a value"),
            ("tests:\n  - start_timestamp: tomorrow\n", "not an instant"),
            ("tests:\n  - alert_rule_test: [{eval_time: 1m}]\n", "alertname"),
        ] {
            let error = TestFile::parse(text).unwrap_err();
            assert!(error.message.contains(part), "{error}");
            assert_eq!(error.position.map(|p| p.0), Some(2), "{error}");
        }
        assert!(TestFile::parse("").is_err() || TestFile::parse("").unwrap().tests.is_empty());
    }
}
