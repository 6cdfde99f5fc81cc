//! Prometheus' functions that make numbers readable. Formulas and units: prometheus/prometheus `template/template.go` and
//! prometheus/common `helpers/templates`; each shows four significant digits.

use super::clock::{format_time, to_time};
use super::float::general;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const LARGE_1024: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// `1234567` is `1.235M`, `0.12` is `120m`.
pub(super) fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return digits(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 { divide(v, 1000.0, &LARGE) } else { multiply(v) };
    format!("{}{prefix}", digits(v))
}

/// `1048576` is `1Mi`.
pub(super) fn humanize1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return digits(v);
    }
    let (v, prefix) = divide(v, 1024.0, &LARGE_1024);
    format!("{}{prefix}", digits(v))
}

/// Seconds: `90061` is `1d 1h 1m 1s`, `0.1` is `100ms`.
pub(super) fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return digits(v);
    }
    if v == 0.0 {
        return format!("{}s", digits(v));
    }
    if v.abs() < 1.0 {
        let (v, prefix) = multiply(v);
        return format!("{}{prefix}s", digits(v));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let whole = v.abs() as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86_400);
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", digits(v.abs()))
    }
}

/// `0.1234` is `12.34%`.
pub(super) fn humanize_percentage(v: f64) -> String {
    format!("{}%", digits(v * 100.0))
}

/// Seconds since the epoch: `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn humanize_timestamp(v: f64) -> Result<String, String> {
    if v.is_finite() { to_time(v).map(format_time) } else { Ok(digits(v)) }
}

fn digits(v: f64) -> String {
    general(v, Some(4))
}

fn divide(mut v: f64, step: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for p in prefixes {
        if v.abs() < step {
            break;
        }
        prefix = p;
        v /= step;
    }
    (v, prefix)
}

fn multiply(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for p in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = p;
        v *= 1000.0;
    }
    (v, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results in Prometheus' own template tests, and what promtool 3.5 prints.
    #[test]
    fn numbers_read_as_in_prometheus() {
        let each = |f: fn(f64) -> String, inputs: &[f64]| inputs.iter().map(|&v| f(v)).collect::<Vec<_>>().join(":");
        assert_eq!(each(humanize, &[0.0, 1.0, 1_234_567.0, 0.12]), "0:1:1.235M:120m");
        assert_eq!(each(humanize, &[-0.5, 1e-8, 999.99, 999_999.0, 1e30, 1e-30]), "-500m:10n:1000:1000k:1e+06Y:1e-06y");
        assert_eq!(each(humanize1024, &[0.0, 1.0, 1_048_576.0, 0.12, -2048.0]), "0:1:1Mi:0.12:-2ki");
        let two_days = f64::from(86_400 * 2 + 3600 * 3 + 60 * 4 + 5);
        assert_eq!(
            each(humanize_duration, &[0.0, 1.0, 60.0, 3600.0, 86_400.0, 90_000.0, -two_days, 899.99]),
            "0s:1s:1m 0s:1h 0m 0s:1d 0h 0m 0s:1d 1h 0m 0s:-2d 3h 4m 5s:14m 59s"
        );
        assert_eq!(
            each(humanize_duration, &[0.1, 0.0001, 0.12345, 60.1, 60.5, 1.2345, 12.345]),
            "100ms:100us:123.5ms:1m 0s:1m 0s:1.234s:12.35s"
        );
        assert_eq!(each(humanize_percentage, &[-0.22222, 0.0, 0.1234567, 1.23456]), "-22.22%:0%:12.35%:123.5%");
        let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        for f in [humanize, humanize1024, humanize_duration, |v| humanize_timestamp(v).unwrap()] {
            assert_eq!(each(f, &special), "+Inf:-Inf:NaN");
        }
        assert_eq!(humanize_timestamp(1_435_065_584.128).unwrap(), "2015-06-23 13:19:44.128 +0000 UTC");
        assert!(humanize_timestamp(1e300).unwrap_err().contains("overflows int64"));
    }
}
