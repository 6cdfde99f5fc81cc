//! What a test expects: alerts at an instant, alerts within a while, values of expressions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Spanned;

use super::fields::{nullable, optional_value, span};
use super::schema::{DurationText, NumberText, ScalarText, schema_of};
use crate::base::{Labels, Millis, parse_value};
use crate::promql::{ExprError, parse_metric};

/// Alerts of one name that must fire at one time, and no others.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
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

/// When alerts of one name may fire and when they must. Forecasts cross a threshold when they do; a rule's test should not
/// depend on the minute.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "WindowFields")]
pub struct WindowTest {
    /// The alert's name.
    pub alertname: Spanned<String>,
    /// Alerts that have these labels are looked at, whatever others they have.
    pub labels: BTreeMap<String, String>,
    /// Begin, milliseconds since the start.
    pub from: Millis,
    /// End, itself within.
    pub to: Millis,
    /// What is expected between them.
    pub fires: Fires,
}

/// What is expected of alerts from one instant to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fires {
    /// At no evaluation does any fire.
    Never,
    /// At one evaluation at least, one fires at least.
    Sometime,
    /// The same, and none has fired before.
    First,
    /// At every evaluation one fires at least.
    Throughout,
}

/// Alerts of one name within a while.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WindowTest")]
struct WindowFields {
    /// The alert's name.
    #[schemars(with = "ScalarText")]
    alertname: Spanned<String>,
    /// Alerts that have these labels are looked at, whatever others they have.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<BTreeMap<String, ScalarText>>")]
    labels: BTreeMap<String, String>,
    /// Begin, since the start of the test.
    #[serde(default, deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    from: Millis,
    /// End, itself within.
    #[serde(deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    to: Millis,
    /// What is expected between them.
    fires: Fires,
}

schema_of!(WindowFields => WindowTest);

impl TryFrom<WindowFields> for WindowTest {
    type Error = &'static str;

    fn try_from(fields: WindowFields) -> Result<Self, Self::Error> {
        let WindowFields { alertname, labels, from, to, fires } = fields;
        if to < from { Err("to is before from") } else { Ok(Self { alertname, labels, from, to, fires }) }
    }
}

/// The value of an expression at one time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExprTest {
    /// The expression.
    #[schemars(with = "ScalarText")]
    pub expr: Spanned<String>,
    /// Milliseconds since the start.
    #[serde(default, deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    pub eval_time: Millis,
    /// How far values may be from those expected; nothing means not at all. Not in promtool.
    #[serde(default, deserialize_with = "tolerance")]
    #[schemars(with = "Option<NumberText>")]
    pub tolerance: Option<Tolerance>,
    /// Its elements, in any order.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<ExpectedSample>>")]
    pub exp_samples: Vec<ExpectedSample>,
}

/// An element of an expression's value.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "SampleFields")]
pub struct ExpectedSample {
    /// The metric, see [`Self::labels`].
    pub labels: String,
    /// The value.
    pub value: ExpectedValue,
    /// A native histogram, which is refused when the test is run.
    pub histogram: Option<String>,
}

/// Which values are as expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ExpectedValue {
    /// This one, within a tolerance of its own or, if it has none, that of its test.
    Near(f64, Option<Tolerance>),
    /// Those between two, both included. Not in promtool.
    Between(f64, f64),
}

/// How far from an expected value is near enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// So much.
    Absolute(f64),
    /// So large a share of the expected value.
    Relative(f64),
}

/// An element of an expression's value: `value`, or `min` and `max` or one of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExpectedSample")]
struct SampleFields {
    /// The metric, such as `up{job="x"}`.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    labels: String,
    /// The value; 0 where there is neither `min` nor `max`.
    #[serde(default, deserialize_with = "optional_value")]
    #[schemars(with = "Option<NumberText>")]
    value: Option<f64>,
    /// How far the value may be from that: `5%`, or a number in the value's own unit.
    #[serde(default, deserialize_with = "tolerance")]
    #[schemars(with = "Option<NumberText>")]
    tolerance: Option<Tolerance>,
    /// The least value that will do.
    #[serde(default, deserialize_with = "optional_value")]
    #[schemars(with = "Option<NumberText>")]
    min: Option<f64>,
    /// The greatest value that will do.
    #[serde(default, deserialize_with = "optional_value")]
    #[schemars(with = "Option<NumberText>")]
    max: Option<f64>,
    /// A native histogram, which is refused when the test is run.
    #[serde(default)]
    histogram: Option<String>,
}

schema_of!(SampleFields => ExpectedSample);

impl TryFrom<SampleFields> for ExpectedSample {
    type Error = &'static str;

    fn try_from(fields: SampleFields) -> Result<Self, Self::Error> {
        let value = match (fields.value, fields.min, fields.max) {
            // As in promtool, no value is zero.
            (value, None, None) => ExpectedValue::Near(value.unwrap_or(0.0), fields.tolerance),
            (Some(_), ..) => return Err("a sample has a value, or min and max, not both"),
            (None, ..) if fields.tolerance.is_some() => return Err("a tolerance is of a value; min and max need none"),
            (None, min, max) => {
                let (min, max) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
                if min.is_nan() || max.is_nan() || min > max {
                    return Err("min is above max, so that no value would do");
                }
                ExpectedValue::Between(min, max)
            }
        };
        Ok(Self { labels: fields.labels, value, histogram: fields.histogram })
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

impl Tolerance {
    /// Whether a value is near enough.
    #[must_use]
    pub fn allows(self, expected: f64, got: f64) -> bool {
        let most = match self {
            Self::Absolute(most) => most,
            Self::Relative(share) => share * expected.abs(),
        };
        (got - expected).abs() <= most
    }
}

/// `5%`, or a number in the value's own unit.
fn tolerance<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Tolerance>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let read = match text.strip_suffix('%') {
        Some(percent) => parse_value(percent.trim_end()).map(|v| Tolerance::Relative(v / 100.0)),
        None => parse_value(&text).map(Tolerance::Absolute),
    };
    let is_bound = |t: &Tolerance| {
        let (Tolerance::Absolute(v) | Tolerance::Relative(v)) = *t;
        v >= 0.0
    };
    let fault = || D::Error::custom(format!("not a tolerance: {text:?} (write 5%, or a number in the value's unit)"));
    read.filter(is_bound).map(Some).ok_or_else(fault)
}
