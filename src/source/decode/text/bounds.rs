//! One spelling for the bounds in `le` and `quantile` labels: OpenMetrics' canonical numbers.

use std::borrow::Cow;

/// Rewrites a number as Go's `strconv.FormatFloat(v, 'g', -1, 64)` with `.0` added to whole numbers does
/// (prometheus/prometheus `model/labels/float.go`); what is no number stays.
pub(super) fn normalise(text: &mut Cow<'_, str>) {
    let Ok(v) = text.parse::<f64>() else { return };
    let canonical = format(v);
    if canonical != *text {
        *text = Cow::Owned(canonical);
    }
}

fn format(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // Shortest digits in scientific form: `1.5e6`, `1e-7`.
    let scientific = format!("{v:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go's 'g' with shortest precision takes the exponent form below 1e-4 and from 1e6 on.
    if !(-4..6).contains(&exponent) && v != 0.0 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = v.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelled_as_prometheus_does() {
        for (text, canonical) in [
            ("1", "1.0"),
            ("1.0", "1.0"),
            ("0.10", "0.1"),
            ("1e6", "1e+06"),
            ("1000000", "1e+06"),
            ("0.00001", "1e-05"),
            ("+Inf", "+Inf"),
            ("inf", "+Inf"),
            ("100000", "100000.0"),
            ("1.5e+22", "1.5e+22"),
            ("0", "0.0"),
            ("abc", "abc"),
        ] {
            let mut value = Cow::Borrowed(text);
            normalise(&mut value);
            assert_eq!(value, canonical, "{text}");
        }
    }
}
