//! A series that a test begins with: its labels, and where its values come from.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Generator;
use super::fields::nullable;
use super::schema::{ScalarText, schema_of};
use crate::base::Labels;
use crate::promql::{ExprError, parse_metric};

/// A series.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub struct InputSeries {
    /// The metric, see [`Self::labels`].
    pub series: Spanned<String>,
    /// Its values.
    pub values: SeriesValues,
}

/// Where the values of a series come from.
#[derive(Clone, Debug)]
pub enum SeriesValues {
    /// Written out in the [`Notation`](super::Notation).
    Notation(Spanned<String>),
    /// A [`Recording`](super::Recording): the file's path, from the test file's folder. Not in promtool.
    File(Spanned<String>),
    /// Generated. Not in promtool.
    Generated(Box<Generator>),
}

/// A series: `values`, `file` or `generate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InputSeries")]
struct Fields {
    /// The metric, such as `up{job="x"}`.
    #[schemars(with = "ScalarText")]
    series: Spanned<String>,
    /// The values, one `interval` apart, such as `1 2 _ 3+1x10 stale`.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<ScalarText>")]
    values: Option<Spanned<String>>,
    /// A CSV file of times and values, from the test file's folder. Not in promtool.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<ScalarText>")]
    file: Option<Spanned<String>>,
    /// What the values are made of. Not in promtool.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Generator>")]
    generate: Option<Box<Generator>>,
}

schema_of!(Fields => InputSeries);

impl TryFrom<Fields> for InputSeries {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let values = match (fields.values, fields.file, fields.generate) {
            (Some(values), None, None) => SeriesValues::Notation(values),
            (None, Some(file), None) => SeriesValues::File(file),
            (None, None, Some(generate)) => SeriesValues::Generated(generate),
            (None, None, None) => return Err("a series without values: give it values, file or generate"),
            _ => return Err("a series has values or file or generate, not several of them"),
        };
        Ok(Self { series: fields.series, values })
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

    /// The file its values are in, if it is given by one.
    #[must_use]
    pub fn file(&self) -> Option<&Spanned<String>> {
        match &self.values {
            SeriesValues::File(path) => Some(path),
            _ => None,
        }
    }
}
