//! Time as the engine knows it: milliseconds of event time, handed in and never read from a clock.

use std::fmt::Write as _;

use jiff::Timestamp;

/// Milliseconds: an instant since the Unix epoch, or a span.
pub type Millis = i64;

/// A duration that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a duration: {0:?} (write it like 5m, 1h30m or 15s; units ms, s, m, h, d, w, y, largest first; at most 292 years)"
)]
pub struct DurationError(pub String);

/// The longest span that can be written, 292 years: as in Prometheus what 63 bits of nanoseconds hold. Sums of some of them
/// are far from overflowing.
pub const LONGEST_SPAN: Millis = i64::MAX / 1_000_000;

/// The instants that samples can have, `-FAR..=FAR`: exact as a float, and with spans added far from overflowing.
pub const FAR: Millis = 1 << 53;

const UNITS: [(&str, Millis); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// What durations look like, as a regular expression for editors; what it takes beside the empty text,
/// [`parse_duration`] takes too, up to the longest.
pub const DURATION_PATTERN: &str = "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$";

/// Parses a duration as Prometheus writes it: `1h30m`, `15s`, `0`.
///
/// # Errors
/// Anything else, units out of order or repeated, or more than 292 years.
pub fn parse_duration(text: &str) -> Result<Millis, DurationError> {
    let fault = || DurationError(text.to_owned());
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut total, mut next_unit) = (text, 0i64, 0usize);
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
        let number: i64 = rest[..digits].parse().map_err(|_| fault())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters]).ok_or_else(fault)?;
        if unit < next_unit {
            return Err(fault());
        }
        next_unit = unit + 1;
        total = number.checked_mul(UNITS[unit].1).and_then(|n| total.checked_add(n)).ok_or_else(fault)?;
        rest = &rest[letters..];
    }
    if total > LONGEST_SPAN { Err(fault()) } else { Ok(total) }
}

/// Writes a span as Prometheus does: `1h30m`, `15s`, `0s`; weeks and years only where they are whole.
#[must_use]
pub fn format_duration(span: Millis) -> String {
    if span == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if span < 0 {
        out.push('-');
    }
    let mut rest = span.unsigned_abs();
    for (name, size) in UNITS {
        let size = size.unsigned_abs();
        let whole_only = matches!(name, "y" | "w");
        if rest >= size && (!whole_only || rest.is_multiple_of(size)) {
            let _ = write!(out, "{}{name}", rest / size);
            rest %= size;
        }
    }
    out
}

/// Writes an instant as RFC 3339 in UTC with milliseconds, `2026-11-22T17:44:32.000Z`; what no calendar holds is written as a number.
#[must_use]
pub fn format_rfc3339(t: Millis) -> String {
    match Timestamp::from_millisecond(t) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => t.to_string(),
    }
}

/// Reads an RFC 3339 instant.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_as_in_prometheus() {
        for (text, millis) in
            [("5m", 300_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("100ms", 100), ("1w", 604_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(millis));
            assert_eq!(format_duration(millis), text);
        }
        assert_eq!(parse_duration("0"), Ok(0));
        assert_eq!(parse_duration("292y171d"), Ok(106_751 * 86_400_000));
        assert_eq!(format_duration(8 * 86_400_000), "8d");
        for bad in ["", "5", "m", "5m1h", "5m5m", "1.5h", "-5m", "99999999999y", "292y172d", "293y", "292471208y"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_round_trip() {
        assert_eq!(format_rfc3339(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01.500Z"), Some(1_500));
    }
}
