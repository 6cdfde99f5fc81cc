//! Instants as people and recordings write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Millis, parse_rfc3339};

/// Reads RFC 3339, `YYYY-MM-DD HH:MM:SS` (taken as UTC; a `T`, fractions, or a day alone are fine) or Unix time.
#[must_use]
pub fn parse_instant(text: &str) -> Option<Millis> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return unix_instant(number);
    }
    parse_rfc3339(text).or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
    })
}

/// Unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by size: any instant from 1973 to 5138
/// reads right.
#[must_use]
pub fn unix_instant(number: f64) -> Option<Millis> {
    let millis = match number.abs() {
        n if n < 1e11 => number * 1e3,
        n if n < 1e14 => number,
        n if n < 1e17 => number / 1e3,
        n if n < 1e20 => number / 1e6,
        _ => return None,
    };
    Some(millis.round() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_instant() {
        for text in [
            "2013-07-04T00:00:00Z",
            "2013-07-04T02:00:00+02:00",
            "2013-07-04 00:00:00",
            "2013-07-04",
            " 2013-07-04T00:00:00.000 ",
            "1372896000",
            "1372896000.0",
            "1372896000000",
            "1372896000000000000",
        ] {
            assert_eq!(parse_instant(text), Some(1_372_896_000_000), "{text}");
        }
        for bad in ["", "yesterday", "2013-13-01 00:00:00", "NaN", "1e300"] {
            assert_eq!(parse_instant(bad), None, "{bad}");
        }
    }
}
