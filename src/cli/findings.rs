//! What a check has found, as text for people and in the formats that editors and CI read.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::rules::{Diagnostic, Position, Severity};

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: each with its line, a mark and help.
    #[default]
    Text,
    /// One object, with every finding in `diagnostics`.
    Json,
    /// GitHub's workflow commands, which become annotations of a pull request.
    Github,
    /// SARIF 2.1.0, which code scanners' dashboards read.
    Sarif,
}

/// What a check has found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The configuration, if it is one.
    pub configuration: Option<String>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// Rules in the files.
    pub rules: usize,
    /// Files.
    pub files: usize,
}

impl Findings {
    /// Writes them.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write(&self, format: Format, colour: bool, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => self.text(colour, out),
            Format::Json => writeln!(out, "{:#}", self.json()),
            Format::Github => self.diagnostics.iter().try_for_each(|d| writeln!(out, "{}", github(d))),
            Format::Sarif => writeln!(out, "{:#}", self.sarif()),
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    fn text(&self, colour: bool, out: &mut dyn Write) -> io::Result<()> {
        if let Some(file) = &self.configuration {
            writeln!(out, "{file} is a configuration")?;
        }
        for diagnostic in &self.diagnostics {
            write!(out, "{}", diagnostic.render(colour))?;
        }
        if self.files == 0 && self.diagnostics.is_empty() {
            return Ok(());
        }
        write!(out, "{} found in {}", plural(self.rules, "rule"), plural(self.files, "file"))?;
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        if errors + warnings > 0 {
            write!(out, ": {}, {}", plural(errors, "error"), plural(warnings, "warning"))?;
        }
        writeln!(out)
    }

    fn json(&self) -> Value {
        let diagnostics: Vec<Value> = self
            .diagnostics
            .iter()
            .map(|d| {
                let (start, end) = (d.position, d.end());
                json!({
                    "file": d.file,
                    "line": start.map(|p| p.line),
                    "column": start.map(|p| p.column),
                    "end_line": end.map(|p| p.line),
                    "end_column": end.map(|p| p.column),
                    "severity": severity(d),
                    "code": d.code,
                    "message": d.message,
                    "help": d.help,
                })
            })
            .collect();
        json!({
            "diagnostics": diagnostics,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "rules": self.rules,
            "files": self.files,
        })
    }

    /// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
    fn sarif(&self) -> Value {
        let results: Vec<Value> = self
            .diagnostics
            .iter()
            .map(|d| {
                let region = d.position.zip(d.end()).map(|(start, end)| {
                    json!({
                        "startLine": start.line, "startColumn": start.column,
                        "endLine": end.line, "endColumn": end.column,
                    })
                });
                let mut place = json!({"artifactLocation": {"uri": d.file}});
                if let Some(region) = region {
                    place["region"] = region;
                }
                json!({
                    "ruleId": d.code,
                    "level": severity(d),
                    "message": {"text": with_help(d)},
                    "locations": [{"physicalLocation": place}],
                })
            })
            .collect();
        let driver = json!({"name": "forewarn", "version": env!("CARGO_PKG_VERSION")});
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
        })
    }
}

/// A fault of a configuration as a whole; its message may begin with the file, as those of a start do.
pub(super) fn of_configuration(name: &str, message: &str) -> Diagnostic {
    let message = message.strip_prefix(&format!("{name}: ")).unwrap_or(message).to_owned();
    Diagnostic {
        severity: Severity::Error,
        code: "configuration",
        file: name.to_owned(),
        position: None,
        span: 0..0,
        message,
        help: None,
        source: "".into(),
    }
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn with_help(diagnostic: &Diagnostic) -> String {
    let help = diagnostic.help.iter().map(|help| format!("\nhelp: {help}")).collect::<String>();
    format!("{}{help}", diagnostic.message)
}

/// `::error file=…,line=…::message`, escaped as
/// <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts> reads it.
fn github(diagnostic: &Diagnostic) -> String {
    let text = |s: &str| s.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |s: &str| text(s).replace(':', "%3A").replace(',', "%2C");
    let place = |p: Option<Position>, line: &str, column: &str| {
        p.map(|p| format!(",{line}={},{column}={}", p.line, p.column)).unwrap_or_default()
    };
    format!(
        "::{} file={}{}{},title={}::{}",
        severity(diagnostic),
        property(&diagnostic.file),
        place(diagnostic.position, "line", "col"),
        place(diagnostic.end(), "endLine", "endColumn"),
        diagnostic.code,
        text(&with_help(diagnostic)),
    )
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
