//! What goes wrong with a generated series, and when: times are from the test's start.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Millis;
use crate::rules::unit_test::fields::{optional_finite, optional_span, period, span};
use crate::rules::unit_test::schema::{DurationText, NumberText, PeriodText, schema_of};

/// Something that a rule may be expected to notice.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Anomaly {
    /// Other values for a while.
    Spike(Spike),
    /// Other values from then on.
    Shift(Shift),
    /// No samples for a while.
    Dropout {
        /// Begin.
        #[serde(deserialize_with = "span")]
        #[schemars(with = "DurationText")]
        at: Millis,
        /// How long.
        #[serde(rename = "for", deserialize_with = "period")]
        #[schemars(with = "PeriodText")]
        length: Millis,
    },
    /// The counter starts anew at 0.
    Reset {
        /// When.
        #[serde(deserialize_with = "span")]
        #[schemars(with = "DurationText")]
        at: Millis,
    },
}

/// See [`Anomaly::Spike`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct Spike {
    at: Millis,
    /// None is one interval.
    length: Option<Millis>,
    effect: Effect,
}

/// See [`Anomaly::Shift`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct Shift {
    at: Millis,
    effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    Add(f64),
    Times(f64),
}

/// Other values from an instant on: either `add` or `times`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Change")]
struct Fields {
    /// Begin.
    #[serde(deserialize_with = "span")]
    #[schemars(with = "DurationText")]
    at: Millis,
    /// How long: one sample without. A shift has no end.
    #[serde(default, rename = "for", deserialize_with = "optional_span")]
    #[schemars(with = "DurationText")]
    length: Option<Millis>,
    /// Added to the values.
    #[serde(default, deserialize_with = "optional_finite")]
    #[schemars(with = "NumberText")]
    add: Option<f64>,
    /// The values are multiplied by it.
    #[serde(default, deserialize_with = "optional_finite")]
    #[schemars(with = "NumberText")]
    times: Option<f64>,
}

impl Anomaly {
    /// The value at `t`, which is `value` without it.
    pub fn change(&self, value: f64, t: Millis, interval: Millis) -> f64 {
        match self {
            Self::Spike(Spike { at, length, effect }) => {
                let is_on = (*at..at.saturating_add(length.unwrap_or(interval))).contains(&t);
                if is_on { effect.on(value) } else { value }
            }
            Self::Shift(Shift { at, effect }) if t >= *at => effect.on(value),
            _ => value,
        }
    }

    /// Whether there is no sample at `t`.
    pub fn drops(&self, t: Millis) -> bool {
        matches!(self, Self::Dropout { at, length } if (*at..at.saturating_add(*length)).contains(&t))
    }

    /// Whether a counter's sample at `t` is the first after a reset.
    pub fn resets(&self, t: Millis, interval: Millis) -> bool {
        matches!(self, Self::Reset { at } if t >= *at && t - interval < *at)
    }
}

impl Effect {
    fn on(self, value: f64) -> f64 {
        match self {
            Self::Add(add) => value + add,
            Self::Times(times) => value * times,
        }
    }
}

impl Fields {
    fn effect(&self) -> Result<Effect, String> {
        match (self.add, self.times) {
            (Some(add), None) => Ok(Effect::Add(add)),
            (None, Some(times)) => Ok(Effect::Times(times)),
            _ => {
                Err("give either add, which is added to the values, or times, which they are multiplied by".to_owned())
            }
        }
    }
}

schema_of!(Fields => Spike, Shift);

impl TryFrom<Fields> for Spike {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        Ok(Self { at: fields.at, length: fields.length, effect: fields.effect()? })
    }
}

impl TryFrom<Fields> for Shift {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        if fields.length.is_some() {
            return Err("a shift has no end; a spike has one".to_owned());
        }
        Ok(Self { at: fields.at, effect: fields.effect()? })
    }
}
