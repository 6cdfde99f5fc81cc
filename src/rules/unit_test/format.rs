//! The format of test files: promtool's, with additions. Unknown keys are refused, everything may be left out.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{distinct, instant, interval, nullable, optional_interval};
use super::schema::{DurationText, ScalarText};
use super::{AlertTest, ExprTest, InputSeries, WindowTest};
use crate::base::Millis;

/// A test file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
    #[serde(default, deserialize_with = "distinct")]
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
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
    /// Alerts that must fire, or not, within a while. Not in promtool.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<WindowTest>>")]
    pub alert_window_test: Vec<WindowTest>,
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

fn minute() -> Millis {
    60_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::unit_test::{ExpectedValue, Fires, SeriesValues, Tolerance};

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
        assert!(matches!(&first.input_series[0].values, SeriesValues::Notation(values) if values.value == "1"));
        assert_eq!(first.alert_rule_test[0].eval_time, 5_400_000);
        assert_eq!(first.alert_rule_test[0].exp_alerts[0].exp_labels["code"], "500");
        assert!(first.alert_rule_test[0].exp_alerts[1].exp_labels.is_empty());
        assert!(first.alert_rule_test[1].exp_alerts.is_empty());
        assert_eq!(first.alert_rule_test[0].alertname.defined.line(), 14);
        let values: Vec<String> =
            first.promql_expr_test[0].exp_samples.iter().map(|s| format!("{:?}", s.value)).collect();
        assert_eq!(values, ["Near(39600.0, None)", "Near(NaN, None)", "Near(-inf, None)", "Near(inf, None)"]);
        assert_eq!(first.start_timestamp, 1_704_067_200_000);
        assert_eq!((file.tests[1].start_timestamp, file.tests[1].interval), (1_609_459_200_500, None));
    }

    #[test]
    fn what_promtool_does_not_know_reads() {
        let file = TestFile::parse(
            r"
tests:
  - input_series:
      - {series: a, file: a.csv}
      - series: b
        generate:
          sum: [constant: 5, noise: {sd: 1, tail: 3}]
          missing: 2%
    alert_window_test:
      - {alertname: Full, labels: {disk: a}, from: 1d, to: 2d, fires: first}
    promql_expr_test:
      - expr: a
        tolerance: 5%
        exp_samples: [{value: 3, tolerance: 0.5}, {min: 1, max: 2}, {min: 7}, {value: 4}]
",
        )
        .unwrap();
        let test = &file.tests[0];
        assert_eq!(test.input_series[0].file().unwrap().value, "a.csv");
        assert!(matches!(test.input_series[1].values, SeriesValues::Generated(_)));
        let window = &test.alert_window_test[0];
        assert_eq!((window.from, window.to, window.fires), (86_400_000, 172_800_000, Fires::First));
        assert_eq!(test.promql_expr_test[0].tolerance, Some(Tolerance::Relative(0.05)));
        let values: Vec<ExpectedValue> = test.promql_expr_test[0].exp_samples.iter().map(|s| s.value).collect();
        assert_eq!(
            values,
            [
                ExpectedValue::Near(3.0, Some(Tolerance::Absolute(0.5))),
                ExpectedValue::Between(1.0, 2.0),
                ExpectedValue::Between(7.0, f64::INFINITY),
                ExpectedValue::Near(4.0, None),
            ]
        );
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let series = |rest: &str| format!("tests:\n  - input_series: [{{series: x, {rest}}}]\n");
        let generated = |rest: &str| series(&format!("generate: {{{rest}}}"));
        let window = |rest: &str| format!("tests:\n  - alert_window_test: [{{alertname: A, {rest}}}]\n");
        let sample = |rest: &str| format!("tests:\n  - promql_expr_test: [{{expr: x, exp_samples: [{{{rest}}}]}}]\n");
        for (text, part) in [
            ("tests:\n  - nam: x\n".to_owned(), "unknown field `nam`"),
            ("tests:\n  - interval: 5\n".to_owned(), "not a duration"),
            ("\ngroup_eval_order: [a, b, a]\n".to_owned(), "a is named twice"),
            ("tests:\n  - start_timestamp: tomorrow\n".to_owned(), "not an instant"),
            ("tests:\n  - alert_rule_test: [{eval_time: 1m}]\n".to_owned(), "alertname"),
            ("tests:\n  - promql_expr_test: [{expr: x, tolerance: a lot}]\n".to_owned(), "not a tolerance"),
            ("tests:\n  - promql_expr_test: [{expr: x, tolerance: -1%}]\n".to_owned(), "not a tolerance"),
            (sample("value: one"), "not a value"),
            (sample("value: 1, min: 0"), "not both"),
            (sample("min: 2, max: 1"), "min is above max"),
            (sample("min: 2, tolerance: 1"), "min and max need none"),
            (window("to: 1h"), "fires"),
            (window("fires: never"), "missing field `to`"),
            (window("to: 1h, fires: often"), "never"),
            (window("from: 2h, to: 1h, fires: never"), "to is before from"),
            (series("labels: y"), "unknown field `labels`"),
            ("tests:\n  - input_series: [{series: x}]\n".to_owned(), "give it values, file or generate"),
            (series("values: 1, file: x.csv"), "not several of them"),
            (series("generate: seasonal"), ""),
            (generated("sum: []"), "a sum without parts"),
            (generated("min: 0"), "missing field `sum`"),
            (generated("sum: [wave: {}]"), "wave"),
            (generated("sum: [constant: much]"), "not a finite number: \"much\""),
            (generated("sum: [constant: .inf]"), "not a finite number"),
            (generated("sum: [seasonal: {amplitude: 1}]"), "period"),
            (generated("sum: [seasonal: {amplitude: 1, period: 0s}]"), "above zero"),
            (generated("sum: [seasonal: {amplitude: 1, period: 1d, phase: 3}]"), "unknown field `phase`"),
            (generated("sum: [ramp: {add: 1, per: day}]"), "not a duration"),
            (generated("sum: [steps: {values: [], every: 1h}]"), "a value at least"),
            (generated("sum: [noise: {sd: -1}]"), "not below zero"),
            (generated("sum: [noise: {sd: 1, tail: 2}]"), "above 2"),
            (generated("sum: [constant: 1], min: 2, max: 1"), "min is above max"),
            (generated("sum: [constant: 1], missing: 200%"), "not a share"),
            (generated("sum: [constant: 1], counter: true, min: -1"), "a counter's rate is not below zero"),
            (generated("sum: [constant: 1], from: 2h, until: 1h"), "until is before from"),
            (generated("sum: [constant: 1], anomalies: [spike: {at: 1h}]"), "either add"),
            (generated("sum: [constant: 1], anomalies: [spike: {at: 1h, add: 1, times: 2}]"), "either add"),
            (generated("sum: [constant: 1], anomalies: [shift: {at: 1h, for: 1h, add: 1}]"), "a shift has no end"),
            (generated("sum: [constant: 1], anomalies: [dropout: {at: 1h}]"), "for"),
            (generated("sum: [constant: 1], anomalies: [reset: {at: 1h}]"), "add counter: true"),
            (generated("sum: [constant: 1], seed: x"), ""),
        ] {
            let error = TestFile::parse(&text).unwrap_err();
            assert!(error.message.contains(part), "{text}: {error}");
            assert_eq!(error.position.map(|p| p.0), Some(2), "{text}: {error}");
        }
        assert!(TestFile::parse("").unwrap().tests.is_empty(), "as in promtool");
    }
}
