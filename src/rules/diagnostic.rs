//! What is wrong with a file, where, and how it is shown.
//!
//! Knows text and places; knows nothing of rules.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};

use super::Position;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but probably not as meant.
    Warning,
    /// The file is not accepted.
    Error,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the configuration or the command line names it.
    pub file: String,
    /// Line and column of the place, from 1; the column counts characters. None where the file as a whole is meant.
    pub position: Option<Position>,
    /// The place: bytes of `source`.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it, where that is known.
    pub help: Option<String>,
    /// The file's text; empty if it could not be read.
    pub source: Arc<str>,
}

impl Diagnostic {
    /// One about a file as a whole.
    pub(super) fn of_file(severity: Severity, file: &str, message: String) -> Self {
        Self { severity, file: file.to_owned(), position: None, span: 0..0, message, help: None, source: "".into() }
    }

    /// Several lines: the one-line form, the source with a mark under the place, and the help.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let severity = match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        };
        let mut report = MietteDiagnostic::new(self.to_string()).with_severity(severity);
        report.help.clone_from(&self.help);
        if self.position.is_some() {
            // A place of no width, as at the end of a line, still gets its mark.
            report.labels = Some(vec![LabeledSpan::new_primary_with_span(None, self.span.clone())]);
        }
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_wrap_lines(false).with_links(false);
        let source = NamedSource::new(&self.file, Arc::clone(&self.source));
        let report = miette::Report::new(report).with_source_code(source);
        let mut out = String::new();
        // Writing to a string does not fail; should the renderer refuse the place, the one line still says it all.
        let rendered = handler.render_report(&mut out, report.as_ref());
        // The renderer's own first line begins with a symbol; editors look for the file's name there.
        let body = out.split_once('\n').filter(|_| rendered.is_ok()).map_or("", |(_, body)| body);
        format!("{self}\n{body}")
    }
}

/// The one-line form, as compilers and promtool write it: `file:line:column: error: message`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}: {}", self.message.replace('\n', " "))
    }
}

/// Collects what is wrong with one file.
pub(super) struct Collector {
    file: String,
    source: Arc<str>,
    /// First byte of every line.
    lines: Vec<usize>,
    found: Vec<Diagnostic>,
}

impl Collector {
    pub(super) fn new(file: &str, source: &str) -> Self {
        let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { file: file.to_owned(), source: source.into(), lines, found: Vec::new() }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Line and column of a byte.
    pub(super) fn position(&self, byte: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= byte).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.source[start..].char_indices().take_while(|(i, _)| start + i < byte).count();
        Position { line, column: 1 + before }
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), None);
    }

    pub(super) fn error_with_help(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), Some(help.into()));
    }

    pub(super) fn warning(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, span, message.into(), Some(help.into()));
    }

    pub(super) fn add(&mut self, severity: Severity, span: Range<usize>, message: String, help: Option<String>) {
        let end = self.source.len();
        let span = span.start.min(end)..span.end.clamp(span.start.min(end), end);
        self.found.push(Diagnostic {
            severity,
            file: self.file.clone(),
            position: Some(self.position(span.start)),
            span,
            message,
            help,
            source: Arc::clone(&self.source),
        });
    }

    /// What was found, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| d.span.start);
        self.found
    }
}
