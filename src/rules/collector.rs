//! Collects what is wrong with one file, less what its comments switch off.
//!
//! Knows text, places and which lints are on; knows nothing of rules but where they stand.

use std::ops::Range;
use std::sync::Arc;

use super::lint::{Disable, Lint, LintOptions, disables};
use super::{Diagnostic, Position, Severity};

/// Collects diagnostics.
pub(super) struct Collector<'o> {
    file: String,
    source: Arc<str>,
    /// First byte of every line.
    lines: Vec<usize>,
    found: Vec<Found>,
    options: &'o LintOptions,
    /// Where groups and rules begin, in the order of the file.
    scopes: Vec<(Scope, usize)>,
}

/// What lints are about, and comments for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// A group with its rules.
    Group,
    /// A rule.
    Rule,
}

struct Found {
    diagnostic: Diagnostic,
    /// Of a lint: which, and where the rule begins that it is about. An alias' place may lie in another rule.
    lint: Option<(Lint, usize)>,
}

impl<'o> Collector<'o> {
    pub(super) fn new(file: &str, source: &str, options: &'o LintOptions) -> Self {
        let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { file: file.to_owned(), source: source.into(), lines, found: Vec::new(), options, scopes: Vec::new() }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The text, to be held beside the collector.
    pub(super) fn shared_source(&self) -> &Arc<str> {
        &self.source
    }

    pub(super) fn options(&self) -> &'o LintOptions {
        self.options
    }

    /// A group or rule begins; it is what lints are about until the next.
    pub(super) fn enter(&mut self, scope: Scope, start: usize) {
        self.scopes.push((scope, start));
    }

    /// From a byte to the end of its line.
    pub(super) fn rest_of_line(&self, start: usize) -> Range<usize> {
        let rest = self.source.get(start..).unwrap_or_default();
        start..start + rest.lines().next().map_or(0, |line| line.trim_end().len())
    }

    /// Line and column of a byte.
    pub(super) fn position(&self, byte: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= byte).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.source[start..].char_indices().take_while(|(i, _)| start + i < byte).count();
        Position { line, column: 1 + before }
    }

    pub(super) fn error(&mut self, code: &'static str, span: Range<usize>, message: impl Into<String>) {
        self.add(Severity::Error, code, span, message.into(), None);
    }

    pub(super) fn error_with_help(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), Some(help.into()));
    }

    pub(super) fn warning(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, code, span, message.into(), Some(help.into()));
    }

    /// A doubt about the rule that was entered last.
    pub(super) fn lint(&mut self, lint: Lint, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if self.options.on.contains(&lint) {
            self.warning(lint.code(), span, message, help);
            let about = self.scopes.last().map_or(0, |(_, start)| *start);
            if let Some(found) = self.found.last_mut() {
                found.lint = Some((lint, about));
            }
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        let end = self.source.len();
        let span = span.start.min(end)..span.end.clamp(span.start.min(end), end);
        let diagnostic = Diagnostic {
            severity,
            code,
            file: self.file.clone(),
            position: Some(self.position(span.start)),
            span,
            message,
            help,
            source: Arc::clone(&self.source),
        };
        self.found.push(Found { diagnostic, lint: None });
    }

    /// What was found, in the order of the file. What stands behind an alias that is used twice is told once.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        let source = Arc::clone(&self.source);
        let mut off = Vec::new();
        for disable in disables(&source) {
            off.extend(self.switched_off(disable));
        }
        let is_off = |lint: Lint, at: usize| off.iter().any(|(l, range)| *l == lint && range.contains(&at));
        self.found.retain(|found| !found.lint.is_some_and(|(lint, about)| is_off(lint, about)));
        let mut out: Vec<Diagnostic> = self.found.into_iter().map(|found| found.diagnostic).collect();
        out.sort_by_key(|d| d.span.start);
        out.dedup();
        out
    }

    /// From the beginning of a group or rule to that of the next.
    fn extent(&self, at: usize) -> Range<usize> {
        let (scope, start) = self.scopes[at];
        let next = self.scopes[at + 1..].iter().find(|(next, _)| *next <= scope);
        start..next.map_or(usize::MAX, |(_, start)| *start)
    }

    /// The lints that a comment switches off, and where. What is wrong with the comment is noted.
    fn switched_off(&mut self, disable: Disable) -> Vec<(Lint, Range<usize>)> {
        let place = match disable.target {
            None => Some(0..usize::MAX),
            Some(target) => {
                let begins = self.scopes.iter().position(|(_, start)| *start == target);
                let holds = self.scopes.iter().rposition(|(_, start)| *start <= target);
                begins.or(holds).map(|at| self.extent(at))
            }
        };
        if disable.codes.is_empty() {
            let help = "write `# forewarn:disable CODE reason`; the code stands in brackets behind each warning";
            self.lint(Lint::UnknownLint, disable.span, "the comment names no lint", help);
            return Vec::new();
        }
        let Some(place) = place else {
            let help = "put it before or into a rule or group, or write forewarn:disable-file for the whole file";
            self.lint(Lint::UnknownLint, disable.span, "the comment stands at no rule and no group", help);
            return Vec::new();
        };
        let mut out = Vec::new();
        for code in disable.codes {
            match code {
                Ok(lint) => out.push((lint, place.clone())),
                Err((message, at)) => self.lint(Lint::UnknownLint, at, message, "docs/lints.md lists all codes"),
            }
        }
        out
    }
}
