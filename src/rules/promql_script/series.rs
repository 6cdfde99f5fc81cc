//! A line that names a series and gives it values: `requests_total{job="a"} 0+60x10 _ stale`.

use super::read::ScriptError;
use crate::base::{Labels, parse_duration};
use crate::promql::parse_metric;
use crate::rules::unit_test::Notation;

/// The values of a series by step.
#[derive(Clone, Debug)]
pub enum Points {
    /// Numbers.
    Numbers(Notation),
    /// Native histograms among them; which is not kept.
    Histograms,
}

/// Reads a series and its values.
pub(super) fn read(line: u64, text: &str) -> Result<(Labels, Points), ScriptError> {
    let (metric, values) = split(text);
    Ok((labels(line, metric)?, points(line, values)?))
}

/// Whether a line gives start timestamps, `metric@st …` or, for all series that follow, `@st …`.
pub(super) fn start_times(line: u64, text: &str) -> Result<Option<Option<Labels>>, ScriptError> {
    let (metric, values) = split(text);
    let Some(metric) = metric.strip_suffix("@st") else { return Ok(None) };
    for word in values.split_whitespace() {
        if !is_start_time(word) {
            let message =
                format!("not a start timestamp: {word:?} (write -30s, -1mx5, -1m-30sx5, _ or *, parted by blanks)");
            return Err(ScriptError::new(line, message));
        }
    }
    if metric.is_empty() {
        return Ok(Some(None));
    }
    Ok(Some(Some(labels(line, metric)?)))
}

/// Refuses a line that was meant for a command: blocks end at an empty line only.
pub(super) fn refuse_command(line: u64, text: &str) -> Result<(), ScriptError> {
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_command =
        text == "clear" || matches!(word, "load" | "load_with_nhcb" | "eval" | "eval_fail" | "eval_ordered");
    match is_command {
        true => Err(ScriptError::new(line, format!("`{word}` within a block: leave the line before it empty"))),
        false => Ok(()),
    }
}

/// The series, and what follows it: the first blank that is neither in braces nor in quotes parts them.
fn split(text: &str) -> (&str, &str) {
    let (mut depth, mut quote, mut escaped) = (0i32, None, false);
    let end = text.char_indices().find(|&(_, c)| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '{' => depth += 1,
            None if c == '}' => depth -= 1,
            None => return depth == 0 && c.is_whitespace(),
        }
        false
    });
    let (metric, values) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    (metric, values.trim())
}

fn labels(line: u64, metric: &str) -> Result<Labels, ScriptError> {
    parse_metric(metric).map_err(|e| ScriptError::new(line, format!("not a series: {e}")))
}

fn points(line: u64, values: &str) -> Result<Points, ScriptError> {
    if values.contains("{{") {
        if values.matches("{{").count() != values.matches("}}").count() {
            return Err(ScriptError::new(line, "a native histogram that begins with {{ ends with }}"));
        }
        return Ok(Points::Histograms);
    }
    Notation::parse(values).map(Points::Numbers).map_err(|e| ScriptError::new(line, e.to_string()))
}

/// `_`, `*`, `-30s`, each with `xN` after it, or `-1m-30sxN`.
fn is_start_time(word: &str) -> bool {
    let (item, times) = word.rsplit_once('x').map_or((word, None), |(item, times)| (item, Some(times)));
    if times.is_some_and(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    let item = item.strip_prefix(['+', '-']).unwrap_or(item);
    let is_span = |text: &str| parse_duration(text.strip_prefix(['+', '-']).unwrap_or(text)).is_ok();
    match item.split_once(['+', '-']) {
        Some((first, step)) => times.is_some() && is_span(first) && is_span(step),
        None => matches!(item, "_" | "*") || is_span(item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_ends_at_the_first_blank_outside_braces_and_quotes() {
        for (text, metric, values) in [
            ("up 1 2", "up", "1 2"),
            (r#"up{a="x } y", b='\' {'} 1"#, r#"up{a="x } y", b='\' {'}"#, "1"),
            (r"{`na\me`, a=`b c\`} _x3", r"{`na\me`, a=`b c\`}", "_x3"),
            ("up", "up", ""),
            ("h {{schema:0 sum:1}}x3", "h", "{{schema:0 sum:1}}x3"),
            ("{} 1", "{}", "1"),
        ] {
            assert_eq!(split(text), (metric, values), "{text}");
        }
    }

    #[test]
    fn histograms_are_told_from_numbers() {
        let histograms = |text| matches!(points(1, text), Ok(Points::Histograms));
        assert!(histograms("1 {{sum:1 buckets:[1 2]}} {{}}+{{count:1}}x5"));
        assert!(!histograms("1 2x3"));
        assert!(points(1, "{{sum:1}").is_err());
    }

    #[test]
    fn start_times_are_spans_with_repetitions() {
        for text in ["-30s", "-1mx3", "-30s-1mx2", "_", "_x4", "*", "*x3", "0", "-0msx15", "0-1mx4", "1ms-1mx4"] {
            assert!(is_start_time(text), "{text}");
        }
        for text in ["5", "x3", "-1m-30s", "-1mx", "-1mx-3", "", "stale"] {
            assert!(!is_start_time(text), "{text}");
        }
    }
}
