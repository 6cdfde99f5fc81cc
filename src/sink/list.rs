//! `sinks` in `forewarn.yml`: a list of sinks, or the words `log only`.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SinkConfig;

/// What is written instead of a list for a dry run.
const LOG_ONLY: &str = "log only";

/// The sinks beside the Alertmanagers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sinks {
    /// `log only`: what receivers would be told is logged, and nobody is told, the Alertmanagers neither.
    LogOnly,
    /// These.
    Each(Vec<SinkConfig>),
}

impl Default for Sinks {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Sinks {
    /// Whether nobody is to be told.
    #[must_use]
    pub fn is_log_only(&self) -> bool {
        matches!(self, Self::LogOnly)
    }

    /// The sinks.
    pub fn iter(&self) -> std::slice::Iter<'_, SinkConfig> {
        match self {
            Self::LogOnly => [].iter(),
            Self::Each(list) => list.iter(),
        }
    }

    /// The sinks, to be changed.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, SinkConfig> {
        match self {
            Self::LogOnly => [].iter_mut(),
            Self::Each(list) => list.iter_mut(),
        }
    }
}

impl Serialize for Sinks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::LogOnly => serializer.serialize_str(LOG_ONLY),
            Self::Each(list) => list.serialize(serializer),
        }
    }
}

// By hand: an untagged enum would not say what is wrong with a sink, nor in which line.
impl<'de> Deserialize<'de> for Sinks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Sinks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of sinks, or the words {LOG_ONLY:?}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Sinks, E> {
                match text == LOG_ONLY {
                    true => Ok(Sinks::LogOnly),
                    false => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Sinks, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Sinks::Each)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl schemars::JsonSchema for Sinks {
    fn schema_name() -> Cow<'static, str> {
        "Sinks".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let list = generator.subschema_for::<Vec<SinkConfig>>();
        schemars::json_schema!({
            "description": "A list of sinks, or the words \"log only\": what receivers would be told is logged, and nobody is told.",
            "anyOf": [list, {"const": LOG_ONLY}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_or_two_words() {
        let read = |yaml: &str| serde_saphyr::from_str::<Sinks>(yaml).map_err(|e| e.to_string());
        assert_eq!(read("log only").unwrap(), Sinks::LogOnly);
        assert_eq!(read("[stdout: {}]").unwrap().iter().count(), 1);
        assert_eq!(serde_json::to_string(&Sinks::LogOnly).unwrap(), "\"log only\"");
        let error = read("log").unwrap_err();
        assert!(error.contains("a list of sinks, or the words \"log only\""), "{error}");
        let error = read("- stdout: {}\n- webhook:\n    uri: x\n").unwrap_err();
        assert!(error.contains("uri") && error.contains("line 3"), "{error}");
    }
}
