//! What is wrong with a file, where, and how it is shown.
//!
//! Knows text and places; knows nothing of rules.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic};

use super::Position;
use super::excerpt::Excerpt;

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
    /// What kind of fault it is, as a word that stays: a lint's code, or the kind of an error.
    pub code: &'static str,
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
        let (file, source) = (file.to_owned(), "".into());
        Self { severity, code: "file", file, position: None, span: 0..0, message, help: None, source }
    }

    /// Line and column behind the last character of the place.
    #[must_use]
    pub fn end(&self) -> Option<Position> {
        self.position?;
        let before = self.source.get(..self.span.end)?;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        Some(Position { line: 1 + before.matches('\n').count(), column: 1 + before[start..].chars().count() })
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
        let excerpt = self.position.map(|position| Excerpt::new(&self.file, &self.source, &self.span, position));
        if let Some(excerpt) = &excerpt {
            // A place of no width, as at the end of a line, still gets its mark.
            report.labels = Some(vec![LabeledSpan::new_primary_with_span(None, excerpt.span())]);
        }
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_wrap_lines(false).with_links(false);
        let mut report = miette::Report::new(report);
        if let Some(excerpt) = excerpt {
            report = report.with_source_code(excerpt);
        }
        let mut out = String::new();
        // Writing to a string does not fail; should the renderer refuse the place, the one line still says it all.
        let rendered = handler.render_report(&mut out, report.as_ref());
        // The renderer's own first line begins with a symbol; editors look for the file's name there.
        let body = out.split_once('\n').filter(|_| rendered.is_ok()).map_or("", |(_, body)| body);
        format!("{self}\n{body}")
    }
}

/// The one-line form, as compilers and promtool write it: `file:line:column: warning: message [code]`.
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
        write!(f, ": {severity}: {}", self.message.replace('\n', " "))?;
        // The code of a warning is what switches it off; that of an error says nothing to a person.
        if self.severity == Severity::Warning { write!(f, " [{}]", self.code) } else { Ok(()) }
    }
}
