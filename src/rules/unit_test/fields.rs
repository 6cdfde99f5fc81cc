//! Values of fields as test files write them: spans, instants, numbers, shares. Each says what it would have taken.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::base::{Millis, parse_duration, parse_rfc3339, parse_value};

/// Null is the same as nothing, as in Go.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Names, each of them once.
pub(super) fn distinct<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let names: Vec<String> = nullable(from)?;
    match names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        Some((_, name)) => Err(D::Error::custom(format!("{name} is named twice"))),
        None => Ok(names),
    }
}

/// Zero stands for the default.
pub(super) fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    Ok(optional_interval(from)?.unwrap_or(60_000))
}

pub(super) fn optional_interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Millis>, D::Error> {
    Ok(Some(span(from)?).filter(|&millis| millis > 0))
}

pub(super) fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    Ok(optional_span(from)?.unwrap_or(0))
}

pub(super) fn optional_span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Millis>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    parse_duration(&text).map(Some).map_err(D::Error::custom)
}

/// A span that something repeats after.
pub(super) fn period<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    match span(from)? {
        0 => Err(D::Error::custom("a duration above zero is needed here, such as 1d")),
        span => Ok(span),
    }
}

/// RFC 3339, or seconds since 1970.
pub(super) fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(0) };
    parse_instant(&text).ok_or_else(|| {
        D::Error::custom(format!("not an instant: {text:?} (write 2026-01-31T12:00:00Z, or seconds since 1970)"))
    })
}

/// RFC 3339, or seconds since 1970.
pub(super) fn parse_instant(text: &str) -> Option<Millis> {
    let seconds = || text.parse::<f64>().ok().filter(|s| s.abs() < 1e12).map(|s| (s * 1000.0).round() as Millis);
    parse_rfc3339(text).or_else(seconds)
}

/// A value as PromQL, JSON or YAML (`.nan`, `.inf`) write it.
pub(super) fn optional_value<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let plain = text.replacen(".inf", "inf", 1).replacen(".Inf", "Inf", 1);
    let plain = if plain.eq_ignore_ascii_case(".nan") { "NaN" } else { &plain };
    parse_value(plain).map(Some).ok_or_else(|| D::Error::custom(format!("not a value: {text:?}")))
}

/// A number that sums can be made of.
pub(super) fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let text = String::deserialize(from)?;
    let number = parse_value(&text).filter(|v| v.is_finite());
    number.ok_or_else(|| D::Error::custom(format!("not a finite number: {text:?}")))
}

pub(super) fn optional_finite<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    finite(from).map(Some)
}

/// `2%`, or 0.02.
pub(super) fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let text = String::deserialize(from)?;
    let number = match text.strip_suffix('%') {
        Some(percent) => parse_value(percent.trim_end()).map(|v| v / 100.0),
        None => parse_value(&text),
    };
    let share = number.filter(|v| (0.0..=1.0).contains(v));
    share.ok_or_else(|| D::Error::custom(format!("not a share: {text:?} (write 2%, or 0.02)")))
}
