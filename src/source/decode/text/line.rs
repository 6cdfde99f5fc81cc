//! The parts of one line: metadata, series, value, timestamp, exemplar.

use std::borrow::Cow;

use super::Format;
use crate::base::{METRIC_NAME, Millis, parse_value};
use crate::source::decode::Pair;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A line that starts with nothing that can name a metric.
    #[error("a metric name was expected (UTF-8 names are written in quotes within the braces)")]
    MetricName,
    /// A label without a proper name.
    #[error("a label name was expected")]
    LabelName,
    /// A label without a quoted value.
    #[error("label {0:?} has no value in double quotes")]
    LabelValue(String),
    /// Quotes that are not closed.
    #[error("a quoted string is not closed")]
    Unclosed,
    /// Something else than a comma or a closing brace after a label.
    #[error("\",\" or \"}}\" was expected after a label")]
    Separator,
    /// No number where the value stands.
    #[error("not a number: {0:?}")]
    Value(String),
    /// No number where the timestamp stands.
    #[error("not a timestamp: {0:?}")]
    Timestamp(String),
    /// More on the line than belongs there.
    #[error("unexpected text at the end of the line")]
    Trailing,
    /// A TYPE line with an unknown type.
    #[error("unknown metric type {0:?}")]
    Type(String),
    /// OpenMetrics text that was cut off.
    #[error("the text does not end with \"# EOF\": it was cut off")]
    MissingEof,
    /// More text after `# EOF`.
    #[error("text after \"# EOF\"")]
    AfterEof,
    /// Over the bound.
    #[error("more than {0} samples (limits.scrape_samples)")]
    TooManySamples(usize),
}

/// A line that starts with `#`.
pub(super) enum Descriptor<'a> {
    Type { name: &'a str, kind: &'a str },
    Eof,
    Other,
}

/// Reads a line that starts with `#`. Comments and HELP and UNIT lines are of no interest.
pub(super) fn descriptor(line: &str) -> Result<Descriptor<'_>, Problem> {
    if line == "# EOF" {
        return Ok(Descriptor::Eof);
    }
    let rest = line.trim_start().trim_start_matches('#').trim_start();
    let Some(rest) = rest.strip_prefix("TYPE").filter(|r| r.starts_with([' ', '\t'])) else {
        return Ok(Descriptor::Other);
    };
    let (name, kind) = rest.trim().rsplit_once([' ', '\t']).ok_or(Problem::MetricName)?;
    match kind {
        "counter" | "gauge" | "histogram" | "gaugehistogram" | "summary" | "untyped" | "unknown" | "info"
        | "stateset" => Ok(Descriptor::Type { name: name.trim().trim_matches('"'), kind }),
        other => Err(Problem::Type(other.to_owned())),
    }
}

/// Walks along a line.
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn at(&self, c: char) -> bool {
        self.rest.starts_with(c)
    }

    pub(super) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// `name`, `name{…}` or `{"name", …}`.
    pub(super) fn series(&mut self, pairs: &mut Vec<Pair<'a>>) -> Result<(), Problem> {
        let name = self.take_while(|i, b| is_name_byte(i, b) || b == b':');
        if !name.is_empty() {
            pairs.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
        }
        self.skip_blanks();
        if self.eat('{') {
            self.labels(pairs)?;
        }
        if pairs.iter().any(|(n, _)| n == METRIC_NAME) { Ok(()) } else { Err(Problem::MetricName) }
    }

    fn labels(&mut self, pairs: &mut Vec<Pair<'a>>) -> Result<(), Problem> {
        loop {
            self.skip_blanks();
            if self.eat('}') {
                return Ok(());
            }
            let quoted = self.at('"');
            let name = if quoted { self.quoted()? } else { Cow::Borrowed(self.take_while(is_name_byte)) };
            self.skip_blanks();
            if name.is_empty() {
                return Err(Problem::LabelName);
            } else if self.eat('=') {
                self.skip_blanks();
                if !self.at('"') {
                    return Err(Problem::LabelValue(name.into_owned()));
                }
                let value = self.quoted()?;
                pairs.push((name, value));
            } else if quoted && !pairs.iter().any(|(n, _)| n == METRIC_NAME) {
                pairs.push((Cow::Borrowed(METRIC_NAME), name));
            } else {
                return Err(Problem::LabelValue(name.into_owned()));
            }
            self.skip_blanks();
            if !self.eat(',') && !self.at('}') {
                return Err(if self.at_end() { Problem::Unclosed } else { Problem::Separator });
            }
        }
    }

    /// A string in quotes, with `\\`, `\"` and `\n`; any other escape stays as it is, as in Prometheus.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Problem> {
        let text = &self.rest[1..];
        let mut escaped = false;
        let mut bytes = text.bytes().enumerate();
        let end = loop {
            match bytes.next() {
                None => return Err(Problem::Unclosed),
                Some((i, b'"')) => break i,
                Some((_, b'\\')) => {
                    escaped = true;
                    bytes.next();
                }
                Some(_) => {}
            }
        };
        self.rest = &text[end + 1..];
        Ok(if escaped { Cow::Owned(unescape(&text[..end])) } else { Cow::Borrowed(&text[..end]) })
    }

    pub(super) fn value(&mut self) -> Result<f64, Problem> {
        let word = self.word();
        parse_value(word).ok_or_else(|| Problem::Value(word.to_owned()))
    }

    /// Milliseconds in Prometheus' format, seconds in OpenMetrics.
    pub(super) fn timestamp(&mut self, format: Format) -> Result<Option<Millis>, Problem> {
        self.skip_blanks();
        if self.at_end() || self.at('#') {
            return Ok(None);
        }
        let word = self.word();
        let t = match format {
            Format::Prometheus => word.parse().ok(),
            Format::OpenMetrics => seconds(word),
        };
        t.map(Some).ok_or_else(|| Problem::Timestamp(word.to_owned()))
    }

    /// `# {labels} value [timestamp]` after an OpenMetrics sample: checked and forgotten.
    pub(super) fn exemplar(&mut self, format: Format) -> Result<(), Problem> {
        self.skip_blanks();
        if self.at_end() {
            return Ok(());
        }
        if format != Format::OpenMetrics || !self.eat('#') {
            return Err(Problem::Trailing);
        }
        self.skip_blanks();
        if !self.eat('{') {
            return Err(Problem::Trailing);
        }
        self.labels(&mut Vec::new())?;
        self.value()?;
        self.timestamp(format)?;
        if self.at_end() { Ok(()) } else { Err(Problem::Trailing) }
    }

    fn word(&mut self) -> &'a str {
        self.skip_blanks();
        let end = self.rest.find([' ', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn take_while(&mut self, keep: impl Fn(usize, u8) -> bool) -> &'a str {
        let end = self.rest.bytes().enumerate().position(|(i, b)| !keep(i, b)).unwrap_or(self.rest.len());
        // Only ASCII bytes are kept, so `end` is a character boundary.
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn is_name_byte(i: usize, b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || (i > 0 && b.is_ascii_digit())
}

fn seconds(word: &str) -> Option<Millis> {
    let t: f64 = word.parse().ok()?;
    let millis = (t * 1e3).round();
    (millis.abs() < 9e15).then_some(millis as Millis)
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(same @ ('\\' | '"'))) => out.push(same),
            ('\\', Some(other)) => out.extend(['\\', other]),
            _ => out.push(c),
        }
    }
    out
}
