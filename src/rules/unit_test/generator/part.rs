//! What a generated series is a sum of. All times are from the test's start, as `eval_time` is.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::random::Draws;
use crate::base::Millis;
use crate::rules::unit_test::fields::{finite, optional_span, period, span};
use crate::rules::unit_test::schema::{DurationText, NumberText, PeriodText};

/// A part of the sum.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Part {
    /// Always the same.
    Constant(
        #[serde(deserialize_with = "finite")]
        #[schemars(with = "NumberText")]
        f64,
    ),
    /// A straight line, level before `from` and after `until`.
    Ramp {
        /// How much is added `per` so long a time.
        #[serde(deserialize_with = "finite")]
        #[schemars(with = "NumberText")]
        add: f64,
        /// The time.
        #[serde(deserialize_with = "period")]
        #[schemars(with = "PeriodText")]
        per: Millis,
        /// Begin; the test's without.
        #[serde(default, deserialize_with = "span")]
        #[schemars(with = "DurationText")]
        from: Millis,
        /// End; none without.
        #[serde(default, deserialize_with = "optional_span")]
        #[schemars(with = "DurationText")]
        until: Option<Millis>,
    },
    /// A cosine about zero.
    Seasonal {
        /// The highest value; the lowest is its negative.
        #[serde(deserialize_with = "finite")]
        #[schemars(with = "NumberText")]
        amplitude: f64,
        /// After this it repeats.
        #[serde(deserialize_with = "period")]
        #[schemars(with = "PeriodText")]
        period: Millis,
        /// When it is highest first.
        #[serde(default, deserialize_with = "span")]
        #[schemars(with = "DurationText")]
        peak: Millis,
    },
    /// Straight from 0 to the amplitude within each period, then back to 0 at once.
    Sawtooth {
        /// Where it ends; below 0 it falls.
        #[serde(deserialize_with = "finite")]
        #[schemars(with = "NumberText")]
        amplitude: f64,
        /// After this it repeats.
        #[serde(deserialize_with = "period")]
        #[schemars(with = "PeriodText")]
        period: Millis,
    },
    /// One value after the other, each for a while, and over again.
    Steps {
        /// The values.
        #[serde(deserialize_with = "values")]
        #[schemars(with = "Vec<NumberText>")]
        values: Vec<f64>,
        /// How long each lasts.
        #[serde(deserialize_with = "period")]
        #[schemars(with = "PeriodText")]
        every: Millis,
    },
    /// Noise of mean 0, independent from step to step.
    Noise {
        /// Standard deviation.
        #[serde(deserialize_with = "deviation")]
        #[schemars(with = "NumberText")]
        sd: f64,
        /// Degrees of freedom of Student's t, above 2; normal without.
        #[serde(default, deserialize_with = "tail")]
        #[schemars(with = "NumberText")]
        tail: Option<f64>,
    },
}

impl Part {
    /// Its value at `t`, which is the series' `step`-th.
    pub fn at(&self, t: Millis, step: i64, draws: Draws) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Ramp { add, per, from, until } => {
                let t = until.map_or(t, |until| t.min(until));
                add * ((t - from).max(0) as f64 / *per as f64)
            }
            Self::Seasonal { amplitude, period, peak } => {
                let phase = (t - peak).rem_euclid(*period) as f64 / *period as f64;
                amplitude * libm::cos(std::f64::consts::TAU * phase)
            }
            Self::Sawtooth { amplitude, period } => amplitude * (t.rem_euclid(*period) as f64 / *period as f64),
            Self::Steps { values, every } => values[((t / every) as usize) % values.len()],
            Self::Noise { sd, tail } => sd * draws.noise(step as u64, *tail),
        }
    }
}

fn values<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    #[derive(Deserialize)]
    struct Number(#[serde(deserialize_with = "finite")] f64);
    let values: Vec<Number> = Vec::deserialize(from)?;
    if values.is_empty() {
        return Err(D::Error::custom("steps need a value at least"));
    }
    Ok(values.into_iter().map(|number| number.0).collect())
}

fn deviation<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let sd = finite(from)?;
    if sd < 0.0 { Err(D::Error::custom("a standard deviation is not below zero")) } else { Ok(sd) }
}

fn tail<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let freedom = finite(from)?;
    if freedom <= 2.0 {
        return Err(D::Error::custom(
            "tail is Student's degrees of freedom and above 2, for there to be a standard deviation: 3 is heavy, 30 nearly normal",
        ));
    }
    Ok(Some(freedom))
}
