//! A transition as a line of text: JSON for machines, a short form for people. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::alert::{AlertState, Transition};
use crate::base::{format_rfc3339, format_value};

/// One JSON object: `time` as RFC 3339, then the transition's own fields. No line break.
#[must_use]
pub fn json_line(transition: &Transition) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        #[serde(flatten)]
        transition: &'a Transition,
    }
    // Strings into memory: nothing there can fail.
    serde_json::to_string(&Line { time: format_rfc3339(transition.at), transition }).unwrap_or_default()
}

/// Time, state, alert, labels, value, and the summary annotation (or the description, where there is none):
/// `2026-11-22T17:44:32Z  FIRING    DiskFull{device="sda1"}  value 0.03  Disk full in 3h`.
/// Control characters are escaped, so that no label can steer the terminal.
#[must_use]
pub fn text_line(transition: &Transition, colour: bool) -> String {
    let (state, code) = match (transition.from, transition.to) {
        (_, AlertState::Firing) => ("FIRING", "1;31"),
        (_, AlertState::Pending) => ("pending", "33"),
        (AlertState::Pending, AlertState::Inactive) => ("cleared", "2"),
        (_, AlertState::Inactive) => ("resolved", "32"),
    };
    let time = format_rfc3339(transition.at);
    let time = time.get(..19).map_or_else(|| time.clone(), |seconds| format!("{seconds}Z"));
    let labels = transition.labels.as_ref().filter(|name| name != "alertname" && name != "__name__");
    let labels = if labels.as_ref().is_empty() { String::new() } else { printable(&labels.to_string()) };
    let mut line = String::new();
    let paint = |text: &str, code: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let _ = write!(
        line,
        "{}  {}  {}{labels}  value {}",
        paint(&time, "2"),
        paint(&format!("{state:<8}"), code),
        paint(&printable(&transition.rule.alert), "1"),
        short(transition.value),
    );
    let note = |name| transition.annotations.iter().find(|(n, _)| n == name).map(|(_, text)| text);
    if let Some(text) = note("summary").or_else(|| note("description")) {
        let _ = write!(line, "  {}", printable(text.trim()));
    }
    line
}

/// Four significant digits: enough for a glance.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return format_value(value);
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..12.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::base::Labels;

    #[test]
    fn json_has_the_time_and_the_whole_transition() {
        let line: serde_json::Value = serde_json::from_str(&json_line(&testing::firing("Down", 1_500))).unwrap();
        assert_eq!(line["time"], "1970-01-01T00:00:01.500Z");
        assert_eq!(line["to"], "firing");
        assert_eq!(line["value"], "0.5");
        assert_eq!(line["labels"]["alertname"], "Down");
        assert_eq!(line["rule"]["file"], "rules/host.yaml");
    }

    #[test]
    fn people_get_one_readable_line() {
        assert_eq!(
            text_line(&testing::firing("Down", 1_500), false),
            r#"1970-01-01T00:00:01Z  FIRING    Down{instance="a:9100", severity="page"}  value 0.5  Down is down"#
        );
        let resolved = text_line(&testing::resolved("Down", 1_500, 3_000), true);
        assert!(resolved.contains("\x1b[32mresolved\x1b[0m"), "{resolved:?}");
    }

    #[test]
    fn a_label_cannot_steer_the_terminal() {
        let transition = Transition {
            labels: Labels::from_pairs([("alertname", "Down"), ("x", "\x1b[2J")]),
            annotations: vec![("summary".into(), "two\nlines\x07".into())],
            ..testing::firing("Down", 0)
        };
        let line = text_line(&transition, false);
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        assert!(line.contains(r"two\nlines"), "{line}");
    }
}
