//! Prometheus text format 0.0.4 and OpenMetrics 1.0 text.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>. Quoted UTF-8 names (`{"my.metric", a="b"}`) are read in
//! both. `_created` series are ordinary samples; exemplars and metadata are checked for form and skipped. As in
//! Prometheus 3 the `le` and `quantile` labels of histograms and summaries are brought to one spelling (`1` becomes
//! `1.0`). A malformed line refuses the whole exposition.

mod bounds;
mod line;

pub use line::Problem;
use line::{Cursor, Descriptor};

use super::{Decoded, Dropped, Pair, TargetLabels};
use crate::base::{BatchBuilder, Limits, METRIC_NAME, Millis};

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format: timestamps in milliseconds.
    Prometheus,
    /// OpenMetrics: timestamps in seconds, exemplars, ends with `# EOF`.
    OpenMetrics,
}

impl Format {
    /// The format a `Content-Type` header names; anything unknown is read as Prometheus text.
    #[must_use]
    pub fn from_content_type(header: &str) -> Self {
        let kind = header.split(';').next().unwrap_or("").trim();
        if kind.eq_ignore_ascii_case("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// How to read an exposition.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions<'a> {
    /// The format.
    pub format: Format,
    /// Event time of samples without a timestamp.
    pub default_time: Millis,
    /// Whether timestamps in the text stand.
    pub honor_timestamps: bool,
    /// Labels to add to every series.
    pub target: &'a TargetLabels,
}

/// A malformed exposition; nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TextError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// Reads a whole exposition.
///
/// # Errors
/// The first malformed line, a missing `# EOF`, or more than `limits.scrape_samples` samples.
pub fn decode(body: &[u8], options: &TextOptions<'_>, limits: &Limits) -> Result<Decoded, TextError> {
    let text = std::str::from_utf8(body).map_err(|e| {
        let line = 1 + body[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        TextError { line, problem: Problem::Utf8 }
    })?;
    let mut builder = BatchBuilder::new(limits);
    let mut dropped = Dropped::default();
    let mut parser = LineParser::new(options.format);
    let mut pairs = Vec::new();
    for line in text.lines() {
        let read = parser.line(line, &mut pairs)?;
        let Some((t, v)) = read else { continue };
        options.target.apply(&mut pairs);
        for (name, value) in &pairs {
            builder.label(name, value);
        }
        match builder.end_labels() {
            Ok(()) => {
                let own = t.filter(|_| options.honor_timestamps);
                builder.sample(own.unwrap_or(options.default_time), v);
            }
            Err(fault) => dropped.series(fault, 1),
        }
        if builder.sample_count() > limits.scrape_samples {
            let problem = Problem::TooManySamples(limits.scrape_samples);
            return Err(TextError { line: parser.line_number, problem });
        }
    }
    parser.end()?;
    Ok(Decoded { batch: builder.finish(), dropped, ..Decoded::default() })
}

/// Reads an exposition line by line; keeps what one line means for the next.
#[derive(Clone, Debug)]
pub struct LineParser {
    format: Format,
    family: String,
    kind: Kind,
    line_number: usize,
    ended: bool,
}

/// Metric types whose samples have a label to be normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Histogram,
    Summary,
    Other,
}

impl LineParser {
    /// At the start of a text.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, family: String::new(), kind: Kind::Other, line_number: 0, ended: false }
    }

    /// Lines read so far.
    #[must_use]
    pub fn line_number(&self) -> usize {
        self.line_number
    }

    /// Reads one line without its line feed. For a sample, `pairs` then holds its labels as written, metric name among
    /// them, and the result its timestamp and value; for any other line the result is `None`.
    ///
    /// # Errors
    /// The line is malformed, or stands after `# EOF`.
    pub fn line<'a>(
        &mut self,
        line: &'a str,
        pairs: &mut Vec<Pair<'a>>,
    ) -> Result<Option<(Option<Millis>, f64)>, TextError> {
        self.line_number += 1;
        pairs.clear();
        self.read(line.strip_suffix('\r').unwrap_or(line), pairs)
            .map_err(|problem| TextError { line: self.line_number, problem })
    }

    /// Ends the text.
    ///
    /// # Errors
    /// An OpenMetrics text without `# EOF`: it was cut off.
    pub fn end(&self) -> Result<(), TextError> {
        if self.format == Format::OpenMetrics && !self.ended {
            return Err(TextError { line: self.line_number, problem: Problem::MissingEof });
        }
        Ok(())
    }

    fn read<'a>(&mut self, line: &'a str, pairs: &mut Vec<Pair<'a>>) -> Result<Option<(Option<Millis>, f64)>, Problem> {
        let mut cursor = Cursor::new(line);
        cursor.skip_blanks();
        if cursor.at_end() {
            return Ok(None);
        }
        if self.ended {
            return Err(Problem::AfterEof);
        }
        if cursor.at('#') {
            match line::descriptor(line)? {
                Descriptor::Type { name, kind } => {
                    self.kind = match kind {
                        "histogram" => Kind::Histogram,
                        "summary" => Kind::Summary,
                        _ => Kind::Other,
                    };
                    name.clone_into(&mut self.family);
                }
                Descriptor::Eof => self.ended = self.format == Format::OpenMetrics,
                Descriptor::Other => {}
            }
            return Ok(None);
        }
        cursor.series(pairs)?;
        let v = cursor.value()?;
        let t = cursor.timestamp(self.format)?;
        cursor.exemplar(self.format)?;
        self.normalise(pairs);
        Ok(Some((t, v)))
    }

    fn normalise(&self, pairs: &mut [Pair<'_>]) {
        let label = match self.kind {
            Kind::Histogram => "le",
            Kind::Summary => "quantile",
            Kind::Other => return,
        };
        if pairs.iter().any(|(n, v)| n == METRIC_NAME && v.starts_with(&self.family)) {
            for (_, value) in pairs.iter_mut().filter(|(n, _)| n == label) {
                bounds::normalise(value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
