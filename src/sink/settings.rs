//! Pieces that the sinks' settings share.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

use crate::base::{Millis, format_duration, parse_duration};

/// Reads a duration as Prometheus writes it, above zero.
pub(super) fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let millis = parse_duration(&text).map_err(serde::de::Error::custom)?;
    match u64::try_from(millis) {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(serde::de::Error::custom(format!("the duration {text:?} must be above zero"))),
    }
}

pub(super) fn write_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)))
}
