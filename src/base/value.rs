//! Sample values as text.

/// Writes a value as Go's `strconv.FormatFloat(v, 'f', -1, 64)` does in Prometheus' API: shortest that reads back, never
/// with an exponent; `NaN`, `+Inf`, `-Inf`.
#[must_use]
pub fn format_value(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        v.to_string()
    }
}

/// Reads a value as Prometheus' text formats write it: Go's float syntax, `NaN`, `Inf`, `+Inf`, `-Inf` in any case.
#[must_use]
pub fn parse_value(text: &str) -> Option<f64> {
    // Rust reads the same decimal forms; Go's hexadecimal floats and underscores do not occur on the wire.
    text.parse::<f64>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_and_write_as_go_does() {
        for (v, text) in
            [(1.0, "1"), (0.1, "0.1"), (-2.5, "-2.5"), (1e21, "1000000000000000000000"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(format_value(v), text);
            assert_eq!(parse_value(text), Some(v));
        }
        assert!(parse_value("nan").is_some_and(f64::is_nan));
        assert_eq!(parse_value("one"), None);
    }
}
