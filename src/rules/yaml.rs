//! What YAML, or the shape that a file must have, has against a file.
//!
//! Knows the YAML reader's errors; knows nothing of rules.

use std::ops::Range;

use serde_saphyr::Error;

use super::collector::Collector;
use super::format::span;
use super::validate::UNKNOWN_KEY;
use super::{Diagnostic, LintOptions};
use crate::base::nearest;

/// The fault of a file that is not read any further.
#[must_use]
pub fn yaml_fault(file: &str, text: &str, error: &Error) -> Diagnostic {
    let lints = LintOptions::when_loading();
    let mut found = Collector::new(file, text, &lints);
    fault(&mut found, error);
    found.finish().remove(0)
}

/// Notes the fault.
pub(super) fn fault(found: &mut Collector<'_>, error: &Error) {
    let error = error.without_snippet();
    let at = place(found.source(), error);
    let message = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} is given twice"),
        other => {
            let text =
                other.render_with_options(serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off });
            let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
            if let Some((unknown, known)) = unknown_key(&message) {
                return found.error_with_help(UNKNOWN_KEY, at, unknown, known);
            }
            plain(message, found.source().get(at.start..).unwrap_or_default())
        }
    };
    match help(&message, found.source(), &at) {
        Some(help) => found.error_with_help("yaml", at, message, help),
        None => found.error("yaml", at, message),
    }
}

/// The bytes that a fault is about.
pub(super) fn place(source: &str, error: &Error) -> Range<usize> {
    let error = error.without_snippet();
    let Some(location) = error.location() else { return 0..0 };
    if location.span().byte_offset().is_some() {
        return span(location);
    }
    // The scanner's own faults have no bytes.
    let (line, column) = (location.line().max(1) as usize - 1, location.column().max(1) as usize - 1);
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let mut characters = source[before..].char_indices().skip(column);
    let start = characters.next().map_or(source.len(), |(i, _)| before + i);
    start..characters.next().map_or(source.len(), |(i, _)| before + i)
}

/// Of a key that a derived reader does not know: what is said about it, and the help.
fn unknown_key(message: &str) -> Option<(String, String)> {
    let (name, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let known = known.trim_start_matches(", expected ").trim_start_matches("one of ");
    let known: Vec<&str> = known.split(", ").map(|key| key.trim_matches('`')).collect();
    let near = nearest(name, known.iter().copied()).map(|near| format!("did you mean {near}? "));
    Some((format!("unknown key {name}"), format!("{}known keys: {}", near.unwrap_or_default(), known.join(", "))))
}

/// The reader's words for what people meet most, in theirs.
fn plain(message: String, rest: &str) -> String {
    let what = match rest.chars().next() {
        Some('[') => "not a list",
        Some('-') if rest[1..].starts_with(char::is_whitespace) => "not a list",
        Some('{') => "not a mapping",
        _ => "not a single value",
    };
    match message.as_str() {
        "expected sequence start" => "a list is expected here, whose items begin with `- `".to_owned(),
        "expected mapping start" => format!("a mapping is expected here, keys with values, {what}"),
        "expected string scalar" => format!("a single value is expected here, {what}"),
        "while parsing a block mapping, did not find expected key" => {
            "this line is not indented as the keys above it are".to_owned()
        }
        "alias references unknown anchor" => "there is no anchor of this name above".to_owned(),
        _ => message,
    }
}

fn help(message: &str, source: &str, at: &Range<usize>) -> Option<String> {
    if message.contains("given twice") {
        return Some("remove one of them, or put what belongs to both under one key".to_owned());
    }
    let line = source[..at.start].rfind('\n').map_or(0, |i| i + 1);
    let line = source[line..].lines().next().unwrap_or_default();
    if line.trim_start_matches([' ', '-']).contains("{{") && !line.contains(['"', '\'']) {
        return Some("a text that begins with {{ stands in quotes: '{{ $labels.instance }} is down'".to_owned());
    }
    if message.starts_with("this line is not indented") {
        return Some("keys of one mapping begin in the same column; items of a list as well".to_owned());
    }
    if message.starts_with("a list is expected") || message.starts_with("a mapping is expected") {
        return None;
    }
    if message.starts_with("a single value") {
        return Some("a text that begins with { or [ stands in quotes, or on lines of its own after `|`".to_owned());
    }
    if message.contains("unclosed quote") {
        return Some("the text that begins with this quote has no end".to_owned());
    }
    if line.contains('\t') && (message.contains("tab") || line.starts_with('\t')) || line.starts_with('\t') {
        return Some("YAML is indented with blanks, never with tabs".to_owned());
    }
    let value = line.split_once(": ").map_or("", |(_, value)| value.trim());
    (value.contains(": ") || value.contains('{'))
        .then(|| "a value with `: ` or braces in it stands in quotes, or on lines of its own after `|`".to_owned())
}
