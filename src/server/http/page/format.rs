//! Numbers and times as people read them. Pure.

use super::html::Html;
use crate::base::{LabelsRef, METRIC_NAME, Millis, format_rfc3339, format_value};

/// `3d 4h`, `12m 5s`, `8s`: the two largest units.
pub(super) fn span(span: Millis) -> String {
    let seconds = span.unsigned_abs() / 1_000;
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut parts = vec![format!("{}{}", seconds / units[first].1, units[first].0)];
    if let Some((name, size)) = units.get(first + 1) {
        let next = seconds % units[first].1 / size;
        if next > 0 {
            parts.push(format!("{next}{name}"));
        }
    }
    parts.join(" ")
}

/// An instant, relative to now, with the instant itself for those who point at it.
pub(super) fn instant(html: &mut Html, t: Millis, now: Millis) {
    let exact = format_rfc3339(t);
    html.raw("<time datetime=\"").text(&exact).raw("\" title=\"").text(&exact).raw("\">");
    let distance = now.saturating_sub(t);
    if distance.unsigned_abs() < 1_000 {
        html.raw("now");
    } else if distance > 0 {
        html.text(span(distance)).raw(" ago");
    } else {
        html.raw("in ").text(span(distance));
    }
    html.raw("</time>");
}

/// `1,234,567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `12.3 MiB`.
pub(super) fn bytes(n: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut name = "B";
    for unit in units {
        if value < 1024.0 {
            break;
        }
        (value, name) = (value / 1024.0, unit);
    }
    if name == "B" { format!("{n} B") } else { format!("{value:.1} {name}") }
}

/// Four significant digits or so, large values with SI prefixes; whole numbers below a million as they are.
pub(super) fn value(v: f64) -> String {
    const PREFIXES: [(f64, &str); 5] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1.0, "")];
    let size = v.abs();
    if !v.is_finite() || (v.fract() == 0.0 && size < 1e6) {
        return format_value(v);
    }
    if !(1e-3..1e18).contains(&size) {
        return format!("{v:.3e}");
    }
    let (unit, prefix) = PREFIXES.into_iter().find(|(unit, _)| size >= *unit).unwrap_or((1.0, ""));
    let decimals = (3.0 - (size / unit).log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{:.decimals$}", v / unit);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{prefix}")
}

/// Labels one by one, but for the alert's name.
pub(super) fn labels(html: &mut Html, labels: LabelsRef<'_>) {
    html.raw("<span class=\"labels\">");
    for (name, value) in labels.iter().filter(|(name, _)| *name != "alertname" && *name != METRIC_NAME) {
        html.raw("<span class=\"label\"><i>").text(name).raw("</i>=").text(value).raw("</span> ");
    }
    html.raw("</span>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_counts_and_bytes() {
        for (millis, text) in [(0, "0s"), (59_999, "59s"), (-61_000, "1m 1s"), (7_200_000, "2h"), (90_061_000, "1d 1h")]
        {
            assert_eq!(span(millis), text);
        }
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((bytes(1_023), bytes(1_536), bytes(3 << 30)), ("1023 B".into(), "1.5 KiB".into(), "3.0 GiB".into()));
    }

    #[test]
    fn values_keep_what_tells_them_apart() {
        for (v, text) in [
            (42.0, "42"),
            (0.123_456, "0.1235"),
            (1234.5678, "1235"),
            (0.95, "0.95"),
            (-1.23456, "-1.235"),
            (1e12, "1T"),
            (-1_283_742_134.0, "-1.284G"),
            (1e21, "1.000e21"),
            (54_321.7, "54322"),
            (0.000_012, "1.200e-5"),
            (f64::INFINITY, "+Inf"),
            (999_999.0, "999999"),
        ] {
            assert_eq!(value(v), text);
        }
    }

    #[test]
    fn instants_before_and_after_now() {
        let text = |t| {
            let mut html = Html::default();
            instant(&mut html, t, 100_000);
            html.finish()
        };
        assert!(text(40_000).ends_with(">1m ago</time>"));
        assert!(text(105_000).contains(r#"datetime="1970-01-01T00:01:45.000Z""#));
        assert!(text(105_000).ends_with(">in 5s</time>"));
        assert!(text(100_500).ends_with(">now</time>"));
    }
}
