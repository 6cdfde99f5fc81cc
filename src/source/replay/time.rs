//! Times as recordings write them. Pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::base::{Millis, parse_rfc3339};

/// Reads RFC 3339, `YYYY-MM-DD HH:MM:SS` (taken as UTC; a `T` and fractions are fine) or Unix time.
pub(super) fn parse(text: &str) -> Option<Millis> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return unix(number);
    }
    parse_rfc3339(text).or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
    })
}

/// Unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by size: any instant from 1973 to 5138
/// reads right.
pub(super) fn unix(number: f64) -> Option<Millis> {
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
            " 2013-07-04T00:00:00.000 ",
            "1372896000",
            "1372896000.0",
            "1372896000000",
            "1372896000000000000",
        ] {
            assert_eq!(parse(text), Some(1_372_896_000_000), "{text}");
        }
        for bad in ["", "yesterday", "2013-13-01 00:00:00", "NaN", "1e300"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
