//! Series that a test describes rather than writes out: what they are made of, and what goes wrong with them when.
//!
//! At `t` after the start a generated series is
//!
//! 1. the sum of its parts;
//! 2. changed by the anomalies in force at `t`, in the order they are written in;
//! 3. held between `min` and `max`;
//! 4. for a counter, what that comes to as a rate per second from the first sample on;
//! 5. left out where `missing` or a dropout says so.
//!
//! The same description gives the same bits on every platform: chance is a pure function of seed, series and step
//! (`random.rs`), and what is beyond IEEE 754's exact operations comes from the `libm` crate.

mod anomaly;
mod part;
mod random;

use schemars::JsonSchema;
use serde::Deserialize;

use self::anomaly::Anomaly;
use self::part::Part;
use self::random::Draws;
use super::fields::{nullable, optional_finite, optional_span, share, span};
use super::schema::{DurationText, NumberText, ShareText, schema_of};
use crate::base::{LabelsRef, Millis};

/// A description of a series.
///
/// ```
/// use forewarn::base::Labels;
/// use forewarn::rules::unit_test::Generator;
/// let generator: Generator = serde_json::from_str(r#"{"sum": [{"constant": "3"}, {"ramp": {"add": "1", "per": "1m"}}]}"#).unwrap();
/// let labels = Labels::from_pairs([("__name__", "x")]);
/// let values: Vec<_> = generator.samples(labels.as_ref(), 30_000, 60_000).collect();
/// assert_eq!(values, [(0, 3.0), (30_000, 3.5), (60_000, 4.0)]);
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Generator(Fields);

/// The description of a generated series.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Generator")]
struct Fields {
    /// What it is the sum of.
    sum: Vec<Part>,
    /// What goes wrong with it.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<Vec<Anomaly>>")]
    anomalies: Vec<Anomaly>,
    /// What lies below is held here.
    #[serde(default, deserialize_with = "optional_finite")]
    #[schemars(with = "NumberText")]
    min: Option<f64>,
    /// What lies above is held here.
    #[serde(default, deserialize_with = "optional_finite")]
    #[schemars(with = "NumberText")]
    max: Option<f64>,
    /// Whether the values are a rate per second, and the series is what they come to.
    #[serde(default)]
    counter: bool,
    /// Share of the samples that are left out, at random.
    #[serde(default, deserialize_with = "share")]
    #[schemars(with = "ShareText")]
    missing: f64,
    /// Another one is another draw of all that is random.
    #[serde(default)]
    seed: u64,
    /// The first sample, since the start of the test.
    #[serde(default, deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    from: Millis,
    /// The last sample; the end of the test without.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(with = "DurationText")]
    until: Option<Millis>,
}

schema_of!(Fields => Generator);

impl TryFrom<Fields> for Generator {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        if fields.sum.is_empty() {
            return Err("a sum without parts: give one at least, such as - constant: 100".to_owned());
        }
        if fields.min.zip(fields.max).is_some_and(|(min, max)| min > max) {
            return Err("min is above max".to_owned());
        }
        if !fields.counter && fields.anomalies.iter().any(|a| matches!(a, Anomaly::Reset { .. })) {
            return Err("a reset is of counters: add counter: true".to_owned());
        }
        if fields.counter && fields.min.is_some_and(|min| min < 0.0) {
            return Err("a counter's rate is not below zero: give a min of 0 or more".to_owned());
        }
        if fields.until.is_some_and(|until| until < fields.from) {
            return Err("until is before from".to_owned());
        }
        Ok(Self(fields))
    }
}

impl Generator {
    /// The samples up to `end`, as milliseconds from the start and value, `interval` apart on multiples of it.
    pub fn samples(
        &self,
        labels: LabelsRef<'_>,
        interval: Millis,
        end: Millis,
    ) -> impl Iterator<Item = (Millis, f64)> + use<> {
        let Fields { sum, anomalies, min, max, counter, missing, seed, from, until } = self.0.clone();
        let draws = |stream: usize| Draws::new(seed, labels.as_bytes(), stream as u64);
        let parts: Vec<(Part, Draws)> = sum.into_iter().enumerate().map(|(i, part)| (part, draws(i + 1))).collect();
        let absence = draws(0);
        // A rate below zero would be a reset at every step.
        let (min, max) = (min.unwrap_or(if counter { 0.0 } else { f64::NEG_INFINITY }), max.unwrap_or(f64::INFINITY));
        let seconds = interval as f64 / 1000.0;
        let first = from.div_euclid(interval) + i64::from(from.rem_euclid(interval) > 0);
        let last = until.map_or(end, |until| until.min(end)) / interval;
        let mut total: Option<f64> = None;
        (first..=last).filter_map(move |step| {
            let t = step * interval;
            let sum = parts.iter().fold(0.0, |sum, (part, draws)| sum + part.at(t, step, *draws));
            let changed = anomalies.iter().fold(sum, |value, anomaly| anomaly.change(value, t, interval));
            let mut value = changed.max(min).min(max);
            if counter {
                let is_reset = anomalies.iter().any(|anomaly| anomaly.resets(t, interval));
                value = total.filter(|_| !is_reset).map_or(0.0, |total| total + value * seconds);
                total = Some(value);
            }
            let is_absent = anomalies.iter().any(|anomaly| anomaly.drops(t))
                || (missing > 0.0 && absence.uniform(step as u64, 0) <= missing);
            (!is_absent).then_some((t, value))
        })
    }
}

#[cfg(test)]
mod tests;
